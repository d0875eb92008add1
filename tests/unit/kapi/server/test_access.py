"""HTTPS: who is let in, who is not, and what is kept secret."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kapi.client import Client
from kapi.credentials import CredentialError, Plugin
from kapi.errors import ApiError, Invalid, StatusError
from kapi.kubeconfig import Access, load, write
from kapi.resources import NAMESPACES, SERVICE_ACCOUNTS
from kapi.server import ApiServer, Settings, tokens
from kapi.server.certificates import Authority, CertificateError
from kapi.server.identity import Identity, of_certificate
from kapi.store.memory import MemoryStore
from kapi.transport import Request

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes certificates, is missing")


@dataclass(frozen=True)
class Secure:
    server: ApiServer
    access: Access  # without anything that says who one is
    authority: Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "certificates")


@asynccontextmanager
async def secured(authority: Authority, settings: Settings) -> AsyncIterator[Secure]:
    tls = authority.tls(authority.server(["localhost"], [ip_address("127.0.0.1")]))
    async with ApiServer(MemoryStore(), settings) as server:
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock, tls)
        url = f"https://127.0.0.1:{sock.getsockname()[1]}"
        yield Secure(server, Access(url, ca=authority.root.certificate.read_bytes()), authority)


async def code(access: Access) -> int:
    """The code that a caller gets for reading something."""
    client = access.client()
    try:
        await client.get(NAMESPACES, "default")
    except StatusError as error:
        return int(error.status["code"])
    finally:
        await client.close()
    return 200


def as_user(secure: Secure, **more: str | bytes) -> Access:
    return Access(secure.access.server, ca=secure.access.ca, **more)  # type: ignore[arg-type]  # a test's shorthand


async def test_who_is_not_known_is_not_let_in_unless_that_is_asked_for(authority: Authority) -> None:
    async with secured(authority, Settings()) as secure:
        assert await code(secure.access) == 401
        assert await code(as_user(secure, token="made-up")) == 401
        assert await code(as_user(secure, token="a.b.c")) == 401
        trust = ssl.create_default_context(cafile=str(authority.root.certificate))
        async with (
            aiohttp.ClientSession() as session,
            session.get(secure.access.server + "/readyz", ssl=trust) as answer,
        ):
            assert answer.status == 200, "whether the server is well may be asked by anyone"
    async with secured(authority, Settings(anonymous=True)) as secure:
        assert await code(secure.access) == 200
        assert await code(as_user(secure, token="made-up")) == 401


async def test_a_certificate_of_the_authority_is_taken_and_no_other(authority: Authority, tmp_path: Path) -> None:
    async with secured(authority, Settings()) as secure:
        mine = authority.client("me", "people")
        shown = {"certificate": mine.certificate.read_bytes(), "key": mine.key.read_bytes()}
        assert await code(as_user(secure, **shown)) == 200
        forged = Authority(tmp_path).client("me", "people")
        with pytest.raises(ApiError):
            await code(as_user(secure, certificate=forged.certificate.read_bytes(), key=forged.key.read_bytes()))


async def test_tokens_are_taken_for_as_long_as_their_account_lives(authority: Authority) -> None:
    static = {"secret": Identity("ci", ("builders",))}
    async with secured(authority, Settings(tokens=static)) as secure:
        assert await code(as_user(secure, token="secret")) == 200
        client = secure.server.client()
        path = SERVICE_ACCOUNTS.path("kube-system", "robot", "token")
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot"}}, "kube-system")
        answer = await client.transport.send(Request("POST", path, {}, {"spec": {"expirationSeconds": 600}}))
        token = answer["status"]["token"]
        assert await code(as_user(secure, token=token)) == 200
        assert await code(as_user(secure, token=token[:-2] + "xx")) == 401
        other = await client.transport.send(Request("POST", path, {}, {"spec": {"audiences": ["vault"]}}))
        assert await code(as_user(secure, token=other["status"]["token"])) == 401
        await client.delete(SERVICE_ACCOUNTS, "robot", "kube-system")
        assert await code(as_user(secure, token=token)) == 401
        path = SERVICE_ACCOUNTS.path("default", "default", "token")
        for bad in ({"expirationSeconds": 5}, {"expirationSeconds": "x"}, {"audiences": [1]}):
            with pytest.raises(StatusError):
                await client.transport.send(Request("POST", path, {}, {"spec": bad}))


def test_a_token_ends() -> None:
    key, account = b"k" * 32, tokens.Account("ns", "robot", "1-2-3")
    token = tokens.issue(key, account, now=1000, seconds=600)
    assert tokens.check(key, token, 1000) == account
    assert tokens.check(key, token, 1600) is None
    assert tokens.check(key, token, 999) is None
    assert tokens.check(b"x" * 32, token, 1000) is None
    for broken in ("", "..", "a.b", token.replace(".", ""), token + "."):
        assert tokens.check(key, broken, 1000) is None


def test_a_certificate_names_a_user_and_groups() -> None:
    subject = ((("organizationName", "a"),), (("organizationName", "b"),), (("commonName", "me"),))
    assert of_certificate({"subject": subject}) == Identity("me", ("a", "b", "system:authenticated"))


def test_what_is_secret_can_be_read_by_its_owner_only(authority: Authority, tmp_path: Path) -> None:
    authority.client("me", "people")
    authority.secret("tokens.key")
    assert authority.folder.stat().st_mode & 0o077 == 0
    for path in (*authority.folder.glob("*.key"), authority.folder / "tokens.key"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert authority.secret("tokens.key") == authority.secret("tokens.key")
    config = tmp_path / "config"
    write(config, Access("https://127.0.0.1:1", token="secret"), "x")
    assert config.stat().st_mode & 0o077 == 0
    assert load(config).token == "secret"
    with pytest.raises(CertificateError, match="cannot be kept"):
        Authority(config / "sub").client("x")


def test_certificates_are_good_for_years(authority: Authority) -> None:
    server = authority.server(["localhost"], [ip_address("::1")])
    end = ssl._ssl._test_decode_cert(str(server.certificate))["notAfter"]  # type: ignore[attr-defined]
    assert datetime.strptime(end, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC) > datetime.now(UTC) + timedelta(3000)


GIVE = """
import json, pathlib, sys
tokens = pathlib.Path(sys.argv[1]).read_text().split()
pathlib.Path(sys.argv[1]).write_text(" ".join(tokens[1:]))
print(json.dumps({"status": {"token": tokens[0]}}))
"""


async def test_a_token_that_is_no_longer_taken_is_asked_for_anew(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "give.py").write_text(GIVE)
    (tmp_path / "tokens").write_text("old good never-asked-for")
    plugin = Plugin(sys.executable, (str(tmp_path / "give.py"), str(tmp_path / "tokens")))
    async with secured(authority, Settings(tokens={"good": Identity("me")})) as secure:
        client = replace(secure.access, plugin=plugin).client()
        await client.get(NAMESPACES, "default")
        async with client.watch(NAMESPACES) as stream:
            assert (await anext(aiter(stream)))["type"] == "ADDED"
        await client.close()
    assert (tmp_path / "tokens").read_text() == "never-asked-for"


async def test_a_plug_in_may_give_a_certificate(authority: Authority, tmp_path: Path) -> None:
    pair = authority.client("plugged")
    status = {"clientCertificateData": pair.certificate.read_text(), "clientKeyData": pair.key.read_text()}
    (tmp_path / "given").write_text(json.dumps({"status": status}))
    async with secured(authority, Settings()) as secure:
        client = replace(secure.access, plugin=Plugin("cat", (str(tmp_path / "given"),))).client()
        me = await review(client, "selfsubjectreviews", "authentication")
        assert me["userInfo"]["username"] == "plugged"
        await client.close()
        (tmp_path / "given").write_text(json.dumps({"status": {**status, "clientKeyData": "no key"}}))
        client = replace(secure.access, plugin=Plugin("cat", (str(tmp_path / "given"),))).client()
        with pytest.raises(CredentialError, match="cat gave a certificate that cannot be used"):
            await client.get(NAMESPACES, "default")
        await client.close()


async def test_a_new_certificate_is_shown_at_once(authority: Authority, tmp_path: Path) -> None:
    given, seen = tmp_path / "given", []
    async with secured(authority, Settings()) as secure:
        client = replace(secure.access, plugin=Plugin("cat", (str(given),))).client()
        for name in ("first", "second"):
            pair = authority.client(name)
            status = {"clientCertificateData": pair.certificate.read_text(), "clientKeyData": pair.key.read_text()}
            given.write_text(json.dumps({"status": {**status, "expirationTimestamp": "2020-01-01T00:00:00Z"}}))
            me = await review(client, "selfsubjectreviews", "authentication")
            seen.append(me["userInfo"]["username"])
        await client.close()
    assert seen == ["first", "second"]


async def review(client: Client, plural: str, group: str, **spec: Any) -> Any:
    request = Request("POST", f"/apis/{group}.k8s.io/v1/{plural}", {}, {"spec": spec})
    return (await client.transport.send(request))["status"]


async def test_one_may_ask_who_one_is_and_what_one_may(authority: Authority) -> None:
    async with secured(authority, Settings(tokens={"t": Identity("me", ("us",))})) as secure:
        client = as_user(secure, token="t").client()
        me = await review(client, "selfsubjectreviews", "authentication")
        assert me["userInfo"] == {"username": "me", "groups": ["us"]}
        known = await review(client, "tokenreviews", "authentication", token="t")
        assert (known["authenticated"], known["user"]["username"]) == (True, "me")
        assert not (await review(client, "tokenreviews", "authentication", token="x"))["authenticated"]
        may = {"resourceAttributes": {"verb": "get", "resource": "pods"}}
        assert (await review(client, "selfsubjectaccessreviews", "authorization", **may))["allowed"]
        with pytest.raises(Invalid, match="exactly one of nonResourceAttributes or resourceAttributes"):
            await review(client, "subjectaccessreviews", "authorization")
        rules = await review(client, "selfsubjectrulesreviews", "authorization", namespace="default")
        assert rules["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        await client.close()
