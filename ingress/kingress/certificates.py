"""Certificates as servers use them: loaded, and tried in a handshake before anyone meets them.

OpenSSL reads keys from files only, so each is written to one of our own, in memory where the system has such a place,
for as long as it takes to load.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEMORY = Path("/dev/shm")  # noqa: S108  # a private file, deleted at once; keys better not reach a disk
_PROTOCOLS = ["http/1.1"]
_DAYS = "3650"


class BadCertificate(ValueError):
    """A certificate or key that cannot be served; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A certificate with its key, ready to serve."""

    context: ssl.SSLContext
    names: tuple[str, ...] = ()  # that it is for
    expires: float = 0.0  # seconds since 1970; 0 is unknown
    warning: str = ""  # why clients will not accept it, where that is known

    def covers(self, host: str) -> bool:
        """Whether it is for a host: by its name, or by a wildcard for the first label (RFC 6125 6.4.3)."""
        _, _, parent = host.partition(".")
        return not self.names or host in self.names or f"*.{parent}" in self.names


def server_context() -> ssl.SSLContext:
    """Give what every server socket and every certificate begins with: TLS 1.2 or newer, and HTTP/1.1 inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(_PROTOCOLS)
    return context


def load(certificate: bytes, key: bytes) -> Certificate:
    """Make a certificate (PEM, the leaf first) and its key ready to serve. Raises BadCertificate."""
    for part, what in ((certificate, b"CERTIFICATE"), (key, b"PRIVATE KEY")):
        if not re.search(rb"-----BEGIN [A-Z ]*%b-----" % what, part):
            name = "tls.crt" if part is certificate else "tls.key"
            raise BadCertificate(f"{name} has no {what.decode().lower()} in PEM")
    context = server_context()
    with tempfile.NamedTemporaryFile(prefix="kingress-", dir=_memory()) as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: b"")  # an encrypted key must not ask the terminal
        except (ssl.SSLError, ValueError, OSError) as error:
            raise BadCertificate(f"it cannot be loaded: {_words(error)}") from None
    try:
        told = _handshake(context, certificate)
    except ssl.SSLCertVerificationError as error:
        return Certificate(context, warning=error.verify_message)
    except (ssl.SSLError, ValueError) as error:
        raise BadCertificate(f"no handshake succeeds with it: {_words(error)}") from None
    names = tuple(str(name).lower() for kind, name in told.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    return Certificate(context, names, ssl.cert_time_to_seconds(told["notAfter"]) if "notAfter" in told else 0.0)


def self_signed() -> Certificate:
    """Make one that is for nobody, so that a host without its own can say what is wrong. Raises BadCertificate.

    The `openssl` command makes it; its key is in no file once it is loaded.
    """
    with tempfile.TemporaryDirectory(prefix="kingress-", dir=_memory()) as name:  # only its owner may look into it
        key, certificate = Path(name, "tls.key"), Path(name, "tls.crt")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", _DAYS, "-subj", "/O=kingress/CN=a host without a certificate"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        try:
            subprocess.run(command, capture_output=True, timeout=30, check=True)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()[-300:]
            raise BadCertificate(f"openssl makes none: {said}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BadCertificate(f"openssl, which makes certificates, cannot be run: {error}") from None
        return load(certificate.read_bytes(), key.read_bytes())


def _memory() -> Path | None:
    return _MEMORY if _MEMORY.is_dir() else None


def _handshake(server: ssl.SSLContext, certificate: bytes) -> dict[str, Any]:
    """Shake hands in memory, trusting this certificate alone; gives what it says of itself."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the leaf is trusted as it is
    client.load_verify_locations(cadata=certificate.decode("ascii"))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True))
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(ends[0].getpeercert() or {})


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
