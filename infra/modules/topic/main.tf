# A topic, its subscriptions, and a dead-letter topic for each. This is what `parlance pubsub setup` makes, field by field
# (infra/tests compares the two), with the permissions that only IAM can give.

locals {
  # Well after our own consumers, who publish their dead letters themselves, with the reason: this is the second net.
  max_delivery_attempts = 100
  # A killed worker's messages come again soon; the client extends the leases of a living one.
  pull_ack_deadline = 10
  # A push request may last so long, and no longer: it is the longest that Pub/Sub takes.
  push_ack_deadline    = 600
  letters_ack_deadline = 60
}

resource "google_pubsub_topic" "this" {
  #checkov:skip=CKV_GCP_83:Encrypted with Google's keys. A key of one's own is one more thing that can be lost with all that it locks.
  project                    = var.project_id
  name                       = var.name
  message_retention_duration = var.retention
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = var.publishers

  project = var.project_id
  topic   = google_pubsub_topic.this.name
  role    = "roles/pubsub.publisher"
  member  = each.value
}

resource "google_pubsub_subscription" "this" {
  for_each = var.subscriptions

  project = var.project_id
  name    = each.key
  topic   = google_pubsub_topic.this.id

  # The turns of a session are answered in order.
  enable_message_ordering    = true
  ack_deadline_seconds       = each.value.push == null ? local.pull_ack_deadline : local.push_ack_deadline
  message_retention_duration = var.retention
  # Also what is done can be delivered again.
  retain_acked_messages = true

  # Never, however long nobody consumes: by default it would be deleted after 31 days, with what it holds.
  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = each.value.retry_min
    maximum_backoff = each.value.retry_max
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.letters[each.key].id
    max_delivery_attempts = local.max_delivery_attempts
  }

  dynamic "push_config" {
    for_each = each.value.push == null ? [] : [each.value.push]
    content {
      push_endpoint = push_config.value.endpoint

      # The worker believes requests with this token, and no others.
      oidc_token {
        service_account_email = push_config.value.service_account
        audience              = push_config.value.audience
      }
    }
  }
}

resource "google_pubsub_topic" "letters" {
  #checkov:skip=CKV_GCP_83:Encrypted with Google's keys. A key of one's own is one more thing that can be lost with all that it locks.
  for_each = var.subscriptions

  project                    = var.project_id
  name                       = "${each.key}-dead-letters"
  message_retention_duration = var.dead_letters_retention
}

# Keeps them until an operator looks (`parlance dead-letters`). It has no dead letters of its own: what it holds is that.
resource "google_pubsub_subscription" "letters" {
  for_each = var.subscriptions

  project                    = var.project_id
  name                       = "${each.key}-dead-letters"
  topic                      = google_pubsub_topic.letters[each.key].id
  ack_deadline_seconds       = local.letters_ack_deadline
  message_retention_duration = var.dead_letters_retention

  expiration_policy {
    ttl = ""
  }
}
