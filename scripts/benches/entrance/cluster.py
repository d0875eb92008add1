"""The cluster that a measured ingress follows: an API server in a process of its own, full of Ingresses.

The whole bench runs in a network namespace of its own, in which loopback also has the address of a pod: an API server
takes no slice with an address of 127.0.0.0/8.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benches.row import Row
from kapi.resources import ENDPOINT_SLICES, INGRESS_CLASSES, INGRESSES, SECRETS, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore

Json = dict[str, Any]
POD = "10.0.0.1"
NAMESPACE = "default"
CERTIFICATE = "certificate"  # the name of its Secret


def apart(module: str) -> Iterator[Row]:
    """Run a bench's own process in a new network namespace, and give the rows it prints as JSON."""
    commands = f"ip link set lo up && ip address add {POD}/32 dev lo && exec {sys.executable} -m {module}"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", commands], stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    for line in done.stdout.splitlines():
        yield json.loads(line)


def tell(rows: Iterable[Row]) -> None:
    """Be that process: print the rows."""
    for row in rows:
        print(json.dumps(row), flush=True)


def host(number: int) -> str:
    """The host of an Ingress."""
    return f"h{number}.example"


def ingress(number: int, service: str = "one", *, tls: bool = False) -> Json:
    """Write an Ingress: one host, one path."""
    backend = {"service": {"name": service, "port": {"number": 80}}}
    rules = [{"host": host(number), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    secure = {"tls": [{"hosts": [host(number)], "secretName": CERTIFICATE}]} if tls else {}
    spec = {"ingressClassName": "kproxy", "rules": rules, **secure}
    return _written("networking.k8s.io/v1", "Ingress", f"i{number}", spec=spec)


def endpoint_slice(service: str, *ports: int) -> Json:
    """Write the slice of a Service: endpoints of one address, told apart by their ports. One port is one slice."""
    (port,) = ports
    made = _written("discovery.k8s.io/v1", "EndpointSlice", service, addressType="IPv4")
    made["metadata"]["labels"] = {"kubernetes.io/service-name": service}
    made["ports"] = [{"name": "http", "port": port, "protocol": "TCP"}]
    made["endpoints"] = [{"addresses": [POD], "conditions": {"ready": True}}]
    return made


def _written(version: str, kind: str, name: str, **rest: Any) -> Json:
    meta = {"name": name, "namespace": NAMESPACE} if kind != "IngressClass" else {"name": name}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}


async def _serve(port: int, routes: int, upstreams: dict[str, int], folder: Path | None) -> None:
    async with ApiServer(MemoryStore()) as server:
        client = server.client()
        spec = {"controller": "kproxy.io/ingress"}
        await client.create(INGRESS_CLASSES, _written("networking.k8s.io/v1", "IngressClass", "kproxy", spec=spec))
        for name, at in upstreams.items():
            ports = [{"name": "http", "port": 80}]
            await client.create(SERVICES, _written("v1", "Service", name, spec={"ports": ports}))
            await client.create(ENDPOINT_SLICES, endpoint_slice(name, at))
        if folder is not None:
            parts = {"tls.crt": "c.pem", "tls.key": "key.pem"}
            data = {key: base64.b64encode((folder / file).read_bytes()).decode() for key, file in parts.items()}
            await client.create(SECRETS, _written("v1", "Secret", CERTIFICATE, type="kubernetes.io/tls", data=data))
        for number in range(routes):
            await client.create(INGRESSES, ingress(number, tls=folder is not None and number == routes // 2))
        await server.listen(socket.create_server(("127.0.0.1", port)))
        print("serves", flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def running(command: list[str], out: Path, word: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run something for as long as it is needed; it is ready when it has written a word. Ends it in an orderly way."""
    with out.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        for _ in range(3000):
            if word in out.read_text():
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {out.read_text()}")
            time.sleep(0.01)
        else:
            raise RuntimeError(f"{' '.join(command)} did not say {word!r}")
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def cluster(folder: Path, routes: int, upstreams: dict[str, int], *, tls: bool = False) -> Iterator[str]:
    """Give the URL of an API server that is full of Ingresses; each Service has one endpoint, at a port of the pod."""
    port = free_port()
    told = [f"{name}={at}" for name, at in upstreams.items()]
    command = [sys.executable, "-m", "benches.entrance.cluster", str(port), str(routes), str(folder) if tls else ""]
    with running([*command, *told], folder / "api.out", "serves"):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Give a port at which nothing listens: in this namespace nobody else is."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


if __name__ == "__main__":
    asyncio.run(
        _serve(
            int(sys.argv[1]),
            int(sys.argv[2]),
            {name: int(at) for name, _, at in (each.partition("=") for each in sys.argv[4:])},
            Path(sys.argv[3]) if sys.argv[3] else None,
        )
    )
