"""The rest of the project."""

from __future__ import annotations

from .rule import policy


@policy
def old_images_go_and_releases_stay(state):
    repositories = state.of("google_artifact_registry_repository")
    for one in repositories:
        actions = {entry["action"] for entry in one.values.get("cleanup_policies") or []}
        if "DELETE" not in actions or one.values.get("cleanup_policy_dry_run"):
            yield f"{one}: grows for ever"
        if one.values["repository_id"] == "parlance" and "KEEP" not in actions:
            yield f"{one}: may delete what a rollback needs"


@policy
def buckets_are_closed(state):
    for one in state.of("google_storage_bucket"):
        if one.values.get("public_access_prevention") != "enforced" or not one.values.get("uniform_bucket_level_access"):
            yield f"{one}: objects can be made public"


@policy
def reading_secrets_is_audited(state):
    if not state.of("google_secret_manager_secret"):
        return
    audited = {
        entry["log_type"]
        for one in state.of("google_project_iam_audit_config")
        if one.values["service"] in ("secretmanager.googleapis.com", "allServices")
        for entry in one.values["audit_log_config"]
    }
    if "DATA_READ" not in audited:
        yield "nobody can tell who read a secret"


@policy
def the_network_is_our_own(state):
    for one in state.of("google_compute_network"):
        if one.values.get("auto_create_subnetworks") is not False:
            yield f"{one}: has subnets and rules that nobody asked for"
    for one in state.of("google_compute_firewall"):
        if one.values.get("allow") and "0.0.0.0/0" in (one.values.get("source_ranges") or []):
            yield f"{one}: lets the internet in"
