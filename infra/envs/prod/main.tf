# For people: something always runs, everything is there twice, nothing can be deleted by mistake.

module "parlance" {
  source = "../../modules/stack"

  project_id          = var.project_id
  environment         = "prod"
  region              = var.region
  deletion_protection = true
  # A release is what it was, for ever.
  immutable_tags = true

  first_images = var.first_images
  delivery     = "push"
  # Starts are rare here; the network counts.
  execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
  sizes = {
    # Two, so that one may go: nobody waits for a start. The CPU stays on: the connection that hears of new text lives on between
    # requests, and metrics are collected. 500 streams take some 3 MiB; the bound is CPU at the moment when many of them get text.
    ingest_api = { min = 2, max = 12, concurrency = 500, cpu = "1", memory = "512Mi", cpu_always_on = true }
    # A turn waits for the model, not for CPU; 200 fit into one instance. The CPU stays on: leases are kept and text is flushed
    # by tasks beside the requests.
    llm_worker = { min = 1, max = 20, concurrency = 200, cpu = "1", memory = "1Gi", cpu_always_on = true }
    # Bound by the database: more than a few instances would only wait for it.
    persist_worker = { min = 1, max = 6, concurrency = 80, cpu = "1", memory = "512Mi", cpu_always_on = true }
  }

  # 38 instances x (8 + 3) connections = 418, at some 10 MB each of 16 GB.
  database = {
    tier              = "db-custom-4-16384"
    high_availability = true
    max_connections   = 500
    disk_gb           = 50
    backups           = 30
  }
  db_pool_size = 8

  llm                   = var.llm
  ingest_access         = var.ingest_access
  ingest_invokers       = var.ingest_invokers
  synthetic_chat        = var.synthetic_chat
  auth                  = var.auth
  trusted_proxies       = var.trusted_proxies
  cors_origins          = var.cors_origins
  webhooks              = var.webhooks
  settings              = var.settings
  metrics_sidecar_image = var.metrics_sidecar_image
  traces                = var.traces

  notification_channels = var.notification_channels
  runbook_url           = var.runbook_url
  budget                = var.budget
  daily_tokens          = var.daily_tokens
}
