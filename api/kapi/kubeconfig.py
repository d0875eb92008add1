"""Kubeconfig files: which server, whom to trust, and who one is; reading them and writing one.

The format is `clientcmd/api/v1.Config`. Paths in a file are relative to the file. In a pod, where there is no
kubeconfig, the ServiceAccount's files and the `kubernetes` Service take its place.
"""

from __future__ import annotations

import argparse
import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from kapi import flags
from kapi.client import Client
from kapi.credentials import Credentials, Executed, Fixed, Plugin, TokenFile
from kapi.errors import ApiError
from kapi.transport import HttpTransport

Json = dict[str, Any]


SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


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
    token_file: Path | None = None
    plugin: Plugin | None = None
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
        transport = HttpTransport(self.server, tls=self.tls())
        if transport.tls is not None:
            transport.credentials = self._credentials(transport)
        return Client(transport)

    def _credentials(self, transport: HttpTransport) -> Credentials | None:
        if self.token_file is not None:
            return TokenFile(self.token_file)
        if self.token:
            return Fixed(self.token)
        return Executed(self.plugin, partial(self._show, transport)) if self.plugin is not None else None

    def _show(self, transport: HttpTransport, certificate: bytes, key: bytes) -> None:
        """Have requests from now on show a certificate: on connections of their own."""
        transport.tls = replace(self, certificate=certificate, key=key).tls()


def client_from(kubeconfig: Path | None, server: str | None) -> Client:
    """Give the client that a command line asks for: by URL, by file, by $KUBECONFIG and ~/.kube/config, or a pod's.

    Raises `KubeconfigError`.
    """
    if server:
        return Access(_checked(server, "--server")).client()
    path = kubeconfig or default_path()
    if kubeconfig is None and not path.exists() and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster().client()
    return load(path).client()


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Access:
    """Give a pod's access: the `kubernetes` Service, with its ServiceAccount. Raises `KubeconfigError`."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise KubeconfigError("this is no pod: KUBERNETES_SERVICE_HOST is not set")
    try:
        ca, namespace = (folder / "ca.crt").read_bytes(), (folder / "namespace").read_text().strip()
    except OSError as error:
        raise KubeconfigError(f"the pod has no ServiceAccount mounted: {error}") from error
    shown = f"[{host}]" if ":" in host else host
    return Access(f"https://{shown}:{port}", ca=ca, token_file=folder / "token", namespace=namespace)


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
    if not cluster.get("server"):
        raise KubeconfigError(f"{path}: cluster {chosen.get('cluster')!r} has no server")
    return Access(
        server=_checked(str(cluster["server"]), f"{path}: cluster {chosen.get('cluster')!r}"),
        ca=_data(cluster, "certificate-authority", path),
        certificate=_data(user, "client-certificate", path),
        key=_data(user, "client-key", path),
        token=str(user.get("token") or ""),
        token_file=Path(path.parent, str(user["tokenFile"])) if user.get("tokenFile") else None,
        plugin=_plugin(user, path),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace") or "default",
    )


def dump(access: Access, name: str) -> str:
    """Give the text of a kubeconfig with one context, called `name`."""
    cluster: Json = {"server": access.server}
    cluster |= {"certificate-authority-data": _base64(access.ca)} if access.ca else {}
    cluster |= {"insecure-skip-tls-verify": True} if access.insecure else {}
    user: Json = {"token": access.token} if access.token else {}
    user |= {"tokenFile": str(access.token_file)} if access.token_file else {}
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


def _checked(server: str, where: str) -> str:
    try:
        return flags.server(server)
    except argparse.ArgumentTypeError as error:
        raise KubeconfigError(f"{where}: {error}") from None


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


def _plugin(user: Mapping[str, Any], path: Path) -> Plugin | None:
    """Read the plug-in that gives a user's credentials."""
    told = user.get("exec")
    if told is None:
        return None
    if not isinstance(told, dict) or not told.get("command"):
        raise KubeconfigError(f"{path}: a user's exec plug-in has no command")
    variables = {str(entry["name"]): str(entry.get("value", "")) for entry in told.get("env") or ()}
    version = str(told.get("apiVersion") or "client.authentication.k8s.io/v1")
    arguments = tuple(str(argument) for argument in told.get("args") or ())
    return Plugin(str(told["command"]), arguments, variables, version, path.parent)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give a certificate to OpenSSL, which reads it only from a file: one that is ours alone, and not for long."""
    with tempfile.NamedTemporaryFile(prefix="kapi-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
