variable "project_id" {
  description = "The project whose cost is watched."
  type        = string
}

variable "project_number" {
  description = "Its number."
  type        = string
}

variable "billing_account" {
  description = "The billing account that pays: XXXXXX-XXXXXX-XXXXXX. Whoever applies needs billing.budgets.create on it."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account must be like 0A1B2C-3D4E5F-6A7B8C (`gcloud billing accounts list`)."
  }
}

variable "monthly_units" {
  description = "What a month may cost, in whole units of the account's currency. It is an alarm, not a limit: nothing is switched off."
  type        = number

  validation {
    condition     = var.monthly_units > 0
    error_message = "monthly_units must be more than 0."
  }
}

variable "notification_channels" {
  description = "Full names of the channels that hear of it, besides the account's administrators: at most five."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.notification_channels) <= 5
    error_message = "A budget takes at most five notification channels."
  }
}
