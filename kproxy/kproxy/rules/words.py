"""Every kind of step in words: what a match asks of a packet, and what a statement does with it. Pure."""

from __future__ import annotations

from kproxy.rules.fields import fields
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
    Expression,
    Follows,
    Goto,
    In,
    Invalid,
    Jump,
    Key,
    Mark,
    MarkBy,
    MarkConnection,
    Marked,
    MarkIs,
    Masquerade,
    Match,
    NewConnection,
    Noting,
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
    To,
    Trace,
    TranslateBy,
    Translated,
    TranslateTo,
    Unmark,
    Within,
)


def sentence(rule: Rule, family: int) -> str:
    """Say what a rule asks, then what it does: "if ... and ...: ..."."""
    asked = reasons(rule)
    does = ", ".join(statement(step, family) for step in rule.steps if not isinstance(step, Match))
    return f"if {asked}: {does}" if asked else does


def reasons(rule: Rule) -> str:
    """Say what a rule asks of a packet; "" where it takes every one."""
    return " and ".join(match(step) for step in rule.steps if isinstance(step, Match))


def match(step: Match) -> str:
    """Say what must hold for the packet to go on."""
    match step:
        case In(key, name, negated):
            return f"{_key(key)} {_is(negated)} in {name}"
        case Within(of, network, negated):
            return f"{_expression(of)} {_is(negated)} in {network}"
        case OwnAddress(of):
            return f"{_expression(of)} is one of this node's own"
        case ArrivedOn(interface, negated):
            return f"it {'did not come' if negated else 'came'} in through {interface}"
        case To(port, protocol):
            return f"it goes to {protocol} port {port}"
        case Recently(name, seconds):
            return f"the source address was put into {name} within {seconds} s"
        case OneIn(count):
            return f"the lot falls here, one in {count}"
        case Marked() | MarkIs() | ConnectionMarked():
            return _marked(step)
        case NewConnection() | Translated() | Answers() | Follows() | Invalid():
            return _connection(step)


def statement(step: Statement, family: int) -> str:
    """Say what is done with a packet that came this far."""
    match step:
        case Goto(chain):
            return f"go to {chain} for good"
        case Jump(chain):
            return f"go to {chain}, and come back"
        case Dispatch(key, name):
            return f"do what {name} says for {_key(key)}"
        case Return():
            return "go back"
        case Accept():
            return "let it pass"
        case Reject():
            return "refuse it (ICMP port unreachable)"
        case Drop():
            return "drop it in silence"
        case Mark() | Unmark() | MarkConnection() | MarkBy() | Remember() | Count() | Trace():
            return _noting(step)
        case TranslateBy() | TranslateTo() | Balance() | Masquerade():
            return _rewriting(step, family)


def _marked(step: Marked | MarkIs | ConnectionMarked) -> str:
    match step:
        case Marked(bit, negated):
            return f"it {'does not carry' if negated else 'carries'} the mark {bit:#x}"
        case MarkIs(mark):
            return f"its mark is {mark:#x}"
        case ConnectionMarked(bit):
            return f"its connection carries the mark {bit:#x}"


def _connection(step: NewConnection | Translated | Answers | Follows | Invalid) -> str:
    match step:
        case NewConnection():
            return "it begins a connection"
        case Translated(negated):
            return f"its connection was {'not ' if negated else ''}led to an endpoint"
        case Answers(negated):
            return f"it is from {'whoever began its connection' if negated else 'whoever was called'}"
        case Follows():
            return "its connection is made already"
        case Invalid():
            return "it fits no connection"


def _noting(step: Noting) -> str:
    match step:
        case Mark(bit):
            return f"mark it with {bit:#x}, for masquerading"
        case Unmark(bit):
            return f"take the mark {bit:#x} away"
        case MarkConnection(bit):
            return f"mark its connection with {bit:#x}, for masquerading"
        case MarkBy(key, name):
            return f"mark it as {name} says for {_key(key)}"
        case Remember(name, seconds):
            return f"put the source address into {name} for {seconds} s"
        case Count(key, name):
            return f"count it in {name} for {_key(key)}"
        case Trace():
            return "have the kernel tell its way"


def _rewriting(step: TranslateBy | TranslateTo | Balance | Masquerade, family: int) -> str:
    match step:
        case TranslateBy(key, name):
            return f"lead it to the endpoint that {name} gives for {_key(key)}"
        case TranslateTo(protocol, data):
            address, port = fields((Destination(), Port(protocol)), data, family)
            return f"lead it to {address} port {port}, if it is {protocol}"
        case Balance(scheduler, shares):
            return f"lead it to one of {len(shares)} endpoints, by the scheduler {scheduler}"
        case Masquerade():
            return "give it this node's address as its source"


def _key(key: Key) -> str:
    return " with ".join(_expression(part) for part in key)


def _expression(part: Expression) -> str:
    match part:
        case Source():
            return "the source address"
        case Destination():
            return "the destination address"
        case Port(protocol):
            return f"the {protocol} port"
        case SourcePort(protocol):
            return f"the {protocol} source port"
        case Called():
            return "the address that was called"
        case CalledPort():
            return "the port that was called"
        case Random(modulo):
            return f"a number drawn below {modulo}"
        case Service():
            return "the protocol and port"


def _is(negated: bool) -> str:
    return "is not" if negated else "is"
