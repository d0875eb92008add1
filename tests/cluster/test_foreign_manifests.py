"""Other people's manifests, unmodified: every pod gets ready, and every Service answers on every port by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kapi.resources import SERVICES
from netnslab.lab import Lab

MANIFESTS = Path(__file__).parents[3] / "shared" / "manifests"
NAMES = ("online-boutique", "guestbook-go")
TOOLS = """
apiVersion: v1
kind: Pod
metadata: {name: asking}
spec:
  containers: [{name: asking, image: asking, command: [sleep, infinity]}]
"""


@pytest.fixture
async def applied(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A manifest, applied with kubectl into a namespace of its own, beside a pod to ask from."""
    name = str(request.param)
    manifest = MANIFESTS / f"{name}.yaml"
    if not manifest.exists():
        pytest.skip(f"{manifest.name} is not beside this checkout, in ../shared/manifests: it is not ours to keep")
    (await lab.kubectl("create", "namespace", name)).check()
    (await lab.kubectl("apply", "-n", name, "-f", str(manifest))).check()
    (await lab.kubectl("apply", "-n", name, "-f", "-", given=TOOLS)).check()
    yield name
    (await lab.kubectl("delete", "namespace", name, "--wait=false")).check()


@pytest.mark.root
@pytest.mark.timeout(120)
@pytest.mark.parametrize("applied", NAMES, indirect=True)
async def test_a_manifest_from_the_wild_works_as_it_is(lab: Lab, applied: str) -> None:
    (await lab.kubectl("wait", "-n", applied, "--for=condition=Ready", "pod", "--all", "--timeout=90s")).check()
    asked = 0
    for service in (await lab.client.list(SERVICES, applied)).items:
        name = service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            url = f"http://{name}:{port['port']}/"
            answer = await lab.exec(f"{applied}/asking", "curl", "-sS", "--max-time", "3", url)
            assert f"pod: {service['spec']['selector']['app']}-" in answer.check(), url
            asked += 1
    assert asked >= 3
