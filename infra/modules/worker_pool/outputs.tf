output "name" {
  description = "The pool."
  value       = google_cloud_run_v2_worker_pool.this.name
}

output "env" {
  description = "The settings that it runs with, without the secret ones."
  value       = var.env
}

output "secret_env" {
  description = "Which of its settings come from which secret."
  value       = { for name, source in var.secret_env : name => source.secret }
}
