"""Kubeconfig files: which server, whom to trust, and who one is; reading them and writing one.

The format is `clientcmd/api/v1.Config`. Paths in a file are relative to the file. Exec plug-ins are not run.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kapi.client import Client
from kapi.errors import ApiError
from kapi.transport import HttpTransport

Json = dict[str, Any]


class KubeconfigError(ApiError):
    """A kubeconfig that is missing, malformed, or names something that is not in it."""


@dataclass(frozen=True, slots=True)
class Access:
    """A server, and what is needed to talk to it. Certificates and keys are PEM."""

    server: str
    ca: bytes = field(default=b"", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    insecure: bool = False
    namespace: str = "default"

    def tls(self) -> ssl.SSLContext | None:
        """Give the TLS settings; None for a server that is reached in the clear."""
        if not self.server.startswith("https://"):
            return None
        context = ssl.create_default_context(cadata=self.ca.decode() or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            _load_chain(context, self.certificate, self.key)
        return context

    def client(self) -> Client:
        """Give a client for this server. The token goes only over TLS, as kubectl has it."""
        tls = self.tls()
        headers = {"Authorization": f"Bearer {self.token}"} if self.token and tls is not None else {}
        return Client(HttpTransport(self.server, headers=headers, tls=tls))


def client_from(kubeconfig: Path | None, server: str | None) -> Client:
    """Give the client that a command line asks for: by URL, by file, or by $KUBECONFIG and ~/.kube/config.

    Raises `KubeconfigError`.
    """
    if server:
        return Client.connect(server)
    return load(kubeconfig or default_path()).client()


def default_path() -> Path:
    """Give the kubeconfig that is used where none is named: the first of $KUBECONFIG, or ~/.kube/config."""
    named = os.environ.get("KUBECONFIG", "").split(":")[0]
    return Path(named) if named else Path.home() / ".kube" / "config"


def load(path: Path, context: str | None = None) -> Access:
    """Read a kubeconfig's context, the current one by default. Raises `KubeconfigError`."""
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeconfigError(
            f"{path} cannot be read as a kubeconfig: {error}; name a server with --server or a file with --kubeconfig"
        ) from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig: it holds no mapping")
    chosen = _named(config, "contexts", context or config.get("current-context") or "", path)
    cluster = _named(config, "clusters", chosen.get("cluster") or "", path)
    user = _named(config, "users", chosen["user"], path) if chosen.get("user") else {}
    if "exec" in user:
        raise KubeconfigError(f"{path}: user {chosen['user']!r} has an exec plug-in; these are not supported")
    if not cluster.get("server"):
        raise KubeconfigError(f"{path}: cluster {chosen.get('cluster')!r} has no server")
    return Access(
        server=cluster["server"],
        ca=_data(cluster, "certificate-authority", path),
        certificate=_data(user, "client-certificate", path),
        key=_data(user, "client-key", path),
        token=_token(user, path),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace") or "default",
    )


def dump(access: Access, name: str) -> str:
    """Give the text of a kubeconfig with one context, called `name`."""
    cluster: Json = {"server": access.server}
    cluster |= {"certificate-authority-data": _base64(access.ca)} if access.ca else {}
    cluster |= {"insecure-skip-tls-verify": True} if access.insecure else {}
    user: Json = {"token": access.token} if access.token else {}
    if access.certificate:
        user |= {"client-certificate-data": _base64(access.certificate), "client-key-data": _base64(access.key)}
    context = {"cluster": name, "user": name, "namespace": access.namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return yaml.safe_dump(config, sort_keys=False)


def write(path: Path, access: Access, name: str) -> None:
    """Write a kubeconfig that only its owner can read, in one step: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(dump(access, name))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _named(config: Json, part: str, name: str, path: Path) -> Json:
    for entry in config.get(part) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found: Json = entry.get(part.removesuffix("s")) or {}
            return found
    raise KubeconfigError(f"{path}: there is no {name!r} in {part}")


def _data(section: Mapping[str, Any], name: str, path: Path) -> bytes:
    """Read `name-data` (base64), or the file that `name` tells of."""
    try:
        if section.get(f"{name}-data"):
            return base64.b64decode(section[f"{name}-data"], validate=True)
        if section.get(name):
            return Path(path.parent, str(section[name])).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise KubeconfigError(f"{path}: {name} cannot be read: {error}") from error
    return b""


def _token(user: Mapping[str, Any], path: Path) -> str:
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        try:
            return Path(path.parent, str(user["tokenFile"])).read_text().strip()
        except OSError as error:
            raise KubeconfigError(f"{path}: the token cannot be read: {error}") from error
    return ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give a certificate to OpenSSL, which reads it only from a file: one that is ours alone, and not for long."""
    with tempfile.NamedTemporaryFile(prefix="kapi-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
