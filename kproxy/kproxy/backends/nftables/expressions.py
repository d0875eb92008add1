"""Rules as nf_tables expressions: the kernel's little register machine. Pure.

Registers are counted in four-byte words from 8 on (NFT_REG32_00); register 0 takes verdicts. Attribute numbers are
those of linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

from kproxy.backends.nftables import userdata
from kproxy.netlink import attribute, nested, number, text
from kproxy.rules.fields import width
from kproxy.rules.model import (
    Answers,
    ArrivedOn,
    Called,
    CalledPort,
    Count,
    Destination,
    Dispatch,
    Drop,
    Fate,
    Goto,
    In,
    Key,
    Mark,
    Marked,
    Masquerade,
    NewConnection,
    OneIn,
    OwnAddress,
    Port,
    Random,
    Reject,
    Remember,
    Rule,
    Source,
    SourcePort,
    Step,
    Trace,
    TranslateBy,
    Translated,
    TranslateTo,
    Unmark,
    Verdict,
)

FAMILIES = {4: 2, 6: 10, 0: 0}  # AF_INET and AF_INET6, which are also the NFPROTO numbers; 0 is all, in listings
_L4 = {"tcp": 6, "udp": 17, "sctp": 132}

_REGISTER = 8
_VERDICT_REGISTER = 0
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_ADDRESS_OFFSET = {(4, Source): 12, (4, Destination): 16, (6, Source): 8, (6, Destination): 24}
_META_MARK, _META_IIFNAME, _META_TRACE, _META_L4PROTO = 3, 6, 12, 16
_CT_STATE, _CT_DIRECTION, _CT_STATUS, _CT_PORT = 0, 1, 2, 12
_CT_ADDRESS = {4: 20, 6: 22}  # NFT_CT_DST_IP, NFT_CT_DST_IP6
_ORIGINAL, _REPLY = 0, 1
_STATE_NEW, _STATUS_DST_NAT = 0x8, 0x20
_FIB_TYPE, _FIB_SOURCE, _FIB_DESTINATION = 3, 1, 2
_LOCAL = 2  # RTN_LOCAL
_RANDOM = 1
_DNAT, _PROTO_SPECIFIED = 1, 2
_FULLY_RANDOM = 0x10
_PORT_UNREACHABLE = {4: 3, 6: 4}
_INTERFACE_NAME = 16
_CODES = {Fate.GOTO: -4, Fate.DROP: 0}


def rule_attributes(rule: Rule, family: int) -> bytes:
    """Encode a rule's steps and its comment, with a digest by which it is known again when it is read back."""
    protocols: set[str] = set()
    parts: list[bytes] = []
    for step in rule.steps:
        for protocol in _protocols(step):
            if protocol not in protocols:
                protocols.add(protocol)
                parts += _only(protocol)
        parts += _step(step, family)
    expressions = nested(4, *parts)
    return expressions + attribute(7, userdata.comment(rule.comment) + userdata.digest(expressions))


def verdict(value: Verdict) -> bytes:
    """Encode a verdict, as data of an element or of a rule."""
    chain = text(2, value.chain) if value.chain else b""
    return nested(2, number(1, _CODES[value.fate]), chain)


def _protocols(step: Step) -> list[str]:
    """List the transport protocols that must be checked before ports can be read."""
    match step:
        case In(key) | Dispatch(key) | TranslateBy(key) | Count(key):
            return [part.protocol for part in key if isinstance(part, Port | SourcePort)]
        case TranslateTo(protocol):
            return [protocol]
        case _:
            return []


def _step(step: Step, family: int) -> Iterator[bytes]:
    match step:
        case Mark() | Unmark() | Remember() | Count() | Trace():
            yield from _note(step, family)
        case Goto(chain):
            yield _immediate_verdict(Verdict(Fate.GOTO, chain))
        case Drop():
            yield _immediate_verdict(Verdict(Fate.DROP))
        case Dispatch(key, name):
            yield from _load(key, family)
            yield _expression("lookup", text(1, name), number(2, _REGISTER), number(3, _VERDICT_REGISTER))
        case TranslateBy(key, name):
            yield from _load(key, family)
            yield _expression("lookup", text(1, name), number(2, _REGISTER), number(3, _REGISTER))
            yield _dnat(family, b"")
        case TranslateTo(_, data):
            words = width(Destination(), family)
            yield _expression("immediate", number(1, _REGISTER), nested(2, attribute(1, data[:words])))
            yield _expression("immediate", number(1, _port_register(family)), nested(2, attribute(1, data[words:][:2])))
            yield _dnat(family, number(7, _PROTO_SPECIFIED))
        case Masquerade():
            yield _expression("masq", number(1, _FULLY_RANDOM))
        case Reject():
            yield _expression("reject", number(1, 0), attribute(2, bytes((_PORT_UNREACHABLE[family],))))
        case _:
            yield from _match(step, family)


def _note(step: Mark | Unmark | Remember | Count | Trace, family: int) -> Iterator[bytes]:
    match step:
        case Mark(bit):
            yield from _change_mark(~bit, bit)
        case Unmark(bit):
            yield from _change_mark(~bit, 0)
        case Remember(name, seconds):
            yield from _load((Source(),), family)
            until = attribute(6, pack(">Q", seconds * 1000))
            yield _expression("dynset", text(1, name), number(3, 1), number(4, _REGISTER), until)
        case Count(key, name, seconds):
            yield from _load(key, family)
            until, counter = attribute(6, pack(">Q", seconds * 1000)), nested(7, text(1, "counter"), nested(2))
            yield _expression("dynset", text(1, name), number(3, 1), number(4, _REGISTER), until, counter)
        case Trace():
            yield _expression("immediate", number(1, _REGISTER), nested(2, attribute(1, b"\1")))
            yield _expression("meta", number(2, _META_TRACE), number(3, _REGISTER))


def _match(step: Step, family: int) -> Iterator[bytes]:
    match step:
        case In(key, name, negated):
            yield from _load(key, family)
            yield _expression("lookup", text(1, name), number(2, _REGISTER), number(5, 1) if negated else b"")
        case OwnAddress(of):
            side = _FIB_SOURCE if isinstance(of, Source) else _FIB_DESTINATION
            yield _expression("fib", number(1, _REGISTER), number(2, _FIB_TYPE), number(3, side))
            yield _compare(pack("=I", _LOCAL))
        case ArrivedOn(interface, negated):
            yield _expression("meta", number(2, _META_IIFNAME), number(1, _REGISTER))
            prefix = interface.removesuffix("*").encode()
            whole = prefix if interface.endswith("*") else prefix.ljust(_INTERFACE_NAME, b"\0")
            yield _compare(whole, negated=negated)
        case NewConnection():
            yield _expression("ct", number(2, _CT_STATE), number(1, _REGISTER))
            yield from _any_bit(_STATE_NEW)
        case Translated(negated):
            yield _expression("ct", number(2, _CT_STATUS), number(1, _REGISTER))
            yield from _any_bit(_STATUS_DST_NAT, negated=negated)
        case Answers(negated):
            yield _expression("ct", number(2, _CT_DIRECTION), number(1, _REGISTER))
            yield _compare(bytes((_ORIGINAL if negated else _REPLY,)))
        case Marked(bit, negated):
            yield _expression("meta", number(2, _META_MARK), number(1, _REGISTER))
            yield from _any_bit(bit, negated=negated)
        case OneIn(count):
            yield _expression("numgen", number(1, _REGISTER), number(2, count), number(3, _RANDOM), number(4, 0))
            yield _compare(pack("=I", 0))


def _load(key: Key, family: int) -> Iterator[bytes]:
    """Load the fields of a key into registers, one after the other."""
    register = _REGISTER
    for part in key:
        into = number(1, register)
        if isinstance(part, Random):
            yield _expression("numgen", into, number(2, part.modulo), number(3, _RANDOM), number(4, 0))
        elif isinstance(part, Port | SourcePort):
            offset = 2 if isinstance(part, Port) else 0
            yield _expression("payload", into, number(2, _TRANSPORT_HEADER), number(3, offset), number(4, 2))
        elif isinstance(part, Called | CalledPort):
            about = _CT_PORT if isinstance(part, CalledPort) else _CT_ADDRESS[family]
            yield _expression("ct", into, number(2, about), attribute(3, bytes((_ORIGINAL,))))
        else:
            offset = _ADDRESS_OFFSET[family, type(part)]
            size = number(4, width(part, family))
            yield _expression("payload", into, number(2, _NETWORK_HEADER), number(3, offset), size)
        register += width(part, family) // 4


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def _only(protocol: str) -> Iterator[bytes]:
    yield _expression("meta", number(2, _META_L4PROTO), number(1, _REGISTER))
    yield _compare(bytes((_L4[protocol],)))


def _compare(value: bytes, *, negated: bool = False) -> bytes:
    return _expression("cmp", number(1, _REGISTER), number(2, int(negated)), nested(3, attribute(1, value)))


def _bitwise(mask: int, flip: int) -> bytes:
    sides = (nested(4, attribute(1, _word(mask))), nested(5, attribute(1, _word(flip))))
    return _expression("bitwise", number(1, _REGISTER), number(2, _REGISTER), number(6, 0), number(3, 4), *sides)


def _word(value: int) -> bytes:
    return pack("=I", value & 0xFFFFFFFF)


def _any_bit(bits: int, *, negated: bool = False) -> Iterator[bytes]:
    yield _bitwise(bits, 0)
    yield _compare(_word(0), negated=not negated)


def _change_mark(mask: int, flip: int) -> Iterator[bytes]:
    yield _expression("meta", number(2, _META_MARK), number(1, _REGISTER))
    yield _bitwise(mask, flip)
    yield _expression("meta", number(2, _META_MARK), number(3, _REGISTER))


def _immediate_verdict(value: Verdict) -> bytes:
    return _expression("immediate", number(1, _VERDICT_REGISTER), nested(2, verdict(value)))


def _port_register(family: int) -> int:
    return _REGISTER + width(Destination(), family) // 4


def _dnat(family: int, flags: bytes) -> bytes:
    registers = number(3, _REGISTER), number(5, _port_register(family))
    return _expression("nat", number(1, _DNAT), number(2, FAMILIES[family]), *registers, flags)
