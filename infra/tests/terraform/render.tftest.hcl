# Makes an environment on a mocked provider: every expression is evaluated, every condition checked, nothing is called.
# infra/tests/terraform_run.py copies this beside an environment and reads what came out.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_sql_database_instance" {
    defaults = { private_ip_address = "10.9.0.3", connection_name = "my-parlance:europe-west1:parlance" }
  }
  mock_resource "google_compute_network" {
    defaults = { id = "projects/my-parlance/global/networks/parlance" }
  }
  mock_resource "google_project_iam_custom_role" {
    defaults = { id = "projects/my-parlance/roles/parlanceDeployer" }
  }
}

run "render" {
  command = apply
}
