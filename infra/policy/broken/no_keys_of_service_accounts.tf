resource "google_service_account_key" "no_keys_of_service_accounts" {
  service_account_id = "projects/my-parlance/serviceAccounts/ingest-api@my-parlance.iam.gserviceaccount.com"
}
