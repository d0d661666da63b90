output "workflow" {
  description = "The workflow, for `gcloud workflows executions list`."
  value       = google_workflows_workflow.deploy.name
}

output "deploys_topic" {
  description = "Where deployments are told."
  value       = google_pubsub_topic.deploys.id
}
