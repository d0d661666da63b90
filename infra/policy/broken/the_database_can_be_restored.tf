resource "google_sql_database_instance" "the_database_can_be_restored" {
  project             = "my-parlance"
  name                = "the-database-can-be-restored"
  database_version    = "POSTGRES_17"
  deletion_protection = true

  settings {
    tier = "db-custom-1-3840"

    backup_configuration {
      enabled = true

      backup_retention_settings {
        retained_backups = 3
      }
    }
  }
}
