output "ingest_url" {
  description = "Where clients call."
  value       = local.url["ingest-api"]
}

output "registry" {
  description = "Where images are pushed to: this, a slash, and the image's name."
  value       = module.registry.address
}

output "project_number" {
  description = "The project's number."
  value       = module.project.number
}

output "database_instance" {
  description = "The database's instance, for gcloud."
  value       = module.database.instance
}

output "service_logins" {
  description = "The services' logins, for `parlance migrate grant`."
  value       = [for name in ["ingest-api", "llm-worker", "persist-worker"] : local.user[name].DB_USER]
}

output "secrets" {
  description = "Secrets that need a value before services can start."
  value       = [for name in keys(local.secrets) : name if !contains([for one in values(local.sidecars) : one.config_secret], name)]
}

output "env" {
  description = "The settings of each program, without the secret ones."
  value       = merge({ for name, one in module.services : name => one.env }, { for name, one in module.pools : name => one.env }, local.runs ? { parlance-migrate = module.migrate[0].env, parlance-operator = module.operator[0].env } : {})
}

output "secret_env" {
  description = "Which settings of each program come from which secret."
  value       = merge({ for name, one in module.services : name => one.secret_env }, { for name, one in module.pools : name => one.secret_env }, local.runs ? { parlance-migrate = module.migrate[0].secret_env, parlance-operator = module.operator[0].secret_env } : {})
}

output "connections" {
  description = "Connections to the database that all instances together may hold."
  value       = local.connections

  precondition {
    condition     = local.connections + local.connections_reserved <= var.database.max_connections
    error_message = "All instances together may hold ${local.connections} connections, and ${local.connections_reserved} are kept for candidates, migrations and operators, but the database takes ${var.database.max_connections}: raise database.max_connections, or lower db_pool_size or the most instances."
  }
}

locals {
  # DB_POOL_SIZE, and up to three of the reply log's.
  connections = sum([for size in values(var.sizes) : size.max]) * (var.db_pool_size + 3)
  # One candidate revision's instance or two, the migration, an operator, and those that Cloud SQL keeps to itself.
  connections_reserved = 20
}
