# What each program is told: names and meanings in .env.example.

locals {
  # Also in dev: JSON logs, and nothing falls back to an embedded part.
  everywhere = {
    ENVIRONMENT       = "production"
    LOG_LEVEL         = var.log_level
    PUBSUB_PROJECT_ID = var.project_id
    DB_TYPE           = "postgres"
    DB_HOST           = module.database.private_ip
    DB_NAME           = module.database.name
    # Access tokens instead of passwords: no secret to keep, to rotate or to lose.
    DB_IAM_AUTH = "on"
    # Google signs a private address' certificate with an authority of the instance's own, which is not in any bundle.
    DB_SSL       = "require"
    DB_POOL_SIZE = tostring(var.db_pool_size)
  }

  observed = merge(
    var.metrics_sidecar_image == null ? {} : { METRICS_PORT = "9090" },
    var.traces == null ? {} : {
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318"
      # By the trace's id alone: Cloud Run's front end marks hardly any of them.
      OTEL_TRACES_SAMPLER      = "traceidratio"
      OTEL_TRACES_SAMPLER_ARG  = tostring(var.traces.share)
      OTEL_RESOURCE_ATTRIBUTES = "deployment.environment.name=${var.environment}"
    },
  )

  model = {
    LLM_BASE_URL = var.llm.base_url
    LLM_MODEL    = var.llm.model
  }
  fallback = var.llm.fallback == null ? {} : {
    LLM_FALLBACK_BASE_URL = var.llm.fallback.base_url
    LLM_FALLBACK_MODEL    = var.llm.fallback.model
  }

  # A token of the deployer's for its synthetic chat.
  deploy_audience  = "${local.url["ingest-api"]}/deploy-check"
  google_audiences = concat(var.auth.google_audiences, var.synthetic_chat ? [local.deploy_audience] : [])
  # Its e-mail and its id: not every token has the e-mail in it. An empty list lets everyone in, so it stays one where that was
  # asked for.
  everyone_of_google = length(var.auth.google_audiences) > 0 && length(var.auth.google_accounts) == 0
  google_accounts = local.everyone_of_google || !var.synthetic_chat ? var.auth.google_accounts : concat(
    var.auth.google_accounts, [local.account["parlance-deployer"], "https://accounts.google.com|${module.accounts.ids["parlance-deployer"]}"],
  )

  # What is empty is not set at all.
  front_door = { for name, value in {
    AUTH_API_KEYS         = var.auth.api_keys ? "on" : ""
    AUTH_GOOGLE_AUDIENCES = join(",", local.google_audiences)
    AUTH_GOOGLE_ACCOUNTS  = join(",", local.google_accounts)
    AUTH_OIDC             = join(",", var.auth.oidc)
    AUTH_ADMINS           = join(",", var.auth.admins)
    AUTH_OPERATORS        = join(",", var.auth.operators)
    CORS_ORIGINS          = join(",", var.cors_origins)
    # A little before Cloud Run would cut it: clients are told to go on.
    STREAM_MAX_DURATION = "${local.services["ingest-api"].timeout_seconds - 10}s"
    TRUSTED_PROXIES     = tostring(var.trusted_proxies)
  } : name => value if value != "" }

  webhooks = { WEBHOOKS = var.webhooks ? "on" : "off" }

  delivered = { for worker in ["llm-worker", "persist-worker"] : worker => merge(
    { PUBSUB_DELIVERY = var.delivery },
    var.delivery == "pull" ? {} : {
      PUSH_AUDIENCE        = local.push[worker].audience
      PUSH_SERVICE_ACCOUNT = local.push[worker].service_account
    },
  ) }

  user = { for email, user in module.database.users : split("@", email)[0] => { DB_USER = user } }

  env = {
    ingest-api = merge(
      local.everywhere, local.user["ingest-api"], local.observed, local.front_door, local.webhooks,
      # It asks no model; it lists this one to clients.
      local.model,
      var.settings.ingest_api,
    )
    llm-worker = merge(
      local.everywhere, local.user["llm-worker"], local.observed, local.delivered["llm-worker"], local.model, local.fallback,
      # As many turns as requests are let in, where they are pushed.
      var.delivery == "pull" ? {} : { WORKER_CONCURRENCY = tostring(var.sizes.llm_worker.concurrency) },
      var.settings.llm_worker,
    )
    persist-worker = merge(
      local.everywhere, local.user["persist-worker"], local.observed, local.delivered["persist-worker"], local.webhooks,
      var.settings.persist_worker,
    )
    # Objects belong to the role that makes extensions and roles, whoever acts as it.
    parlance-migrate  = merge(local.everywhere, local.user["parlance-migrate"], { DB_ROLE = "cloudsqlsuperuser" })
    parlance-operator = merge(local.everywhere, local.user["parlance-operator"], { DB_ROLE = "cloudsqlsuperuser" })
  }

  id_secret = { ID_SECRET = { secret = "id-secret" } }
  secret_env = {
    ingest-api = local.id_secret
    llm-worker = merge(
      var.llm.api_key ? { LLM_API_KEY = { secret = "llm-api-key" } } : {},
      try(var.llm.fallback.api_key, false) ? { LLM_FALLBACK_API_KEY = { secret = "llm-fallback-api-key" } } : {},
    )
    persist-worker    = var.webhooks ? local.id_secret : {}
    parlance-migrate  = {}
    parlance-operator = local.id_secret
  }
}
