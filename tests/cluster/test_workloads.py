"""Workloads of every kind with real pods."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.cluster.space import Space, command

from kapi.resources import DAEMON_SETS, JOBS, NODES, PODS, SERVICES, STATEFUL_SETS

Json = dict[str, Any]

LABELS = {"app": "web"}


def template(*argv: str, volumes: Json | None = None, **spec: Any) -> Json:
    """Pods that run a command of the host."""
    mounts = [{"name": name, "mountPath": path} for name, path in (volumes or {}).items()]
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [command(*argv, volumeMounts=mounts)], **spec}}


def workload(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": LABELS}, **spec}}


async def rolled_out(space: Space, name: str) -> str:
    told = await space.lab.kubectl("rollout", "status", name, "-n", space.name, "--timeout=15s")
    return told.check()


async def test_pods_of_a_stateful_set_are_found_by_their_names_and_keep_what_they_have(space: Space) -> None:
    ports = [{"name": "http", "port": 80}]
    headless = {"clusterIP": "None", "selector": LABELS, "ports": ports}
    await space.lab.client.create(SERVICES, {"metadata": {"name": "ring"}, "spec": headless}, space.name)
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    spec = {"serviceName": "ring", "replicas": 2, "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": asked}]}
    made = workload("web", template=template("sleep", "60", volumes={"v": "/mnt"}), **spec)
    await space.lab.client.create(STATEFUL_SETS, made, space.name)
    assert "2 new pods have been updated" in await rolled_out(space, "statefulset/web")
    for one, other in (("web-0", "web-1"), ("web-1", "web-0")):
        address = (await space.lab.client.get(PODS, other, space.name))["status"]["podIP"]
        assert await space.exec(one, "dig", "+search", "+short", f"{other}.ring") == f"{address}\n"
    assert await space.exec("web-0", "hostname", "-f") == f"web-0.ring.{space.name}.svc.cluster.local\n"
    await space.exec("web-0", "sh", "-c", "echo mine > /mnt/whose")
    uid = (await space.lab.client.get(PODS, "web-0", space.name))["metadata"]["uid"]
    await space.lab.client.delete(PODS, "web-0", space.name, grace_seconds=1)
    await space.until_other("web-0", uid)
    await space.ready("web-0")
    assert await space.exec("web-0", "cat", "/mnt/whose") == "mine\n"
    assert await space.exec("web-1", "ls", "/mnt") == ""
    assert "claim v-web-0" in await space.event("web-0", "VolumeStandIn")


async def test_a_daemon_set_has_a_pod_on_each_node_that_admits_it_and_renews_one_after_the_other(space: Space) -> None:
    async def images() -> dict[str, str]:
        pods = (await space.lab.client.list(PODS, space.name)).items
        return {pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"] for pod in pods}

    everywhere = [{"operator": "Exists"}]
    await space.lab.client.create(DAEMON_SETS, workload("agent", template=template("sleep", "60")), space.name)
    await rolled_out(space, "daemonset/agent")
    assert await images() == {"worker-1": "busybox", "worker-2": "busybox"}
    changed = template("sleep", "60", tolerations=everywhere, terminationGracePeriodSeconds=1)
    changed["spec"]["containers"][0]["image"] = "busybox:2"
    await space.lab.client.patch(DAEMON_SETS, "agent", {"spec": {"template": changed}}, space.name)
    await rolled_out(space, "daemonset/agent")
    nodes = {node["metadata"]["name"] for node in (await space.lab.client.list(NODES)).items}
    assert await images() == dict.fromkeys(nodes, "busybox:2")


def job(name: str, *argv: str, image: str = "busybox", **spec: Any) -> Json:
    pod = {"containers": [{**command(*argv), "image": image}], "restartPolicy": "Never"}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


async def becomes(space: Space, condition: str, name: str) -> Json:
    """Wait as people do, and give the Job's status."""
    wait = ("wait", f"--for=condition={condition}", f"job/{name}", "-n", space.name, "--timeout=15s")
    (await space.lab.kubectl(*wait)).check()
    status: Json = (await space.lab.client.get(JOBS, name, space.name))["status"]
    return status


async def test_jobs_run_their_commands_until_enough_have_succeeded_or_too_many_failed(space: Space) -> None:
    say = ("sh", "-c", "echo part $JOB_COMPLETION_INDEX")
    parts: Json = {"completions": 3, "parallelism": 2, "completionMode": "Indexed"}
    jobs = [
        job("parts", *say, **parts),
        job("fails", "sh", "-c", "exit 3", backoffLimit=0),
        job("migrate", "no-such-program", image="example/migrate:1"),
        job("slow", "sleep", "60", activeDeadlineSeconds=1),
        job("brief", "true", ttlSecondsAfterFinished=0),
        job("watched", "true"),
    ]
    sidecar = {**command("sleep", "60"), "name": "beside", "restartPolicy": "Always"}
    jobs[-1]["spec"]["template"]["spec"]["initContainers"] = [sidecar]
    for one in jobs:
        await space.lab.client.create(JOBS, one, space.name)
    done = await becomes(space, "Complete", "parts")
    assert (done["succeeded"], done["completedIndexes"], done["uncountedTerminatedPods"]) == (3, "0-2", {})
    logs = await space.lab.kubectl("logs", "-n", space.name, "-l", "job-name=parts")
    assert sorted(logs.check().splitlines()) == ["part 0", "part 1", "part 2"]
    assert (await becomes(space, "Failed", "fails"))["failed"] == 1
    assert (await becomes(space, "Complete", "migrate"))["succeeded"] == 1
    pods = await space.lab.client.list(PODS, space.name, labels="job-name=migrate")
    assert "counts as done" in await space.event(pods.items[0]["metadata"]["name"], "ContainerPassed")
    late = await becomes(space, "Failed", "slow")
    assert late["conditions"][-1]["reason"] == "DeadlineExceeded"
    await becomes(space, "Complete", "watched")
    pods = await space.lab.client.list(PODS, space.name, labels="job-name=watched")

    def ended(status: Json) -> bool:
        return "terminated" in status["initContainerStatuses"][0]["state"]

    await space.until(pods.items[0]["metadata"]["name"], ended, "the end of the sidecar")
    gone = ("wait", "--for=delete", "job/brief", "-n", space.name, "--timeout=10s")
    (await space.lab.kubectl(*gone)).check()


async def test_a_job_that_is_deleted_takes_its_running_pods_with_it(space: Space) -> None:
    one = job("long", "sleep", "60", parallelism=2, completions=2)
    one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    await space.lab.client.create(JOBS, one, space.name)
    names: list[str] = []
    async with asyncio.timeout(10):
        while len(names) < 2:
            await asyncio.sleep(0.02)
            names = [pod["metadata"]["name"] for pod in (await space.lab.client.list(PODS, space.name)).items]
    for name in names:
        await space.ready(name)
    (await space.lab.kubectl("delete", "job", "long", "-n", space.name)).check()
    async with asyncio.timeout(10):
        while (await space.lab.client.list(PODS, space.name)).items:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)
