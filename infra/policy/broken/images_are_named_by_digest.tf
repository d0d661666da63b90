resource "google_cloud_run_v2_service" "images_are_named_by_digest" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "by-tag"
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
      image = "example.com/image:latest"
    }
  }
}
