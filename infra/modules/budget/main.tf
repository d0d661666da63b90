# An alarm on the month's cost of Google Cloud. What another company charges for its model is not in it: see daily_tokens of
# the observability module, and USER_DAILY_TOKENS.

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = "Parlance ${var.project_id}"

  budget_filter {
    projects        = ["projects/${var.project_number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      units = tostring(var.monthly_units)
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }
  threshold_rules {
    threshold_percent = 0.9
  }
  threshold_rules {
    threshold_percent = 1
  }
  # Days before it happens.
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = var.notification_channels
    disable_default_iam_recipients   = false
    enable_project_level_recipients  = true
  }
}
