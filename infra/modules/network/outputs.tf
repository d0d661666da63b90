output "network_id" {
  description = "The network, for the database."
  value       = google_compute_network.this.id
}

output "egress" {
  description = "How services reach private addresses: as run_service, run_job and worker_pool take it."
  value = {
    network    = google_compute_network.this.id
    subnetwork = google_compute_subnetwork.run.id
    connector  = one(google_vpc_access_connector.this[*].id)
  }
}

output "services_peering" {
  description = "The peering that must be there before the database is."
  value       = google_service_networking_connection.services.id
}
