# A release that was taken back, or could not be. The workflow's own log says so (infra/workflows/event.yaml): no metric does.

locals {
  deploys = {
    title   = "A release was taken back"
    section = "a-deploy-fails"
    says    = "The workflow parlance-deploy ended a release as rolled_back, rollback_failed or failed. After rollback_failed look at once: traffic may be split."
    filter = join(" AND ", [
      "resource.type = \"workflows.googleapis.com/Workflow\"",
      "jsonPayload.outcome = (${join(" OR ", [for outcome in ["rolled_back", "rollback_failed", "failed"] : "\"${outcome}\""])})",
    ])
  }
}

resource "google_monitoring_alert_policy" "deploys" {
  project               = var.project_id
  display_name          = "parlance ${var.environment}: ${local.deploys.title}"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels

  conditions {
    display_name = local.deploys.title

    condition_matched_log {
      filter = local.deploys.filter
      label_extractors = {
        outcome = "EXTRACT(jsonPayload.outcome)"
        release = "EXTRACT(jsonPayload.release)"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "parlance ${var.environment}: ${local.deploys.title}"
    content   = "${local.deploys.says}\n\nWhat to do: ${var.runbook_url}#${local.deploys.section}"
  }

  alert_strategy {
    auto_close = "86400s"
    # Google asks for one where logs are matched.
    notification_rate_limit {
      period = "300s"
    }
  }

  user_labels = {
    app         = "parlance"
    environment = var.environment
    alert       = "deploys"
  }
}
