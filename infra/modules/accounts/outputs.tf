output "emails" {
  description = "E-mail of each account."
  # Known before they are made, so that what only names them can be planned.
  value = { for name in keys(var.accounts) : name => "${name}@${var.project_id}.iam.gserviceaccount.com" }

  # Whoever uses one wants it to be there.
  depends_on = [google_service_account.this]
}

output "members" {
  description = "Each account as IAM names it."
  value       = { for name in keys(var.accounts) : name => "serviceAccount:${name}@${var.project_id}.iam.gserviceaccount.com" }
  depends_on  = [google_service_account.this]
}

output "ids" {
  description = "What Google's tokens call each account (`sub`)."
  value       = { for name, account in google_service_account.this : name => account.unique_id }
}
