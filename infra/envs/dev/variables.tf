# What only you know. How large everything is stands in main.tf.

variable "project_id" {
  description = "The project of this environment. It exists, with billing."
  type        = string
}

variable "region" {
  description = "Where everything is."
  type        = string
  default     = "europe-west1"
}

variable "first_images" {
  description = "The first images by digest (`infra/deploy-cloud-run.sh` pushes them); null until they are pushed."
  type = object({
    ingest_api     = string
    llm_worker     = string
    persist_worker = string
    parlance       = string
  })
  default = null
}

variable "llm" {
  description = "The model, and the one that stands in for it. Keys are the secrets llm-api-key and llm-fallback-api-key."
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
}

variable "ingest_access" {
  description = "Who passes Cloud Run's own check in front of ingest-api: unchecked (ingest-api's own identities are the gate), public (the same, by allUsers) or iam (ingest_invokers alone)."
  type        = string
}

variable "ingest_invokers" {
  description = "Who may call with ingest_access = iam, by a name of your own for each, as IAM names them."
  type        = map(string)
  default     = {}
}

variable "synthetic_chat" {
  description = "Whether a deployment asks the new revision a question before it gets traffic; ingest-api then lets parlance-deployer in."
  type        = bool
  default     = true
}

variable "auth" {
  description = "How callers prove who they are."
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

variable "trusted_proxies" {
  description = "1 for Cloud Run alone, 2 behind Firebase Hosting or a load balancer."
  type        = number
  default     = 1
}

variable "cors_origins" {
  description = "Pages of which origins may call from a browser, such as https://app.example.com."
  type        = list(string)
  default     = []
}

variable "webhooks" {
  description = "Whether the ends of tasks are told to URLs that callers name."
  type        = bool
  default     = false
}

variable "metrics_sidecar_image" {
  description = "Google's managed-Prometheus sidecar by its digest; null: no metrics in Cloud Monitoring."
  type        = string
  default     = null
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
}

variable "settings" {
  description = "Further settings of .env.example, by service."
  type = object({
    ingest_api     = optional(map(string), {})
    llm_worker     = optional(map(string), {})
    persist_worker = optional(map(string), {})
  })
  default = {}
}

variable "notification_channels" {
  description = "Full names of the notification channels that hear of alerts and of the budget."
  type        = list(string)
  default     = []
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read by whoever is called."
  type        = string
  default     = "docs/operations.md"
}

variable "budget" {
  description = "The billing account, and what a month may cost in its currency before it is told; null: no budget."
  type = object({
    billing_account = string
    monthly_units   = number
  })
  default = null
}

variable "daily_tokens" {
  description = "Tokens in 24 hours past which somebody is told; null: no alert."
  type        = number
  default     = null
}
