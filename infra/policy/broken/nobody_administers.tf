resource "google_service_account_iam_member" "nobody_administers" {
  service_account_id = "projects/my-parlance/serviceAccounts/ingest-api@my-parlance.iam.gserviceaccount.com"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = "serviceAccount:llm-worker@my-parlance.iam.gserviceaccount.com"
}

resource "google_project_iam_custom_role" "nobody_administers_by_hand" {
  project     = "my-parlance"
  role_id     = "tooMuch"
  title       = "Too much"
  permissions = ["run.services.setIamPolicy"]
}
