# Topics and subscriptions: those of shared/src/topology.rs, with its numbers. infra/tests/test_terraform_topology.py holds one
# against the other.

locals {
  pubsub_agent = "serviceAccount:service-${module.project.number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  # A worker believes what comes with a token for its own address, made out to parlance-push.
  push = {
    for worker in ["llm-worker", "persist-worker"] : worker => var.delivery == "pull" ? null : {
      endpoint        = "${local.url[worker]}/push"
      audience        = "${local.url[worker]}/push"
      service_account = local.account["parlance-push"]
    }
  }

  topics = {
    # Accepted messages and changes of sessions.
    parlance-requests = {
      publishers = { ingest-api = local.member["ingest-api"] }
      subscriptions = {
        llm-worker       = { retry_min = "0.5s", retry_max = "30s", consumer = local.member["llm-worker"], push = local.push["llm-worker"] }
        persist-requests = { retry_min = "0.25s", retry_max = "60s", consumer = local.member["persist-worker"], push = local.push["persist-worker"] }
      }
    }
    # The ends of tasks.
    parlance-replies = {
      publishers = { llm-worker = local.member["llm-worker"] }
      subscriptions = {
        persist-replies = { retry_min = "0.25s", retry_max = "60s", consumer = local.member["persist-worker"], push = local.push["persist-worker"] }
      }
    }
    # What llm-worker asks of itself between turns.
    parlance-memory = {
      publishers = { llm-worker = local.member["llm-worker"] }
      subscriptions = {
        llm-memory = { retry_min = "1s", retry_max = "300s", consumer = local.member["llm-worker"], push = local.push["llm-worker"] }
      }
    }
    # What persist-worker asks of itself: to tell a webhook. Pub/Sub takes no wait longer than 600 s.
    parlance-webhooks = {
      publishers = { persist-worker = local.member["persist-worker"] }
      subscriptions = {
        webhooks = { retry_min = "1s", retry_max = "600s", consumer = local.member["persist-worker"], push = local.push["persist-worker"] }
      }
    }
  }
}

# The same for `parlance pubsub setup`.
locals {
  pushed = flatten([for topic in values(local.topics) : [for name, one in topic.subscriptions : "--push=${name}=${one.push.endpoint}" if one.push != null]])
  setup  = concat(local.pushed, length(local.pushed) == 0 ? [] : ["--push-service-account=${local.account["parlance-push"]}"])
}

module "topic" {
  source   = "../topic"
  for_each = local.topics

  project_id    = var.project_id
  name          = each.key
  publishers    = each.value.publishers
  subscriptions = each.value.subscriptions
  pubsub_agent  = local.pubsub_agent
  operators     = { operator = local.member["parlance-operator"] }

  depends_on = [module.project]
}
