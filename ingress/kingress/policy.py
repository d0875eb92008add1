"""What an Ingress asks for beyond its rules, as one frozen value; `kingress.features` reads it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kapi.network import Network
from kingress.message import Header


@dataclass(frozen=True, slots=True)
class Edit:
    """Headers to set and to remove. Names to remove are in small letters, and those to set are removed first."""

    set: tuple[Header, ...]
    remove: frozenset[bytes]

    def apply(self, headers: list[Header]) -> list[Header]:
        """Give the headers as they become."""
        return [*(header for header in headers if header[0].lower() not in self.remove), *self.set]


class Conduct(NamedTuple):
    """How a backend is used: part of what tells one pool of connections from another.

    A tuple, because one is looked up for every request and tuples are hashed in C.
    """

    balance: str = "round-robin"
    https: bool = False  # the endpoints speak TLS
    authority: str = ""  # `namespace/name` of the Secret whose ca.crt signs their certificates; "" trusts any
    server_name: str = ""  # that their certificates are for, and that they are asked for
    connect_timeout: float = 0.0  # seconds; 0 is the default of the settings
    health_path: str = ""  # asked regularly; "" is no check


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that annotations can say of the routes of one Ingress. Times in seconds, sizes in bytes."""

    broken: str = ""  # why these routes answer nothing: a guard that cannot be understood, no backend that can be used
    uncertified: str = ""  # why the host has no certificate of its own: over https, nothing but this is answered

    allow: tuple[Network, ...] = ()  # clients must be in one of these, where there are any
    deny: tuple[Network, ...] = ()

    redirect_https: bool = False
    redirect_https_with_tls: bool = False  # the same, where the Ingress has a `tls` section
    permanent_redirect: str = ""
    permanent_redirect_code: int = 301
    temporary_redirect: str = ""
    temporary_redirect_code: int = 302
    app_root: str = ""

    replace_prefix: str = ""
    replace_path: str = ""
    upstream_host: bytes = b""
    request_headers: Edit | None = None
    response_headers: Edit | None = None
    body_limit: int = 0  # 0 is no limit

    read_timeout: float = 0.0  # 0 is the default of the settings
    send_timeout: float = 0.0
    connect_timeout: float = 0.0

    balance: str = "round-robin"
    hash_by: str = ""
    backend_https: bool = False
    backend_ca: str = ""
    backend_server_name: str = ""
    health_path: str = ""

    sticky: bool = False
    sticky_name: bytes = b"kingress"
    sticky_path: bytes = b"/"
    sticky_max_age: int = 0  # 0: until the browser ends
    sticky_secure: bool = False
    sticky_same_site: bytes = b""

    canary: bool = False
    canary_weight: int = 0
    canary_weight_total: int = 100
    canary_header: bytes = b""
    canary_header_value: bytes = b""
    canary_cookie: bytes = b""

    def conduct(self, namespace: str) -> Conduct:
        """Give what concerns the backends of an Ingress of this namespace."""
        return Conduct(
            "hash" if self.hash_by else self.balance,
            self.backend_https,
            f"{namespace}/{self.backend_ca}" if self.backend_ca else "",
            self.backend_server_name,
            self.connect_timeout,
            self.health_path,
        )


PLAIN = Policy()
DEFAULT_CONDUCT = Conduct()
