terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # condition_prometheus_query_language.disable_metric_validation is since 5.36.
      version = ">= 6.0"
    }
  }
}
