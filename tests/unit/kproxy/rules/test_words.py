"""Every kind of step that a rule can have is told in words."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import get_args

import pytest

from kproxy.rules import words
from kproxy.rules.model import (
    Accept,
    Answers,
    ArrivedOn,
    Balance,
    Called,
    CalledPort,
    ConnectionMarked,
    Count,
    Destination,
    Dispatch,
    Drop,
    Follows,
    Goto,
    In,
    Invalid,
    Jump,
    Mark,
    MarkBy,
    MarkConnection,
    Marked,
    MarkIs,
    Masquerade,
    Match,
    NewConnection,
    OneIn,
    OwnAddress,
    Port,
    Random,
    Recently,
    Reject,
    Remember,
    Return,
    Rule,
    Service,
    Source,
    SourcePort,
    Statement,
    Step,
    To,
    Trace,
    TranslateBy,
    Translated,
    TranslateTo,
    Unmark,
    Within,
)

PLACE = (Destination(), Port("tcp"))
TOLD: list[tuple[Match | Statement, str]] = [
    (In((Source(),), "pods", negated=True), "the source address is not in pods"),
    (In((Destination(), Service()), "s"), "the destination address with the protocol and port is in s"),
    (OwnAddress(Destination()), "the destination address is one of this node's own"),
    (ArrivedOn("cni0"), "it came in through cni0"),
    (ArrivedOn("cni0", negated=True), "it did not come in through cni0"),
    (NewConnection(), "it begins a connection"),
    (Translated(), "its connection was led to an endpoint"),
    (Translated(negated=True), "its connection was not led to an endpoint"),
    (Answers(), "it is from whoever was called"),
    (Answers(negated=True), "it is from whoever began its connection"),
    (Marked(0x4000), "it carries the mark 0x4000"),
    (Marked(0x4000, negated=True), "it does not carry the mark 0x4000"),
    (MarkIs(3), "its mark is 0x3"),
    (ConnectionMarked(4), "its connection carries the mark 0x4"),
    (OneIn(3), "the lot falls here, one in 3"),
    (Within(Source(), ip_network("10.0.0.0/8")), "the source address is in 10.0.0.0/8"),
    (To(80, "tcp"), "it goes to tcp port 80"),
    (Recently("clients", 60), "the source address was put into clients within 60 s"),
    (Follows(), "its connection is made already"),
    (Invalid(), "it fits no connection"),
    (Goto("c"), "go to c for good"),
    (Jump("c"), "go to c, and come back"),
    (Return(), "go back"),
    (Accept(), "let it pass"),
    (Reject(), "refuse it (ICMP port unreachable)"),
    (Drop(), "drop it in silence"),
    (Mark(0x4000), "mark it with 0x4000, for masquerading"),
    (Unmark(0x4000), "take the mark 0x4000 away"),
    (MarkConnection(2), "mark its connection with 0x2, for masquerading"),
    (MarkBy(PLACE, "m"), "mark it as m says for the destination address with the tcp port"),
    (Remember("clients", 60), "put the source address into clients for 60 s"),
    (
        Count((Source(), SourcePort("tcp"), Called(), CalledPort()), "answered", 60),
        "count it in answered for the source address with the tcp source port"
        " with the address that was called with the port that was called",
    ),
    (Trace(), "have the kernel tell its way"),
    (Dispatch(PLACE, "m"), "do what m says for the destination address with the tcp port"),
    (
        TranslateBy((Destination(), Random(4)), "m"),
        "lead it to the endpoint that m gives for the destination address with a number drawn below 4",
    ),
    (
        TranslateTo("tcp", ip_address("10.0.0.2").packed + b"\x1f\x90\0\0"),
        "lead it to 10.0.0.2 port 8080, if it is tcp",
    ),
    (Balance("rr", ((ip_address("10.0.0.2"), 80, 1),)), "lead it to one of 1 endpoints, by the scheduler rr"),
    (Masquerade(), "give it this node's address as its source"),
]


@pytest.mark.parametrize(("step", "told"), TOLD)
def test_a_step_is_told(step: Match | Statement, told: str) -> None:
    assert words.sentence(Rule((step,)), 4) == (f"if {told}: " if isinstance(step, Match) else told)


def test_no_kind_of_step_is_without_words() -> None:
    assert {type(step) for step, _ in TOLD} == set(get_args(Step))


def test_a_rule_is_a_sentence() -> None:
    rule = Rule((NewConnection(), In((Destination(),), "cluster-ips"), Reject()))
    asked = "it begins a connection and the destination address is in cluster-ips"
    assert words.sentence(rule, 4) == f"if {asked}: refuse it (ICMP port unreachable)"
