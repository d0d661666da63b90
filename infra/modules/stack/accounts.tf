# Who there is. Roles on the project are few; the rest is granted beside each topic, secret, repository and account.

locals {
  # A login by access token to the database of this project, which has no other.
  database_login = ["roles/cloudsql.instanceUser"]
  telemetry = concat(
    var.metrics_sidecar_image == null ? [] : ["roles/monitoring.metricWriter"],
    var.traces == null ? [] : ["roles/telemetry.tracesWriter"],
  )
}

module "accounts" {
  source = "../accounts"

  project_id = var.project_id
  accounts = {
    ingest-api        = { description = "Accepts messages and streams replies.", roles = concat(local.database_login, local.telemetry) }
    llm-worker        = { description = "Asks the model.", roles = concat(local.database_login, local.telemetry) }
    persist-worker    = { description = "Keeps the durable record.", roles = concat(local.database_login, local.telemetry) }
    parlance-migrate  = { description = "Owns the database's schema.", roles = local.database_login }
    parlance-operator = { description = "The operators' commands, inside the network.", roles = concat(local.database_login, ["roles/pubsub.viewer"]) }
    parlance-push     = { description = "Whose token Pub/Sub shows to the workers. It may do nothing." }
    parlance-deployer = { description = "The deploy workflow." }
    parlance-build    = { description = "Cloud Build." }
    parlance-eventarc = { description = "Starts the deploy workflow." }
  }

  depends_on = [module.project]
}
