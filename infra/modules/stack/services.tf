# What runs.

locals {
  services = {
    ingest-api = {
      image   = try(var.first_images.ingest_api, null)
      size    = var.sizes.ingest_api
      ingress = var.ingest_ingress
      access  = var.ingest_access
      # A stream may last so long; clients resume where it was cut.
      timeout_seconds = 3600
    }
    llm-worker = {
      image = try(var.first_images.llm_worker, null)
      size  = var.sizes.llm_worker
      # Pub/Sub's pushes come from within. Cloud Run's own check would take the signature off their token before llm-worker
      # could see it, so it is off, and llm-worker believes nobody but parlance-push.
      ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      access  = "unchecked"
      # A turn is answered within its push, which Pub/Sub gives up after 600 s: the end is left to it.
      timeout_seconds = 610
    }
    persist-worker = {
      image           = try(var.first_images.persist_worker, null)
      size            = var.sizes.persist_worker
      ingress         = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      access          = "unchecked"
      timeout_seconds = 610
    }
  }

  pooled = var.delivery == "pull" ? ["llm-worker", "persist-worker"] : []
}

module "services" {
  source   = "../run_service"
  for_each = { for name, service in local.services : name => service if local.runs && !contains(local.pooled, name) }

  project_id            = var.project_id
  region                = var.region
  name                  = each.key
  image                 = each.value.image
  service_account_email = local.account[each.key]
  env                   = local.env[each.key]
  secret_env            = local.secret_env[each.key]

  ingress  = each.value.ingress
  access   = each.value.access
  invokers = each.key == "ingest-api" ? var.ingest_invokers : {}
  egress   = module.network.egress

  min_instances         = each.value.size.min
  max_instances         = each.value.size.max
  concurrency           = each.value.size.concurrency
  cpu                   = each.value.size.cpu
  memory                = each.value.size.memory
  cpu_always_on         = each.value.size.cpu_always_on
  timeout_seconds       = each.value.timeout_seconds
  execution_environment = var.execution_environment
  sidecars              = local.sidecars
  deletion_protection   = var.deletion_protection

  # A revision starts only when its secrets can be read and its login is there.
  depends_on = [module.accounts, module.database, module.secrets, google_secret_manager_secret_version.sidecar]
}

module "pools" {
  source   = "../worker_pool"
  for_each = toset(local.runs ? local.pooled : [])

  project_id            = var.project_id
  region                = var.region
  name                  = "${each.key}-pool"
  image                 = local.services[each.key].image
  service_account_email = local.account[each.key]
  env                   = local.env[each.key]
  secret_env            = local.secret_env[each.key]
  egress                = module.network.egress
  instances             = local.services[each.key].size.max
  cpu                   = local.services[each.key].size.cpu
  memory                = local.services[each.key].size.memory
  sidecars              = local.sidecars
  deletion_protection   = var.deletion_protection

  depends_on = [module.accounts, module.database, module.secrets, module.topic, google_secret_manager_secret_version.sidecar]
}

module "migrate" {
  source = "../run_job"
  count  = local.runs ? 1 : 0

  project_id            = var.project_id
  region                = var.region
  name                  = "parlance-migrate"
  image                 = var.first_images.parlance
  args                  = ["migrate", "init"]
  service_account_email = local.account["parlance-migrate"]
  env                   = local.env["parlance-migrate"]
  secret_env            = local.secret_env["parlance-migrate"]
  egress                = module.network.egress
  # A migration waits for tables that are in use, and fills new ones.
  timeout_seconds     = 1800
  deletion_protection = var.deletion_protection

  depends_on = [module.accounts, module.database]
}

# `gcloud run jobs execute parlance-operator --args=dead-letters,list`: the database can be reached from inside alone.
module "operator" {
  source = "../run_job"
  count  = local.runs ? 1 : 0

  project_id            = var.project_id
  region                = var.region
  name                  = "parlance-operator"
  image                 = var.first_images.parlance
  args                  = concat(["pubsub", "setup", "--check"], local.setup)
  service_account_email = local.account["parlance-operator"]
  env                   = local.env["parlance-operator"]
  secret_env            = local.secret_env["parlance-operator"]
  egress                = module.network.egress
  timeout_seconds       = 3600
  deletion_protection   = var.deletion_protection

  depends_on = [module.accounts, module.database, module.secrets]
}
