output "sources_bucket" {
  description = "Where sources are uploaded to."
  value       = google_storage_bucket.sources.name
}
