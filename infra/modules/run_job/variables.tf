variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "name" {
  description = "The job's name."
  type        = string
}

variable "image" {
  description = "The first image, by its digest. Later ones are the deployer's affair."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be named by its digest: …/NAME@sha256:…; a tag can be moved to another image."
  }
}

variable "args" {
  description = "What it does unless an execution says otherwise: words after `parlance`."
  type        = list(string)
}

variable "service_account_email" {
  description = "As whom it runs: an account of its own."
  type        = string

  validation {
    condition     = !endswith(var.service_account_email, "-compute@developer.gserviceaccount.com") && length(var.service_account_email) > 0
    error_message = "A job runs as its own account, not as the default one, which may do far too much."
  }
}

variable "env" {
  description = "Settings, as in .env.example."
  type        = map(string)
}

variable "secret_env" {
  description = "Settings that are secret: the variable's name, the secret's id, and its version."
  type = map(object({
    secret  = string
    version = optional(string, "latest")
  }))
  default = {}
}

variable "egress" {
  description = "How it reaches private addresses: Direct VPC egress through `subnetwork`, or through `connector` where that is not null."
  type = object({
    network    = string
    subnetwork = string
    connector  = optional(string)
  })
}

variable "timeout_seconds" {
  description = "The longest that it may take."
  type        = number
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete it."
  type        = bool
  default     = true
}
