"""Questions asked in another form than they came in, and answers told in the form of the question.

Names that no rule fits cost one regular expression; the others take the way of rare messages, through dnslib.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import dnslib

from kdns import names, wire
from kdns.chain import Rest, Setup
from kdns.errors import NameInvalid
from kdns.query import Query, asking
from kdns.settings import Rewrite
from kdns.wire import LATER, SERVFAIL, Answer

_ALL = "(.*)"


def setup(setup: Setup) -> Rewriting | None:
    """Rewrite by the rules of the settings, if there are any."""
    return Rewriting([_rule(each) for each in setup.settings.rewrites]) if setup.settings.rewrites else None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule with its expression, which matches the whole name without the final dot."""

    given: Rewrite
    name: re.Pattern[str]
    to: str


def _rule(given: Rewrite) -> _Rule:
    """Make one kind of rule out of all: an expression, and what it expands to; Corefiles call its parts `{1}`."""
    pattern, to = given.pattern.removesuffix(".").lower(), given.to.removesuffix(".")
    if given.match == "regex":
        return _Rule(given, re.compile(given.pattern.replace("\\.$", "$"), re.IGNORECASE), _groups(to))
    quoted, literal = re.escape(pattern), to.replace("\\", "\\\\")
    return _Rule(
        given,
        *{
            "exact": lambda: (re.compile(f"^{quoted}$", re.IGNORECASE), literal),
            "prefix": lambda: (re.compile(f"^{quoted}{_ALL}$", re.IGNORECASE), rf"{literal}\g<1>"),
            "suffix": lambda: (re.compile(f"^{_ALL}{quoted}$", re.IGNORECASE), rf"\g<1>{literal}"),
            "substring": lambda: (re.compile(f"^{_ALL}{quoted}{_ALL}$", re.IGNORECASE), rf"\g<1>{literal}\g<2>"),
        }[given.match](),
    )


def _groups(text: str) -> str:
    r"""Turn `{1}` into Python's `\g<1>`."""
    return re.sub(r"\{(\d+)\}", r"\\g<\1>", text.replace("\\", "\\\\"))


class Rewriting:
    """Applies the rules in order."""

    name: ClassVar[str] = "rewrite"
    steady = True
    ready = True

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = rules

    def lookup(self, question: bytes) -> Answer | None:
        """See `Plugin.lookup`: what a rule fits takes thought."""
        name = names.to_text(question[:-4]) if question[:-4].isascii() else ""
        kind = dnslib.QTYPE.get(int.from_bytes(question[-4:-2], "big"))
        return LATER if any(_fits(rule, name, str(kind)) for rule in self._rules) else None

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        asked, used = query, []
        for rule in self._rules:
            name = names.to_text(asked.name)
            if _fits(rule, name, str(dnslib.QTYPE.get(asked.type))):
                used.append(rule)
                try:
                    asked = _rewritten(rule, name, asked)
                except (NameInvalid, IndexError, re.error):
                    return SERVFAIL
                if rule.given.stop:
                    break
        answer = await rest.next(asked)
        try:
            return _told(answer, asked, query, used) if used else answer
        except (dnslib.DNSError, ValueError, IndexError, re.error):  # what upstreams send may be beyond dnslib
            return SERVFAIL


def _fits(rule: _Rule, name: str, kind: str) -> bool:
    if rule.given.field == "type":
        return kind == rule.given.pattern.upper()
    return rule.name.search(name) is not None


def _rewritten(rule: _Rule, name: str, query: Query) -> Query:
    if rule.given.field == "ttl":
        return query
    if rule.given.field == "type":
        return replace(asking(query.name, _type(rule.given.to), query), aliases=query.aliases)
    found = rule.name.search(name)
    assert found is not None, "it fits"
    return replace(asking(names.to_wire(found.expand(rule.to)), query.type, query), aliases=query.aliases)


def _type(text: str) -> int:
    return int(dnslib.QTYPE.reverse.get(text.upper(), 1))


def _told(answer: Answer, asked: Query, query: Query, rules: Sequence[_Rule]) -> Answer:
    """Tell an answer under the name that was asked, and by the rules for answers and TTLs."""
    message = dnslib.DNSRecord.parse(bytes(4) + b"\0\1" + answer.counts + asked.sent + answer.tail)
    renamed = dnslib.DNSLabel(list(names.labels(asked.name))), dnslib.DNSLabel(list(names.labels(query.sent[:-4])))
    for record in (*message.rr, *message.auth, *message.ar):
        if record.rname == renamed[0]:
            record.rname = renamed[1]
        for rule in rules:
            _answered(record, rule.given)
    message.questions = [dnslib.DNSQuestion(renamed[1], query.type)]
    packed = bytes(message.pack())
    return Answer(answer.flags, wire.counts_of(*_counts(packed)), packed[wire.HEADER + len(query.sent) :])


def _counts(packed: bytes) -> tuple[int, int, int]:
    return (
        int.from_bytes(packed[6:8], "big"),
        int.from_bytes(packed[8:10], "big"),
        int.from_bytes(packed[10:12], "big"),
    )


def _answered(record: Any, given: Rewrite) -> None:
    if given.field == "ttl":
        record.ttl = int(given.to.partition("-")[2] or given.to.partition("-")[0])
    for field, pattern, to in given.answers:
        expression = re.compile(pattern, re.IGNORECASE)
        if field == "name":
            record.rname = dnslib.DNSLabel(expression.sub(_groups(to), str(record.rname).removesuffix(".")))
        else:
            for part in ("label", "target"):  # what dnslib calls the name in an SRV, and in all others
                if hasattr(record.rdata, part):
                    told = expression.sub(_groups(to), str(getattr(record.rdata, part)).removesuffix("."))
                    setattr(record.rdata, part, dnslib.DNSLabel(told))
