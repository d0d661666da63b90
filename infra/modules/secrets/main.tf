# The secrets' places, and who may read them. Their values never pass through Terraform, whose state would keep them:
# infra/deploy-cloud-run.sh adds versions.

resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  project     = var.project_id
  secret_id   = each.key
  annotations = { description = each.value.description }

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  # A destroyed version can still be had back for a week: ids made with a lost ID_SECRET are lost with it.
  version_destroy_ttl = "604800s"
  deletion_protection = true
}

# A binding, not members: it names all who have the role on this secret, so that one added by hand is taken off again.
resource "google_secret_manager_secret_iam_binding" "readers" {
  for_each = var.secrets

  project   = var.project_id
  secret_id = google_secret_manager_secret.this[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  members   = each.value.readers
}
