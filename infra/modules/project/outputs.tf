output "number" {
  description = "The project's number: addresses of services and names of Google's own service accounts have it."
  value       = data.google_project.this.number
}

output "apis" {
  description = "The APIs that are on. What needs one depends on this."
  value       = [for api in google_project_service.api : api.service]
}
