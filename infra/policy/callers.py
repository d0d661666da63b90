"""Who may call."""

from __future__ import annotations

from .rule import first, grants, policy, template

EVERYONE = {"allUsers", "allAuthenticatedUsers"}


@policy
def nobody_is_everybody(state):
    """allUsers only on ingest-api, and only because ingest_access says public."""
    for one, role, member in grants(state):
        by_choice = (
            one.type == "google_cloud_run_v2_service_iam_member"
            and (one.values["name"], role, member) == ("ingest-api", "roles/run.invoker", "allUsers")
            and state.variables.get("ingest_access") == "public"
        )
        if member in EVERYONE and not by_choice:
            yield f"{one}: {member} has {role}"


@policy
def unchecked_services_are_internal(state):
    """Cloud Run's own check is off only where the internet can't reach, or on ingest-api because ingest_access says so."""
    for one in state.of("google_cloud_run_v2_service"):
        by_choice = one.values["name"] == "ingest-api" and state.variables.get("ingest_access") == "unchecked"
        internal = one.values.get("ingress") == "INGRESS_TRAFFIC_INTERNAL_ONLY"
        if one.values.get("invoker_iam_disabled") and not internal and not by_choice:
            yield f"{one}: anyone on the internet passes"


@policy
def who_verifies_tokens_sees_them_whole(state):
    """Cloud Run's check takes the signature off: off it is, where PUSH_AUDIENCE or AUTH_GOOGLE_AUDIENCES needs it."""
    for one in state.of("google_cloud_run_v2_service"):
        env = {entry["name"] for entry in first(template(one), "containers")["env"]}
        verifies = env & {"PUSH_AUDIENCE", "AUTH_GOOGLE_AUDIENCES"}
        if verifies and not one.values.get("invoker_iam_disabled") and state.variables.get("ingest_access") != "public":
            yield f"{one}: {', '.join(sorted(verifies))} can't be checked behind Cloud Run's own check"


@policy
def googles_tokens_let_in_whom_we_name(state):
    """Anyone can have a Google account, and a token made for any audience: without a list, each of them is a user."""
    for one in state.of("google_cloud_run_v2_service"):
        env = {entry["name"] for entry in first(template(one), "containers")["env"]}
        if "AUTH_GOOGLE_AUDIENCES" in env and "AUTH_GOOGLE_ACCOUNTS" not in env:
            yield f"{one}: everyone with a Google account may use it"
