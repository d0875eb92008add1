from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from netnslab import cli, commands
from netnslab.parser import parser

HEAVY = {
    "aiohttp",
    "asyncio",
    "pydantic",
    "pyroute2",
    "yaml",
    "kapi",
    "kproxy",
    "kdns",
    "kingress",
    "uvloop",
}


def imported(*arguments: str) -> set[str]:
    """The top-level modules that a verb imports, for a lab that does not run."""
    code = (
        "import sys; from netnslab.cli import main\n"
        f"code = main({list(arguments)!r})\n"
        "print(code, *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [("status", "--name=t-none"), ("exec", "--name=t-none", "x", "true"), ("down", "--name=t-none"), ("list",)],
)
def test_asking_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not imported(*arguments) & HEAVY


def test_every_verb_of_the_grammar_is_carried_out() -> None:
    (verbs,) = (action.choices for action in parser()._actions if action.dest == "verb")
    assert set(verbs or ()) == set(commands.VERBS)


@pytest.mark.parametrize("verb", sorted(commands.VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args([verb, "--help"])
    assert end.value.code == 0
    assert "usage: netns-lab " + verb in capsys.readouterr().out


@pytest.mark.parametrize("verb", sorted(set(commands.VERBS) - {"words"}))
def test_every_help_teaches_with_examples_that_fit_a_terminal(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parser().parse_args([verb, "--help"])
    told = capsys.readouterr().out
    assert re.search(rf"^examples:\n  .*netns-lab {verb}", told, re.MULTILINE)
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("verb", ["up", "down", "status", "exec", "kubeconfig", "logs"])
def test_every_verb_about_a_lab_takes_its_name(verb: str) -> None:
    target = ["client"] if verb == "exec" else []
    assert parser().parse_args([verb, "--name", "two", *target]).name == "two"
    assert parser().parse_args([verb, *target]).name == "lab"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_scripts_know_the_verbs(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = parser().parse_args(["completion", shell])
    assert commands.VERBS["completion"](options) == 0
    assert "kubeconfig" in capsys.readouterr().out


def test_exit_codes_are_documented() -> None:
    text = parser().format_help()
    for code in range(7):
        assert f"\n  {code}  " in text


def test_a_command_without_the_dashes_is_told_where_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["exec", "tools", "curl", "-s", "http://web/?a b"])
    assert "put the command after --: netns-lab exec tools -- curl -s 'http://web/?a b'" in capsys.readouterr().err


def test_bash_completes_what_only_the_system_knows(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    tool = Path(sys.executable).parent
    run = subprocess.run([tool / "netns-lab", "completion", "bash"], capture_output=True, text=True, check=True)
    script.write_text(run.stdout)
    asking = (
        f'. {script}; COMP_WORDS=(netns-lab up --backend i); COMP_CWORD=3; _shtab_netns_lab; echo "${{COMPREPLY[@]}}"'
    )
    environment = {**os.environ, "PATH": f"{tool}:{os.environ['PATH']}"}
    shown = subprocess.run(["bash", "-c", asking], env=environment, capture_output=True, text=True, check=True)
    assert {"iptables", "ipvs"} <= set(shown.stdout.split())
    assert "nftables" not in shown.stdout
