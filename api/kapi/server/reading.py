"""Lists, and the pages of lists."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from kapi.server import statuses
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.records import Record, encode
from kapi.server.state import State

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
    version, start = state.version, ""
    if options.page:
        version, start = _read_token(options.page)
        records = collection.ordered_at(version, namespace)
    elif options.exact and options.version > 0:
        version = options.version
        records = collection.ordered_at(version, namespace)
    else:
        records = collection.ordered(namespace)
    selects = options.selects
    if selects is not None:
        records = [record for record in records if selects(record.object)]
    if start:
        records = [record for record in records if f"{record.namespace}/{record.name}" > start]
    if not options.limit or (options.version == 0 and not options.page) or len(records) <= options.limit:
        return Page(records, version)
    last = records[options.limit - 1]
    token = _token(version, f"{last.namespace}/{last.name}")
    remaining = len(records) - options.limit if selects is None else 0
    return Page(records[: options.limit], version, token, remaining)


def _token(version: int, start: str) -> str:
    body = {"v": "meta.k8s.io/v1", "rv": version, "start": start}
    return base64.urlsafe_b64encode(encode(body)).decode().rstrip("=")


def _read_token(text: str) -> tuple[int, str]:
    try:
        body = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return int(body["rv"]), str(body["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise statuses.bad_request(f"continue key is not valid: {error}") from error
