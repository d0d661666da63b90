output "alert_policies" {
  description = "Full names of the alert policies by alert."
  value = merge(
    { for key, policy in google_monitoring_alert_policy.alert : key => policy.name },
    { for policy in google_monitoring_alert_policy.health : "health" => policy.name },
  )
}

output "dashboard" {
  description = "Full name of the dashboard."
  value       = google_monitoring_dashboard.parlance.id
}

output "runbook_sections" {
  description = "Section of docs/operations.md by alert."
  value       = merge({ for key, alert in local.alerts : key => alert.section }, { health = local.health.section })
}
