from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from kproxy import cli
from kproxy.backends import load, names
from kproxy.errors import Unavailable


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--proxy-mode", "ebpf"], "ebpf"),
        (["--cluster-cidr", "10.244.0.0/99"], "10.244.0.0/99"),
        (["--nodeport-addresses", "primary,somewhere"], "somewhere"),
        (["--iptables-masquerade-bit", "40"], "40"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_help_teaches_with_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "exit codes:" in shown


def test_cleaning_up_in_memory_succeeds() -> None:
    assert cli.main(["--proxy-mode", "memory", "--cleanup"]) == 0


def test_a_host_that_lacks_something_is_told_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kproxy.backends.memory.Memory.missing", lambda self: "it needs the moon")
    assert cli.main(["--proxy-mode", "memory"]) == 3
    assert capsys.readouterr().err == "kproxy: mode memory cannot work here: it needs the moon\n"


def test_flags_become_settings() -> None:
    argv = ["--cluster-cidr", "10.244.0.0/16,fd44::/48", "--nodeport-addresses", "all", "--masquerade-all"]
    chosen = cli.settings(cli.parser().parse_args(argv))
    assert [str(n) for n in chosen.local_traffic.networks] == ["10.244.0.0/16", "fd44::/48"]
    assert chosen.node_port_addresses == ("all",)
    assert chosen.masquerade_all


def test_an_unknown_backend_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(Unavailable, match="nftables"):
        load("ebpf")
    assert {"nftables", "memory"} <= set(names())


def test_a_signal_ends_it_with_exit_code_0() -> None:
    command = [sys.executable, "-m", "kproxy", "--proxy-mode", "memory", "--server", "http://127.0.0.1:1", "-v"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        running.stderr.readline()  # it is at work: the API cannot be reached, and it says so
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
