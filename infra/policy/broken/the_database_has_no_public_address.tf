resource "google_sql_database_instance" "the_database_has_no_public_address" {
  project             = "my-parlance"
  name                = "the-database-has-no-public-address"
  database_version    = "POSTGRES_17"
  deletion_protection = true

  settings {
    tier = "db-custom-1-3840"

    ip_configuration {
      ipv4_enabled = true
      ssl_mode     = "ALLOW_UNENCRYPTED_AND_ENCRYPTED"

      authorized_networks {
        value = "0.0.0.0/0"
      }
    }
  }
}
