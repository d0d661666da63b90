resource "google_cloud_run_v2_service" "programs_are_probed" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "unprobed"
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

      startup_probe {
        tcp_socket {
          port = 8080
        }
      }
    }
  }
}
