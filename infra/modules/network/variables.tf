variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where the subnet is."
  type        = string
}

variable "subnet_cidr" {
  description = <<-EOT
    Addresses of Cloud Run's instances (Direct VPC egress): each takes one, revisions that are replaced keep theirs for some
    minutes, and Google asks for at least a /26.
  EOT
  type        = string
  default     = "10.8.0.0/22"

  validation {
    condition     = can(cidrhost(var.subnet_cidr, 0)) && tonumber(split("/", var.subnet_cidr)[1]) <= 26
    error_message = "subnet_cidr must be a network of at least a /26, such as 10.8.0.0/22."
  }
}

variable "services_cidr" {
  description = "Addresses for Google's own network on the other side, in which the database is: at least a /24."
  type        = string
  default     = "10.9.0.0/20"

  validation {
    condition     = can(cidrhost(var.services_cidr, 0)) && tonumber(split("/", var.services_cidr)[1]) <= 24
    error_message = "services_cidr must be a network of at least a /24, such as 10.9.0.0/20."
  }
}

variable "connector" {
  description = <<-EOT
    Whether services reach the VPC through a Serverless VPC Access connector instead of Direct VPC egress. Direct egress costs
    nothing while nothing runs and has less latency; a connector is two small machines that always run. It is for regions, and for
    organisation policies, that have no direct egress.
  EOT
  type        = bool
  default     = false
}

variable "connector_cidr" {
  description = "Addresses of the connector's machines: exactly a /28."
  type        = string
  default     = "10.8.16.0/28"
}
