# Which secrets there are, and who reads each. infra/deploy-cloud-run.sh puts the values in.

locals {
  secrets = merge(
    {
      id-secret = {
        description = "ID_SECRET: 64 hexadecimal digits, the same for ever. Ids and keys are made and recognised with it."
        readers = concat(
          [local.member["ingest-api"], local.member["parlance-operator"]],
          # Deliveries of webhooks are signed by it.
          var.webhooks ? [local.member["persist-worker"]] : [],
        )
      }
    },
    var.llm.api_key ? {
      llm-api-key = { description = "LLM_API_KEY.", readers = [local.member["llm-worker"]] }
    } : {},
    try(var.llm.fallback.api_key, false) ? {
      llm-fallback-api-key = { description = "LLM_FALLBACK_API_KEY.", readers = [local.member["llm-worker"]] }
    } : {},
    { for name, one in local.sidecars : one.config_secret => {
      description = "Configuration of the sidecar ${name}. Not secret: it takes it from a secret and from nowhere else."
      readers     = [for name in ["ingest-api", "llm-worker", "persist-worker"] : local.member[name]]
    } },
  )

  # Google's own: one carries /metrics of METRICS_PORT to Cloud Monitoring, the other one spans to Cloud Trace.
  sidecars = merge(
    var.metrics_sidecar_image == null ? {} : {
      metrics = {
        image         = var.metrics_sidecar_image
        args          = []
        config_secret = "metrics-sidecar"
        config_file   = "/etc/rungmp/config.yaml"
        live_path     = "/liveness"
        live_port     = 13133
      }
    },
    var.traces == null ? {} : {
      traces = {
        image         = var.traces.sidecar_image
        args          = ["--config=/etc/otelcol-google/config.yaml"]
        config_secret = "traces-sidecar"
        config_file   = "/etc/otelcol-google/config.yaml"
        live_path     = "/"
        # The metrics sidecar has the usual 13133: all containers of an instance share its ports.
        live_port = 13134
      }
    },
  )
}

module "secrets" {
  source = "../secrets"

  project_id = var.project_id
  region     = var.region
  secrets    = local.secrets

  depends_on = [module.project, module.accounts]
}

# The only versions that Terraform adds: no secrets, and write-only all the same, so that the policy "no value in the state" has
# no exception. A change of a file is a new number.
resource "google_secret_manager_secret_version" "sidecar" {
  for_each = local.sidecars

  secret                 = "projects/${var.project_id}/secrets/${module.secrets.ids[each.value.config_secret]}"
  secret_data_wo         = file("${path.module}/sidecars/${each.key}.yaml")
  secret_data_wo_version = "1"
}
