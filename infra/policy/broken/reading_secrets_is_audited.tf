resource "google_secret_manager_secret" "reading_secrets_is_audited" {
  project   = "my-parlance"
  secret_id = "unwatched"

  replication {
    auto {}
  }
}

resource "google_project_iam_audit_config" "reading_secrets_is_audited" {
  project = "my-parlance"
  service = "secretmanager.googleapis.com"

  audit_log_config {
    log_type = "DATA_WRITE"
  }
}
