variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where the images are: in the region that runs them, as a start pulls them."
  type        = string
}

variable "keep_releases" {
  description = "So many versions of each image are kept whatever their age: as far back a rollback can go."
  type        = number
  default     = 20

  validation {
    condition     = var.keep_releases >= 2
    error_message = "keep_releases must be at least 2: without the one before there is no rollback."
  }
}

variable "immutable_tags" {
  description = <<-EOT
    Whether a tag stays with the image that it was given to: vX.Y.Z then means one thing for ever, and a build that is repeated under
    the same tag is refused. Versions with a tag are then not deleted by the clean-up.
  EOT
  type        = bool
  default     = false
}

variable "writers" {
  description = "Who may push, by a name of our own for each, as IAM names them. Whoever may push a release tag may deploy: the build alone."
  type        = map(string)
}

variable "readers" {
  description = "Who may pull besides Cloud Run's own agent, by a name of our own for each, as IAM names them."
  type        = map(string)
}
