resource "google_compute_network" "the_network_is_our_own" {
  project = "my-parlance"
  name    = "default"
}

resource "google_compute_firewall" "the_network_is_our_own" {
  project       = "my-parlance"
  name          = "ssh"
  network       = google_compute_network.the_network_is_our_own.id
  source_ranges = ["0.0.0.0/0"]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}
