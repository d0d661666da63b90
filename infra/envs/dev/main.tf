# For trying things: costs next to nothing while nobody calls, but for the small database. One zone, can be deleted.

module "parlance" {
  source = "../../modules/stack"

  project_id          = var.project_id
  environment         = "dev"
  region              = var.region
  deletion_protection = false
  # A tag may be pushed again.
  immutable_tags = false

  first_images = var.first_images
  # Workers that are sent their messages need not run while there are none.
  delivery = "push"
  # A start is waited for by whoever sends the first message.
  execution_environment = "EXECUTION_ENVIRONMENT_GEN1"
  sizes = {
    # Streams are idle most of the time: many of them fit into one instance.
    ingest_api = { min = 0, max = 2, concurrency = 250, cpu = "1", memory = "512Mi", cpu_always_on = false }
    # A push request lasts as long as its turn: so many turns are answered at once.
    llm_worker = { min = 0, max = 2, concurrency = 80, cpu = "1", memory = "512Mi", cpu_always_on = false }
    # Short statements, as many as the pool has connections, and some that wait.
    persist_worker = { min = 0, max = 2, concurrency = 40, cpu = "1", memory = "512Mi", cpu_always_on = false }
  }

  # A shared core with 1.7 GB: no SLA, a tenth of the price. Still with backups.
  database = {
    tier              = "db-g1-small"
    high_availability = false
    max_connections   = 100
    backups           = 7
  }
  # 6 instances x (5 + 3) connections.
  db_pool_size = 5

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
  # With no traffic to measure there is nothing to wait for.
  deploy_settings = { shares = [100], step_polls = 1, step_seconds = 10 }

  notification_channels = var.notification_channels
  runbook_url           = var.runbook_url
  budget                = var.budget
  daily_tokens          = var.daily_tokens
}
