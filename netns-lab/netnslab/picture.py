"""A picture of a lab in text, from what `netns-lab status` tells. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_MOST_PODS = 12  # shown per node; the rest is counted
_BOLD, _GREEN, _YELLOW, _PLAIN = "\033[1m", "\033[32m", "\033[33m", "\033[0m"


def draw(status: Json, *, color: bool) -> str:
    """The whole picture, as lines."""
    return "\n".join(_lines(status, color))


def _lines(status: Json, color: bool) -> Iterator[str]:  # passed on from `draw`
    client, router = status["client"]["addresses"], status["router"]["addresses"]
    facts = f"{_count(len(status['nodes']), 'node')}, {_count(status['services'], 'Service')}, {status['backend']}"
    yield f"{_painted(status['name'], _BOLD, color)}: {facts}, up for {_duration(status['uptime_seconds'])}"
    yield f"  API      {status['api']}"
    yield f"  ingress  {', '.join([status['ingress'], *(f'http://{_host(a)}' for a in status['ingress_addresses'])])}"
    yield ""
    yield f"  client {', '.join(client)}"
    yield "    |"
    yield f"  router {', '.join(router)}"
    for number, node in enumerate(status["nodes"]):
        last = number == len(status["nodes"]) - 1
        yield from _node(node, last=last, color=color)
    if status["waiting_pods"]:
        yield f"  not on a node: {_names(status['waiting_pods'])}"


def _node(node: Json, *, last: bool, color: bool) -> Iterator[str]:
    yield "    |"
    name = _painted(node["name"], _BOLD, color)
    yield f"    +-- {name} {', '.join(node['addresses'])}  ({node['zone']})"
    line = "     " if last else "    |"
    yield f"{line}     pods of {', '.join(node['pod_networks'])}"
    for pod in node["pods"][:_MOST_PODS]:
        fine = pod["ready"] or pod["phase"] == "Succeeded"
        mark = _painted("*", _GREEN, color) if fine else _painted("o", _YELLOW, color)
        state = "" if pod["ready"] else "(completed)" if fine else "(not ready)"
        yield "  ".join(filter(None, [f"{line}     {mark} {pod['namespace']}/{pod['name']}", pod["address"], state]))
    if len(node["pods"]) > _MOST_PODS:
        rest = node["pods"][_MOST_PODS:]
        yield f"{line}       and {len(rest)} more, {sum(pod['ready'] for pod in rest)} of them ready"


def _names(pods: list[Json]) -> str:
    names = [f"{pod['namespace']}/{pod['name']}" for pod in pods[:_MOST_PODS]]
    return ", ".join(names) + (f" and {len(pods) - _MOST_PODS} more" if len(pods) > _MOST_PODS else "")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _painted(text: str, paint: str, color: bool) -> str:  # as above
    return f"{paint}{text}{_PLAIN}" if color else text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
