"""Who is calling: a client certificate, a bearer token, or nobody known."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi.resources import SERVICE_ACCOUNTS
from kapi.server import statuses, tokens
from kapi.server.state import State

Certificate = Mapping[str, Any]  # what ssl.SSLSocket.getpeercert gives


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and the groups they are in."""

    user: str
    groups: tuple[str, ...] = ()


ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))


class Authenticator:
    """Tells who is calling over HTTPS.

    `key` signs the tokens of ServiceAccounts, `static` are further tokens, and `anonymous` says whether callers may
    stay unknown.
    """

    def __init__(
        self,
        state: State,
        key: bytes,
        clock: Callable[[], datetime],
        *,
        static: Mapping[str, Identity],
        anonymous: bool,
    ) -> None:
        self._state = state
        self._key = key
        self._clock = clock
        self._static = dict(static)
        self._anonymous = anonymous

    def identify(self, certificate: Certificate | None, authorization: str) -> Identity:
        """Give the caller, by certificate (already verified) or Authorization header. Refuses with 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            found = self.of_token(token.strip())
            if found is None:
                raise statuses.unauthorized()
            return found
        if certificate:
            return of_certificate(certificate)
        if self._anonymous:
            return ANONYMOUS
        raise statuses.unauthorized()

    def of_token(self, token: str) -> Identity | None:
        """Give whose token this is; None where it is nobody's, or no longer good."""
        for known, identity in self._static.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                return identity
        account = tokens.check(self._key, token, int(self._clock().timestamp()))
        if account is None:
            return None
        record = self._state.of(SERVICE_ACCOUNTS).get(account.namespace, account.name)
        if record is None or record.object["metadata"]["uid"] != account.uid:
            return None  # the account was deleted: its tokens end with it
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated")
        return Identity(account.user, groups)


def of_certificate(certificate: Certificate) -> Identity:
    """Give the user (common name) and groups (organizations) of a client's certificate."""
    parts = [pair for name in certificate.get("subject") or () for pair in name]
    user = next((value for kind, value in parts if kind == "commonName"), "")
    groups = tuple(value for kind, value in parts if kind == "organizationName")
    return Identity(user, (*groups, "system:authenticated"))
