"""The deploy workflow (infra/workflows), its real source, in workflows-emulator against a mock of Google's APIs over HTTP.

Where the emulator differs from Workflows, the source avoids it, and workflow_rules.py refuses it:
- a switch goes on with the next condition after one that has only `steps` or `assign`; `next` beside `for`, `try`, `steps` is ignored;
- `default(x, y)` replaces 0, "" and false, too; `if()`, `null`, `true` in an expression are no Python; null becomes "None";
- `retry` ignores initial_delay and max_delay; `try` without `except` fails; `parallel` is of its own kind;
- text around `${…}` is interpolated there, and is not in Workflows; braces end an expression;
- no limits: length of an expression, size of the source, number of parameters.
What is put right instead (mocks/workflow.py): identity tokens, cut connections, a lock, maps in expressions.
What stays untested here: that Workflows evaluates as documented, memory (512 KB) and call depth, quotas, and Cloud Run itself.
"""

import pytest

from deploy_scenario import (
    OLD,
    REPOSITORY,
    SERVICES,
    SHARES,
    assert_promoted,
    assert_rolled_back,
    assert_untouched,
    deploy,
    image,
    new_images,
    push,
    served,
)


# -- promoted


def test_a_release_is_promoted_service_by_service(cloud):
    result = deploy(cloud)
    assert_promoted(cloud)
    assert cloud.run.migrations == [image(cloud, "parlance")]

    # By digest, in order, each without traffic first, and never anything but the old and the new.
    expected = []
    for service in SERVICES:
        old, new = f"{service}-00001-old", result["revisions"][service]
        expected += [(service, {old: 100 - share, new: share}) for share in SHARES[:-1]] + [(service, {new: 100})]
    assert cloud.run.history == expected
    for service in SERVICES:
        revision = cloud.run.revisions[result["revisions"][service]]
        assert revision["annotations"] == {"parlance-message": "1001"}
        assert revision["labels"] == {"parlance-release": "v1-2-3"}
        template = cloud.run.services[service]["template"]
        assert "revision" not in template
        # All else as it was.
        ours = next(c for c in template["containers"] if "ports" in c)
        assert ours["env"] == [{"name": "A", "value": 'it\'s \\ "1"\n'}]
        assert template["timeout"] == "300s"
        # A sidecar keeps its image.
        sidecars = [c["image"] for c in template["containers"] if "ports" not in c]
        assert sidecars == ["gcr.io/collector@sha256:0"] * (service == "llm-worker")

    # The chat went through the new ingest-api, before it had traffic, and left nothing behind.
    calls = [(method, path) for _, method, path, _ in cloud.calls]
    chat = calls.index(("POST", "/-/candidate---ingest-api/v1/messages"))
    writes = [i for i, call in enumerate(calls) if call[0] == "PATCH" and call[1].endswith("/services/ingest-api")]
    assert writes[1] < chat < writes[2]
    assert len(cloud.deleted_sessions) == len(cloud.chats) == 1
    # The migration came first.
    assert calls.index(("POST", f"/v2/{cloud.run.parent}/jobs/parlance-migrate:run")) < next(
        i for i, call in enumerate(calls) if call[0] == "PATCH" and "/services/" in call[1]
    )

    assert cloud.published == [result]
    assert result == {
        "id": "1001",
        "outcome": "promoted",
        "reason": "",
        "step": "done",
        "release": "v1.2.3",
        "execution": "exec-1",
        "digests": {name: cloud.tags[name, "v1.2.3"] for name in [*SERVICES, "parlance"]},
        "previous": {service: f"{service}-00001-old" for service in SERVICES},
        "revisions": result["revisions"],
        "promoted": SERVICES,
        "started_at": result["started_at"],
        "finished_at": result["finished_at"],
        "duration_seconds": result["duration_seconds"],
    }
    assert result["started_at"] <= result["finished_at"]


def test_few_requests_do_not_stop_a_release(cloud):
    cloud.default_counts = (19, 19)
    assert deploy(cloud)["outcome"] == "promoted"


def test_no_requests_at_all(cloud):
    cloud.default_counts = (0, 0)
    assert deploy(cloud)["outcome"] == "promoted"


def test_workers_that_cannot_be_reached_may_go_unprobed(cloud):
    cloud.unhealthy = {cloud.tags["persist-worker", "v1.2.3"]}
    assert deploy(cloud, probe_workers=False)["outcome"] == "promoted"


def test_a_release_by_hand(cloud):
    assert deploy(cloud, {"release": "v1.2.3"})["outcome"] == "promoted"
    assert_promoted(cloud)
    # Once more, for settings that have changed since: new revisions of the same images.
    result = deploy(cloud, {"release": "v1.2.3", "settings": {"shares": [100]}}, "exec-2")
    assert result["outcome"] == "promoted"
    assert result["previous"] != result["revisions"]
    assert [shares for _, shares in cloud.run.history[-3:]] == [{result["revisions"][s]: 100} for s in SERVICES]


# -- rolled back


@pytest.mark.parametrize("service", SERVICES)
def test_a_probe_fails(cloud, service):
    cloud.unhealthy = {cloud.tags[service, "v1.2.3"]}
    result = deploy(cloud)
    assert_rolled_back(cloud, f"{service}/probe", result)
    assert result["promoted"] == SERVICES[: SERVICES.index(service)]
    assert "503" in result["reason"]
    # The new revision was never given any.
    assert all(len(shares) == 1 for name, shares in cloud.run.history if name == service)
    # The last one promoted goes back first.
    undone = [name for name, shares in cloud.run.history if shares == {f"{name}-00001-old": 100}]
    assert undone == SERVICES[: SERVICES.index(service)][::-1]


@pytest.mark.parametrize("outcome", [("failed", "half a"), ("cancelled", ""), ("completed", ""), ("running", "still")])
def test_the_chat_fails(cloud, outcome):
    cloud.chat_outcomes = {cloud.tags["ingest-api", "v1.2.3"]: outcome}
    result = deploy(cloud)
    assert_rolled_back(cloud, "ingest-api/chat", result)
    assert result["promoted"] == ["persist-worker", "llm-worker"]
    assert len(cloud.deleted_sessions) == 1


def test_a_token_that_ingest_does_not_take(cloud):
    assert_rolled_back(cloud, "ingest-api/chat", deploy(cloud, audience="https://other.example"))


def test_errors_rise_at_half_of_the_traffic(cloud):
    cloud.counts = {("llm-worker", 50): (200, 30)}
    result = deploy(cloud)
    assert_rolled_back(cloud, "llm-worker/50%", result)
    assert result["reason"] == "30 of 200 requests were answered with 5xx"
    new = result["revisions"]["persist-worker"]
    assert cloud.run.history[-5:] == [
        ("persist-worker", {new: 100}),
        *[("llm-worker", shares) for shares in llm_shares(cloud)],
        ("llm-worker", {"llm-worker-00001-old": 100}),
        ("persist-worker", {"persist-worker-00001-old": 100}),
    ]
    # ingest-api was not touched: it still follows its latest revision, as Terraform left it.
    assert cloud.run.services["ingest-api"]["traffic"] == [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    # The schema stays, and so does the image that knows it.
    assert cloud.run.job_image() == image(cloud, "parlance")


def llm_shares(cloud):
    [new] = [name for name in cloud.run.revisions if name.startswith("llm-worker") and not name.endswith("old")]
    return [{"llm-worker-00001-old": 90, new: 10}, {"llm-worker-00001-old": 50, new: 50}]


def test_errors_rise_with_all_of_the_traffic(cloud):
    cloud.counts = {("ingest-api", 100): (1000, 21)}
    assert_rolled_back(cloud, "ingest-api/100%", deploy(cloud))


def test_as_many_errors_as_allowed(cloud):
    cloud.default_counts = (1000, 20)
    assert deploy(cloud)["outcome"] == "promoted"


def test_a_revision_does_not_start(cloud):
    cloud.run.fails_to_start = {image(cloud, "llm-worker")}
    result = deploy(cloud)
    assert_rolled_back(cloud, "llm-worker", result)
    assert "not ready" in result["reason"]


def test_a_revision_is_never_ready(cloud):
    cloud.run.never_ready = {image(cloud, "llm-worker")}
    result = deploy(cloud)
    assert_rolled_back(cloud, "llm-worker", result)
    assert result["reason"] == "not done after 4 looks, 0 s apart"


@pytest.mark.parametrize("how", ["migration_fails", "migration_hangs"])
def test_the_migration_fails(cloud, how):
    setattr(cloud.run, how, {image(cloud, "parlance")})
    result = deploy(cloud)
    assert_rolled_back(cloud, "migrate", result)
    assert cloud.run.history == []
    assert all(service["traffic"][0]["type"].endswith("LATEST") for service in cloud.run.services.values())
    assert len(cloud.run.revisions) == len(SERVICES)
    assert cloud.run.job_image() == f"{REPOSITORY}/parlance@{OLD}"


def test_traffic_that_is_split_already_is_no_way_back(cloud):
    service = cloud.run.services["llm-worker"]
    service["trafficStatuses"] = [{**service["trafficStatuses"][0], "percent": 60}]
    result = deploy(cloud)
    assert (result["outcome"], result["step"]) == ("rolled_back", "begin")
    assert "llm-worker" in result["reason"]
    assert cloud.run.migrations == []
    assert cloud.run.history == []


def test_a_service_that_cannot_be_put_back_is_said_and_locks_nobody_out(cloud):
    cloud.chat_outcomes = {cloud.tags["ingest-api", "v1.2.3"]: ("failed", "")}
    # Its first writes are the revision, the tag and three shares; then it refuses.
    writes = []

    def refuse(call):
        if call[1] == "PATCH" and call[2].endswith("/services/llm-worker"):
            writes.append(call)
            if len(writes) == 6:
                cloud.faults.append(["^PATCH .*/services/llm-worker$", 403, 1])

    cloud.before = refuse
    result = deploy(cloud)
    assert result["outcome"] == "rollback_failed"
    assert result["reason"].endswith("; not put back are llm-worker")
    assert cloud.run.shares("persist-worker") == {"persist-worker-00001-old": 100}
    assert cloud.run.record()["execution"] == ""
    assert deploy(cloud, push(cloud, "v1.2.4", "1002"), "exec-2")["outcome"] == "promoted"


def test_a_promoted_release_is_rolled_back_by_hand(cloud):
    deploy(cloud)
    deploy(cloud, push(cloud, "v1.2.4", "1002"), "exec-2")
    result = deploy(cloud, {"rollback": True}, "exec-3")
    assert (result["outcome"], result["release"], result["reason"]) == ("rolled_back", "v1.2.4", "by hand")
    assert served(cloud) == new_images(cloud)
    assert [name for name, _ in cloud.run.history[-3:]] == SERVICES[::-1]
    assert cloud.run.record()["current"] == "v1.2.3"
    # There is one step back, not two.
    assert deploy(cloud, {"rollback": True}, "exec-4")["outcome"] == "skipped"
    # Its event, coming late, does not bring it back; a new push of it does.
    assert deploy(cloud, push(cloud, "v1.2.4", "1002"), "exec-5")["outcome"] == "skipped"
    assert deploy(cloud, push(cloud, "v1.2.4", "1003"), "exec-6")["outcome"] == "promoted"


# -- skipped


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": "DELETE"}, "action DELETE"),
        ({"tag": None}, "no tag"),
        ({"digest": None}, "no digest"),
        ({"tag": f"{REPOSITORY}/parlance:latest"}, "no release"),
        ({"tag": f"{REPOSITORY}/parlance:v1.2"}, "no release"),
        ({"tag": f"{REPOSITORY}/parlance:v1.2.3-rc1"}, "no release"),
        ({"tag": f"{REPOSITORY}/parlance:v01.2.3"}, "no release"),
        ({"tag": f"{REPOSITORY}/other:v1.2.3"}, "no image"),
        ({"digest": f"{REPOSITORY}/parlance@sha256:123"}, "no image"),
        ({"digest": "parlance"}, "no image"),
        (
            {
                "digest": f"europe-west1-docker.pkg.dev/evil/parlance/parlance@{OLD}",
                "tag": "europe-west1-docker.pkg.dev/evil/parlance/parlance:v1.2.3",
            },
            "is not in",
        ),
        ({"digest": f"{REPOSITORY}/ingest-api@{OLD}", "tag": f"{REPOSITORY}/ingest-api:v1.2.3"}, "does not complete"),
        ({"tag": f"{REPOSITORY}/parlance:v1.2.4"}, "has moved"),
        ({"tag": f"{REPOSITORY}/parlance:v9.9.9"}, "has no tag"),
    ],
)
def test_what_is_no_release_is_skipped(cloud, changes, reason):
    result = deploy(cloud, push(cloud, **changes))
    assert result["outcome"] == "skipped"
    assert reason in result["reason"]
    assert cloud.published == [result]
    assert_untouched(cloud)


@pytest.mark.parametrize(
    "argument",
    [{}, {"rollback": False}, {"data": {}}, {"data": {"message": {"messageId": "1"}}}, {"data": {"message": {"messageId": "1", "data": "%%%"}}}],
)
def test_what_is_no_event_is_skipped(cloud, argument):
    assert deploy(cloud, argument)["outcome"] == "skipped"
    assert_untouched(cloud)


def test_a_release_that_lacks_an_image_is_skipped(cloud):
    del cloud.tags["llm-worker", "v1.2.3"]
    assert "llm-worker has no tag v1.2.3" in deploy(cloud)["reason"]
    assert_untouched(cloud)


def test_without_an_audience_nothing_is_deployed(cloud):
    assert "audience" in deploy(cloud, audience="")["reason"]
    assert_untouched(cloud)


def test_an_older_release_does_not_replace_a_newer_one(cloud):
    deploy(cloud, push(cloud, "v1.2.4", "1002"))
    history = list(cloud.run.history)
    result = deploy(cloud, push(cloud, "v1.2.3", "1001"), "exec-2")
    assert (result["outcome"], cloud.run.history) == ("skipped", history)
    assert "older than v1.2.4" in result["reason"]


# -- APIs that are away


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_calls_are_tried_again(cloud, status):
    cloud.faults = [
        [pattern, status, 2]
        for pattern in (
            "^GET .*/tags/",
            "^GET /v2/",
            "^PATCH /v2/",
            "^POST .*:run",
            "^POST .*:publish",
            "^GET /v3/",
            "^POST .*/v1/messages",
        )
    ]
    assert deploy(cloud)["outcome"] == "promoted"
    assert [left for _, _, left in cloud.faults] == [0] * len(cloud.faults)


def test_tries_have_an_end(cloud):
    cloud.faults = [["^GET /v3/", 503, 1000]]
    assert_rolled_back(cloud, "persist-worker/10%", deploy(cloud))
    assert 1000 - cloud.faults[0][2] == 6


def test_a_refusal_is_not_tried_again(cloud):
    cloud.faults = [["^GET /v3/", 403, 1000]]
    assert_rolled_back(cloud, "persist-worker/10%", deploy(cloud))
    assert 1000 - cloud.faults[0][2] == 1


def test_a_topic_that_is_away_does_not_turn_a_release_back(cloud):
    cloud.faults = [["^POST .*:publish", 403, 1000]]
    assert deploy(cloud)["outcome"] == "promoted"
    assert_promoted(cloud)


def test_the_mock_refuses_what_cloud_run_refuses(cloud):
    """Else the tests above would prove little."""
    run, service = cloud.run, cloud.run.services["ingest-api"]
    path, kind = service["name"], "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
    traffic = [{"type": kind, "revision": "ingest-api-00001-old", "percent": 100}]

    def status(body, mask="traffic"):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            run.answer("PATCH", path, {"updateMask": mask}, body)
        return caught.value.status

    assert status({"etag": '"old"', "traffic": traffic}) == 409
    assert status({"traffic": traffic}) == 400
    assert status({"etag": service["etag"], "trafic": traffic}) == 400
    assert status({"etag": service["etag"], "traffic": [{**traffic[0], "percent": 90}]}) == 400
    assert status({"etag": service["etag"], "traffic": [{**traffic[0], "percent": "100"}]}) == 400
    assert status({"etag": service["etag"], "traffic": [{**traffic[0], "revision": "unknown"}]}) == 400
    assert status({"etag": service["etag"], "template": service["template"]}, "template") == 409
    assert run.answer("PATCH", path, {"updateMask": "traffic"}, {"etag": service["etag"], "traffic": traffic})["name"]
