# The images. Each push is told to the topic `gcr`, if there is one: the deployer listens there.

resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:Encrypted with Google's keys. A key of one's own is one more thing that can be lost with all that it locks.
  project       = var.project_id
  location      = var.region
  repository_id = "parlance"
  description   = "Images of Parlance: ingest-api, llm-worker, persist-worker, parlance."
  format        = "DOCKER"

  docker_config {
    immutable_tags = var.immutable_tags
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  # What a policy keeps, no other policy deletes.
  cleanup_policies {
    id     = "keep-the-latest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.keep_releases
    }
  }

  # A build that failed half-way, or an image whose tag went on.
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "1209600s" # 14 days
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "15552000s" # 180 days
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "writer" {
  for_each = var.writers

  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.this.repository_id
  role       = "roles/artifactregistry.writer"
  member     = each.value
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each = var.readers

  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.this.repository_id
  role       = "roles/artifactregistry.reader"
  member     = each.value
}
