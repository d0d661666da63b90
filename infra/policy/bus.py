"""Topics and subscriptions."""

from __future__ import annotations

from .rule import first, grants, policy, template


@policy
def subscriptions_lose_nothing(state):
    """Each never expires and has dead letters, which are kept by a subscription that never expires."""
    subscriptions = state.of("google_pubsub_subscription")
    kept = {one.values["topic"] for one in subscriptions if not first(one.values, "dead_letter_policy")}
    for one in subscriptions:
        expiration = first(one.values, "expiration_policy")
        if not expiration or expiration.get("ttl") != "":
            yield f"{one}: is deleted when nobody consumes"
        letters = first(one.values, "dead_letter_policy")
        if not letters and not one.values["name"].endswith("-dead-letters"):
            yield f"{one}: has no dead letters"
        elif letters and letters["dead_letter_topic"] not in kept:
            yield f"{one}: nobody keeps its dead letters"


@policy
def pubsub_may_move_dead_letters(state):
    agents = {
        (one.type, one.values.get("topic") or one.values.get("subscription"), role)
        for one, role, member in grants(state)
        if member.endswith("@gcp-sa-pubsub.iam.gserviceaccount.com")
    }
    for one in state.of("google_pubsub_subscription"):
        if not first(one.values, "dead_letter_policy"):
            continue
        name = one.values["name"]
        if ("google_pubsub_topic_iam_member", f"{name}-dead-letters", "roles/pubsub.publisher") not in agents:
            yield f"{one}: Pub/Sub may not publish its dead letters"
        if ("google_pubsub_subscription_iam_member", name, "roles/pubsub.subscriber") not in agents:
            yield f"{one}: Pub/Sub may not acknowledge what it moved"


@policy
def pushes_carry_a_token(state):
    """Of the account that the worker believes, for the audience that it expects, to the worker's own address. (Before there
    are services, nobody is there to believe them.)"""
    if not state.of("google_cloud_run_v2_service"):
        return
    believed = {}
    for one in state.of("google_cloud_run_v2_service"):
        env = {entry["name"]: entry.get("value") for entry in first(template(one), "containers")["env"]}
        if env.get("PUBSUB_DELIVERY") == "push":
            believed[(env.get("PUSH_AUDIENCE"), env.get("PUSH_SERVICE_ACCOUNT"))] = one
    for one in state.of("google_pubsub_subscription"):
        push = first(one.values, "push_config")
        if not push:
            continue
        token = first(push, "oidc_token") or {}
        audience = token.get("audience")
        if not push["push_endpoint"].startswith("https://") or (audience, token.get("service_account_email")) not in believed:
            yield f"{one}: no worker believes its pushes"
        elif push["push_endpoint"] != audience:
            yield f"{one}: its token is for another service than it pushes to"
