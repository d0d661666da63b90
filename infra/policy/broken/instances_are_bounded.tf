resource "google_cloud_run_v2_service" "instances_are_bounded" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "unbounded"
  deletion_protection = true

  template {
    service_account = "own@my-parlance.iam.gserviceaccount.com"

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
}
