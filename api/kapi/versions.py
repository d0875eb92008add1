"""Resource versions as clients may compare them: decimal numbers that rise (KEP-5504), or opaque texts. Pure."""

from __future__ import annotations

_MOST_GONE = 10_000  # deletions remembered: as many as could be overtaken by an event on their way


def number(version: str) -> int | None:
    """Give a version as a number; None where it is opaque, as those of old servers may be."""
    return int(version) if version.isascii() and version.isdecimal() else None


class Versions:
    """The version of each object that was last heard of, so that what comes twice or too late does no harm."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._gone: dict[str, int] = {}

    def replace(self, present: dict[str, str]) -> None:
        """Take in a complete state: keys and their versions."""
        self._known = {key: found for key, text in present.items() if (found := number(text)) is not None}
        self._gone = {}

    def is_news(self, key: str, version: str) -> bool:
        """Whether a version of an object is newer than what is known of it; always, where versions are opaque."""
        given = number(version)
        return given is None or given > max(self._known.get(key, -1), self._gone.get(key, -1))

    def take(self, key: str, version: str, *, gone: bool = False) -> None:
        """Remember the version of an object, or of its deletion."""
        given = number(version)
        if given is None:
            return
        if not gone:
            self._known[key] = given
            return
        self._known.pop(key, None)
        self._gone[key] = given
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
