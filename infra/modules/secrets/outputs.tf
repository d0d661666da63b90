output "ids" {
  description = "Each secret's id, once those who may read it can: as the environment of a service names it."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }
  depends_on  = [google_secret_manager_secret_iam_binding.readers]
}
