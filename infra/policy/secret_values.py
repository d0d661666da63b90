"""Who reads which secret, and where no secret is."""

from __future__ import annotations

from .rule import RUNS, account_of, first, grants, policy, template

ACCESSOR = "roles/secretmanager.secretAccessor"


@policy
def secrets_are_read_by_who_needs_them(state):
    """Exactly those whose environment, or whose files, have the secret. (Before there are services, nobody has any yet.)"""
    if not state.of(*RUNS):
        return
    needed: dict[str, set[str]] = {}
    for one in state.of(*RUNS):
        names = [
            first(entry, "value_source", "secret_key_ref")["secret"]
            for container in template(one)["containers"]
            for entry in container.get("env") or []
            if entry.get("value_source")
        ]
        names += [first(volume, "secret")["secret"] for volume in template(one).get("volumes") or [] if volume.get("secret")]
        for name in names:
            needed.setdefault(name, set()).add(f"serviceAccount:{account_of(one)}")
    readers: dict[str, set[str]] = {}
    for one, role, member in grants(state):
        if role == ACCESSOR:
            if one.type != "google_secret_manager_secret_iam_binding":
                yield f"{one}: whoever else may read is only told by a binding on the secret"
            readers.setdefault(one.values.get("secret_id", "every secret"), set()).add(member)
    for name in sorted(needed.keys() | readers.keys()):
        for member in sorted(needed.get(name, set()) - readers.get(name, set())):
            yield f"{name}: {member} needs it and may not read it"
        for member in sorted(readers.get(name, set()) - needed.get(name, set())):
            yield f"{name}: {member} may read it and does not need it"


@policy
def no_secret_in_the_state(state):
    """Values are added by the script, or written without being kept; nobody has a password."""
    for one in state.of("google_secret_manager_secret_version"):
        if one.values.get("secret_data"):
            yield f"{one}: its value is in the state"
    for one in state.of("google_sql_user", "google_sql_database_instance"):
        if one.values.get("password") or one.values.get("root_password"):
            yield f"{one}: its password is in the state"
    for one in state.of(*RUNS):
        for entry in first(template(one), "containers").get("env") or []:
            if entry["name"].endswith(("_API_KEY", "_PASSWORD", "ID_SECRET")) and entry.get("value"):
                yield f"{one}: {entry['name']} is in the clear"
