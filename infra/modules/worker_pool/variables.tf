variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "name" {
  description = "The pool's name: the worker's, with -pool."
  type        = string
}

variable "image" {
  description = "The first image, by its digest. Later ones are not Terraform's affair."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be named by its digest: …/NAME@sha256:…; a tag can be moved to another image."
  }
}

variable "service_account_email" {
  description = "As whom it runs: an account of its own."
  type        = string

  validation {
    condition     = !endswith(var.service_account_email, "-compute@developer.gserviceaccount.com") && length(var.service_account_email) > 0
    error_message = "A worker runs as its own account, not as the default one, which may do far too much."
  }
}

variable "env" {
  description = "Settings, as in .env.example."
  type        = map(string)
}

variable "secret_env" {
  description = "Settings that are secret: the variable's name, the secret's id, and its version (a number, or latest: as it is when an instance starts)."
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

variable "instances" {
  description = "How many run, always: a pool does not scale by itself."
  type        = number

  validation {
    condition     = var.instances >= 0
    error_message = "instances must be 0 (stopped) or more."
  }
}

variable "cpu" {
  description = "CPUs of an instance."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "512Mi"
}

variable "sidecars" {
  description = <<-EOT
    Containers beside the program, by name: the `image` by its digest, the `args`, the secret with its `config`, as which file it finds it
    (`config_file`, in a folder of its own), and where it says that it lives (`live_path`, `live_port`).
  EOT
  type = map(object({
    image         = string
    args          = optional(list(string), [])
    config_secret = string
    config_file   = string
    live_path     = string
    live_port     = number
  }))
  default = {}

  validation {
    condition     = alltrue([for one in values(var.sidecars) : can(regex("@sha256:[0-9a-f]{64}$", one.image))])
    error_message = "The image of a sidecar must be named by its digest."
  }
}

variable "launch_stage" {
  description = "GA, or BETA where worker pools are still a preview."
  type        = string
  default     = "GA"
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete it."
  type        = bool
  default     = true
}
