"""Who may do what."""

from __future__ import annotations

from .rule import RUNS, account_of, grants, policy

PRIMITIVE = {"roles/owner", "roles/editor", "roles/viewer"}


@policy
def no_primitive_roles(state):
    for one, role, member in grants(state):
        if role in PRIMITIVE:
            yield f"{one}: {member} has {role}"


@policy
def nobody_administers(state):
    """Neither a role that manages others' access nor one that makes tokens for other accounts is ours to give."""
    for one, role, member in grants(state):
        if "admin" in role.lower() or role in ("roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountKeyAdmin"):
            yield f"{one}: {member} has {role}"
    for one in state.of("google_project_iam_custom_role"):
        for permission in one.values["permissions"]:
            if "setIamPolicy" in permission or "*" in permission or permission.endswith(("secrets.access", "versions.access")):
                yield f"{one}: holds {permission}"


# What an account may have on the whole project; all else is granted on one resource.
ON_THE_PROJECT = {
    "roles/cloudsql.instanceUser": {"ingest-api", "llm-worker", "persist-worker", "parlance-migrate", "parlance-operator"},
    "roles/monitoring.metricWriter": {"ingest-api", "llm-worker", "persist-worker"},
    "roles/telemetry.tracesWriter": {"ingest-api", "llm-worker", "persist-worker"},
    "roles/pubsub.viewer": {"parlance-operator", "parlance-build"},
    "roles/logging.logWriter": {"parlance-deployer", "parlance-build"},
    "roles/monitoring.viewer": {"parlance-deployer"},
    "projects/my-parlance/roles/parlanceDeployer": {"parlance-deployer"},
    "roles/workflows.invoker": {"parlance-eventarc"},
    "roles/run.developer": {"parlance-build"},
    "roles/serviceusage.serviceUsageViewer": {"parlance-build"},
}


@policy
def few_roles_on_the_whole_project(state):
    for one, role, member in grants(state):
        if one.type.startswith("google_project_iam_") and member.split(":")[-1].split("@")[0] not in ON_THE_PROJECT.get(role, ()):
            yield f"{one}: {member} has {role} on the whole project"


@policy
def no_keys_of_service_accounts(state):
    for one in state.of("google_service_account_key"):
        yield f"{one}: a key that can be lost; programs on Google Cloud need none"


@policy
def programs_run_as_their_own_accounts(state):
    """One for each program, made here; none as the default account."""
    made = {one.values["account_id"] for one in state.of("google_service_account")}
    users: dict[str, str] = {}
    for one in state.of(*RUNS):
        account = account_of(one)
        if account.split("@")[0] not in made or account.endswith("developer.gserviceaccount.com"):
            yield f"{one}: runs as {account or 'the default account'}"
        program = one.values["name"].removesuffix("-pool")
        if users.setdefault(account, program) != program:
            yield f"{one}: shares its account with {users[account]}"
