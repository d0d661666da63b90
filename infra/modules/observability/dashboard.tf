# Three tiles in a row, in the order in which one looks: do callers get answers, do replies come, does work pile up, is the
# record behind, what does it run on, what does it cost.

locals {
  run       = "monitored_resource=\"cloud_run_revision\""
  pool      = "monitored_resource=\"cloud_run_worker_pool\""
  quantiles = [0.5, 0.95, 0.99]

  # Quantiles of one of our histograms, in seconds.
  spread = {
    for name in ["accept_latency", "time_to_first_token", "queue_delay", "persist_lag", "webhook_delay"] :
    name => [
      for quantile in local.quantiles : {
        legend = "p${quantile * 100}"
        query  = "histogram_quantile(${quantile}, sum by (le) (rate(parlance_${name}_seconds_bucket[$${__interval}])))"
      }
    ]
  }

  tiles = [
    { title = "Requests at ingest, by class", unit = "1/s", queries = [
      { legend = "$${labels.response_code_class}", query = "sum by (response_code_class) (rate(${local.ingest_requests}[$${__interval}]))" },
    ] },
    { title = "Share of 5xx at ingest", unit = "10^2.%", queries = [
      { legend = "5xx", query = "sum(rate(${local.ingest_5xx}[$${__interval}])) / sum(rate(${local.ingest_requests}[$${__interval}]))" },
    ] },
    { title = "Refused by a limit or for load, by code", unit = "1/s", queries = [
      { legend = "$${labels.code}", query = "sum by (code) (rate(parlance_calls_refused_total[$${__interval}]))" },
    ] },

    { title = "Accept latency (request to 202)", unit = "s", queries = local.spread["accept_latency"] },
    { title = "Time to first token", unit = "s", queries = local.spread["time_to_first_token"] },
    { title = "Wait before the first attempt", unit = "s", queries = local.spread["queue_delay"] },

    { title = "Replies, by how they ended", unit = "1/s", queries = [
      { legend = "$${labels.status}", query = "sum by (status) (rate(parlance_tasks_ended_total[$${__interval}]))" },
    ] },
    { title = "Failed tasks, by code", unit = "1/s", queries = [
      { legend = "$${labels.code}", query = "sum by (code) (rate(parlance_tasks_failed_total[$${__interval}]))" },
    ] },
    { title = "Errors of providers, by code", unit = "1/s", queries = [
      { legend = "$${labels.provider} $${labels.code}", query = "sum by (provider, code) (rate(parlance_llm_errors_total[$${__interval}]))" },
    ] },

    { title = "First token of providers, p95", unit = "s", queries = [
      { legend = "$${labels.provider}", query = "histogram_quantile(0.95, sum by (le, provider) (rate(parlance_llm_first_token_seconds_bucket[$${__interval}])))" },
    ] },
    { title = "Providers that are passed over", unit = "1", queries = [
      { legend = "$${labels.provider}", query = "max by (provider) (parlance_provider_circuit_open)" },
    ] },
    { title = "Open streams and running replies", unit = "1", queries = [
      { legend = "streams", query = "sum(parlance_live_subscribers)" },
      { legend = "replies", query = "sum(parlance_active_tasks)" },
    ] },

    { title = "Oldest unacknowledged message", unit = "s", queries = [
      { legend = "$${labels.subscription_id}", query = "max by (subscription_id) (${local.oldest_unacked}{${local.subscription}, subscription_id=~\"${join("|", local.names)}\"})" },
    ] },
    { title = "Messages that wait", unit = "1", queries = [
      { legend = "$${labels.subscription_id}", query = "max by (subscription_id) (${local.undelivered}{${local.subscription}, subscription_id=~\"${join("|", local.names)}\"})" },
    ] },
    { title = "Dead letters", unit = "1", queries = [
      { legend = "$${labels.subscription_id}", query = "max by (subscription_id) (${local.undelivered}{${local.subscription}, subscription_id=~\"${local.dead_letters}\"})" },
    ] },

    { title = "Persist lag (event to commit)", unit = "s", queries = local.spread["persist_lag"] },
    { title = "Messages answered with a retry, by subscription", unit = "1/s", queries = [
      { legend = "$${labels.subscription}", query = "sum by (subscription) (rate(parlance_bus_retries_total[$${__interval}]))" },
    ] },
    { title = "Webhooks, by outcome", unit = "1/s", queries = [
      { legend = "$${labels.outcome}", query = "sum by (outcome) (rate(parlance_webhooks_total[$${__interval}]))" },
    ] },

    { title = "Instances", unit = "1", queries = [
      { legend = "$${labels.service_name} $${labels.state}", query = "sum by (service_name, state) (run_googleapis_com:container_instance_count{${local.run}})" },
      { legend = "$${labels.worker_pool_name}", query = "sum by (worker_pool_name) (run_googleapis_com:container_instance_count{${local.pool}})" },
    ] },
    { title = "CPU of instances, p95", unit = "10^2.%", queries = [
      { legend = "$${labels.service_name}", query = "histogram_quantile(0.95, sum by (le, service_name) (rate(run_googleapis_com:container_cpu_utilizations_bucket{${local.run}}[$${__interval}])))" },
    ] },
    { title = "Memory of instances, p95", unit = "10^2.%", queries = [
      { legend = "$${labels.service_name}", query = "histogram_quantile(0.95, sum by (le, service_name) (rate(run_googleapis_com:container_memory_utilizations_bucket{${local.run}}[$${__interval}])))" },
    ] },

    { title = "Database: CPU and disk", unit = "10^2.%", queries = [
      { legend = "CPU", query = "max by (database_id) (cloudsql_googleapis_com:database_cpu_utilization{${local.database}})" },
      { legend = "disk", query = "max by (database_id) (cloudsql_googleapis_com:database_disk_utilization{${local.database}})" },
    ] },
    { title = "Database: connections", unit = "1", queries = [
      { legend = "open", query = "sum by (database_id) (cloudsql_googleapis_com:database_postgresql_num_backends{${local.database}})" },
    ] },
    { title = "Billed instance time", unit = "s/s", queries = [
      { legend = "$${labels.service_name}", query = "sum by (service_name) (rate(run_googleapis_com:container_billable_instance_time{${local.run}}[$${__interval}]))" },
      { legend = "$${labels.worker_pool_name}", query = "sum by (worker_pool_name) (rate(run_googleapis_com:container_billable_instance_time{${local.pool}}[$${__interval}]))" },
    ] },

    { title = "Tokens per second, by direction", unit = "1/s", queries = [
      { legend = "$${labels.direction}", query = "sum by (direction) (rate(parlance_tokens_total[$${__interval}]))" },
    ] },
    { title = "Tokens of the last 24 hours", unit = "1", queries = [
      { legend = "$${labels.direction}", query = "sum by (direction) (increase(parlance_tokens_total[24h]))" },
    ] },
    { title = "Spans of traces, by outcome", unit = "1/s", queries = [
      { legend = "$${labels.outcome}", query = "sum by (outcome) (rate(parlance_trace_spans_total[$${__interval}]))" },
    ] },
  ]

  dashboard = templatefile("${path.module}/dashboard.json.tftpl", {
    title = "parlance ${var.environment}"
    tiles = local.tiles
  })
}
