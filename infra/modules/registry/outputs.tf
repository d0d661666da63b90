output "address" {
  description = "Where images are pushed to and pulled from: this, a slash, and the image's name."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}"
}
