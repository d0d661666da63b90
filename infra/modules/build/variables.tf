variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where builds run and keep their layers."
  type        = string
}

variable "build_email" {
  description = "As whom builds run: parlance-build."
  type        = string
}

variable "deploys" {
  description = "Whether builds deploy by themselves (cloudbuild.yaml with _DEPLOY=script) instead of leaving it to the workflow that a push starts."
  type        = bool
  default     = false
}

variable "runs_as" {
  description = "E-mails of the accounts that services and jobs run as: a build that deploys must be allowed to use them, and no others."
  type        = set(string)
}

variable "secret_ids" {
  description = "Secrets whose existence a build that deploys looks at. It never reads values."
  type        = set(string)
}
