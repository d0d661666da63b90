# An image that is pushed becomes a release: Artifact Registry tells the topic `gcr`, Eventarc starts the workflow, which decides
# whether it is a complete release, migrates, and shifts traffic step by step or back.

locals {
  sources  = sort([for file in fileset(var.workflows_dir, "*.yaml") : file])
  deployer = "serviceAccount:${var.deployer_email}"
}

# Artifact Registry publishes to the topic of this name, in this project, if it exists.
resource "google_pubsub_topic" "pushes" {
  #checkov:skip=CKV_GCP_83:Encrypted with Google's keys. A key of one's own is one more thing that can be lost with all that it locks.
  project                    = var.project_id
  name                       = "gcr"
  message_retention_duration = "604800s"
}

# What was deployed, and what was taken back: for chats and change logs.
resource "google_pubsub_topic" "deploys" {
  #checkov:skip=CKV_GCP_83:Encrypted with Google's keys. A key of one's own is one more thing that can be lost with all that it locks.
  project                    = var.project_id
  name                       = "parlance-deploys"
  message_retention_duration = "2678400s"
}

resource "google_workflows_workflow" "deploy" {
  project             = var.project_id
  region              = var.region
  name                = "parlance-deploy"
  description         = "Migrates, deploys and checks a release, and takes it back if it is not sound."
  service_account     = var.deployer_email
  source_contents     = join("\n", [for file in local.sources : file("${var.workflows_dir}/${file}")])
  user_env_vars       = { PARLANCE_DEPLOY = jsonencode(var.settings) }
  call_log_level      = "LOG_ERRORS_ONLY"
  deletion_protection = var.deletion_protection

  lifecycle {
    precondition {
      condition     = contains(local.sources, "deploy.yaml")
      error_message = "workflows_dir has no deploy.yaml: it must be infra/workflows."
    }
  }
}

resource "google_eventarc_trigger" "push" {
  project         = var.project_id
  location        = var.region
  name            = "parlance-image-pushed"
  service_account = var.trigger_email

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.pubsub.topic.v1.messagePublished"
  }

  transport {
    pubsub {
      topic = google_pubsub_topic.pushes.id
    }
  }

  destination {
    workflow = google_workflows_workflow.deploy.id
  }

  depends_on = [google_project_iam_member.trigger_starts]
}
