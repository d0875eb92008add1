"""The directive `rewrite`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from kdns.corefile.parse import Directive
from kdns.corefile.words import wrong
from kdns.settings import Rewrite

_MATCHES = ("exact", "prefix", "suffix", "substring", "regex")


def rewrite(directive: Directive) -> Rewrite:
    """Read `rewrite [stop|continue] FIELD [MATCH] FROM TO [answer ...]`, on one line or with answers in a block."""
    words = list(directive.arguments)
    stop = True
    if words[:1] in (["stop"], ["continue"]):
        stop = words.pop(0) == "stop"
    if not words and directive.block:
        first, *others = directive.block
        words, answers = [first.name, *first.arguments], others
    else:
        answers = list(directive.block)
    made = replace(_rule(directive, words), stop=stop)
    for line in answers:
        made = _answer(line, [line.name, *line.arguments], made)
    return made


def _rule(directive: Directive, words: list[str]) -> Rewrite:
    field = words.pop(0) if words else ""
    if field not in {"name", "type", "ttl"}:
        raise wrong(directive, f"rules for {field!r} are not supported; supported are name, type and ttl")
    match = words.pop(0) if words[:1] and words[0] in _MATCHES and len(words) > 2 else "exact"
    if len(words) < 2:
        raise wrong(directive, f"rewrite {field} needs what to look for and what to put in its place")
    pattern, to, *rest = words
    made = Rewrite(field, match, _checked(directive, match, pattern), to)
    return _answer(directive, rest, made) if rest else made


def _answer(directive: Directive, words: list[str], made: Rewrite) -> Rewrite:
    while words:
        match words:
            case ["answer", "auto", *rest]:
                made = replace(made, answers=(*made.answers, *_back(directive, made)))
            case ["answer", ("name" | "value") as field, pattern, to, *rest]:
                rule = (field, _checked(directive, "regex", pattern), to)
                made = replace(made, answers=(*made.answers, rule))
            case _:
                raise wrong(directive, f"{' '.join(words)!r} is not supported: answer auto, name and value are")
        words = rest
    return made


def _back(directive: Directive, made: Rewrite) -> Iterator[tuple[str, str, str]]:
    """Give the rules that turn names in answers back, whatever the question's rule is."""
    asked, told = re.escape(made.to.removesuffix(".")), made.pattern.removesuffix(".")
    patterns = {
        "exact": (f"^{asked}$", told),
        "prefix": (f"^{asked}(.*)$", f"{told}{{1}}"),
        "suffix": (f"^(.*){asked}$", f"{{1}}{told}"),
        "substring": (f"^(.*){asked}(.*)$", f"{{1}}{told}{{2}}"),
    }
    if made.field != "name" or made.match not in patterns:
        raise wrong(directive, "`answer auto` is for names that are no regular expressions; use answer name and value")
    yield from ((part, *patterns[made.match]) for part in ("name", "value"))


def _checked(directive: Directive, match: str, pattern: str) -> str:
    if match == "regex":
        try:
            re.compile(pattern)
        except re.error as error:
            raise wrong(directive, f"{pattern!r} is not a regular expression: {error}") from None
    return pattern
