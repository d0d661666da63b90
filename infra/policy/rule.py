"""What policies are written with."""

from __future__ import annotations

from typing import Callable, Iterator

ALL: dict[str, Callable] = {}
RUNS = ("google_cloud_run_v2_service", "google_cloud_run_v2_worker_pool", "google_cloud_run_v2_job")


def policy(function: Callable) -> Callable:
    ALL[function.__name__] = function
    return function


def grants(state) -> Iterator[tuple]:
    """Each (resource, role, member) of all that grants something."""
    for one in state.resources:
        role = one.values.get("role")
        if "_iam_" in one.type and isinstance(role, str):
            for member in one.values.get("members") or [one.values.get("member")]:
                yield one, role, member


def first(values: dict, *path: str):
    """The value at a path of blocks, each of which terraform keeps as a list."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
        if isinstance(values, list) and (not values or isinstance(values[0], dict)):
            values = values[0] if values else None
    return values


def template(one) -> dict:
    """What the instances of a service, pool or job are made from."""
    outer = first(one.values, "template") or {}
    return first(outer, "template") or {} if one.type == "google_cloud_run_v2_job" else outer


def account_of(one) -> str:
    return template(one).get("service_account") or ""
