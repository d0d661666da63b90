resource "google_cloud_run_v2_service" "googles_tokens_let_in_whom_we_name" {
  project  = "my-parlance"
  location = "europe-west1"
  name     = "open-house"

  template {
    service_account = "own@my-parlance.iam.gserviceaccount.com"

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

      env {
        name  = "AUTH_GOOGLE_AUDIENCES"
        value = "https://parlance.example"
      }
    }
  }
}
