# What runs

variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "name" {
  description = "The service's name."
  type        = string
}

variable "image" {
  description = "The first image, by its digest. Later ones are the deployer's affair: what is here is not looked at again."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be named by its digest: …/NAME@sha256:…; a tag can be moved to another image."
  }
}

variable "service_account_email" {
  description = "As whom it runs: an account of its own."
  type        = string

  validation {
    condition     = !endswith(var.service_account_email, "-compute@developer.gserviceaccount.com") && length(var.service_account_email) > 0
    error_message = "A service runs as its own account, not as the default one, which may do far too much."
  }
}

variable "env" {
  description = "Settings, as in .env.example."
  type        = map(string)

  validation {
    condition     = !contains(keys(var.env), "PORT")
    error_message = "PORT is Cloud Run's own to set."
  }
}

variable "secret_env" {
  description = "Settings that are secret: the variable's name, the secret's id, and its version (a number, or latest: as it is when an instance starts)."
  type = map(object({
    secret  = string
    version = optional(string, "latest")
  }))
  default = {}
}

# Who reaches it

variable "ingress" {
  description = "INGRESS_TRAFFIC_ALL: the internet. INGRESS_TRAFFIC_INTERNAL_ONLY: this project's network, Pub/Sub, Eventarc, Workflows. INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER: also Google's load balancers."
  type        = string

  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress)
    error_message = "ingress must be INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "access" {
  description = <<-EOT
    Who passes Cloud Run's own check. `iam`: the `invokers`. `public`: everyone (allUsers). `unchecked`: there is no check, and the
    program's own is the gate. The check takes the signature off a Google token in Authorization, so that a program that verifies such
    tokens itself needs `unchecked`; it is also the way to be public where an organisation's policy forbids allUsers.
  EOT
  type        = string

  validation {
    condition     = contains(["iam", "public", "unchecked"], var.access)
    error_message = "access must be iam, public or unchecked."
  }
}

variable "invokers" {
  description = "Who may call with access = iam, by a name of our own for each, as IAM names them."
  type        = map(string)
  default     = {}

  validation {
    condition     = !anytrue([for member in values(var.invokers) : contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Everyone is not an invoker: say access = public."
  }
}

variable "egress" {
  description = "How it reaches private addresses: Direct VPC egress through `subnetwork`, or through `connector` where that is not null."
  type = object({
    network    = string
    subnetwork = string
    connector  = optional(string)
  })
}

# How much of it

variable "min_instances" {
  description = "Instances that always run, of the whole service. 0: it costs nothing while nobody calls, and the first call waits for a start. 1 and more: never."
  type        = number
}

variable "max_instances" {
  description = "Instances at most, of the whole service: what a flood may cost, and how many connections the database must have for it."
  type        = number

  validation {
    condition     = var.max_instances >= max(1, var.min_instances)
    error_message = "max_instances must be at least 1, and not below min_instances."
  }
}

variable "concurrency" {
  description = "Requests that one instance has at once before another is started. Cloud Run takes 1000 at most; below one CPU only 1."
  type        = number

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "concurrency must be 1 to 1000."
  }
}

variable "timeout_seconds" {
  description = "The longest that a request may last: 3600 at most."
  type        = number

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 3600
    error_message = "timeout_seconds must be 1 to 3600."
  }
}

variable "cpu" {
  description = "CPUs of an instance: 1, 2, 4 or 8."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory of an instance. The second generation takes no less than 512Mi."
  type        = string
  default     = "512Mi"
}

variable "cpu_always_on" {
  description = <<-EOT
    Whether an instance has its CPU also between requests (billed by the instance's time instead of the request's). Without it, an
    instance that has no request stands still: connections to the database time out meanwhile and are made anew, its metrics are not
    collected, and what it does beside requests waits. A stream that is open is a request, so replies flow either way.
  EOT
  type        = bool
}

variable "startup_cpu_boost" {
  description = "Whether an instance gets more CPU until 10 seconds after its start: a start after zero is waited for by a person."
  type        = bool
  default     = true
}

variable "execution_environment" {
  description = "EXECUTION_ENVIRONMENT_GEN1 starts faster, EXECUTION_ENVIRONMENT_GEN2 has the faster network and CPU."
  type        = string

  validation {
    condition     = contains(["EXECUTION_ENVIRONMENT_GEN1", "EXECUTION_ENVIRONMENT_GEN2"], var.execution_environment)
    error_message = "execution_environment must be EXECUTION_ENVIRONMENT_GEN1 or EXECUTION_ENVIRONMENT_GEN2."
  }
}

variable "ready_path" {
  description = "What the startup probe asks: an instance that does not answer 200 here gets no requests, and a revision whose instances don't is not rolled out."
  type        = string
  default     = "/health/ready"
}

variable "live_path" {
  description = "What the liveness probe asks: it fails only when the process itself hangs, not when a database is away."
  type        = string
  default     = "/health"
}

variable "startup_seconds" {
  description = "How long a start may take before the instance is given up. Ours take under a second; a database that fails over takes a minute."
  type        = number
  default     = 120
}

variable "sidecars" {
  description = <<-EOT
    Containers beside the program, by name: the `image` by its digest, the `args`, the secret with its `config`, as which file it finds it
    (`config_file`, in a folder of its own), and where it says that it lives (`live_path`, `live_port`).
  EOT
  type = map(object({
    image         = string
    args          = optional(list(string), [])
    config_secret = string
    config_file   = string
    live_path     = string
    live_port     = number
  }))
  default = {}

  validation {
    condition     = alltrue([for one in values(var.sidecars) : can(regex("@sha256:[0-9a-f]{64}$", one.image))])
    error_message = "The image of a sidecar must be named by its digest."
  }
}

variable "launch_stage" {
  description = "GA, or BETA for a feature that is still a preview. All that is used here is generally available."
  type        = string
  default     = "GA"
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete it."
  type        = bool
  default     = true
}
