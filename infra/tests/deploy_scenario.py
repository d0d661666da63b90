"""A project with the old images deployed, pushes to it, and what to look at afterwards: for the tests of the deploy workflow."""

import base64
import json

from mocks import workflow
from mocks.google_cloud import GoogleCloud

REPOSITORY = f"{GoogleCloud.region}-docker.pkg.dev/{GoogleCloud.project}/parlance"
SERVICES = ["persist-worker", "llm-worker", "ingest-api"]
OLD = "sha256:" + "0" * 64
SHARES = [10, 50, 100]


def digest(release, image):
    marks = {"persist-worker": "a", "llm-worker": "b", "ingest-api": "c", "parlance": "d"}
    return "sha256:" + (release.replace("v", "").replace(".", "") + marks[image]) * 16


def new_cloud(*releases):
    cloud = GoogleCloud()
    for service in SERVICES:
        cloud.run.add_service(service, f"{REPOSITORY}/{service}@{OLD}", sidecar=service == "llm-worker")
    cloud.run.add_job("parlance-migrate", f"{REPOSITORY}/parlance@{OLD}")
    for release in releases or ("v1.2.3",):
        for image in [*SERVICES, "parlance"]:
            cloud.tags[image, release] = digest(release, image).ljust(71, "0")[:71]
    return cloud


def envelope(message, body):
    data = base64.b64encode(json.dumps(body).encode()).decode()
    pushed = {"data": data, "messageId": message, "message_id": message, "publishTime": "2026-11-21T12:00:00Z"}
    return {
        "id": message,
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": f"//pubsub.googleapis.com/projects/{GoogleCloud.project}/topics/gcr",
        "specversion": "1.0",
        "data": {"message": pushed, "subscription": "projects/p/subscriptions/s"},
    }


def push(cloud, release="v1.2.3", message="1001", **changes):
    image = f"{REPOSITORY}/parlance"
    body = {"action": "INSERT", "digest": f"{image}@{cloud.tags['parlance', release]}", "tag": f"{image}:{release}"}
    return envelope(message, {key: value for key, value in {**body, **changes}.items() if value is not None})


def start(cloud, argument, name="exec-1", **settings):
    return workflow.Execution(cloud, name, argument, settings)


def deploy(cloud, argument=None, name="exec-1", **settings):
    return start(cloud, push(cloud) if argument is None else argument, name, **settings).end()


def image(cloud, service, release="v1.2.3"):
    return f"{REPOSITORY}/{service}@{cloud.tags[service, release]}"


def served(cloud):
    """Service → image that has all of the traffic; fails where traffic is split or a tag is left."""
    found = {}
    for service in SERVICES:
        [(revision, share)] = cloud.run.shares(service).items()
        assert share == 100
        assert cloud.run.tags(service) == []
        found[service] = cloud.run.image_of(revision)
    return found


def old_images():
    return {service: f"{REPOSITORY}/{service}@{OLD}" for service in SERVICES}


def new_images(cloud, release="v1.2.3"):
    return {service: image(cloud, service, release) for service in SERVICES}


def assert_untouched(cloud):
    assert served(cloud) == old_images()
    assert cloud.run.migrations == []
    assert cloud.run.history == []
    assert "annotations" not in cloud.run.jobs["parlance-migrate"]


def assert_promoted(cloud, release="v1.2.3"):
    assert served(cloud) == new_images(cloud, release)
    assert cloud.run.job_image() == image(cloud, "parlance", release)
    record = cloud.run.record()
    assert (record["state"], record["current"], record["execution"]) == ("promoted", release, "")


def assert_rolled_back(cloud, step, result):
    assert (result["outcome"], result["step"]) == ("rolled_back", step)
    assert cloud.published == [result]
    assert served(cloud) == old_images()
    record = cloud.run.record()
    assert (record["state"], record["current"], record["execution"]) == ("rolled_back", "", "")
