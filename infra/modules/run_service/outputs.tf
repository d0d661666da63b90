output "name" {
  description = "The service."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "Its address."
  value       = google_cloud_run_v2_service.this.uri
}

output "env" {
  description = "The settings that it runs with, without the secret ones."
  value       = var.env
}

output "secret_env" {
  description = "Which of its settings come from which secret."
  value       = { for name, source in var.secret_env : name => source.secret }
}
