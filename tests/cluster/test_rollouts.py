"""The real kubectl where controllers act on what it writes: rollouts, waiting, differences, events, logs, dry runs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.cluster.kubectls import MODERN, PROGRAMS, WATCH_LISTS, Choice, Kubectl, program

CLUSTER = '''
"""A server, the workload controllers, one node, and a kubelet that says of every pod that it runs."""
import asyncio, socket, sys
from kapi.cache import key_of
from kapi.client import Client
from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.resources import NODES, PODS
from kapi.server import ApiServer, Settings
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from netnslab import workloads

READY = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "Initialized")]

def log(namespace, pod, container):
    async def text():
        return b"one\\ntwo\\nthree\\n"
    return text()

async def kubelet(client):
    while True:
        try:
            async with client.watch(PODS) as stream:
                async for event in stream:
                    await tend(client, event)
        except ApiError as error:
            print(error, file=sys.stderr)

async def tend(client, event):
    pod = event["object"]
    if event["type"] not in ("ADDED", "MODIFIED"):
        return
    meta = pod["metadata"]
    where = meta["name"], meta["namespace"]
    try:
        if "deletionTimestamp" in meta:
            await client.delete(PODS, *where, grace_seconds=0)
        elif pod["spec"].get("nodeName") and (pod.get("status") or {}).get("phase") != "Running":
            status = {"phase": "Running", "conditions": READY}
            await client.patch(PODS, where[0], {"status": status}, where[1], subresource="status")
    except ApiError as error:
        print(error, file=sys.stderr)

async def main():
    async with ApiServer(MemoryStore(), Settings(pod_logs=log)) as server:
        client = server.client()
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        condition = {"type": "Ready", "status": "True"}
        await client.create(NODES, {"metadata": {"name": "n1"}, "status": {"conditions": [condition]}})
        source = ApiSource(client)
        recorder = Recorder("controllers", client)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source.run())
            tasks.create_task(recorder.run())
            tasks.create_task(workloads.run(client, source, recorder))
            tasks.create_task(kubelet(client))
            print(sock.getsockname()[1], flush=True)

asyncio.run(main())
'''


@pytest.fixture(scope="module", params=[*PROGRAMS, *WATCH_LISTS])
def kubectl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    choice: Choice = request.param
    found, home = program(choice.name), tmp_path_factory.mktemp("home")
    with subprocess.Popen([sys.executable, "-c", CLUSTER], stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        port = cluster.stdout.readline().strip()
        try:
            here = Kubectl(found, ("-s", f"http://127.0.0.1:{port}"), home, choice.watch_lists)
            if here.minor < MODERN:
                pytest.skip(f"kubectl 1.{here.minor} knows fewer commands")
            yield here
        finally:
            cluster.kill()


def image(kubectl: Kubectl, name: str) -> str:
    return kubectl("get", "deploy", name, "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def test_a_deployment_rolls_out_restarts_and_is_undone(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    kubectl("set", "image", "deploy/web", "nginx=nginx:2")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    history = kubectl("rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    assert "nginx:1" in kubectl("rollout", "history", "deploy/web", "--revision=1")
    kubectl("rollout", "undo", "deploy/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert image(kubectl, "web") == "nginx:1"
    before = set(kubectl("get", "pods", "-l", "app=web", "-o", "name").split())
    kubectl("rollout", "restart", "deploy/web")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert kubectl("wait", "--for=delete", *before, "--timeout=20s") is not None
    kubectl("rollout", "pause", "deploy/web")
    kubectl("rollout", "resume", "deploy/web")
    kubectl("delete", "deploy", "web")


KEPT = """
apiVersion: apps/v1
kind: KIND
metadata: {name: ring}
spec:
  serviceName: ring
  replicas: 2
  selector: {matchLabels: {app: ring}}
  template:
    metadata: {labels: {app: ring}}
    spec: {containers: [{name: c, image: "i:1"}]}
"""


@pytest.mark.parametrize(
    ("kind", "pods", "done"), [("StatefulSet", 2, "roll out complete"), ("DaemonSet", 1, "successfully rolled out")]
)
def test_what_keeps_revisions_rolls_out_and_is_undone(kubectl: Kubectl, kind: str, pods: int, done: str) -> None:
    one = f"{kind.lower()}/ring"

    def runs(image: str) -> None:
        assert done in kubectl("rollout", "status", one, "--timeout=20s")
        form = "jsonpath={.items[*].spec.containers[0].image}"
        assert kubectl("get", "pods", "-l", "app=ring", "-o", form).split() == [image] * pods

    manifest = KEPT.replace("KIND", kind)
    if kind == "DaemonSet":
        manifest = manifest.replace("  serviceName: ring\n  replicas: 2\n", "")
    kubectl("apply", "-f", kubectl.file("ring.yaml", manifest))
    runs("i:1")
    kubectl("set", "image", one, "c=i:2")
    runs("i:2")
    history = kubectl("rollout", "history", one)
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    assert "i:1" in kubectl("rollout", "history", one, "--revision=1")
    kubectl("rollout", "undo", one)
    runs("i:1")
    kubectl("delete", one)
    kubectl("wait", "--for=delete", "pods", "-l", "app=ring", "--timeout=20s")


def test_waiting_in_all_its_forms(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "db", "--image=nginx:1")
    forms = [
        ("--for=condition=Available", "deploy/db"),
        ("--for=condition=Ready", "pods", "-l", "app=db"),
        ("--for=jsonpath={.status.phase}=Running", "pods", "-l", "app=db"),
        ("--for=jsonpath={.status.readyReplicas}=1", "deploy/db"),
    ]
    if kubectl.minor >= 31:
        forms += [("--for=create", "deploy/db"), ("--for=jsonpath={.status.observedGeneration}", "deploy/db")]
    kubectl("rollout", "status", "deploy/db", "--timeout=20s")
    for form in forms:
        assert "condition met" in kubectl("wait", *form, "--timeout=20s"), form
    late = kubectl.refused("wait", "--for=condition=Progressing=False", "deploy/db", "--timeout=1s")
    assert "timed out waiting for the condition" in late
    with kubectl.beside("wait", "--for=delete", "deploy/db", "--timeout=20s") as watcher:
        kubectl("delete", "deploy", "db", "--cascade=foreground")
        assert watcher.wait(20) == 0
    kubectl("wait", "--for=delete", "pods", "-l", "app=db", "--timeout=20s")


CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: VALUE}
"""


def test_differences_are_shown_and_dry_runs_write_nothing(kubectl: Kubectl) -> None:
    first = kubectl.file("a.yaml", CONFIG.replace("VALUE", "red"))
    second = kubectl.file("b.yaml", CONFIG.replace("VALUE", "blue"))
    assert "created (server dry run)" in kubectl("apply", "-f", first, "--dry-run=server")
    assert "NotFound" in kubectl.run("get", "cm", "settings").stderr
    kubectl("apply", "-f", first)
    assert kubectl("diff", "-f", first) == ""
    for side in ((), ("--server-side",)):
        shown = kubectl.run("diff", "-f", second, *side)
        assert shown.returncode == 1, shown.stderr
        assert "-  color: red" in shown.stdout
        assert "+  color: blue" in shown.stdout
    kubectl("create", "service", "clusterip", "dry", "--tcp=80", "--dry-run=server")
    kubectl("delete", "cm", "settings", "--dry-run=server")
    assert kubectl("get", "cm", "settings", "-o", "jsonpath={.data.color}") == "red"
    assert "NotFound" in kubectl.run("get", "svc", "dry").stderr


def until_told(kubectl: Kubectl, *arguments: str) -> str:
    """Ask until there is something to tell, and a little longer."""
    for _ in range(50):
        told = kubectl(*arguments)
        if told:
            return told
        time.sleep(0.1)
    return ""


def test_events_and_logs_are_told(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "noisy", "--image=nginx:1")
    kubectl("rollout", "status", "deploy/noisy", "--timeout=20s")
    assert "ScalingReplicaSet" in until_told(kubectl, "events", "--for", "deployment/noisy")
    assert "ScalingReplicaSet" in kubectl("get", "events.v1.events.k8s.io", "-o", "yaml")
    assert "ScalingReplicaSet" in kubectl("describe", "deploy", "noisy")
    assert kubectl("logs", "deploy/noisy") == "one\ntwo\nthree\n"
    assert kubectl("logs", "-l", "app=noisy", "--tail=1") == "three\n"
    kubectl("delete", "deploy", "noisy")


def test_lists_are_sorted_selected_and_watched(kubectl: Kubectl) -> None:
    for name, size in (("b", "2"), ("a", "10"), ("c", "1")):
        kubectl("create", "cm", name, f"--from-literal=size={size}")
        kubectl("label", "cm", name, "mine=yes")
    sorted_names = kubectl("get", "cm", "-l", "mine=yes", "--sort-by=.metadata.name", "-o", "name").split()
    assert sorted_names == ["configmap/a", "configmap/b", "configmap/c"]
    columns = kubectl("get", "cm", "a", "--no-headers", "-o", "custom-columns=N:.metadata.name,S:.data.size")
    assert columns.split() == ["a", "10"]
    assert kubectl("get", "cm", "--field-selector", "metadata.name=b", "-A", "-o", "name") == "configmap/b\n"
    with kubectl.beside("get", "cm", "a", "-w", "--output-watch-events", "--no-headers") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().split()[:2] == ["ADDED", "a"]
        kubectl("patch", "cm", "a", "-p", '{"data":{"more":"1"}}')
        assert watch.stdout.readline().split()[:3] == ["MODIFIED", "a", "2"]
        kubectl("delete", "cm", "a", "--force", "--grace-period=0")
        assert watch.stdout.readline().split()[:2] == ["DELETED", "a"]
    kubectl("delete", "cm", "-l", "mine=yes", "--all=false")


SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaled}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: scaled}}
"""


def test_every_kind_is_explained_listed_and_described(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources", "--no-headers", "-o", "name").split()
    for kind in ("statefulsets.apps", "jobs.batch", "networkpolicies.networking.k8s.io", "events.events.k8s.io"):
        assert kind in listed
    for field in ("sts.spec.updateStrategy", "cronjob.spec.jobTemplate", "hpa.spec.scaleTargetRef", "pdb.spec"):
        assert "FIELD" in kubectl("explain", field)
    kubectl("create", "job", "once", "--image=i:1")
    kubectl("create", "cronjob", "often", "--image=i:1", "--schedule=* * * * *")
    kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "reads", "--role=reader", "--user=me")
    kubectl("create", "clusterrole", "all", "--verb=*", "--resource=*.*")
    kubectl("create", "clusterrolebinding", "alls", "--clusterrole=all", "--serviceaccount=default:default")
    kubectl("create", "poddisruptionbudget", "some", "--selector=a=b", "--min-available=1")
    kubectl("create", "quota", "few", "--hard=pods=3")
    kubectl("create", "priorityclass", "high", "--value=7")
    kubectl("create", "deployment", "scaled", "--image=i:1")
    kubectl("apply", "-f", "-", given=SCALER)
    for name in (
        "job/once",
        "cronjob/often",
        "role/reader",
        "rolebinding/reads",
        "pdb/some",
        "quota/few",
        "hpa/scaled",
    ):
        kubectl("get", name)
        assert "Name:" in kubectl("describe", name), name
    kubectl("delete", "job,cronjob,role,rolebinding,pdb,quota,hpa,deploy", "--all")
