# What the workflow and its trigger may do, and nothing else.

# Operations, revisions and executions have no policy of their own, so this is on the project. It can neither create nor
# delete a service, nor change who may call it, nor read a secret.
resource "google_project_iam_custom_role" "deployer" {
  project     = var.project_id
  role_id     = "parlanceDeployer"
  title       = "Parlance deployer"
  description = "New revisions, traffic and the migration job."
  permissions = [
    "run.executions.get",
    "run.jobs.get",
    "run.jobs.run",
    "run.jobs.update",
    "run.operations.get",
    "run.revisions.get",
    "run.services.get",
    "run.services.update",
    "workflows.executions.get",
  ]
}

resource "google_project_iam_member" "deployer" {
  project = var.project_id
  role    = google_project_iam_custom_role.deployer.id
  member  = local.deployer
}

# The share of requests that failed, at each step.
resource "google_project_iam_member" "deployer_measures" {
  project = var.project_id
  role    = "roles/monitoring.viewer"
  member  = local.deployer
}

resource "google_project_iam_member" "deployer_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = local.deployer
}

# A revision runs as one of these.
resource "google_service_account_iam_member" "deployer_uses" {
  for_each = var.runs_as

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = local.deployer
}

# Digests of a tag; and Cloud Run asks whether who deploys may read the image.
resource "google_artifact_registry_repository_iam_member" "deployer_reads" {
  project    = var.project_id
  location   = var.region
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = local.deployer
}

resource "google_pubsub_topic_iam_member" "deployer_tells" {
  project = var.project_id
  topic   = google_pubsub_topic.deploys.name
  role    = "roles/pubsub.publisher"
  member  = local.deployer
}

# Workflows have no policies of their own, so it is on the project, which has no other workflow. Eventarc's own receiver role
# is not needed for what comes from a topic.
resource "google_project_iam_member" "trigger_starts" {
  project = var.project_id
  role    = "roles/workflows.invoker"
  member  = "serviceAccount:${var.trigger_email}"
}
