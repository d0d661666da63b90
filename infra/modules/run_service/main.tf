# A Cloud Run service. Terraform says what it is; the deployer says which image runs and who gets the traffic.

locals {
  # The program's own container is always the first: ignore_changes below names it by its place.
  program = var.name
  limits  = { cpu = var.cpu, memory = var.memory }
}

resource "google_cloud_run_v2_service" "this" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  launch_stage        = var.launch_stage
  deletion_protection = var.deletion_protection

  ingress              = var.ingress
  invoker_iam_disabled = var.access == "unchecked"

  # Of the service, not of a revision: a candidate without traffic keeps nothing warm, and both together stay within it.
  scaling {
    min_instance_count = var.min_instances
    max_instance_count = var.max_instances
  }

  template {
    service_account                  = var.service_account_email
    execution_environment            = var.execution_environment
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = var.concurrency
    # Any instance can answer any request.
    session_affinity = false

    scaling {
      max_instance_count = var.max_instances
    }

    containers {
      name  = local.program
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = local.limits
        cpu_idle          = !var.cpu_always_on
        startup_cpu_boost = var.startup_cpu_boost
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

      # Every second, as a start takes less than one: with Google's default of 10 each start would wait for the next probe.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = var.startup_seconds
        http_get {
          path = var.ready_path
          port = 8080
        }
      }

      # Half a minute of silence: a busy process answers probes first.
      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = var.live_path
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
          limits   = { cpu = "1", memory = "256Mi" }
          cpu_idle = !var.cpu_always_on
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
      # The model's provider is reached without a detour through the network, which has no way out.
      egress = "PRIVATE_RANGES_ONLY"

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
    # Deployments are not Terraform's: an apply between two of them must not take one back.
    ignore_changes = [
      template[0].containers[0].image,
      template[0].revision,
      template[0].labels,
      template[0].annotations,
      traffic,
      labels,
      annotations,
      client,
      client_version,
    ]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.access == "iam" ? var.invokers : {}

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = each.value
}

resource "google_cloud_run_v2_service_iam_member" "everyone" {
  count = var.access == "public" ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = "allUsers"
}
