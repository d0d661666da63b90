"""What runs."""

from __future__ import annotations

from .rule import RUNS, first, policy, template


@policy
def images_are_named_by_digest(state):
    for one in state.of(*RUNS):
        for container in template(one)["containers"]:
            if "@sha256:" not in container["image"]:
                yield f"{one}: {container['image']} can become another image"


@policy
def instances_are_bounded(state):
    """A flood costs no more than this, and the database has connections for it (the stack checks that)."""
    for one in state.of("google_cloud_run_v2_service"):
        of_service = (first(one.values, "scaling") or {}).get("max_instance_count")
        of_revision = (first(one.values, "template", "scaling") or {}).get("max_instance_count")
        if not of_service or not of_revision or of_service > 100:
            yield f"{one}: has no bound on its instances"


@policy
def private_addresses_go_through_the_network(state):
    for one in state.of(*RUNS):
        access = first(template(one), "vpc_access") or {}
        if access.get("egress") != "PRIVATE_RANGES_ONLY" or not (access.get("connector") or access.get("network_interfaces")):
            yield f"{one}: does not reach the database's network"


@policy
def programs_are_probed(state):
    for one in state.of("google_cloud_run_v2_service", "google_cloud_run_v2_worker_pool"):
        container = first(template(one), "containers")
        paths = [(first(container, probe, "http_get") or {}).get("path") for probe in ("startup_probe", "liveness_probe")]
        if paths != ["/health/ready", "/health"]:
            yield f"{one}: its probes are {paths}"
