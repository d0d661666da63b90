"""The database."""

from __future__ import annotations

from .rule import RUNS, first, policy


@policy
def the_database_has_no_public_address(state):
    for one in state.of("google_sql_database_instance"):
        ip = first(one.values, "settings", "ip_configuration") or {}
        if ip.get("ipv4_enabled") is not False or not ip.get("private_network") or ip.get("authorized_networks"):
            yield f"{one}: can be reached from the internet"
        if ip.get("ssl_mode") not in ("ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"):
            yield f"{one}: takes connections in the clear"


@policy
def logins_are_accounts_of_google(state):
    for one in state.of("google_sql_database_instance"):
        flags = {flag["name"]: flag["value"] for flag in first(one.values, "settings").get("database_flags") or []}
        if flags.get("cloudsql.iam_authentication") != "on":
            yield f"{one}: has no IAM database authentication"
    for one in state.of("google_sql_user"):
        if one.values.get("type") != "CLOUD_IAM_SERVICE_ACCOUNT":
            yield f"{one}: logs in with a password"
        privileged = one.values["name"].split("@")[0] not in ("parlance-migrate", "parlance-operator")
        if one.values.get("database_roles") and privileged:
            yield f"{one}: has {one.values['database_roles']}, although services get their rights from migrations alone"


@policy
def the_database_can_be_restored(state):
    for one in state.of("google_sql_database_instance"):
        backup = first(one.values, "settings", "backup_configuration") or {}
        if not backup.get("enabled") or not backup.get("point_in_time_recovery_enabled"):
            yield f"{one}: can't be restored to a point in time"
        if (first(backup, "backup_retention_settings") or {}).get("retained_backups", 0) < 7:
            yield f"{one}: keeps less than a week of backups"


@policy
def prod_is_protected(state):
    """Nothing that holds data or serves people can be deleted in one step, and the database survives its zone."""
    if "prod" not in state.variables.get("environment", "prod"):
        return
    for one in state.of("google_sql_database_instance"):
        settings = first(one.values, "settings")
        if not one.values.get("deletion_protection") or not settings.get("deletion_protection_enabled"):
            yield f"{one}: can be deleted"
        if settings.get("availability_type") != "REGIONAL":
            yield f"{one}: is in one zone"
    for one in state.of(*RUNS, "google_secret_manager_secret", "google_workflows_workflow"):
        if not one.values.get("deletion_protection"):
            yield f"{one}: can be deleted"
    for one in state.of("google_cloud_run_v2_service"):
        if not (first(one.values, "scaling") or {}).get("min_instance_count"):
            yield f"{one}: people wait for its start"
