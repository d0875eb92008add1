from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest
from tests.cluster.space import Space, command

from kapi.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SERVICE_ACCOUNTS
from netnslab.lab import Lab

Json = dict[str, Any]


async def test_volumes_are_where_a_container_looks_for_them(space: Space) -> None:
    """At paths that this machine has, and at some that it has not: there it shall have none afterwards, either."""
    await space.lab.client.create(CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"a.conf": "1"}}, space.name)
    paths = ["/etc/no-such/conf", "/no-such/conf", "/opt", "/usr/share/no-such"]
    mounts = [{"name": "settings", "mountPath": path} for path in paths]
    mounts += [{"name": "settings", "mountPath": "/etc/no-such.conf", "subPath": "a.conf"}]
    mounts += [{"name": "own", "mountPath": "/srv/no-such"}]
    before = command("sh", "-c", "echo hello > /srv/no-such/file", volumeMounts=mounts) | {"name": "before"}
    volumes: list[Json] = [{"name": "settings", "configMap": {"name": "settings"}}, {"name": "own", "emptyDir": {}}]
    containers = [command("sleep", "60", volumeMounts=mounts)]
    name = await space.create({"initContainers": [before], "containers": containers, "volumes": volumes})
    await space.ready(name)
    read = " ".join(f"{path}/a.conf" for path in paths)
    seen = await space.exec(
        name, "sh", "-c", f"cat {read} /etc/no-such.conf; cat /srv/no-such/file; head -n1 /etc/hosts"
    )
    assert seen == "11111hello\n127.0.0.1\tlocalhost\n"
    refused = await space.lab.exec(f"{space.name}/{name}", "touch", "/opt/x")
    assert "Read-only file system" in refused.stderr
    assert not any(map(os.path.exists, ("/etc/no-such", "/no-such", "/etc/no-such.conf", "/srv/no-such")))


async def test_files_follow_their_configmap_and_what_was_started_keeps_its_variables(space: Space) -> None:
    await space.lab.client.create(CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"a": "1"}}, space.name)
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
    mounts = [{"name": "v", "mountPath": "/mnt"}, {"name": "v", "mountPath": "/srv/part", "subPath": "a"}]
    volumes = [{"name": "v", "configMap": {"name": "settings"}}]
    name = await space.create(
        {"containers": [command("sleep", "60", env=env, volumeMounts=mounts)], "volumes": volumes}
    )
    await space.ready(name)
    await space.lab.client.patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}}, space.name)
    async with asyncio.timeout(10):
        while await space.exec(name, "cat", "/mnt/a") != "2":  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)
    await space.lab.client.delete(CONFIG_MAPS, "settings", space.name)
    shown = await space.lab.kubectl(
        "exec", f"--namespace={space.name}", name, "--", "sh", "-c", "cat /srv/part; echo $A"
    )
    assert shown.stdout == "11\n", shown.stderr


async def test_a_pod_waits_for_a_configmap_that_its_volume_needs_and_says_so(space: Space) -> None:
    mounts = [{"name": "v", "mountPath": "/mnt"}]
    spec = {"containers": [command("sleep", "60", volumeMounts=mounts)]}
    name = await space.create({**spec, "volumes": [{"name": "v", "configMap": {"name": "later"}}]})
    assert await space.event(name, "FailedMount") == (
        'FailedMount: MountVolume.SetUp failed for volume "v" : configmap "later" not found'
    )
    waiting = await space.until(name, lambda status: status.get("containerStatuses"), "told")
    assert waiting["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    may = await space.create({**spec, "volumes": [{"name": "v", "configMap": {"name": "later", "optional": True}}]})
    await space.ready(may)
    await space.lab.client.create(CONFIG_MAPS, {"metadata": {"name": "later"}, "data": {"a": "1"}}, space.name)
    await space.ready(name)


async def test_a_pod_waits_for_its_claim_and_may_only_read_what_it_claims_for_reading(space: Space) -> None:
    mounts = [{"name": "v", "mountPath": "/mnt"}]
    source = {"claimName": "data", "readOnly": True}
    spec = {"containers": [command("sleep", "60", volumeMounts=mounts)]}
    name = await space.create({**spec, "volumes": [{"name": "v", "persistentVolumeClaim": source}]})
    assert 'persistentvolumeclaim "data" not found' in await space.event(name, "FailedMount")
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await space.lab.client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "data"}, "spec": asked}, space.name)
    await space.ready(name)
    assert "Read-only" in await space.exec(name, "sh", "-c", "echo x 2>&1 > /mnt/x || true")


async def test_a_volume_that_cannot_be_had_is_an_empty_folder_and_an_event_says_so(space: Space) -> None:
    mounts = [{"name": "v", "mountPath": "/mnt"}]
    volumes = [{"name": "v", "nfs": {"server": "a", "path": "/"}}]
    name = await space.create({"containers": [command("sleep", "60", volumeMounts=mounts)], "volumes": volumes})
    await space.ready(name)
    assert "volume v: nfs cannot be had here" in await space.event(name, "VolumeStandIn")
    assert await space.exec(name, "sh", "-c", "echo x > /mnt/x; ls /mnt") == "x\n"


API = "https://kubernetes.default.svc/api/v1/namespaces"
WHO = """
from kubernetes import client, config
config.load_incluster_config()
print(client.AuthenticationV1Api().create_self_subject_review({}).status.user_info.username)
"""
CURL = """
cd /var/run/secrets/kubernetes.io/serviceaccount
curl -s --cacert ca.crt -H "Authorization: Bearer $(cat token)" $API/$(cat namespace)
"""


async def test_a_pod_reaches_the_api_as_its_service_account(space: Space) -> None:
    name = await space.create({"containers": [command("sleep", "60")]})
    await space.ready(name)
    assert f'"name":"{space.name}"' in await space.exec(name, "sh", "-c", f"API={API}{CURL}")
    assert await space.exec(name, sys.executable, "-c", WHO) == f"system:serviceaccount:{space.name}:default\n"
    assert f"pod/{name}\n" in await space.exec(
        name, "kubectl", "get", "pods", f"--namespace={space.name}", "--output=name"
    )
    for host in ("kubernetes.default", "kubernetes.default.svc.cluster.local", "10.96.0.1"):
        where = ("--cacert", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", f"https://{host}/readyz")
        assert await space.exec(name, "curl", "-s", *where) == "ok"
    nobody = await space.exec(name, "curl", "-sk", "https://kubernetes.default/api/v1/pods")
    assert '"message":"Unauthorized"' in nobody


@pytest.mark.parametrize("who", ["pod", "account"])
async def test_a_pod_that_wants_no_token_has_none(space: Space, who: str) -> None:
    wants_none = {"automountServiceAccountToken": False}
    account = {"metadata": {"name": "quiet"}, **(wants_none if who == "account" else {})}
    await space.lab.client.create(SERVICE_ACCOUNTS, account, space.name)
    spec = {"containers": [command("sleep", "60")], "serviceAccountName": "quiet"}
    name = await space.create({**spec, **(wants_none if who == "pod" else {})})
    await space.ready(name)
    assert await space.exec(name, "ls", "/var/run/secrets/kubernetes.io/serviceaccount") == ""


async def test_the_programs_of_this_project_find_the_cluster_on_a_node(lab: Lab) -> None:
    assert "worker-1" in (await lab.exec("node/worker-1", "kubectl", "get", "nodes")).check()
    asked = ("kproxy", "explain", "10.244.1.9", "10.96.0.1", "443")
    assert "default/kubernetes" in (await lab.exec("node/worker-1", *asked)).check()
    assert "10.96.0.1" in (await lab.exec("node/worker-1", "kdns", "explain", "kubernetes.default")).check()
