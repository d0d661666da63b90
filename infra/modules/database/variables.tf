variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where the database is: beside the services, as each turn asks it several times."
  type        = string
}

variable "name" {
  description = "The instance's name. Google keeps the name of a deleted one for a week."
  type        = string
  default     = "parlance"
}

variable "postgres_version" {
  description = "Google's name of the version: 15 or later, all of which have pgvector. Tests and compose.yaml run 18."
  type        = string
  default     = "POSTGRES_18"

  validation {
    condition     = can(regex("^POSTGRES_(1[5-9]|[2-9][0-9])$", var.postgres_version))
    error_message = "postgres_version must be POSTGRES_15 or later."
  }
}

variable "tier" {
  description = "The machine: db-f1-micro and db-g1-small share a core and have no SLA; db-custom-CPUS-MEGABYTES have cores of their own."
  type        = string
}

variable "high_availability" {
  description = "Whether a second machine in another zone stands by and takes over within a minute or so. Doubles the price of machine and disk."
  type        = bool
}

variable "deletion_protection" {
  description = "Whether neither Terraform nor the console nor gcloud can delete it before this is changed."
  type        = bool
  default     = true
}

variable "disk_gb" {
  description = "The disk at first. It grows by itself and never shrinks."
  type        = number
  default     = 10
}

variable "disk_limit_gb" {
  description = "How far it grows by itself: a runaway costs no more than that."
  type        = number
  default     = 500
}

variable "max_connections" {
  description = "Connections that the server takes. The services together must stay below: the stack checks it. Each takes some 10 MB of the machine's memory."
  type        = number
}

variable "backup" {
  description = "Daily backups and the log for any point in time between: when (UTC), how many backups, how many days of log, and where (null: the multi-region next to it)."
  type = object({
    start_time    = optional(string, "02:00")
    retained      = optional(number, 14)
    log_days      = optional(number, 7)
    location      = optional(string)
    final_days    = optional(number, 30)
    keep_on_death = optional(bool, true)
  })
  default = {}

  validation {
    condition     = var.backup.retained >= 7 && var.backup.log_days >= 1 && var.backup.log_days <= 7
    error_message = "Keep at least 7 backups, and 1 to 7 days of log."
  }
}

variable "maintenance" {
  description = "When Google may restart it for updates: day of the week (1 is Monday), hour (UTC). The services bear it: messages are accepted meanwhile."
  type = object({
    day  = optional(number, 7)
    hour = optional(number, 3)
    # A week after others have had the update.
    track = optional(string, "stable")
  })
  default = {}
}

variable "flags" {
  description = "Further flags of the server, by name."
  type        = map(string)
  default     = {}
}

variable "network_id" {
  description = "The network in which it has its only address."
  type        = string
}

variable "iam_users" {
  description = "E-mails of the service accounts that log in, with the database's own roles that they get. What services may do is granted by `parlance migrate grant`, not here."
  type        = map(list(string))

  validation {
    condition     = alltrue([for email in keys(var.iam_users) : endswith(email, ".iam.gserviceaccount.com")])
    error_message = "iam_users are service accounts: NAME@PROJECT.iam.gserviceaccount.com."
  }
}
