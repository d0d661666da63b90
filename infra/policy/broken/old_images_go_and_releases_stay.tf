resource "google_artifact_registry_repository" "old_images_go_and_releases_stay" {
  project       = "my-parlance"
  location      = "europe-west1"
  repository_id = "parlance"
  format        = "DOCKER"
}
