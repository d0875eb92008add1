"""What every component's command line understands alike."""

from __future__ import annotations

from argparse import ArgumentTypeError
from importlib import import_module

import pytest

from kapi.flags import server


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
