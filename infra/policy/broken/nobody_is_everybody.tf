# Everyone may call a worker.
resource "google_cloud_run_v2_service_iam_member" "nobody_is_everybody" {
  project  = "my-parlance"
  location = "europe-west1"
  name     = "llm-worker"
  role     = "roles/run.invoker"
  member   = "allUsers"
}

# On ingest-api, but nobody chose it.
resource "google_cloud_run_v2_service_iam_member" "nobody_is_everybody_unasked" {
  project  = "my-parlance"
  location = "europe-west1"
  name     = "ingest-api"
  role     = "roles/run.invoker"
  member   = "allUsers"
}
