resource "google_sql_database_instance" "logins_are_accounts_of_google" {
  project             = "my-parlance"
  name                = "logins-are-accounts-of-google"
  database_version    = "POSTGRES_17"
  deletion_protection = true

  settings {
    tier = "db-custom-1-3840"
  }
}

resource "google_sql_user" "logins_are_accounts_of_google_built_in" {
  instance = "parlance"
  name     = "app"
  type     = "BUILT_IN"
}

resource "google_sql_user" "logins_are_accounts_of_google_superuser" {
  instance       = "parlance"
  name           = "llm-worker@my-parlance.iam"
  type           = "CLOUD_IAM_SERVICE_ACCOUNT"
  database_roles = ["cloudsqlsuperuser"]
}
