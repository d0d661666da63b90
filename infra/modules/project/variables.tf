variable "project_id" {
  description = "The project of this environment. It exists, with billing."
  type        = string
}

variable "audited" {
  description = <<-EOT
    Which data access is written to the audit log, by service. Changes of the configuration always are; reading is not unless it is
    named here. Pub/Sub is left out: each message would be an entry, and logs are paid by volume.
  EOT
  type        = map(list(string))
  default = {
    # Who read which secret, and who logged in to the database.
    "secretmanager.googleapis.com" = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    "cloudsql.googleapis.com"      = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    # Who made tokens for a service account: the way in that leaves no other trace.
    "iam.googleapis.com"            = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    "iamcredentials.googleapis.com" = ["DATA_READ"]
    # Who pushed or deleted an image: what is pushed is deployed.
    "artifactregistry.googleapis.com" = ["DATA_WRITE"]
    "run.googleapis.com"              = ["ADMIN_READ", "DATA_WRITE"]
  }

  validation {
    condition     = alltrue(flatten([for types in values(var.audited) : [for type in types : contains(["ADMIN_READ", "DATA_READ", "DATA_WRITE"], type)]]))
    error_message = "audited may hold ADMIN_READ, DATA_READ and DATA_WRITE."
  }
}
