"""Lists, and the pages of lists."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kapi.server import statuses
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.records import Record, encode
from kapi.server.state import FIRST, Place, State, place_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Objects of a list in order, the version at which they are true, and how to go on."""

    records: list[Record]
    version: int
    next_page: str = ""
    remaining: int = 0

    @property
    def meta(self) -> Json:
        """The list's metadata."""
        meta: Json = {"resourceVersion": str(self.version)}
        if self.next_page:
            meta["continue"] = self.next_page
        if self.remaining:
            meta["remainingItemCount"] = self.remaining
        return meta


def read_list(state: State, kind: Kind, namespace: str, options: Options) -> Page:
    """Read a collection or a page of it, as of now or (further pages, exact versions) as of an earlier version."""
    collection = state.of(kind.resource)
    version, start, as_of = state.version, FIRST, -1
    if options.page:
        version, start = _read_token(options.page)
        as_of = version
    elif options.exact and options.version > 0:
        version = as_of = options.version
    found = collection.ordered(namespace, start) if as_of < 0 else collection.ordered_at(as_of, namespace, start)
    selects = options.selects
    if selects is not None:
        found = (record for record in found if selects(record.object))
    if not options.limit or (options.version == 0 and not options.page):
        return Page(list(found), version)
    records = list(islice(found, options.limit))
    more = next(found, None)
    if more is None:
        return Page(records, version)
    token = _token(version, place_of(records[-1]))
    if selects is not None:
        return Page(records, version, token)
    last = place_of(records[-1])
    left = collection.count(namespace, last) if as_of < 0 else collection.count_at(as_of, namespace, last)
    return Page(records, version, token, left)


def _token(version: int, last: Place) -> str:
    body = {"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(last)}
    return base64.urlsafe_b64encode(encode(body)).decode().rstrip("=")


def _read_token(text: str) -> tuple[int, Place]:
    try:
        body = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        namespace, _, name = str(body["start"]).partition("/")
        return int(body["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError) as error:
        raise statuses.bad_request(f"continue key is not valid: {error}") from error
