"""Once per message, one deploy at a time, and executions that die: the deploy workflow's turn and record (infra/workflows/turn.yaml, record.yaml).

How and against what it runs: test_deploy_workflow.py.
"""

import concurrent.futures
import json
import threading

import pytest

from deploy_scenario import (
    SERVICES,
    assert_promoted,
    assert_rolled_back,
    deploy,
    image,
    new_cloud,
    push,
    start,
)
from mocks import workflow


# -- once per message, one at a time


def test_a_duplicate_later_does_nothing(cloud):
    deploy(cloud)
    mutations = cloud.mutations()
    result = deploy(cloud, name="exec-2")
    assert (result["outcome"], cloud.mutations()) == ("skipped", mutations)
    assert "duplicate" in result["reason"]
    # The same image pushed again is another message, and the same release.
    assert "v1.2.3 is deployed" in deploy(cloud, push(cloud, message="1009"), "exec-3")["reason"]
    assert cloud.mutations() == mutations


def test_a_duplicate_of_a_release_that_was_rolled_back_does_nothing(cloud):
    cloud.unhealthy = {cloud.tags["ingest-api", "v1.2.3"]}
    deploy(cloud)
    cloud.unhealthy = set()
    assert deploy(cloud, name="exec-2")["outcome"] == "skipped"
    # A new push of it is a new attempt.
    assert deploy(cloud, push(cloud, message="1009"), "exec-3")["outcome"] == "promoted"


def meet_at_the_swap(cloud, executions):
    """Lets both read the job before either writes it."""
    barrier, first = threading.Barrier(executions), set()

    def wait(call):
        if call[1] == "PATCH" and call[2].endswith("/jobs/parlance-migrate") and call[0] not in first:
            first.add(call[0])
            barrier.wait(30)

    cloud.before = wait


def test_a_duplicate_at_the_same_moment_does_nothing(cloud):
    meet_at_the_swap(cloud, 2)
    both = [start(cloud, push(cloud), name) for name in ("exec-1", "exec-2")]
    results = [execution.end() for execution in both]
    assert sorted(result["outcome"] for result in results) == ["promoted", "skipped"]
    [loser] = [result["execution"] for result in results if result["outcome"] == "skipped"]
    # It tried, lost, and wrote nothing more.
    assert cloud.mutations(loser) == [("PATCH", f"/v2/{cloud.run.parent}/jobs/parlance-migrate")]
    assert cloud.run.migrations == [image(cloud, "parlance")]
    assert_promoted(cloud)


def test_two_releases_at_once_do_not_interleave(cloud):
    meet_at_the_swap(cloud, 2)
    older = start(cloud, push(cloud, "v1.2.3", "1001"), "exec-1")
    newer = start(cloud, push(cloud, "v1.2.4", "1002"), "exec-2")
    outcomes = [older.end()["outcome"], newer.end()["outcome"]]
    # Whoever comes first; the older one is not deployed over the newer one.
    assert outcomes in (["promoted", "promoted"], ["skipped", "promoted"])
    assert_promoted(cloud, "v1.2.4")
    on_services = [who for who, method, path, _ in cloud.calls if method == "PATCH" and "/services/" in path]
    assert on_services == sorted(on_services, key=on_services.index)
    assert len(cloud.run.migrations) == outcomes.count("promoted")


def test_the_jobs_etag_changes_under_us(cloud):
    """Its status changes when an execution of it starts or ends: no reason to fail, nor to write over anything."""
    touched = []

    def touch(call):
        if call[1] == "PATCH" and call[2].endswith("/jobs/parlance-migrate") and len(touched) < 5:
            touched.append(call)
            cloud.run.touch_job()

    cloud.before = touch
    assert deploy(cloud)["outcome"] == "promoted"
    assert len(touched) == 5


def test_a_change_by_somebody_else_is_kept(cloud):
    """Terraform changes the template between our read and our write."""
    done = []

    def change(call):
        if call[1] == "PATCH" and call[2].endswith("/services/llm-worker") and not done:
            done.append(call)
            service = cloud.run.services["llm-worker"]
            service["template"]["timeout"], service["etag"] = "600s", '"by terraform"'

    cloud.before = change
    assert deploy(cloud)["outcome"] == "promoted"
    assert cloud.run.services["llm-worker"]["template"]["timeout"] == "600s"


# -- executions that die


def kill_at(cloud, execution, matches, when):
    """Kills it at the request: `before` it is handled, or `after`, when all has been done and nobody hears of it."""
    dead = threading.Event()

    def kill(call):
        if not dead.is_set() and call[0] == execution.name and matches(call):
            execution.kill()
            dead.set()

    setattr(cloud, when, kill)
    return dead


def test_an_execution_dies_and_its_event_comes_again(cloud):
    first = start(cloud, push(cloud), "exec-1")
    seen = []

    def half(call):
        if call[1] == "PATCH" and call[2].endswith("/services/llm-worker"):
            seen.append(call)
        return len(seen) == 4  # revision, tag, 10 %, 50 %

    dead = kill_at(cloud, first, half, "after")
    with pytest.raises(workflow.ExecutionFailed, match="killed"):
        first.end()
    assert dead.is_set()
    revisions = set(cloud.run.revisions)
    result = deploy(cloud, name="exec-2")
    assert (result["outcome"], result["execution"]) == ("promoted", "exec-2")
    assert result["previous"] == {service: f"{service}-00001-old" for service in SERVICES}
    assert_promoted(cloud)
    # It went on: neither a second migration, nor a second revision of what there was.
    assert cloud.run.migrations == [image(cloud, "parlance")]
    assert {name for name in set(cloud.run.revisions) - revisions if not name.startswith("ingest-api")} == set()
    assert cloud.published == [result]


def test_an_execution_dies_and_the_next_release_settles_it(cloud):
    first = start(cloud, push(cloud), "exec-1")
    kill_at(cloud, first, lambda call: call[1] == "POST" and call[2].endswith("/v1/messages"), "after")
    with pytest.raises(workflow.ExecutionFailed, match="killed"):
        first.end()
    result = deploy(cloud, push(cloud, "v1.2.4", "1002"), "exec-2")
    assert_promoted(cloud, "v1.2.4")
    # First what was begun is undone, the last one first, and told.
    assert [(event["release"], event["outcome"]) for event in cloud.published] == [("v1.2.3", "rolled_back"), ("v1.2.4", "promoted")]
    assert cloud.published[0]["reason"] == "its execution died"
    assert result["previous"] == {service: f"{service}-00001-old" for service in SERVICES}
    # And its event, coming again, is over.
    assert deploy(cloud, name="exec-3")["outcome"] == "skipped"


def test_an_execution_dies_while_it_rolls_back(cloud):
    """There is no way forward again: what its record calls promoted may be back already."""
    cloud.chat_outcomes = {cloud.tags["ingest-api", "v1.2.3"]: ("failed", "")}
    first = start(cloud, push(cloud), "exec-1")

    def back(call):
        traffic = json.loads(call[3] or "{}").get("traffic", []) if call[1] == "PATCH" else []
        return [(entry["revision"], entry["percent"]) for entry in traffic] == [("llm-worker-00001-old", 100)] and b"template" not in call[3]

    dead = kill_at(cloud, first, back, "after")
    with pytest.raises(workflow.ExecutionFailed, match="killed"):
        first.end()
    assert dead.is_set()
    cloud.chat_outcomes = {}
    result = deploy(cloud, name="exec-2")
    assert_rolled_back(cloud, "ingest-api/chat", result)


def test_an_execution_that_died_with_all_promoted_was_a_success(cloud):
    first = start(cloud, push(cloud), "exec-1")
    kill_at(cloud, first, lambda call: call[2].endswith(":publish"), "before")
    with pytest.raises(workflow.ExecutionFailed, match="killed"):
        first.end()
    cloud.published.clear()
    assert deploy(cloud, push(cloud, "v1.2.4", "1002"), "exec-2")["outcome"] == "promoted"
    assert [(event["release"], event["outcome"]) for event in cloud.published] == [("v1.2.3", "promoted"), ("v1.2.4", "promoted")]


def test_an_execution_that_lives_is_not_overtaken(cloud):
    """However long it takes: the record has no clock."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(call):
        if call[0] == "exec-1" and call[2].endswith(":run"):
            reached.set()
            assert go_on.wait(30)

    cloud.before = hold
    first = start(cloud, push(cloud), "exec-1")
    assert reached.wait(30)
    assert "exec-1 is at it" in deploy(cloud, name="exec-2")["reason"]
    assert "too long" in deploy(cloud, push(cloud, "v1.2.4", "1002"), "exec-3", turn_polls=3, turn_seconds=0)["reason"]
    go_on.set()
    assert first.end()["outcome"] == "promoted"


SWEEP = {"shares": [50, 100], "step_polls": 1}


def crash_and_go_on(count):
    """Dies when its write number `count` has been done and it has not heard of it; then the event comes again."""
    cloud = new_cloud("v1.2.3")
    try:
        first = start(cloud, push(cloud), "exec-1", **SWEEP)
        writes = []

        def at_write(call):
            if call[1] in ("PATCH", "POST"):
                writes.append(call)
            return len(writes) == count

        dead = kill_at(cloud, first, at_write, "after")
        with pytest.raises(workflow.ExecutionFailed, match="killed"):
            first.end()
        assert dead.is_set()
        result = deploy(cloud, name="exec-2", **SWEEP)
        # After the last write there is nothing left to do.
        assert result["outcome"] == "promoted" or "done with" in result["reason"]
        assert_promoted(cloud)
        assert 1 <= len(cloud.run.migrations) <= 2
        # One new revision a service, however often it was asked for.
        assert len(cloud.run.revisions) == 2 * len(SERVICES)
        promoted = [event for event in cloud.published if event["outcome"] == "promoted"]
        assert 1 <= len(promoted) <= 2
        assert {event["id"] for event in promoted} == {"1001"}
    finally:
        cloud.close()


def test_an_execution_may_die_at_any_write(cloud):
    deploy(cloud, **SWEEP)
    writes = sum(method in ("PATCH", "POST") for _, method, _, _ in cloud.calls)
    assert writes > 20
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(crash_and_go_on, range(1, writes + 1)))
