"""What several test files use."""

import os
import sys

import pytest


@pytest.fixture(scope="session")
def mounts():
    """The right to mount and to change the root, as a Linux machine's root has it."""
    if sys.platform != "linux" or os.geteuid() != 0:
        why = "needs root on Linux: images are built and started in folders of their own"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


@pytest.fixture(scope="session")
def images(mounts):
    """The four images, built once without Docker."""
    from image_build import build

    with build() as built:
        yield built


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A copy of our Terraform to run terraform in; what is made there is made once."""
    from terraform_run import Workspace

    return Workspace(tmp_path_factory.mktemp("terraform"))


@pytest.fixture
def cloud():
    """A project of Google Cloud's with an old release deployed, and two newer ones pushed."""
    from deploy_scenario import new_cloud

    cloud = new_cloud("v1.2.3", "v1.2.4")
    yield cloud
    cloud.close()
