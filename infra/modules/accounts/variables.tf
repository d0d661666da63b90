variable "project_id" {
  description = "The project."
  type        = string
}

variable "accounts" {
  description = <<-EOT
    Service accounts by name: what each is, and the few roles that it has on the whole project. Everything else is granted on the one
    resource that it is for, where that resource is made.
  EOT
  type = map(object({
    description = string
    roles       = optional(list(string), [])
  }))

  validation {
    condition = alltrue(flatten([
      for account in values(var.accounts) : [for role in account.roles : !contains(["roles/owner", "roles/editor", "roles/viewer"], role)]
    ]))
    error_message = "The primitive roles owner, editor and viewer hold thousands of permissions: name the role that is needed."
  }
}
