# Who may do what with the subscriptions.

# Pub/Sub's own second net: it publishes to the dead letters, and acknowledges here what it moved there.
resource "google_pubsub_topic_iam_member" "agent_publishes_letters" {
  for_each = var.subscriptions

  project = var.project_id
  topic   = google_pubsub_topic.letters[each.key].name
  role    = "roles/pubsub.publisher"
  member  = var.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_acknowledges" {
  for_each = var.subscriptions

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = var.pubsub_agent
}

# Consumers publish their dead letters themselves, with the reason.
resource "google_pubsub_topic_iam_member" "consumer_publishes_letters" {
  for_each = var.subscriptions

  project = var.project_id
  topic   = google_pubsub_topic.letters[each.key].name
  role    = "roles/pubsub.publisher"
  member  = each.value.consumer
}

locals {
  pulled = { for name, one in var.subscriptions : name => one if one.push == null }
}

# Who is pushed to need not be allowed to pull.
resource "google_pubsub_subscription_iam_member" "consumer_pulls" {
  for_each = local.pulled

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = each.value.consumer
}

# It looks at the start whether the subscription is there and keeps order.
resource "google_pubsub_subscription_iam_member" "consumer_looks" {
  for_each = local.pulled

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.viewer"
  member       = each.value.consumer
}

locals {
  operated = merge([
    for name in keys(var.subscriptions) : { for who, member in var.operators : "${name} ${who}" => { name = name, member = member } }
  ]...)
}

# Operators send requests and letters again, set subscriptions back, and take letters away.
resource "google_pubsub_topic_iam_member" "operator_publishes" {
  for_each = var.operators

  project = var.project_id
  topic   = google_pubsub_topic.this.name
  role    = "roles/pubsub.publisher"
  member  = each.value
}

resource "google_pubsub_subscription_iam_member" "operator_seeks" {
  for_each = local.operated

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.value.name].name
  role         = "roles/pubsub.subscriber"
  member       = each.value.member
}

resource "google_pubsub_subscription_iam_member" "operator_takes_letters" {
  for_each = local.operated

  project      = var.project_id
  subscription = google_pubsub_subscription.letters[each.value.name].name
  role         = "roles/pubsub.subscriber"
  member       = each.value.member
}
