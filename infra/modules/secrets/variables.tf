variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where the values are kept: in this region alone, beside what reads them."
  type        = string
}

variable "secrets" {
  description = "Secrets by name: what each is for, and who may read it, as IAM names them. Nobody else can, below the project."
  type = map(object({
    description = string
    readers     = list(string)
  }))

  validation {
    condition     = alltrue([for secret in values(var.secrets) : length(secret.readers) > 0])
    error_message = "A secret that nobody reads need not be there."
  }
}
