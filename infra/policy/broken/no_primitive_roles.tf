resource "google_project_iam_member" "no_primitive_roles" {
  project = "my-parlance"
  role    = "roles/editor"
  member  = "serviceAccount:llm-worker@my-parlance.iam.gserviceaccount.com"
}
