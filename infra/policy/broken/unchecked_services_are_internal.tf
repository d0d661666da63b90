# Whoever finds its address can send it messages.
resource "google_cloud_run_v2_service" "unchecked_services_are_internal" {
  project              = "my-parlance"
  location             = "europe-west1"
  name                 = "llm-worker"
  deletion_protection  = true
  ingress              = "INGRESS_TRAFFIC_ALL"
  invoker_iam_disabled = true
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
    }
  }
}
