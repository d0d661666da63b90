resource "google_storage_bucket" "buckets_are_closed" {
  name     = "open"
  location = "EU"
}
