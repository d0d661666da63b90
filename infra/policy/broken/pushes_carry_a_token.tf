resource "google_pubsub_subscription" "pushes_carry_a_token" {
  project = "my-parlance"
  name    = "webhooks"
  topic   = "parlance-webhooks"

  push_config {
    push_endpoint = "https://persist-worker.example/push"
  }
}
