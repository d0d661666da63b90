terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }

  # The bucket is not here, as it differs from one company to the next:
  # terraform init -backend-config=bucket=BUCKET (infra/README.md)
  backend "gcs" {
    prefix = "parlance/prod"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
  # What costs something can be told apart on the bill.
  default_labels = { app = "parlance", environment = "prod" }
  # APIs that ask for a project of their own to count against (budgets) are given this one.
  billing_project       = var.project_id
  user_project_override = true
}
