# A network of its own: the database has an address in it and nowhere else. Only what goes to private addresses goes through it;
# calls of models and of Google's APIs leave Cloud Run by itself, so there is no NAT to pay and to watch.

resource "google_compute_network" "this" {
  project = var.project_id
  name    = "parlance"
  # The usual network has a subnet in each region and rules that let ssh in.
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "run" {
  project       = var.project_id
  name          = "parlance-run"
  region        = var.region
  network       = google_compute_network.this.id
  ip_cidr_range = var.subnet_cidr
  # Google's APIs, also from what has no public address.
  private_ip_google_access = true

  # Which instance talked to what, a tenth of it: enough to see a stranger, at a tenth of the price.
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Nothing is ever reached from outside through this network. That is what happens without a rule, too; with one, it is
# logged, and a rule that somebody adds later must be above it to count.
resource "google_compute_firewall" "nothing_comes_in" {
  project       = var.project_id
  name          = "parlance-nothing-comes-in"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# Private services access: a peering with the network in which Google runs the database.
resource "google_compute_global_address" "services" {
  project       = var.project_id
  name          = "parlance-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = split("/", var.services_cidr)[0]
  prefix_length = tonumber(split("/", var.services_cidr)[1])
  network       = google_compute_network.this.id
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
  # The peering can't be deleted for some days after the last database: destroying gives it up instead of failing.
  deletion_policy = "ABANDON"
}

resource "google_vpc_access_connector" "this" {
  count = var.connector ? 1 : 0

  project       = var.project_id
  name          = "parlance"
  region        = var.region
  network       = google_compute_network.this.name
  ip_cidr_range = var.connector_cidr
  machine_type  = "e2-micro"
  min_instances = 2
  max_instances = 3
}
