# What each policy must refuse: the resources in NAME.tf are called NAME…. Nobody makes these.

terraform {
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }
}
