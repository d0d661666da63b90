output "id" {
  description = "The topic's full name."
  value       = google_pubsub_topic.this.id
}

output "subscriptions" {
  description = "Names of its subscriptions."
  value       = [for one in google_pubsub_subscription.this : one.name]
}
