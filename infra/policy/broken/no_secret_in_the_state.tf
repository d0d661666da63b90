resource "google_secret_manager_secret_version" "no_secret_in_the_state" {
  secret      = "projects/my-parlance/secrets/id-secret"
  secret_data = "0123456789abcdef"
}

resource "google_sql_user" "no_secret_in_the_state_password" {
  instance = "parlance"
  name     = "llm-worker@my-parlance.iam"
  password = "hunter2"
}

resource "google_cloud_run_v2_service" "no_secret_in_the_state_env" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "in-the-clear"
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
        name  = "LLM_API_KEY"
        value = "sk-1"
      }
    }
  }
}
