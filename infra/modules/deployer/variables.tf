variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where the workflow runs: beside the services."
  type        = string
}

variable "workflows_dir" {
  description = "The folder with the workflow's source: infra/workflows."
  type        = string
}

variable "settings" {
  description = "What differs from the workflow's defaults (see infra/workflows/README.md), as an object."
  type        = any
  default     = {}
}

variable "deployer_email" {
  description = "As whom the workflow runs: parlance-deployer."
  type        = string
}

variable "trigger_email" {
  description = "As whom the trigger starts it: parlance-eventarc."
  type        = string
}

variable "repository" {
  description = "The repository of the images."
  type        = string
}

variable "runs_as" {
  description = "E-mails of the accounts that services and jobs run as: whoever deploys must be allowed to use them, and no others."
  type        = set(string)
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the workflow."
  type        = bool
  default     = true
}
