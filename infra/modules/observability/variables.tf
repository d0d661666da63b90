# Where

variable "project_id" {
  description = "The project that is watched: one environment is one project."
  type        = string
}

variable "environment" {
  description = "Name of the environment, in the titles of the dashboard and of each alert: dev, prod."
  type        = string
}

variable "notification_channels" {
  description = <<-EOT
    Full names of notification channels (projects/P/notificationChannels/N) that hear of each alert. Give the same ones to
    the billing budget, so that money and faults reach the same people. Empty: incidents are opened, and nobody is told.
  EOT
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", name))])
    error_message = "notification_channels must be full names: projects/PROJECT/notificationChannels/NUMBER."
  }
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read by whoever is called: each alert links to its section there."
  type        = string
  default     = "docs/operations.md"
}

# What

variable "ingest_host" {
  description = "Host name of ingest-api without https://, for the uptime check on /health. Null: no check from outside."
  type        = string
  default     = null

  validation {
    condition     = var.ingest_host == null ? true : can(regex("^[a-z0-9.-]+$", var.ingest_host))
    error_message = "ingest_host must be a host name alone, such as ingest-api-123.europe-west1.run.app."
  }
}

variable "ingest_service" {
  description = "Name of the Cloud Run service that clients call."
  type        = string
  default     = "ingest-api"
}

variable "subscriptions" {
  description = "The subscriptions that are watched (those of shared/src/topology.rs), each with the seconds that its oldest message may wait."
  type        = map(number)
  default = {
    # A turn may take LLM_REPLY_TIMEOUT (10 min), and those behind it in its session wait for it; longer: nobody consumes.
    llm-worker = 900
    # Summaries and headings are retried for as long; nobody waits for them.
    llm-memory = 3600
    # Persistence does no slow work: five minutes is a database outage that its retries do not cover.
    persist-requests = 300
    persist-replies  = 300
    # A receiver that is down is tried for WEBHOOK_RETRY_BUDGET (24 h): that is its own fault. Older: nobody delivers.
    webhooks = 90000
  }
}

variable "dead_letter_suffix" {
  description = "What the name of a subscription ends with when it holds the dead letters of another one."
  type        = string
  default     = "-dead-letters"
}

# When

variable "thresholds" {
  description = "When each alert fires. The defaults' reasons are beside them."
  type = object({
    # Share of tasks that end as failed, in 10 minutes. Below one in twenty single bad prompts and refused images dominate.
    task_error_ratio = optional(number, 0.05)
    # So many tasks must have ended in that time: one failure of three at night is not an outage.
    task_error_min_tasks = optional(number, 20)
    # Seconds from acceptance to the first token, 95th percentile. Ours is 32 ms; models take 0.3 to 2 s; at 5 s people leave.
    first_token_p95_seconds = optional(number, 5)
    # Seconds from an event's publication to its commit, 95th percentile. It is some 10 ms in health; lists and histories
    # are behind by as much. Replies themselves do not wait for it.
    persist_lag_p95_seconds = optional(number, 30)
    # Share of requests at ingest that are answered 5xx, in 5 minutes; 503 for overload counts: it is meant to be rare.
    ingest_5xx_ratio = optional(number, 0.01)
    # So many 5xx there must be: one is not yet a ratio.
    ingest_5xx_min = optional(number, 5)
    # Tokens (prompts and replies) that models may be asked for in 24 hours; null: no alert. Cloud Billing's budget does not
    # see what another company charges for its model, so this is the alert on that money.
    daily_tokens = optional(number)
    # Share of the database's CPU, and of its disk, in 15 minutes: above it latency grows before anything fails.
    database_cpu_ratio  = optional(number, 0.85)
    database_disk_ratio = optional(number, 0.85)
    # Connections of the database: 80 of the 100 that the smallest instances allow. (instances) x (DB_POOL_SIZE + 3).
    database_connections = optional(number, 80)
  })
  default = {}

  validation {
    condition = alltrue([
      for ratio in [var.thresholds.task_error_ratio, var.thresholds.ingest_5xx_ratio, var.thresholds.database_cpu_ratio, var.thresholds.database_disk_ratio] :
      ratio > 0 && ratio < 1
    ])
    error_message = "Ratios in thresholds must be above 0 and below 1: 0.05 is 5 %."
  }
}
