"""The real kubectl against the server alone: every verb, every form of output, and how refusals are told."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.cluster.kubectls import MODERN, PROGRAMS, Choice, Kubectl, program
from tests.server import serving

from kapi.client import Client
from kapi.resources import PODS

MANIFESTS = Path(__file__).parents[3] / "shared" / "manifests"
DEBIAN = pytest.param(Choice("debian"), id="debian")  # that of Debian 12 is 1.20: older than what the server is for
POD = """
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {app: web}}
spec:
  containers: [{name: main, image: nginx, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - host: web.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"""


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's kubectl: named by KUBECTL_DEBIAN, or fetched from Debian's archive with apt-get."""
    found = os.environ.get("KUBECTL_DEBIAN") or _fetched(tmp_path_factory.mktemp("debian"))
    if not found:
        pytest.skip("Debian's kubernetes-client cannot be fetched here; KUBECTL_DEBIAN can name its kubectl")
    return found


def _fetched(folder: Path) -> str:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return ""
    fetch = ["apt-get", "download", "kubernetes-client"]
    try:
        subprocess.run(fetch, cwd=folder, capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return ""
    for package in folder.glob("kubernetes-client*.deb"):
        subprocess.run(["dpkg-deb", "-x", package.name, "x"], cwd=folder, check=True, capture_output=True)
    found = folder / "x" / "usr" / "bin" / "kubectl"
    return str(found) if found.exists() else ""


@pytest.fixture(params=[*PROGRAMS, DEBIAN])
def kubectl(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kubectl]:
    choice: Choice = request.param
    found = request.getfixturevalue("debian") if choice.name == "debian" else program(choice.name)
    with serving("--listen", "127.0.0.1:0", "--data", str(tmp_path / "db")) as url:
        yield Kubectl(found, ("-s", url), tmp_path, choice.watch_lists)


FROM_1_27 = pytest.mark.parametrize("kubectl", PROGRAMS, indirect=True)  # Debian's is older on purpose


@pytest.fixture
def modern(kubectl: Kubectl) -> Kubectl:
    """A kubectl of those that the server is for; the one on the PATH may be older."""
    if kubectl.minor < MODERN:
        pytest.skip(f"kubectl 1.{kubectl.minor} has not all of this")
    return kubectl


def test_a_manifest_is_applied_shown_changed_and_deleted(kubectl: Kubectl) -> None:
    file = kubectl.file("pod.yaml", POD)
    assert kubectl("apply", "-f", file).count("created") == 3
    assert kubectl("apply", "-f", file).count("unchanged") == 3
    assert "p1     0/1     Pending   0" in kubectl("get", "pods")
    assert kubectl("get", "pods", "-A", "-l", "app=web", "-o", "name") == "pod/p1\n"
    assert kubectl("get", "pods", "-l", "app=db", "-o", "name") == ""
    assert kubectl("get", "pods", "-l", "app in (web,db),app!=db", "-o", "name") == "pod/p1\n"
    assert kubectl("get", "pods", "--field-selector", "status.phase=Pending", "-o", "name") == "pod/p1\n"
    assert "web.example" in kubectl("get", "ingress")
    assert "Containers:" in kubectl("describe", "pod", "p1")
    assert "Type:" in kubectl("describe", "svc", "web")
    kubectl("label", "pod", "p1", "tier=front")
    kubectl("annotate", "pod", "p1", "note=x")
    kubectl("patch", "pod", "p1", "-p", '{"metadata":{"labels":{"a":"1"}}}')
    kubectl("patch", "pod", "p1", "--type=merge", "-p", '{"metadata":{"labels":{"b":"2"}}}')
    kubectl("patch", "pod", "p1", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels/c","value":"3"}]')
    labels = kubectl("get", "pod", "p1", "-o", "jsonpath={.metadata.labels}")
    assert all(f'"{name}"' in labels for name in ("app", "tier", "a", "b", "c"))
    kubectl("label", "pod", "p1", "tier-")
    kubectl("label", "pod", "p1", "a=2", "--overwrite")
    assert kubectl("get", "pod", "p1", "-o", "jsonpath={.metadata.labels.tier}{.metadata.labels.a}") == "2"
    assert kubectl("delete", "-f", file).count("deleted") == 3
    assert kubectl.refused("get", "pod", "p1").strip() == 'Error from server (NotFound): pods "p1" not found'


def test_every_form_of_output(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", kubectl.file("pod.yaml", POD))
    one = ("get", "pod", "p1")
    assert json.loads(kubectl(*one, "-o", "json"))["spec"]["restartPolicy"] == "Always"
    assert json.loads(kubectl("get", "pods,svc", "-o", "json"))["kind"] == "List"
    assert "kind: Pod" in kubectl(*one, "-o", "yaml")
    assert kubectl(*one, "-o", "wide").split()[5:7] == ["IP", "NODE"]
    assert kubectl(*one, "-o", "name") == "pod/p1\n"
    assert kubectl(*one, "-o", "jsonpath={.spec.containers[*].image}") == "nginx"
    path = kubectl.file("path", "{.metadata.name}")
    assert kubectl(*one, "-o", f"jsonpath-file={path}") == "p1"
    assert json.loads(kubectl(*one, "-o", "jsonpath-as-json={.metadata.name}")) == ["p1"]
    assert kubectl(*one, "-o", "go-template={{.metadata.name}}") == "p1"
    assert kubectl(*one, "-o", f"go-template-file={kubectl.file('t', '{{.status.phase}}')}") == "Pending"
    assert kubectl(*one, "-o", "custom-columns=A:.metadata.name,B:.spec.x").split() == ["A", "B", "p1", "<none>"]
    columns = kubectl.file("columns", "NAME\n.metadata.name\n")
    assert kubectl(*one, "-o", f"custom-columns-file={columns}") == "NAME\np1\n"
    assert kubectl(*one, "--no-headers", "--show-labels").split()[-1] == "app=web"
    assert kubectl(*one, "-L", "app").split()[5] == "APP"
    assert kubectl("get", "svc", "-A", "--sort-by=.metadata.name", "-o", "name").split() == [
        "service/kubernetes",
        "service/web",
    ]
    assert kubectl("get", "svc", "-A", "--no-headers").split()[:2] == ["default", "kubernetes"]
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "p1" in kubectl("get", "pods", "--chunk-size=1", "-A")


def test_the_generators_create(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "n1")
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=2", "-n", "n1")
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "service", "clusterip", "s1", "--tcp=80:8080")
    kubectl("create", "service", "nodeport", "s2", "--tcp=80")
    kubectl("create", "service", "externalname", "s3", "--external-name=example.com")
    kubectl("create", "service", "clusterip", "s4", "--clusterip=None")
    kubectl("create", "service", "loadbalancer", "s5", "--tcp=80")
    kubectl("create", "ingress", "i", "--rule=a.example/x=s1:80")
    kubectl("run", "once", "--image=i", "--restart=Never", "--port=80", "--expose")
    assert "nginx:1" in kubectl("get", "deploy", "-n", "n1", "-o", "wide")
    assert kubectl("get", "svc", "s1", "-o", "jsonpath={.spec.ports[0].targetPort}") == "8080"
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}") == "Yg=="
    kubectl("scale", "deploy", "web", "--replicas=5", "-n", "n1")
    assert kubectl("get", "deploy", "web", "-n", "n1", "-o", "jsonpath={.spec.replicas}") == "5"
    assert "Expected replicas" in kubectl.refused(
        "scale", "deploy", "web", "-n", "n1", "--current-replicas=2", "--replicas=1"
    )
    kubectl("expose", "deploy", "web", "--port=80", "-n", "n1")
    kubectl("rollout", "restart", "deploy", "web", "-n", "n1")
    kubectl("delete", "namespace", "n1")
    assert kubectl("get", "deploy,svc", "-n", "n1", "-o", "name") == ""


def test_people_can_edit_replace_and_explain(kubectl: Kubectl) -> None:
    file = kubectl.file("pod.yaml", POD)
    kubectl("apply", "-f", file)
    port = ("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].port}")
    kubectl("edit", "svc", "web", KUBE_EDITOR="sed -i s/port:.80/port:\\ 81/")
    assert kubectl(*port) == "81"
    kubectl("replace", "-f", file)
    assert kubectl(*port) == "80"
    uid = ("get", "svc", "web", "-o", "jsonpath={.metadata.uid}")
    before = kubectl(*uid)
    kubectl("replace", "--force", "-f", file)
    assert kubectl(*uid) != before
    assert "targetPort" in kubectl("explain", "service.spec.ports")
    assert "The port that clients connect to." in kubectl("explain", "service.spec.ports.port")
    assert "livenessProbe" in kubectl("explain", "pod.spec.containers", "--recursive")
    for kind in ("deployments", "endpointslices"):
        assert kind in kubectl("api-resources")
    assert "discovery.k8s.io/v1" in kubectl("api-versions")
    assert "is running at" in kubectl("cluster-info")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("get", "events", "-o", "name") == ""


def test_deletions_of_many_and_of_owners(kubectl: Kubectl) -> None:
    for name in ("a", "b", "c"):
        kubectl("create", "configmap", name)
    kubectl("label", "cm", "a", "b", "x=y")
    assert kubectl("delete", "cm", "-l", "x=y").count("deleted") == 2
    kubectl("delete", "cm", "--all")
    assert kubectl("get", "cm", "-o", "name") == ""
    assert kubectl("delete", "cm", "a", "--ignore-not-found") == ""
    kubectl("create", "deployment", "d", "--image=i")
    uid = kubectl("get", "deploy", "d", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": uid}
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [owner]}}
    kubectl("create", "-f", "-", given=json.dumps(owned))
    kubectl("delete", "deploy", "d", "--cascade=orphan" if kubectl.minor >= MODERN else "--cascade=false")
    assert kubectl("get", "cm", "owned", "-o", "jsonpath={.metadata.ownerReferences}") in ("", "[]")
    kubectl("apply", "-f", kubectl.file("pod.yaml", POD))
    kubectl("patch", "pod", "p1", "-p", '{"metadata":{"finalizers":["example.com/held"]}}')
    kubectl("delete", "pod", "p1", "--force", "--grace-period=0", "--wait=false")
    assert kubectl("get", "pod", "p1", "-o", "jsonpath={.metadata.deletionTimestamp}").endswith("Z")
    kubectl("patch", "pod", "p1", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert "NotFound" in kubectl.refused("get", "pod", "p1")


CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {DATA}
"""


def config(kubectl: Kubectl, data: str) -> str:
    return kubectl.file("config.yaml", CONFIG.replace("{DATA}", data))


def managers(kubectl: Kubectl) -> list[str]:
    return kubectl("get", "cm", "c", "--show-managed-fields", "-o", "jsonpath={..manager}").split()


@FROM_1_27
def test_fields_have_managers_and_managers_have_conflicts(modern: Kubectl) -> None:
    kubectl = modern
    apply = ("apply", "--server-side", "-f")
    kubectl(*apply, config(kubectl, '{a: "1", b: "1"}'))
    kubectl(*apply, config(kubectl, '{a: "1"}'))
    data = ("get", "cm", "c", "-o", "jsonpath={.data}")
    assert kubectl(*data) == '{"a":"1"}', "what is no longer applied goes away"
    told = kubectl.refused(*apply, config(kubectl, '{a: "2"}'), "--field-manager=other")
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in told.replace(" using v1", "")
    kubectl(*apply, config(kubectl, '{a: "2"}'), "--field-manager=other", "--force-conflicts")
    assert kubectl(*data) == '{"a":"2"}'
    assert managers(kubectl) == ["other"]


@FROM_1_27
def test_an_object_comes_from_client_side_to_server_side_apply_and_back(modern: Kubectl) -> None:
    kubectl = modern
    data = ("get", "cm", "c", "-o", "jsonpath={.data}")
    kubectl("apply", "-f", config(kubectl, '{a: "1", b: "1", c: "1"}'))
    kubectl("apply", "--server-side", "-f", config(kubectl, '{a: "2", b: "1", c: "1"}'))
    assert kubectl(*data) == '{"a":"2","b":"1","c":"1"}', "what kubectl applied itself is no conflict"
    kubectl("apply", "--server-side", "-f", config(kubectl, '{a: "2", c: "1"}'))
    assert kubectl(*data) == '{"a":"2","c":"1"}', "and can be taken away"
    kubectl("apply", "-f", config(kubectl, '{a: "3"}'))
    assert kubectl(*data) == '{"a":"3"}', "the annotation was kept true"


@FROM_1_27
def test_what_was_created_otherwise_conflicts_with_an_apply(modern: Kubectl) -> None:
    kubectl = modern
    kubectl("create", "cm", "c", "--from-literal=a=1")
    file = config(kubectl, '{a: "2"}')
    assert "conflict" in kubectl.refused("apply", "--server-side", "-f", file)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "2"


def test_dry_runs_on_the_server_change_nothing(kubectl: Kubectl) -> None:
    file = kubectl.file("pod.yaml", POD)
    dry = "--dry-run=server"
    assert kubectl("apply", "-f", file, dry).count("created (server dry run)") == 3
    kubectl("create", "service", "nodeport", "s", "--tcp=80", dry)
    assert kubectl("get", "svc,pods,ingress", "-o", "name") == "service/kubernetes\n"
    kubectl("apply", "-f", file)
    before = kubectl("get", "svc,pods,ingress", "-o", "json")
    kubectl("label", "pod", "p1", "x=y", dry)
    kubectl("patch", "svc", "web", "-p", '{"spec":{"type":"NodePort"}}', dry)
    kubectl("delete", "-f", file, dry)
    kubectl("replace", "-f", file, dry)
    assert kubectl("get", "svc,pods,ingress", "-o", "json") == before


def test_waiting_and_watching_see_what_happens(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", kubectl.file("pod.yaml", POD))
    with kubectl.beside("get", "pods", "-w", "--no-headers") as watch:
        assert watch.stdout is not None
        assert "p1" in watch.stdout.readline()
        kubectl("label", "pod", "p1", "x=y")
        assert "p1" in watch.stdout.readline()
    with kubectl.beside("wait", "--for=condition=Ready", "pod/p1", "--timeout=20s") as waiting:
        _write_status(kubectl.flags[1], {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        told, _ = waiting.communicate(timeout=25)
        assert "condition met" in told


def _write_status(url: str, status: Mapping[str, object]) -> None:
    """What a kubelet would write."""

    async def write() -> None:
        client = Client.connect(url)
        await client.patch(PODS, "p1", status, "default", subresource="status")
        await client.close()

    asyncio.run(write())


def test_a_refusal_is_told_in_kubernetes_words(kubectl: Kubectl) -> None:
    kubectl("create", "service", "clusterip", "s1", "--tcp=80:8080")
    assert 'services "s1" already exists' in kubectl.refused("create", "service", "clusterip", "s1", "--tcp=80:8080")
    bad = kubectl.refused("patch", "svc", "s1", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    assert 'The Service "s1" is invalid: spec.externalTrafficPolicy' in bad
    typo = POD.replace("image: nginx", "imagge: nginx")
    assert "imagge" in kubectl.refused("apply", "-f", kubectl.file("typo.yaml", typo))
    test = '[{"op":"test","path":"/spec/type","value":"NodePort"}]'
    assert "testing value /spec/type failed" in kubectl.refused("patch", "svc", "s1", "--type=json", "-p", test)
    taken = kubectl.refused("create", "service", "clusterip", "s2", "--tcp=80", "--clusterip=10.96.0.1")
    assert "provided IP is already allocated" in taken
    assert 'doesn\'t have a resource type "thing"' in kubectl.refused("get", "thing")
    assert "this namespace may not be deleted" in kubectl.refused("delete", "ns", "default")


@pytest.mark.parametrize("name", ["guestbook-go.yaml", "online-boutique.yaml"])
def test_manifests_from_the_wild_apply_whole(kubectl: Kubectl, name: str) -> None:
    if not (MANIFESTS / name).exists():
        pytest.skip(f"{name} is not beside this repository")
    first = kubectl("apply", "-f", str(MANIFESTS / name))
    again = kubectl("apply", "-f", str(MANIFESTS / name))
    assert again.count("unchanged") == first.count("created") > 5
    kubectl("delete", "-f", str(MANIFESTS / name))
