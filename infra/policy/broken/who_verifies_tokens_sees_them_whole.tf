# Cloud Run's check takes the signature off the token that this worker checks.
resource "google_cloud_run_v2_service" "who_verifies_tokens_sees_them_whole" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "persist-worker"
  deletion_protection = true
  scaling {
    min_instance_count = 1
    max_instance_count = 1
  }

  template {
    service_account = "own@my-parlance.iam.gserviceaccount.com"
    scaling {
      max_instance_count = 1
    }

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      env {
        name  = "PUSH_AUDIENCE"
        value = "https://worker.example"
      }
    }
  }
}
