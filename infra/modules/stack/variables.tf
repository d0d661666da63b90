# Where

variable "project_id" {
  description = "The project: one for each environment, with billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id, such as parlance-prod-4711."
  }
}

variable "environment" {
  description = "The environment's name: dev or prod."
  type        = string
}

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "connector" {
  description = "A Serverless VPC Access connector instead of Direct VPC egress (see the network module)."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Whether the database, the services and the workflow refuse to be deleted."
  type        = bool
}

# What runs

variable "first_images" {
  description = <<-EOT
    The images that services and jobs are made with, by digest. Null until they are pushed: everything but the services, the jobs and
    the deployer is made then. Afterwards the deployer owns the images, and what stands here is not looked at again.
  EOT
  type = object({
    ingest_api     = string
    llm_worker     = string
    persist_worker = string
    parlance       = string
  })
  default = null
}

variable "delivery" {
  description = "push: workers are services that Pub/Sub sends messages to, and scale to zero. pull: workers are worker pools of a fixed size."
  type        = string
  default     = "push"

  validation {
    condition     = contains(["push", "pull"], var.delivery)
    error_message = "delivery must be push or pull."
  }
}

variable "sizes" {
  description = <<-EOT
    How much of each service: `min` and `max` instances (in a pool: always `max`), `concurrency` (requests of an instance at once),
    `cpu`, `memory`, `cpu_always_on` (the run_service module says why).
  EOT
  type = object({
    ingest_api     = object({ min = number, max = number, concurrency = number, cpu = string, memory = string, cpu_always_on = bool })
    llm_worker     = object({ min = number, max = number, concurrency = number, cpu = string, memory = string, cpu_always_on = bool })
    persist_worker = object({ min = number, max = number, concurrency = number, cpu = string, memory = string, cpu_always_on = bool })
  })
}

variable "execution_environment" {
  description = "EXECUTION_ENVIRONMENT_GEN1 starts faster, EXECUTION_ENVIRONMENT_GEN2 has the faster network and CPU."
  type        = string
}

variable "metrics_sidecar_image" {
  description = <<-EOT
    Google's managed-Prometheus sidecar (us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar), by
    its digest. It carries /metrics to Cloud Monitoring; the alerts on our own metrics need it. Null: no sidecar.
  EOT
  type        = string
  default     = null
}

# The database

variable "database" {
  description = "The database module's size: machine, whether a second one stands by, connections, disk."
  type = object({
    tier              = string
    high_availability = bool
    max_connections   = number
    disk_gb           = optional(number, 10)
    disk_limit_gb     = optional(number, 500)
    backups           = optional(number, 14)
  })
}

variable "db_pool_size" {
  description = "DB_POOL_SIZE: connections of one instance, besides up to 3 of the reply log."
  type        = number
  default     = 8
}

# The model

variable "llm" {
  description = <<-EOT
    The model: LLM_BASE_URL, LLM_MODEL, whether it needs a key (secret llm-api-key), and the same of the one that stands in for it
    (secret llm-fallback-api-key).
  EOT
  type = object({
    base_url = string
    model    = string
    api_key  = optional(bool, true)
    fallback = optional(object({
      base_url = string
      model    = string
      api_key  = optional(bool, true)
    }))
  })

  validation {
    condition     = startswith(var.llm.base_url, "https://") || startswith(var.llm.base_url, "http://10.")
    error_message = "llm.base_url must be an https URL up to and including /v1 (http only at a private 10.… address)."
  }
}

# Who may call

variable "ingest_access" {
  description = <<-EOT
    Who passes Cloud Run's own check in front of ingest-api. `unchecked`: there is none, ingest-api's own (AUTH_…) is the gate; what
    browsers, Firebase Hosting and clients with their own tokens need. `public`: the same by allUsers. `iam`: the `ingest_invokers` alone;
    Google's identity tokens in Authorization then lose their signature before ingest-api can check it, so callers bring an
    X-API-Key besides, and the deployer's synthetic chat must be off.
  EOT
  type        = string

  validation {
    condition     = contains(["unchecked", "public", "iam"], var.ingest_access)
    error_message = "ingest_access must be unchecked, public or iam."
  }
}

variable "ingest_invokers" {
  description = "Who may call with ingest_access = iam, by a name of our own for each, as IAM names them."
  type        = map(string)
  default     = {}
}

variable "ingest_ingress" {
  description = "From where ingest-api can be reached. Behind a load balancer: INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER, so that nobody goes past it."
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"
}

variable "trusted_proxies" {
  description = "TRUSTED_PROXIES: 1 for Cloud Run alone, 2 behind Firebase Hosting or a load balancer."
  type        = number
  default     = 1
}

variable "auth" {
  description = "How callers prove who they are: AUTH_API_KEYS, AUTH_GOOGLE_AUDIENCES, AUTH_GOOGLE_ACCOUNTS, AUTH_OIDC, AUTH_ADMINS, AUTH_OPERATORS."
  type = object({
    api_keys         = optional(bool, true)
    google_audiences = optional(list(string), [])
    google_accounts  = optional(list(string), [])
    oidc             = optional(list(string), [])
    admins           = optional(list(string), [])
    operators        = optional(list(string), [])
  })
  default = {}
}

variable "synthetic_chat" {
  description = <<-EOT
    Whether a deployment asks the new revision a question before it gets traffic, with an identity token of parlance-deployer, which
    ingest-api then lets in (AUTH_GOOGLE_ACCOUNTS; everyone with a Google account, if auth.google_audiences does).
  EOT
  type        = bool

  validation {
    condition     = !var.synthetic_chat || var.ingest_access != "iam"
    error_message = "With ingest_access = iam the deployer's token loses its signature before ingest-api sees it: set synthetic_chat = false."
  }
}

variable "cors_origins" {
  description = "CORS_ORIGINS: pages of which origins may call from a browser."
  type        = list(string)
  default     = []
}

variable "webhooks" {
  description = "WEBHOOKS: whether the ends of tasks are told to URLs that callers name."
  type        = bool
  default     = false
}

variable "settings" {
  description = "Further settings of .env.example, by service; they win over what is set here."
  type = object({
    ingest_api     = optional(map(string), {})
    llm_worker     = optional(map(string), {})
    persist_worker = optional(map(string), {})
  })
  default = {}
}

variable "log_level" {
  description = "LOG_LEVEL of all services."
  type        = string
  default     = "info"
}

variable "traces" {
  description = <<-EOT
    The share of traces that go to Cloud Trace (0 to 1), and Google's OpenTelemetry collector that carries them
    (us-docker.pkg.dev/cloud-ops-agents-artifacts/google-cloud-opentelemetry-collector/otelcol-google), by its digest. Null: none.
  EOT
  type = object({
    share         = number
    sidecar_image = string
  })
  default = null

  validation {
    condition     = var.traces == null ? true : var.traces.share >= 0 && var.traces.share <= 1
    error_message = "traces.share must be 0 to 1."
  }
}

# Deployments

variable "build_deploys" {
  description = "Whether Cloud Build deploys by itself instead of the workflow that a push starts."
  type        = bool
  default     = false
}

variable "immutable_tags" {
  description = "Whether a release's tag stays with its image for ever (see the registry module)."
  type        = bool
}

variable "deploy_settings" {
  description = "Settings of the deploy workflow that differ from its defaults (infra/workflows/settings.yaml)."
  type        = any
  default     = {}
}

# Who is told

variable "notification_channels" {
  description = "Full names of the channels that hear of alerts and of the budget."
  type        = list(string)
  default     = []
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read."
  type        = string
  default     = "docs/operations.md"
}

variable "budget" {
  description = "The billing account, and what a month may cost in its currency before it is told. Null: no budget; whoever applies then needs no rights on the billing account."
  type = object({
    billing_account = string
    monthly_units   = number
  })
  default = null
}

variable "daily_tokens" {
  description = "Tokens in 24 hours past which somebody is told: the model's bill is not in Google's. Null: no alert."
  type        = number
  default     = null
}
