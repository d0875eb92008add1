"""What every component's command line understands alike."""

from __future__ import annotations

from argparse import ArgumentTypeError
from importlib import import_module

import pytest

from kapi.flags import endpoint, network, server


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001", "https://api.example:6443/", "http://[::1]:8001", "https://rancher.example/k8s/c"]
)
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert server(url) == url


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "127.0.0.1:8001", "http://", "http:///x", "ftp://a", "http://a:b", "http://[::1", "http://a b"],
)
def test_what_is_no_url_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"is no URL of an API server, such as http://127\.0\.0\.1:8001"):
        server(text)


@pytest.mark.parametrize("component", ["kdns", "kproxy", "kendpoints", "kingress"])
def test_every_component_refuses_a_server_that_is_no_url_as_wrong_usage(
    component: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        import_module(f"{component}.cli").main(["--server", "nonsense"])
    assert ended.value.code == 2
    assert "--server: 'nonsense' is no URL of an API server" in capsys.readouterr().err.replace("/--master", "")


@pytest.mark.parametrize(
    ("text", "at"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("0.0.0.0:65535", ("0.0.0.0", 65535))],
)
def test_an_address_and_a_port_are_a_place(text: str, at: tuple[str, int]) -> None:
    assert endpoint(text) == at


@pytest.mark.parametrize("text", ["", ":80", "127.0.0.1", "localhost:80", "127.0.0.1:x", "127.0.0.1:65536", "[::1]"])
def test_what_is_no_place_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"is not ADDRESS:PORT, such as 127\.0\.0\.1:53 or \[::1\]:53$"):
        endpoint(text, 53)


@pytest.mark.parametrize(
    ("text", "found"), [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3/8", "10.0.0.0/8"), ("fd00::1", "fd00::1/128")]
)
def test_a_network_or_an_address_alone_is_a_network(text: str, found: str) -> None:
    assert str(network(text)) == found


def test_what_is_no_network_is_refused_with_an_example() -> None:
    with pytest.raises(ArgumentTypeError, match=r"'10' is not a network, such as 10\.96\.0\.0/16: "):
        network("10", "10.96.0.0/16")
