"""Bearer tokens of ServiceAccounts: JSON Web Tokens (RFC 7519) that this server signs and checks (HS256). Pure.

The claims are those of Kubernetes' bound tokens, so that clients can read them; only the server that made a token, or
one with the same key, can check it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc"
_HEADER = {"alg": "HS256", "typ": "JWT"}
_SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True)
class Account:
    """The ServiceAccount that a token is for."""

    namespace: str
    name: str
    uid: str

    @property
    def user(self) -> str:
        """The account as a user's name."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def issue(key: bytes, account: Account, *, now: int, seconds: int, audiences: tuple[str, ...] = (ISSUER,)) -> str:
    """Make a token for `account` that is good for `seconds` from `now` (Unix time) on."""
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"a key of at least {_SHORTEST_KEY} bytes is needed to sign tokens")
    names = {"name": account.name, "uid": account.uid}
    claims = {
        "iss": ISSUER,
        "sub": account.user,
        "aud": list(audiences),
        "iat": now,
        "nbf": now,
        "exp": now + seconds,
        "kubernetes.io": {"namespace": account.namespace, "serviceaccount": names},
    }
    signed = f"{_encode(_HEADER)}.{_encode(claims)}"
    return f"{signed}.{_text(_signature(key, signed))}"


def check(key: bytes, token: str, now: int) -> Account | None:
    """Give the account of a token; None where it was not made with this key, is for others, or is not good now."""
    signed, _, signature = token.rpartition(".")
    try:
        given = _bytes(signature)
        if not hmac.compare_digest(given, _signature(key, signed)):
            return None
        header, claims = (json.loads(_bytes(part)) for part in signed.split("."))
        if header != _HEADER or ISSUER not in claims["aud"] or not claims["nbf"] <= now < claims["exp"]:
            return None
        bound = claims["kubernetes.io"]
        return Account(bound["namespace"], bound["serviceaccount"]["name"], bound["serviceaccount"]["uid"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def _signature(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _encode(value: Json) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
