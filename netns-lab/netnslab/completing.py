"""What a shell completes that only a running system knows: labs, the places in one, the backends.

The scripts of `netns-lab completion` call `netns-lab words KIND` for each, a verb that the help does not show.
"""

from __future__ import annotations

from typing import Any

from netnslab.errors import LabError
from netnslab.state import LabFolder, labs

Json = dict[str, Any]

KINDS = ("labs", "targets", "backends")
_COMMAND = "netns-lab words {kind} ${{NETNS_LAB_NAME:+--name $NETNS_LAB_NAME}} 2>/dev/null"

PREAMBLE = {
    "bash": "\n".join(
        f"""_netns_lab_{kind}() {{
  local NETNS_LAB_NAME i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${{COMP_WORDS[i]}} == --name ]] && NETNS_LAB_NAME=${{COMP_WORDS[i+1]}}
  done
  compgen -W "$({_COMMAND.format(kind=kind)})" -- "$1"
}}"""
        for kind in KINDS
    ),
    "zsh": "\n".join(
        f"""_netns_lab_{kind}() {{
  local NETNS_LAB_NAME=${{words[$words[(i)--name]+1]}}
  compadd -- ${{(f)"$({_COMMAND.format(kind=kind)})"}}
}}"""
        for kind in KINDS
    ),
}
FUNCTIONS = {kind: dict.fromkeys(PREAMBLE, f"_netns_lab_{kind}") for kind in KINDS}


def words(kind: str, name: str) -> list[str]:
    """The words of a kind; `name` is the lab meant. None where that lab does not run."""
    if kind == "labs":
        return [lab.name for lab in labs()]
    if kind == "backends":
        from kproxy.backends import names  # noqa: PLC0415  # slow to import, and only this kind needs it

        return sorted(names())
    from netnslab import remote  # noqa: PLC0415  # as above

    try:
        status = remote.ask(LabFolder.of(name), {"do": "status"})["status"]
    except LabError:
        return []
    nodes: list[Json] = status["nodes"]
    pods = [_short(pod) for node in nodes for pod in node["pods"]]
    return [*pods, *(f"node/{node['name']}" for node in nodes), "client", "router"]


def _short(pod: Json) -> str:
    """What a pod is called on the command line."""
    return str(pod["name"]) if pod["namespace"] == "default" else f"{pod['namespace']}/{pod['name']}"
