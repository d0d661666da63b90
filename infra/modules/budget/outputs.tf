output "name" {
  description = "The budget."
  value       = google_billing_budget.this.name
}
