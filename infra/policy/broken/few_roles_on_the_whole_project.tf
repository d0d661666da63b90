# On one topic it would be right.
resource "google_project_iam_member" "few_roles_on_the_whole_project" {
  project = "my-parlance"
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:ingest-api@my-parlance.iam.gserviceaccount.com"
}
