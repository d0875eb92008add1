"""Serves the certificates of Secrets to the clients that ask for their hosts.

One context listens; the name in each handshake chooses the certificate. A Secret that changes is served from the next
handshake on, and nothing else notices. A Secret that is missing or broken concerns its own hosts only: they get the
default certificate where there is one, and are served. Otherwise they get a stand-in, which no client trusts; whoever
goes on nevertheless is told what is wrong. Where there is no stand-in either, and for a host that no Ingress wants a
certificate for, the handshake is refused (RFC 6066 3).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from kapi.cache import Cache
from kapi.client import Client
from kingress.certificates import BadCertificate, Certificate, load, server_context
from kingress.objects import Ingress
from kingress.secrets import Data, Secrets
from kingress.sni import SniTable, secrets_of


class Tls:
    """The certificates of now.

    `doubt` is told the keys of Ingresses whose problems may have changed, `changed` that of each Secret that has.
    """

    def __init__(
        self,
        doubt: Callable[[str], object],
        changed: Callable[[str], object],
        *,
        client: Client | None = None,
        at_hand: Cache[Data] | None = None,
        default: str = "",
        stand_in: Certificate | None = None,
    ) -> None:
        self.table = SniTable()
        self.secrets = Secrets(self._secret_changed, client, at_hand)
        self.certificates: dict[str, Certificate] = {}  # by the key of the Secret
        self.default = default  # `namespace/name` of the Secret for hosts that have none
        self.stand_in = stand_in  # shown where a certificate is missing
        self.context = server_context()
        self.context.sni_callback = self._choose
        self._wrong: dict[str, str] = {}  # why a Secret cannot be served
        self._doubt = doubt
        self._changed = changed

    def start(self) -> None:
        """Begin to read the default certificate."""
        if self.default:
            self.secrets.name("", frozenset((self.default,)))

    def put(self, ingress: Ingress) -> None:
        """Take in an Ingress that is served."""
        self.table.put(ingress)
        authority = ingress.conduct.authority
        self.secrets.name(ingress.key, secrets_of(ingress) | ({authority} if authority else set()))

    def remove(self, key: str) -> None:
        """Forget an Ingress."""
        self.table.remove(key)
        self.secrets.name(key, frozenset())

    def problems(self, ingress: Ingress) -> list[str]:
        """Give what is wrong with the certificates of an Ingress: sentences."""
        found = [str(problem) for problem in self.table.problems(ingress.key)]
        for entry in ingress.tls:
            if entry.secret:
                key = f"{ingress.namespace}/{entry.secret}"
                found += self._problems_of(key, entry.hosts)
        return found

    def why_not(self, key: str) -> str:
        """Say why a Secret gives no certificate."""
        return self._wrong.get(key, "it does not exist" if self.secrets.known(key) else "it could not be read yet")

    def lacks(self, host: str) -> str:
        """Say, in a sentence, why a host is shown with the stand-in; "" where it is not."""
        key = self.table.secret(host) if self.stand_in is not None else ""
        if not key or key in self.certificates or self.default in self.certificates:
            return ""
        return f"{self.table.claimed(host)} names Secret {key}, which gives no certificate: {self.why_not(key)}."

    def _problems_of(self, key: str, hosts: tuple[str, ...]) -> list[str]:
        certificate = self.certificates.get(key)
        if not self.secrets.known(key):
            return []
        if certificate is None:
            return [f"Secret {key} gives no certificate: {self.why_not(key)}."]
        if certificate.warning:
            return [f"Secret {key} has a certificate that clients will refuse: {certificate.warning}."]
        strange = [host for host in hosts if not certificate.covers(host)]
        return [f"Secret {key} has a certificate that is not for {', '.join(strange)}."] if strange else []

    def _secret_changed(self, key: str) -> None:
        data = self.secrets.get(key)
        self._wrong.pop(key, None)
        try:
            if data is None:
                self.certificates.pop(key, None)
            else:
                self.certificates[key] = load(_part(data, "tls.crt"), _part(data, "tls.key"))
        except BadCertificate as error:
            self.certificates.pop(key, None)
            self._wrong[key] = str(error)
        for user in self.secrets.users(key):
            self._doubt(user)
        self._changed(key)

    def _choose(self, sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        """Give the handshake the certificate for the name it asks for."""
        key = self.table.secret(name or "")
        certificate = self.certificates.get(key) or self.certificates.get(self.default)
        if certificate is None and key:
            certificate = self.stand_in
        if certificate is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        sock.context = certificate.context
        return None


def _part(data: object, name: str) -> bytes:
    value = data.get(name) if isinstance(data, dict) else None
    if not value:
        raise BadCertificate(f"it has no {name}")
    return bytes(value)
