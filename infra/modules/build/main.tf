# What Cloud Build needs (infra/cloudbuild.md says for what). Pushing to the images' repository is granted there.

locals {
  build = "serviceAccount:${var.build_email}"
}

# Layers of earlier builds. Its tags are overwritten, so it is not the images' repository.
resource "google_artifact_registry_repository" "cache" {
  #checkov:skip=CKV_GCP_84:Encrypted with Google's keys. A key of one's own is one more thing that can be lost with all that it locks.
  project       = var.project_id
  location      = var.region
  repository_id = "parlance-cache"
  description   = "Layers of earlier builds of Parlance. May be emptied at any time."
  format        = "DOCKER"

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "1209600s" # 14 days
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "caches" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.cache.repository_id
  role       = "roles/artifactregistry.writer"
  member     = local.build
}

resource "google_project_iam_member" "logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = local.build
}

# `gcloud builds submit` puts the source here; it would make the bucket itself, open to all of the project's viewers.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_62:Sources for a week, in a repository anyway; Cloud Audit Logs say who changed what.
  #checkov:skip=CKV_GCP_78:Sources for a week: nobody wants an older version back.
  project                     = var.project_id
  name                        = "${var.project_id}_cloudbuild"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 7
    }
  }
}

resource "google_storage_bucket_iam_member" "reads_sources" {
  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectViewer"
  member = local.build
}

resource "google_project_iam_member" "deploys" {
  for_each = var.deploys ? toset(["roles/run.developer", "roles/pubsub.viewer", "roles/serviceusage.serviceUsageViewer"]) : []

  project = var.project_id
  role    = each.value
  member  = local.build
}

resource "google_service_account_iam_member" "uses" {
  for_each = var.deploys ? var.runs_as : []

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = local.build
}

resource "google_secret_manager_secret_iam_member" "looks" {
  for_each = var.deploys ? var.secret_ids : []

  project   = var.project_id
  secret_id = each.value
  role      = "roles/secretmanager.viewer"
  member    = local.build
}
