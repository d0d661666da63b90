resource "google_sql_database_instance" "prod_is_protected" {
  project             = "my-parlance"
  name                = "prod-is-protected"
  database_version    = "POSTGRES_17"
  deletion_protection = false

  settings {
    tier                        = "db-custom-1-3840"
    availability_type           = "ZONAL"
    deletion_protection_enabled = false
  }
}

resource "google_cloud_run_v2_service" "prod_is_protected_cold" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "cold"
  deletion_protection = false
  scaling {
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
