# It expires, and has no dead letters.
resource "google_pubsub_subscription" "subscriptions_lose_nothing" {
  project = "my-parlance"
  name    = "llm-worker"
  topic   = "parlance-requests"
}

# Nobody keeps the dead letters.
resource "google_pubsub_subscription" "subscriptions_lose_nothing_of_letters" {
  project = "my-parlance"
  name    = "llm-memory"
  topic   = "parlance-memory"

  expiration_policy {
    ttl = ""
  }

  dead_letter_policy {
    dead_letter_topic = "projects/my-parlance/topics/nobody-listens"
  }
}
