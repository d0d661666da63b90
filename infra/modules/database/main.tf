# Postgres on Cloud SQL: no public address, no passwords, backups to the minute.

locals {
  flags = merge({
    # Logins of service accounts by their access tokens (DB_IAM_AUTH).
    "cloudsql.iam_authentication" = "on"
    "max_connections"             = tostring(var.max_connections)
  }, var.flags)
}

resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV_GCP_6:Connections are encrypted; certificates of clients would be keys to keep and to lose, and access tokens say who it is.
  #checkov:skip=CKV_GCP_108:A look-up of the name at each login, of instances that have none.
  #checkov:skip=CKV_GCP_110:People do not log in here; DDL is logged, and who logged in, by Cloud SQL's own audit log.
  #checkov:skip=CKV2_GCP_13:A line for each statement; Query Insights knows the slow ones.
  project          = var.project_id
  region           = var.region
  name             = var.name
  database_version = var.postgres_version

  # Terraform's own refusal; the instance's is below.
  deletion_protection = var.deletion_protection

  settings {
    tier = var.tier
    # Enterprise Plus is another price list.
    edition           = "ENTERPRISE"
    availability_type = var.high_availability ? "REGIONAL" : "ZONAL"
    # Also the console and gcloud refuse.
    deletion_protection_enabled = var.deletion_protection

    disk_type             = "PD_SSD"
    disk_size             = var.disk_gb
    disk_autoresize       = true
    disk_autoresize_limit = var.disk_limit_gb

    ip_configuration {
      # No address on the internet: only the network's own.
      ipv4_enabled    = false
      private_network = var.network_id
      # Access tokens go over these connections.
      ssl_mode = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled    = true
      start_time = var.backup.start_time
      location   = var.backup.location
      # Any second of the last days: `gcloud sql instances clone --point-in-time`.
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = var.backup.log_days

      backup_retention_settings {
        retained_backups = var.backup.retained
        retention_unit   = "COUNT"
      }
    }

    # Backups outlive the instance, and its end makes one.
    retain_backups_on_delete = var.backup.keep_on_death
    final_backup_config {
      enabled        = var.backup.keep_on_death
      retention_days = var.backup.final_days
    }

    maintenance_window {
      day          = var.maintenance.day
      hour         = var.maintenance.hour
      update_track = var.maintenance.track
    }

    insights_config {
      query_insights_enabled = true
      # Which statements are slow, not who sent them.
      record_client_address   = false
      record_application_tags = false
    }

    # For whoever looks for a cause: who came and went, who waited for whom, what changed the schema, what failed. Not slow
    # statements, whose parameters are what people wrote: Query Insights has them without. Written out, so that scanners see them.
    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
    database_flags {
      name  = "log_min_messages"
      value = "error"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }

    dynamic "database_flags" {
      for_each = local.flags
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    # It grows by itself.
    ignore_changes = [settings[0].disk_size]
  }
}

resource "google_sql_database" "parlance" {
  project  = var.project_id
  instance = google_sql_database_instance.this.name
  name     = "parlance"
  charset  = "UTF8"
  # Destroying the instance takes it along; a change here must not.
  deletion_policy = "ABANDON"
}

# Cloud SQL leaves the end of a service account's e-mail off: names of Postgres have 63 characters at most.
resource "google_sql_user" "iam" {
  for_each = var.iam_users

  project        = var.project_id
  instance       = google_sql_database_instance.this.name
  name           = trimsuffix(each.key, ".gserviceaccount.com")
  type           = "CLOUD_IAM_SERVICE_ACCOUNT"
  database_roles = length(each.value) == 0 ? null : each.value
  # What a role owns or was granted stands in the way of dropping it.
  deletion_policy = "ABANDON"
}
