output "private_ip" {
  description = "Its only address (DB_HOST)."
  value       = google_sql_database_instance.this.private_ip_address
}

output "name" {
  description = "The database's name (DB_NAME)."
  value       = google_sql_database.parlance.name
}

output "instance" {
  description = "The instance's name, for gcloud."
  value       = google_sql_database_instance.this.name
}

output "connection_name" {
  description = "PROJECT:REGION:INSTANCE, for the Cloud SQL Auth Proxy."
  value       = google_sql_database_instance.this.connection_name
}

output "users" {
  description = "The logins by e-mail (DB_USER)."
  value       = { for email, user in google_sql_user.iam : email => user.name }
}

output "max_connections" {
  description = "What the server takes."
  value       = var.max_connections
}
