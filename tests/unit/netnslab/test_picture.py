from __future__ import annotations

from typing import Any

import pytest

from netnslab import picture

POD = {"namespace": "default", "name": "web-1", "address": "10.244.0.2", "ready": True, "phase": "Running"}
STATUS: dict[str, Any] = {
    "name": "lab",
    "backend": "nftables",
    "uptime_seconds": 3.25,
    "api": "http://127.0.0.1:1234",
    "ingress": "http://127.0.0.1:1235",
    "ingress_addresses": ["203.0.113.1"],
    "client": {"addresses": ["198.51.100.10"]},
    "router": {"addresses": ["172.30.0.1"]},
    "nodes": [
        {
            "name": "control-plane",
            "zone": "zone-a",
            "addresses": ["172.30.0.10"],
            "pod_networks": ["10.244.0.0/24"],
            "pods": [
                POD,
                {**POD, "name": "web-2", "ready": False},
                {**POD, "name": "job-1", "ready": False, "phase": "Succeeded"},
            ],
        }
    ],
    "waiting_pods": [{**POD, "name": "web-3", "address": ""}],
    "services": 2,
}


def test_the_whole_lab_is_in_the_picture() -> None:
    assert picture.draw(STATUS, color=False).splitlines() == [
        "lab: 1 node, 2 Services, nftables, up for 3.2 s",
        "  API      http://127.0.0.1:1234",
        "  ingress  http://127.0.0.1:1235, http://203.0.113.1",
        "",
        "  client 198.51.100.10",
        "    |",
        "  router 172.30.0.1",
        "    |",
        "    +-- control-plane 172.30.0.10  (zone-a)",
        "          pods of 10.244.0.0/24",
        "          * default/web-1  10.244.0.2",
        "          o default/web-2  10.244.0.2  (not ready)",
        "          * default/job-1  10.244.0.2  (completed)",
        "  not on a node: default/web-3",
    ]


def test_many_pods_are_counted_instead_of_listed() -> None:
    node = {**STATUS["nodes"][0], "pods": [POD] * 50}
    text = picture.draw({**STATUS, "nodes": [node]}, color=False)
    assert "and 38 more, 38 of them ready" in text


def test_colour_changes_no_word() -> None:
    painted = picture.draw(STATUS, color=True)
    for code in ("\033[1m", "\033[32m", "\033[33m", "\033[0m"):
        painted = painted.replace(code, "")
    assert painted == picture.draw(STATUS, color=False)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.7, "0.7 s"), (59.4, "59.4 s"), (61, "1 min 1 s"), (3725, "1 h 2 min")]
)
def test_durations_are_told_shortly(seconds: float, text: str) -> None:
    assert f"up for {text}" in picture.draw({**STATUS, "uptime_seconds": seconds}, color=False)
