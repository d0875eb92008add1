"""The scenarios by which ingress controllers are judged, in a lab: the outside client asks the published address.

Source of the scenarios: kubernetes-sigs/ingress-controller-conformance (default_backend, host_rules, ingress_class,
load_balancing, path_rules), in words and code of our own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kapi.errors import AlreadyExists
from kapi.resources import DEPLOYMENTS, EVENTS, INGRESSES, NAMESPACES, SECRETS, SERVICES
from netnslab.lab import Lab, run

Json = dict[str, Any]
NAMESPACE = "conformance"

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


@pytest.fixture
async def shop(lab: Lab) -> AsyncIterator[Lab]:
    """The lab, with Services `one` and `two` of echo pods in a namespace for these tests."""
    try:
        await lab.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    except AlreadyExists:
        pass
    else:
        for name in ("one", "two"):
            await lab.client.create(DEPLOYMENTS, deployment(name))
            await lab.client.create(SERVICES, service(name))
        wait = ("wait", "-n", NAMESPACE, "--for=condition=Available", "deployment", "--all", "--timeout=60s")
        (await lab.kubectl(*wait)).check()
    yield lab
    for ingress in (await lab.client.list(INGRESSES, NAMESPACE)).items:
        await lab.client.delete(INGRESSES, ingress["metadata"]["name"], NAMESPACE)


def deployment(name: str) -> Json:
    container = {"name": "echo", "image": "kproxy.io/echo", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def service(name: str) -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    meta = {"name": name, "namespace": NAMESPACE}
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def backend(name: str, port: int | str = "http") -> Json:
    return {"service": {"name": name, "port": {"name": port} if isinstance(port, str) else {"number": port}}}


def rule(host: str, *paths: tuple[str, str, str]) -> Json:
    """A rule of (path type, path, Service); the second by number, the others by the port's name."""
    found = [
        {"pathType": kind, "path": path, "backend": backend(to, 80 if index == 1 else "http")}
        for index, (kind, path, to) in enumerate(paths)
    ]
    return {**({"host": host} if host else {}), "http": {"paths": found}}


async def apply(lab: Lab, name: str, *rules: Json, **spec: Any) -> str:
    """Create an Ingress; gives the address that is published in its status."""
    wanted = {"ingressClassName": "kproxy", **spec, **({"rules": list(rules)} if rules else {})}
    meta = {"name": name, "namespace": NAMESPACE}
    made = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": wanted}
    await lab.client.create(INGRESSES, made)
    async with asyncio.timeout(15):
        while not (found := await addresses(lab, name)):  # noqa: ASYNC110  # asked of a server: nothing tells us
            await asyncio.sleep(0.05)
    return next(str(entry["ip"]) for entry in found if ":" not in entry["ip"])


async def addresses(lab: Lab, name: str) -> list[Json]:
    found = await lab.client.get(INGRESSES, name, NAMESPACE)
    return list(((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [])


class Answer:
    """What curl told: status, headers by name in small letters, and the pod that answered."""

    def __init__(self, out: str) -> None:
        head, _, self.body = out.replace("\r\n", "\n").partition("\n\n")
        lines = head.splitlines()
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    @property
    def app(self) -> str:
        """The Deployment whose pod answered."""
        pod = next((line for line in self.body.splitlines() if line.startswith("pod: ")), "pod: ")
        return pod.removeprefix("pod: ").split("-")[0]


async def ask(lab: Lab, address: str, host: str = "", path: str = "/", *flags: str) -> Answer:
    """Ask from the outside client."""
    said = ["-H", f"Host: {host}"] if host else []
    url = f"http://{address}{path}"
    return Answer((await lab.exec("client", "curl", "-sS", "-i", "--max-time", "5", *said, *flags, url)).check())


# Feature default_backend: one scenario, with these examples.
DEFAULT = (
    ("GET", "my-host", "/"),
    ("GET", "", "/sub-path"),
    ("POST", "some-host", "/"),
    ("PUT", "", "/resource"),
    ("DELETE", "some-host", "/resource"),
    ("PATCH", "my-host", "/resource"),
)


async def test_a_default_backend_answers_every_method_host_and_path(shop: Lab) -> None:
    address = await apply(shop, "default", defaultBackend=backend("one"))
    for method, host, path in DEFAULT:
        answer = await ask(shop, address, host, path, "-X", method)
        assert (answer.status, answer.app) == (200, "one"), (method, host, path)
        assert f"request: {method} {path} HTTP/1.1" in answer.body
        assert f"header: Host: {host or address}" in answer.body
        assert {"content-length", "content-type", "date", "server"} <= set(answer.headers)


# Feature host_rules: these, and that over TLS the certificate is the Secret's.
HOSTS = (
    ("a host with TLS is served over http as well, and not redirected", "foo.bar.com", 200, "two"),
    ("a host of no rule is not found", "subdomain.bar.com", 404, ""),
    ("a wildcard stands for one label", "bar.foo.com", 200, "one"),
    ("a wildcard does not stand for two labels", "baz.bar.foo.com", 404, ""),
    ("a wildcard does not stand for no label", "foo.com", 404, ""),
)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for foo.bar.com, and its key."""
    made, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=foo.bar.com", "-addext", "subjectAltName=DNS:foo.bar.com"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    made.chmod(0o644)
    tmp_path.chmod(0o755)
    return made, key


async def test_rules_for_hosts_by_name_by_wildcard_and_with_a_certificate(
    shop: Lab, certificate: tuple[Path, Path]
) -> None:
    data = [base64.b64encode(file.read_bytes()).decode() for file in certificate]
    meta = {"name": "conformance-tls", "namespace": NAMESPACE}
    secret = {
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "data": dict(zip(("tls.crt", "tls.key"), data, strict=True)),
    }
    await shop.client.create(SECRETS, {"apiVersion": "v1", "metadata": meta, **secret})
    address = await apply(
        shop,
        "hosts",
        rule("*.foo.com", ("Prefix", "/", "one")),
        rule("foo.bar.com", ("Prefix", "/", "two")),
        tls=[{"hosts": ["foo.bar.com"], "secretName": "conformance-tls"}],
    )
    flags = ("-sS", "-i", "--max-time", "5", "--cacert", str(certificate[0]), "--resolve", f"foo.bar.com:443:{address}")
    secure = Answer((await shop.exec("client", "curl", *flags, "https://foo.bar.com/")).check())
    assert (secure.status, secure.app) == (200, "two"), "a TLS host is served with the certificate of its Secret"
    for scenario, host, status, app in HOSTS:
        answer = await ask(shop, address, host)
        assert (answer.status, answer.app) == (status, app), scenario
    await shop.client.delete(SECRETS, "conformance-tls", NAMESPACE)
    url = ("curl", "-ksS", "--max-time", "5", "--resolve", f"foo.bar.com:443:{address}", "https://foo.bar.com/")
    async with asyncio.timeout(10):
        while "conformance-tls" not in (page := (await shop.exec("client", *url)).stdout):  # noqa: ASYNC110  # nothing tells us
            await asyncio.sleep(0.05)
    assert "503" in page, "without its Secret the host says over TLS which one is missing"
    assert (await ask(shop, address, "bar.foo.com")).status == 200
    events = (await shop.client.list(EVENTS, NAMESPACE)).items
    assert any("conformance-tls gives no certificate" in event["message"] for event in events)


async def test_the_status_of_an_ingress_of_a_class_that_nobody_serves_stays_empty(shop: Lab) -> None:
    spec = {"ingressClassName": "nobodys", "defaultBackend": backend("one")}
    meta = {"name": "nobodys", "namespace": NAMESPACE}
    await shop.client.create(
        INGRESSES, {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}
    )
    await apply(shop, "ours", rule("ours.example", ("Prefix", "/", "one")))
    assert await addresses(shop, "nobodys") == []


async def test_all_ten_pods_of_a_service_answer_and_no_request_fails(shop: Lab) -> None:
    address = await apply(shop, "balanced", rule("load-balancing", ("Prefix", "/", "one")))
    (await shop.kubectl("scale", "-n", NAMESPACE, "deployment/one", "--replicas=10")).check()
    (
        await shop.kubectl("wait", "-n", NAMESPACE, "--for=condition=Available", "deployment/one", "--timeout=60s")
    ).check()
    flags = ["-sS", "-H", "Host: load-balancing", "--max-time", "5", "-w", "%{http_code}\n"]
    pods: set[str] = set()
    async with asyncio.timeout(20):
        while len(pods) < 10:
            out = (await shop.exec("client", "curl", *flags, f"http://{address}/[1-100]")).check()
            assert out.count("200\n") == 100
            pods |= {line for line in out.splitlines() if line.startswith("pod: ")}
    assert len(pods) == 10
    (await shop.kubectl("scale", "-n", NAMESPACE, "deployment/one", "--replicas=1")).check()


# Feature path_rules: all its scenarios.
PATHS = (
    ("an Exact path is matched", "exact", "/foo", 200, "one"),
    ("an Exact path is not matched with a final slash", "exact", "/foo/", 404, ""),
    ("an Exact path is not matched in another case", "exact", "/FOO", 404, ""),
    ("an Exact path is not matched by another", "exact", "/bar", 404, ""),
    ("a Prefix path is matched", "prefix", "/foo", 200, "one"),
    ("a Prefix path is matched with a final slash", "prefix", "/foo/", 200, "one"),
    ("a Prefix path is not matched in another case", "prefix", "/FOO", 404, ""),
    ("of several Prefix paths the longest is matched", "prefix", "/aaa/bbb", 200, "two"),
    ("of several Prefix paths the longest is matched by a path below it", "prefix", "/aaa/bbb/ccc", 200, "two"),
    ("of several Prefix paths a shorter is matched by a path that is below it only", "prefix", "/aaa/ccc", 200, "one"),
    ("a Prefix path is not matched by a part of an element", "prefix", "/aaaccc", 404, ""),
    ("the longest Prefix path is matched with a final slash", "prefix", "/aaa/bbb/", 200, "two"),
    ("an Exact path goes before an equal Prefix path", "mixed", "/foo", 200, "two"),
    ("a Prefix path with a final slash is matched without it", "trailing", "/aaa/bbb", 200, "one"),
    ("a Prefix path with a final slash is matched with it", "trailing", "/aaa/bbb/", 200, "one"),
    ("an Exact path with a final slash is not matched without it", "trailing", "/foo", 404, ""),
)


async def test_paths_are_matched_exactly_or_by_their_elements(shop: Lab) -> None:
    address = await apply(
        shop,
        "paths",
        rule("exact", ("Exact", "/foo", "one")),
        rule("prefix", ("Prefix", "/foo", "one"), ("Prefix", "/aaa/bbb", "two"), ("Prefix", "/aaa", "one")),
        rule("mixed", ("Prefix", "/foo", "one"), ("Exact", "/foo", "two")),
        rule("trailing", ("Prefix", "/aaa/bbb/", "one"), ("Exact", "/foo/", "two")),
    )
    for scenario, host, path, status, app in PATHS:
        answer = await ask(shop, address, host, path)
        assert (answer.status, answer.app) == (status, app), scenario


async def test_a_rolling_restart_of_the_pods_fails_no_request(shop: Lab) -> None:
    address = await apply(shop, "rolling", rule("rolling", ("Prefix", "/", "two")))
    (await shop.kubectl("scale", "-n", NAMESPACE, "deployment/two", "--replicas=2")).check()
    (await shop.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/two", "--timeout=30s")).check()
    flags = ["-sS", "-H", "Host: rolling", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}\n"]
    loading = asyncio.create_task(shop.exec("client", "curl", *flags, "--rate", "200/s", f"http://{address}/[1-800]"))
    (await shop.kubectl("rollout", "restart", "-n", NAMESPACE, "deployment/two")).check()
    (await shop.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/two", "--timeout=30s")).check()
    out = (await loading).check().split()
    assert len(out) == 800
    assert set(out) == {"200"}
    (await shop.kubectl("scale", "-n", NAMESPACE, "deployment/two", "--replicas=1")).check()


ECHOING = """
import asyncio, base64, hashlib

async def serve(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
    key = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key"))
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
    writer.write(("HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
                  "Sec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n").encode())
    while data := await reader.read(4096):
        writer.write(bytes((data[0], data[1] & 127)) + bytes(c ^ data[2 + i % 4] for i, c in enumerate(data[6:])))

async def main():
    async with await asyncio.start_server(serve, "", 8080) as server:
        await server.serve_forever()

asyncio.run(main())
"""
TALKING = """
import asyncio, sys, aiohttp

async def main(url, host):
    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(url, headers={"Host": host}) for _ in range(8)]
        print("open", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for socket in sockets:
            await socket.send_str("still")
            assert (await socket.receive_str(timeout=5)) == "still"
        print("kept", len(sockets), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_websockets_last_while_routes_are_edited_and_other_pods_restart_and_no_request_fails(shop: Lab) -> None:
    chat = deployment("chat")
    container = chat["spec"]["template"]["spec"]["containers"][0]
    container["command"] = [sys.executable, "-c", ECHOING]
    container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    await shop.client.create(DEPLOYMENTS, chat)
    await shop.client.create(SERVICES, service("chat"))
    waited = ("-n", NAMESPACE, "--for=condition=Available", "deployment/chat", "--timeout=30s")
    (await shop.kubectl("wait", *waited)).check()
    address = await apply(shop, "busy", rule("busy", ("Prefix", "/ws", "chat"), ("Prefix", "/", "two")))
    inside = (sys.executable, "-m", "netnslab.cli", "exec", f"--name={shop.name}", "client", "--")
    talking = await asyncio.create_subprocess_exec(
        *(*inside, sys.executable, "-c", TALKING, f"http://{address}/ws", "busy"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert talking.stdout is not None
    assert await asyncio.wait_for(talking.stdout.readline(), 20) == b"open\n"
    flags = ["-sS", "-H", "Host: busy", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}\n"]
    loading = [
        asyncio.create_task(shop.exec("client", "curl", *flags, "--rate", "150/s", f"http://{address}/[1-900]"))
        for _ in range(2)
    ]
    (await shop.kubectl("rollout", "restart", "-n", NAMESPACE, "deployment/two")).check()
    for turn in range(20):
        paths = [("Prefix", "/ws", "chat"), ("Prefix", "/", "two"), ("Exact", f"/edit-{turn}", "one")]
        patch = {"spec": {"rules": [rule("busy", *paths)]}}
        await shop.client.patch(INGRESSES, "busy", patch, NAMESPACE)
        await asyncio.sleep(0.1)
    (await shop.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/two", "--timeout=30s")).check()
    for each in loading:
        assert (await each).check().split() == ["200"] * 900
    out, _ = await asyncio.wait_for(talking.communicate(b"\n"), 20)
    assert out == b"kept 8\n"


BROWSER = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--dump-dom")


async def test_the_shop_is_used_in_a_browser_through_tls(
    shop: Lab, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """The browser believes this one key and no other; what it types as http is taken to https."""
    if not shutil.which("chromium"):
        pytest.skip("the shop is looked at with chromium, which is not installed")
    create = ("create", "secret", "tls", "browser", "-n", NAMESPACE, "--cert", str(certificate[0]))
    (await shop.kubectl(*create, "--key", str(certificate[1]))).check()
    tls = [{"hosts": ["foo.bar.com"], "secretName": "browser"}]
    address = await apply(
        shop, "browsed", rule("foo.bar.com", ("Prefix", "/", "one"), ("Prefix", "/api", "two")), tls=tls
    )
    annotation = {"metadata": {"annotations": {"kproxy.io/redirect-https-with-tls": "true"}}}
    await shop.client.patch(INGRESSES, "browsed", annotation, NAMESPACE)
    believed = f"--ignore-certificate-errors-spki-list={key_hash(certificate[0])}"
    flags = (f"--user-data-dir={tmp_path}/profile", f"--host-resolver-rules=MAP foo.bar.com {address}", believed)
    for url, app in (("https://foo.bar.com/", "one"), ("http://foo.bar.com/api/orders", "two")):
        page = (await shop.exec("client", *BROWSER, *flags, url)).check()
        assert f"pod: {app}-" in page
        assert "header: X-Forwarded-Proto: https" in page


def key_hash(certificate: Path) -> str:
    """The hash by which a browser can be told of a key: of its SubjectPublicKeyInfo."""
    told = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-pubkey"], check=True, capture_output=True
    )
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=told.stdout, check=True, capture_output=True
    )
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


async def test_it_is_explained_which_rule_answers(shop: Lab) -> None:
    await apply(shop, "explained", rule("explained.example", ("Prefix", "/", "one"), ("Exact", "/foo", "two")))
    words = ["-m", "kingress", "explain", "http://explained.example/foo", "--kubeconfig", str(shop.kubeconfig)]
    told = (await run(sys.executable, *words)).check()
    assert "answered by Ingress conformance/explained spec.rules[0].http.paths[1]" in told
    assert "applies: Exact goes first" in told
