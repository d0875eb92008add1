"""An authority of the server's own, and the certificates it gives: made by the `openssl` command, kept in a folder.

Keys are elliptic (P-256) and readable by their owner only. What is in the folder already is used again, so that a
kubeconfig outlives the server it was written for.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from kapi.errors import ApiError

_DAYS = "3650"
ADMINISTRATORS = "system:masters"  # the group that may do everything, in every cluster


class CertificateError(ApiError):
    """A certificate could not be made or read."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, in files of PEM."""

    certificate: Path
    key: Path


class Authority:
    """Gives certificates, from the folder at `folder`. Raises `CertificateError`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def root(self) -> Certificate:
        """The authority's own certificate, made when it is first asked for."""
        return self._made("ca", "/CN=kapi", ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"))

    def server(self, names: Iterable[str], addresses: Iterable[IPv4Address | IPv6Address]) -> Certificate:
        """Give a new certificate for a server that is reached by these names and addresses."""
        self._forget("server")
        known = [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses]
        extensions = (f"subjectAltName={','.join(known)}", "extendedKeyUsage=serverAuth")
        return self._made("server", "/CN=kube-apiserver", extensions)

    def client(self, user: str, group: str = ADMINISTRATORS) -> Certificate:
        """Give a certificate for someone to show who they are."""
        return self._made(f"client-{user}", f"/O={group}/CN={user}", ("extendedKeyUsage=clientAuth",))

    def tls(self, server: Certificate) -> ssl.SSLContext:
        """Give the server's TLS settings: clients may show a certificate, which then must be of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(server.certificate, server.key)
        context.load_verify_locations(self.root.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    def secret(self, name: str, size: int = 32) -> bytes:
        """Give random bytes that are kept under `name`."""
        path = self.folder / name
        self._prepare()
        if not path.exists():
            _write(path, os.urandom(size))
        return path.read_bytes()

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CertificateError(f"certificates cannot be kept in {self.folder}: {error}") from error

    def _forget(self, name: str) -> None:
        for suffix in (".crt", ".key"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)

    def _made(self, name: str, subject: str, extensions: Iterable[str]) -> Certificate:
        """Give the certificate called `name`; sign it with the authority's, unless it is that one."""
        made = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if made.certificate.exists() and made.key.exists():
            return made
        self._prepare()
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", _DAYS, "-subj", subject, "-keyout", str(made.key), "-out", str(made.certificate)]
        if name != "ca":
            command += ["-CA", str(self.root.certificate), "-CAkey", str(self.root.key)]
            command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        for extension in extensions:
            command += ["-addext", extension]
        _write(made.key, b"")  # before openssl does, so that nobody can read it even for a moment
        _run(command)
        return made


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateError(f"openssl, which makes certificates, cannot be run: {error}") from error
    if done.returncode:
        raise CertificateError(f"openssl made no certificate: {done.stderr.strip()[-300:]}")
