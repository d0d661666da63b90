resource "google_pubsub_subscription" "pubsub_may_move_dead_letters" {
  project = "my-parlance"
  name    = "persist-replies"
  topic   = "parlance-replies"

  dead_letter_policy {
    dead_letter_topic = "projects/my-parlance/topics/persist-replies-dead-letters"
  }
}
