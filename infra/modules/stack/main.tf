# One environment. dev and prod are this, with other sizes: what is tried in one is what runs in the other.

locals {
  runs = var.first_images != null

  # Cloud Run's address of a service is known before the service is, so that what calls it and what it believes can be set first.
  url = { for name in ["ingest-api", "llm-worker", "persist-worker"] : name => "https://${name}-${module.project.number}.${var.region}.run.app" }

  account = module.accounts.emails
  member  = module.accounts.members
}

module "project" {
  source = "../project"

  project_id = var.project_id
}

module "network" {
  source = "../network"

  project_id = var.project_id
  region     = var.region
  connector  = var.connector

  depends_on = [module.project]
}

module "registry" {
  source = "../registry"

  project_id     = var.project_id
  region         = var.region
  immutable_tags = var.immutable_tags
  writers        = { build = local.member["parlance-build"] }
  readers        = {}

  depends_on = [module.project]
}

module "build" {
  source = "../build"

  project_id  = var.project_id
  region      = var.region
  build_email = local.account["parlance-build"]
  deploys     = var.build_deploys
  runs_as     = local.runs_as
  secret_ids  = toset(keys(local.secrets))

  depends_on = [module.project, module.secrets]
}

module "database" {
  source = "../database"

  project_id          = var.project_id
  region              = var.region
  tier                = var.database.tier
  high_availability   = var.database.high_availability
  max_connections     = var.database.max_connections
  disk_gb             = var.database.disk_gb
  disk_limit_gb       = var.database.disk_limit_gb
  deletion_protection = var.deletion_protection
  backup              = { retained = var.database.backups }
  network_id          = module.network.network_id

  iam_users = {
    (local.account["ingest-api"])     = []
    (local.account["llm-worker"])     = []
    (local.account["persist-worker"]) = []
    # It makes the schema, the role of the services and the extension pgvector, which Cloud SQL lets this role do.
    (local.account["parlance-migrate"]) = ["cloudsqlsuperuser"]
    # Keys and the audit log are the owner's to write.
    (local.account["parlance-operator"]) = ["cloudsqlsuperuser"]
  }

  depends_on = [module.project, module.network]
}

module "deployer" {
  source = "../deployer"
  # Without services there is nothing to deploy to: the first push of images is by hand.
  count = local.runs ? 1 : 0

  project_id          = var.project_id
  region              = var.region
  workflows_dir       = "${path.module}/../../workflows"
  settings            = merge(local.deploy_settings, var.deploy_settings)
  deployer_email      = local.account["parlance-deployer"]
  trigger_email       = local.account["parlance-eventarc"]
  repository          = "parlance"
  runs_as             = local.runs_as
  deletion_protection = var.deletion_protection

  depends_on = [module.project, module.registry, module.services, module.migrate]
}

locals {
  # The accounts that programs run as.
  runs_as = toset([for name in ["ingest-api", "llm-worker", "persist-worker", "parlance-migrate"] : local.account[name]])

  deploy_settings = merge(
    var.synthetic_chat ? { audience = local.deploy_audience } : { chat = false },
    # Worker pools have no traffic to shift: they are deployed by the script.
    var.delivery == "pull" ? { services = ["ingest-api"] } : {},
  )
}

module "budget" {
  source = "../budget"
  count  = var.budget == null ? 0 : 1

  project_id            = var.project_id
  project_number        = module.project.number
  billing_account       = var.budget.billing_account
  monthly_units         = var.budget.monthly_units
  notification_channels = slice(var.notification_channels, 0, min(5, length(var.notification_channels)))

  depends_on = [module.project]
}

module "observability" {
  source = "../observability"

  project_id            = var.project_id
  environment           = var.environment
  notification_channels = var.notification_channels
  runbook_url           = var.runbook_url
  # Where anyone can ask. Behind a load balancer its name is not known here.
  ingest_host = local.runs && var.ingest_access != "iam" && var.ingest_ingress == "INGRESS_TRAFFIC_ALL" ? trimprefix(local.url["ingest-api"], "https://") : null
  thresholds = {
    daily_tokens         = var.daily_tokens
    database_connections = floor(var.database.max_connections * 0.8)
  }

  depends_on = [module.project]
}
