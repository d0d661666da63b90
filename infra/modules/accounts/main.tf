# One account for each program, and no keys: they run on Google Cloud, which gives them tokens by itself.

resource "google_service_account" "this" {
  for_each = var.accounts

  project      = var.project_id
  account_id   = each.key
  display_name = each.key
  description  = each.value.description
}

locals {
  project_roles = merge([
    for name, account in var.accounts : { for role in account.roles : "${name} ${role}" => { name = name, role = role } }
  ]...)
}

# Members, not bindings: who else has such a role on the project is not for us to undo.
resource "google_project_iam_member" "this" {
  for_each = local.project_roles

  project = var.project_id
  role    = each.value.role
  # The account's own attribute would be unknown until it is made.
  member = "serviceAccount:${google_service_account.this[each.value.name].account_id}@${var.project_id}.iam.gserviceaccount.com"
}
