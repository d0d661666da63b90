# What wakes somebody. Each alert is an expression of PromQL over Google's own metrics or ours (docs/metrics.md; they reach
# Cloud Monitoring through the managed Prometheus sidecar), and has a section in docs/operations.md under its `section`.
# Nothing here names a project: one project is one environment, so that every series in it is this one's.

locals {
  ingest_requests = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\", service_name=\"${var.ingest_service}\"}"
  ingest_5xx      = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\", service_name=\"${var.ingest_service}\", response_code_class=\"5xx\"}"
  oldest_unacked  = "pubsub_googleapis_com:subscription_oldest_unacked_message_age"
  undelivered     = "pubsub_googleapis_com:subscription_num_undelivered_messages"
  subscription    = "monitored_resource=\"pubsub_subscription\""
  database        = "monitored_resource=\"cloudsql_database\""
  names           = sort(keys(var.subscriptions))
  dead_letters    = join("|", [for name in local.names : "${name}${var.dead_letter_suffix}"])

  alerts = merge({
    task-errors = {
      title    = "Tasks fail"
      section  = "tasks-fail"
      severity = "CRITICAL"
      says     = "More than ${var.thresholds.task_error_ratio * 100} % of the tasks that ended in the last 10 minutes ended as failed."
      query    = <<-EOT
        sum(rate(parlance_tasks_ended_total{status="failed"}[10m]))
          / sum(rate(parlance_tasks_ended_total[10m])) > ${var.thresholds.task_error_ratio}
        and sum(increase(parlance_tasks_ended_total[10m])) >= ${var.thresholds.task_error_min_tasks}
      EOT
      duration = "120s"
    }
    first-token = {
      title    = "Replies begin late"
      section  = "replies-begin-late"
      severity = "ERROR"
      says     = "One reply in twenty has its first token later than ${var.thresholds.first_token_p95_seconds} s after its message was accepted."
      query    = <<-EOT
        histogram_quantile(0.95, sum by (le) (rate(parlance_time_to_first_token_seconds_bucket[10m])))
          > ${var.thresholds.first_token_p95_seconds}
      EOT
      duration = "300s"
    }
    oldest-unacked = {
      title    = "Messages wait"
      section  = "messages-wait"
      severity = "CRITICAL"
      says     = "The oldest message of a subscription has waited for longer than it may: ${join(", ", [for name in local.names : "${name} ${var.subscriptions[name]} s"])}."
      query = join("\nor\n", [
        for name in local.names :
        "max by (subscription_id) (${local.oldest_unacked}{${local.subscription}, subscription_id=\"${name}\"}) > ${var.subscriptions[name]}"
      ])
      duration = "60s"
    }
    dead-letters = {
      title    = "There are dead letters"
      section  = "there-are-dead-letters"
      severity = "ERROR"
      says     = "Messages were given up and wait for somebody to look at them. They are kept for 31 days."
      query    = "max by (subscription_id) (${local.undelivered}{${local.subscription}, subscription_id=~\"${local.dead_letters}\"}) > 0"
      duration = "0s"
    }
    persist-lag = {
      title    = "The record is behind"
      section  = "the-record-is-behind"
      severity = "ERROR"
      says     = "One event in twenty reaches the database later than ${var.thresholds.persist_lag_p95_seconds} s after it was published."
      query    = <<-EOT
        histogram_quantile(0.95, sum by (le) (rate(parlance_persist_lag_seconds_bucket[5m])))
          > ${var.thresholds.persist_lag_p95_seconds}
      EOT
      duration = "300s"
    }
    ingest-5xx = {
      title    = "Requests are answered with 5xx"
      section  = "requests-are-answered-with-5xx"
      severity = "CRITICAL"
      says     = "More than ${var.thresholds.ingest_5xx_ratio * 100} % of the requests to ${var.ingest_service} were answered with 5xx in the last 5 minutes."
      query    = <<-EOT
        sum(rate(${local.ingest_5xx}[5m])) / sum(rate(${local.ingest_requests}[5m])) > ${var.thresholds.ingest_5xx_ratio}
        and sum(increase(${local.ingest_5xx}[5m])) >= ${var.thresholds.ingest_5xx_min}
      EOT
      duration = "120s"
    }
    provider-down = {
      title    = "A model provider is passed over"
      section  = "a-model-provider-is-passed-over"
      severity = "WARNING"
      # Between two probes (LLM_CIRCUIT_OPEN_FOR, 30 s) the circuit may look closed for a moment.
      says     = "For five minutes a provider has failed so often that it is not asked. Fallbacks answer, if there are any."
      query    = "max by (provider) (max_over_time(parlance_provider_circuit_open[2m])) > 0"
      duration = "300s"
    }
    database-cpu = {
      title    = "The database is short of CPU"
      section  = "the-database-is-short-of-something"
      severity = "WARNING"
      says     = "Cloud SQL has used more than ${var.thresholds.database_cpu_ratio * 100} % of its CPU for 15 minutes."
      query    = "max by (database_id) (avg_over_time(cloudsql_googleapis_com:database_cpu_utilization{${local.database}}[15m])) > ${var.thresholds.database_cpu_ratio}"
      duration = "60s"
    }
    database-disk = {
      title    = "The database is short of disk"
      section  = "the-database-is-short-of-something"
      severity = "ERROR"
      says     = "Cloud SQL's disk is filled to more than ${var.thresholds.database_disk_ratio * 100} %. Full, it takes no writes."
      query    = "max by (database_id) (cloudsql_googleapis_com:database_disk_utilization{${local.database}}) > ${var.thresholds.database_disk_ratio}"
      duration = "300s"
    }
    database-connections = {
      title    = "The database is short of connections"
      section  = "the-database-is-short-of-something"
      severity = "WARNING"
      says     = "More than ${var.thresholds.database_connections} connections are open. At max_connections new instances get none."
      query    = "sum by (database_id) (cloudsql_googleapis_com:database_postgresql_num_backends{${local.database}}) > ${var.thresholds.database_connections}"
      duration = "120s"
    }
    }, var.thresholds.daily_tokens == null ? {} : {
    budget = {
      title    = "More tokens than planned"
      section  = "money-runs-out-faster-than-planned"
      severity = "WARNING"
      # Cached tokens are part of the input tokens.
      says     = "In the last 24 hours models were asked for more than ${var.thresholds.daily_tokens} tokens."
      query    = "sum(increase(parlance_tokens_total{direction=~\"input|output\"}[24h])) > ${var.thresholds.daily_tokens}"
      duration = "0s"
    }
  })
}
