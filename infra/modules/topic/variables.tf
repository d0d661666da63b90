variable "project_id" {
  description = "The project."
  type        = string
}

variable "name" {
  description = "The topic's name: one of shared/src/topology.rs."
  type        = string
}

variable "publishers" {
  description = "Who publishes, by a name of our own for each, as IAM names them."
  type        = map(string)
  default     = {}
}

variable "retention" {
  description = "How long messages are kept, whether they were consumed or not: so far back a subscription can be set (`parlance replay --seek`)."
  type        = string
  default     = "604800s" # 7 days
}

variable "dead_letters_retention" {
  description = "How long dead letters are kept: as long as Pub/Sub can. An operator's holidays are shorter."
  type        = string
  default     = "2678400s" # 31 days
}

variable "subscriptions" {
  description = <<-EOT
    The topic's subscriptions by name. `retry_min` and `retry_max` are the waits between deliveries. With `push`, messages are sent to
    `endpoint` with a token for `audience` that is made out to `service_account`; without, the consumer pulls. `consumer` is who
    works on the messages, as IAM names them.
  EOT
  type = map(object({
    retry_min = string
    retry_max = string
    consumer  = string
    push = optional(object({
      endpoint        = string
      audience        = string
      service_account = string
    }))
  }))
  default = {}

  validation {
    condition     = alltrue([for one in values(var.subscriptions) : one.push == null ? true : startswith(one.push.endpoint, "https://")])
    error_message = "Messages are pushed over https."
  }
}

variable "pubsub_agent" {
  description = "Pub/Sub's own service account, as IAM names it: it moves what was delivered too often to the dead letters."
  type        = string
}

variable "operators" {
  description = "Who looks after dead letters and replays (`parlance dead-letters`, `parlance replay`), by a name of our own for each, as IAM names them."
  type        = map(string)
  default     = {}
}
