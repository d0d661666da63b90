# The alternative to push: a worker that pulls its messages. Nobody can reach it, its CPU is always on, a fixed number of
# instances runs and is paid for. It has the lower latency (a message waits for no HTTP request) and no limit of 600 s for a turn.

locals {
  program = trimsuffix(var.name, "-pool")
}

resource "google_cloud_run_v2_worker_pool" "this" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  launch_stage        = var.launch_stage
  deletion_protection = var.deletion_protection

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = var.instances
  }

  template {
    service_account = var.service_account_email

    containers {
      name  = local.program
      image = var.image

      resources {
        limits = { cpu = var.cpu, memory = var.memory }
      }

      dynamic "env" {
        for_each = var.env
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secret_env
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }

      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 120
        http_get {
          path = "/health/ready"
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health"
          port = 8080
        }
      }
    }

    dynamic "containers" {
      for_each = var.sidecars
      content {
        name  = containers.key
        image = containers.value.image
        args  = containers.value.args
        # Started after the program, stopped after it: a first start does not wait for a sidecar, and the last figures are sent.
        depends_on = [local.program]

        resources {
          limits = { cpu = "1", memory = "256Mi" }
        }

        liveness_probe {
          period_seconds  = 30
          timeout_seconds = 30
          http_get {
            path = containers.value.live_path
            port = containers.value.live_port
          }
        }

        volume_mounts {
          name       = "${containers.key}-config"
          mount_path = dirname(containers.value.config_file)
        }
      }
    }

    dynamic "volumes" {
      for_each = var.sidecars
      content {
        name = "${volumes.key}-config"
        secret {
          secret = volumes.value.config_secret
          items {
            version = "latest"
            path    = basename(volumes.value.config_file)
          }
        }
      }
    }

    vpc_access {
      connector = var.egress.connector
      egress    = "PRIVATE_RANGES_ONLY"

      dynamic "network_interfaces" {
        for_each = var.egress.connector == null ? [var.egress] : []
        content {
          network    = network_interfaces.value.network
          subnetwork = network_interfaces.value.subnetwork
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [
      template[0].containers[0].image,
      template[0].revision,
      template[0].labels,
      template[0].annotations,
      # How many run is an operator's to change at once; `instances` is what it begins with.
      scaling[0].manual_instance_count,
      instance_splits,
      labels,
      annotations,
      client,
      client_version,
    ]
  }
}
