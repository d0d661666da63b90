resource "google_cloud_run_v2_service" "programs_run_as_their_own_accounts" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "default"
  deletion_protection = true
  scaling {
    min_instance_count = 1
    max_instance_count = 1
  }

  template {
    service_account = "123456789012-compute@developer.gserviceaccount.com"
    scaling {
      max_instance_count = 1
    }

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
}

resource "google_service_account" "shared" {
  project    = "my-parlance"
  account_id = "shared"
}

resource "google_cloud_run_v2_service" "programs_run_as_their_own_accounts_one" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "one"
  deletion_protection = true
  scaling {
    min_instance_count = 1
    max_instance_count = 1
  }

  template {
    service_account = "shared@my-parlance.iam.gserviceaccount.com"
    scaling {
      max_instance_count = 1
    }

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
}

resource "google_cloud_run_v2_service" "programs_run_as_their_own_accounts_two" {
  project             = "my-parlance"
  location            = "europe-west1"
  name                = "two"
  deletion_protection = true
  scaling {
    min_instance_count = 1
    max_instance_count = 1
  }

  template {
    service_account = "shared@my-parlance.iam.gserviceaccount.com"
    scaling {
      max_instance_count = 1
    }

    containers {
      image = "example.com/image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
}
