resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  project               = var.project_id
  display_name          = "parlance ${var.environment}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = trimspace(each.value.query)
      duration            = each.value.duration
      evaluation_interval = "60s"
      rule_group          = "parlance"
      alert_rule          = replace(each.key, "-", "_")
      # Our metrics exist once a first process has been scraped: without this the first apply of a new project is refused.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "parlance ${var.environment}: ${each.value.title}"
    content   = "${each.value.says}\n\nWhat to do: ${var.runbook_url}#${each.value.section}"
  }

  alert_strategy {
    # A query that finds nothing any more (no traffic at night) closes its incident after this long.
    auto_close = "86400s"
  }

  user_labels = {
    app         = "parlance"
    environment = var.environment
    alert       = each.key
  }
}

# From outside, through everything that clients go through. It costs a request a minute from each region.
resource "google_monitoring_uptime_check_config" "health" {
  count = var.ingest_host == null ? 0 : 1

  project          = var.project_id
  display_name     = "parlance ${var.environment}: /health"
  period           = "60s"
  timeout          = "10s"
  selected_regions = ["EUROPE", "USA", "ASIA_PACIFIC"]

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = var.ingest_host
    }
  }
}

resource "google_monitoring_alert_policy" "health" {
  count = var.ingest_host == null ? 0 : 1

  project               = var.project_id
  display_name          = "parlance ${var.environment}: ${local.health.title}"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = var.notification_channels

  conditions {
    display_name = local.health.title

    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"uptime_url\"",
        "metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\"",
        "metric.labels.check_id = \"${google_monitoring_uptime_check_config.health[0].uptime_check_id}\"",
      ])
      # More than one place must fail: one place has network faults of its own.
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"

      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "parlance ${var.environment}: ${local.health.title}"
    content   = "${local.health.says}\n\nWhat to do: ${var.runbook_url}#${local.health.section}"
  }

  alert_strategy {
    auto_close = "86400s"
  }

  user_labels = {
    app         = "parlance"
    environment = var.environment
    alert       = "health"
  }
}

resource "google_monitoring_dashboard" "parlance" {
  project        = var.project_id
  dashboard_json = local.dashboard
}

locals {
  health = {
    title   = "Health check fails"
    section = "health-check-fails"
    says    = "From two places or more, https://${coalesce(var.ingest_host, "-")}/health has not been answered with 200 for two minutes."
  }
}
