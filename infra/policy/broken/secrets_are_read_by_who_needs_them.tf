# One who needs it may not read it, another one may for no reason.
resource "google_secret_manager_secret_iam_binding" "secrets_are_read_by_who_needs_them" {
  project   = "my-parlance"
  secret_id = "secrets_are_read_by_who_needs_them"
  role      = "roles/secretmanager.secretAccessor"
  members   = ["serviceAccount:stranger@my-parlance.iam.gserviceaccount.com"]
}

resource "google_cloud_run_v2_service" "reader" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "reader"
  deletion_protection = true
  scaling {
    min_instance_count = 1
    max_instance_count = 1
  }

  template {
    service_account = "reader@my-parlance.iam.gserviceaccount.com"
    scaling {
      max_instance_count = 1
    }

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      env {
        name = "ID_SECRET"
        value_source {
          secret_key_ref {
            secret  = "secrets_are_read_by_who_needs_them"
            version = "latest"
          }
        }
      }
    }
  }
}
