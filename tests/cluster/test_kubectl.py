"""The real kubectl, today's and Debian 12's, against the embedded server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

MANIFESTS = Path(__file__).parents[3] / "shared" / "manifests"
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


def debian_kubectl(folder: Path) -> str | None:
    """Debian's kubectl: named by KUBECTL_DEBIAN, or fetched from Debian's archive with apt-get."""
    if os.environ.get("KUBECTL_DEBIAN"):
        return os.environ["KUBECTL_DEBIAN"]
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    try:
        subprocess.run(
            ["apt-get", "download", "kubernetes-client"], cwd=folder, capture_output=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    for package in folder.glob("kubernetes-client*.deb"):
        subprocess.run(["dpkg-deb", "-x", package.name, "x"], cwd=folder, check=True, capture_output=True)
    found = folder / "x" / "usr" / "bin" / "kubectl"
    return str(found) if found.exists() else None


@pytest.fixture(scope="session", params=["path", "debian"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "path":
        found = shutil.which("kubectl")
        if found is None:
            pytest.skip("there is no kubectl on the PATH")
        return found
    found = debian_kubectl(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's kubernetes-client cannot be fetched here; KUBECTL_DEBIAN can name its kubectl")
    return found


@dataclass(frozen=True)
class Kubectl:
    """A kubectl with a home of its own, talking to one server."""

    program: str
    url: str
    home: Path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **variables}
        command = [self.program, "-s", self.url, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=25, check=False)

    def __call__(self, *arguments: str, **variables: str) -> str:
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def old(self) -> bool:
        """Whether this is the kubectl of Debian 12, which has fewer commands."""
        return "v1.20" in self("version", "--client")


@pytest.fixture
def kubectl(program: str, tmp_path: Path) -> Iterator[Kubectl]:
    command = [sys.executable, "-m", "kapi.cli", "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        url = line.removeprefix("serving on ").partition(";")[0]
        (tmp_path / "pod.yaml").write_text(POD)
        try:
            yield Kubectl(program, url, tmp_path)
        finally:
            server.terminate()
            assert server.wait(10) == 0


def test_a_manifest_is_applied_shown_changed_and_deleted(kubectl: Kubectl) -> None:
    file = str(kubectl.home / "pod.yaml")
    assert kubectl("apply", "-f", file).count("created") == 3
    assert kubectl("apply", "-f", file).count("unchanged") == 3
    assert "p1     0/1     Pending   0" in kubectl("get", "pods")
    assert kubectl("get", "pods", "-o", "wide").split()[5:7] == ["IP", "NODE"]
    assert kubectl("get", "pod", "p1", "-o", "jsonpath={.spec.restartPolicy}") == "Always"
    assert "kind: Pod" in kubectl("get", "pod", "p1", "-o", "yaml")
    assert kubectl("get", "pods", "-A", "-l", "app=web", "-o", "name") == "pod/p1\n"
    assert kubectl("get", "pods", "-l", "app=db", "-o", "name") == ""
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
    assert kubectl("delete", "-f", file).count("deleted") == 3
    assert kubectl.run("get", "pod", "p1").stderr.strip() == 'Error from server (NotFound): pods "p1" not found'


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
    kubectl("create", "ingress", "i", "--rule=a.example/x=s1:80")
    assert "nginx:1" in kubectl("get", "deploy", "-n", "n1", "-o", "wide")
    assert kubectl("get", "svc", "s1", "-o", "jsonpath={.spec.ports[0].targetPort}") == "8080"
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}") == "Yg=="
    kubectl("scale", "deploy", "web", "--replicas=5", "-n", "n1")
    assert kubectl("get", "deploy", "web", "-n", "n1", "-o", "jsonpath={.spec.replicas}") == "5"
    kubectl("expose", "deploy", "web", "--port=80", "-n", "n1")
    kubectl("rollout", "restart", "deploy", "web", "-n", "n1")
    kubectl("delete", "namespace", "n1")
    assert kubectl("get", "deploy,svc", "-n", "n1", "-o", "name") == ""


def test_people_can_edit_replace_and_explain(kubectl: Kubectl) -> None:
    file = str(kubectl.home / "pod.yaml")
    kubectl("apply", "-f", file)
    kubectl("edit", "svc", "web", KUBE_EDITOR="sed -i s/port:.80/port:\\ 81/")
    assert kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].port}") == "81"
    kubectl("replace", "-f", file)
    assert kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].port}") == "80"
    assert "targetPort" in kubectl("explain", "service.spec.ports")
    resources = kubectl("api-resources")
    assert "deployments" in resources
    assert "endpointslices" in resources
    kubectl("apply", "--server-side", "-f", file, "--force-conflicts")
    kubectl("apply", "-f", file, "--dry-run=server")
    assert kubectl("get", "events", "-o", "name") == ""


def test_waiting_and_watching_see_what_happens(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", str(kubectl.home / "pod.yaml"))
    command = [kubectl.program, "-s", kubectl.url, "get", "pods", "-w", "--no-headers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"HOME": str(kubectl.home)}) as watch:
        assert watch.stdout is not None
        assert "p1" in watch.stdout.readline()
        kubectl("label", "pod", "p1", "x=y")
        assert "p1" in watch.stdout.readline()
        watch.terminate()
    condition = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    waiting = subprocess.Popen(
        [kubectl.program, "-s", kubectl.url, "wait", "--for=condition=Ready", "pod/p1", "--timeout=20s"],
        env={"HOME": str(kubectl.home), "KUBE_FEATURE_WatchListClient": "true"},
        stdout=subprocess.PIPE,
        text=True,
    )
    _write_status(kubectl.url, condition)
    told, _ = waiting.communicate(timeout=25)
    assert "condition met" in told


def _write_status(url: str, status: Mapping[str, object]) -> None:
    """What a kubelet would write."""
    import asyncio

    from kapi.client import Client
    from kapi.resources import PODS

    async def write() -> None:
        client = Client.connect(url)
        await client.patch(PODS, "p1", status, "default", subresource="status")
        await client.close()

    asyncio.run(write())


def test_a_refusal_is_told_in_kubernetes_words(kubectl: Kubectl) -> None:
    kubectl("create", "service", "clusterip", "s1", "--tcp=80:8080")
    again = kubectl.run("create", "service", "clusterip", "s1", "--tcp=80:8080")
    assert 'services "s1" already exists' in again.stderr
    bad = kubectl.run("patch", "svc", "s1", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    assert 'The Service "s1" is invalid: spec.externalTrafficPolicy' in bad.stderr
    typo = POD.replace("image: nginx", "imagge: nginx")
    (kubectl.home / "typo.yaml").write_text(typo)
    assert "imagge" in kubectl.run("apply", "-f", str(kubectl.home / "typo.yaml")).stderr


@pytest.mark.parametrize("name", ["guestbook-go.yaml", "online-boutique.yaml"])
def test_manifests_from_the_wild_apply_whole(kubectl: Kubectl, name: str) -> None:
    if not (MANIFESTS / name).exists():
        pytest.skip(f"{name} is not beside this repository")
    first = kubectl("apply", "-f", str(MANIFESTS / name))
    again = kubectl("apply", "-f", str(MANIFESTS / name))
    assert again.count("unchanged") == first.count("created") > 5
    kubectl("delete", "-f", str(MANIFESTS / name))
