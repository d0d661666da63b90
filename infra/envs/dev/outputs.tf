output "ingest_url" {
  description = "Where clients call."
  value       = module.parlance.ingest_url
}

output "registry" {
  description = "Where images are pushed to: this, a slash, and the image's name."
  value       = module.parlance.registry
}

output "project_number" {
  description = "The project's number."
  value       = module.parlance.project_number
}

output "database_instance" {
  description = "The database's instance, for gcloud."
  value       = module.parlance.database_instance
}

output "service_logins" {
  description = "The services' logins, for `parlance migrate grant`."
  value       = module.parlance.service_logins
}

output "secrets" {
  description = "Secrets that need a value before services can start."
  value       = module.parlance.secrets
}

output "env" {
  description = "The settings of each program, without the secret ones."
  value       = module.parlance.env
}

output "secret_env" {
  description = "Which settings of each program come from which secret."
  value       = module.parlance.secret_env
}

output "connections" {
  description = "Connections to the database that all instances together may hold."
  value       = module.parlance.connections
}
