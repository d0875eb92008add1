"""The query parameters of a request, read once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

from kapi.resources import Resource
from kapi.selectors import FieldTerm, Requirement, SelectorError, matcher, parse_fields, parse_labels
from kapi.server import fields, statuses
from kapi.server.fields import FieldError

Json = dict[str, Any]
FieldValidation = Literal["Ignore", "Warn", "Strict"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for besides its path and body. Versions are -1 where they are not given."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()
    version: int = -1
    exact: bool = False
    limit: int = 0
    page: str = ""
    watch: bool = False
    timeout: float = 0.0
    bookmarks: bool = False
    initial_events: bool = False
    dry_run: bool = False
    field_validation: FieldValidation = "Warn"
    manager: str = ""
    agent: str = ""
    force: bool = False
    include_object: str = "Metadata"

    @property
    def writer(self) -> str:
        """Who owns what is written: the field manager that is given, or what the client says of itself."""
        return self.manager or self.agent or "unknown"

    @property
    def selects(self) -> Any:
        """The question both selectors ask of an object; None where there is no selector."""
        return matcher(self.labels, self.fields)


def read(query: Mapping[str, str], selectable: frozenset[str], name: str = "", agent: str = "") -> Options:
    """Read query parameters. `name` restricts to one object, as a watch of a single path does. Refuses with 400.

    `agent` is the client's User-Agent: what is before the slash is the name of who writes.
    """
    given = {key: value for key, value in query.items() if value != ""}
    if not given and not name:
        return _plain(agent)
    terms = _fields(given.get("fieldSelector", ""), selectable)
    if name:
        terms += (FieldTerm("metadata.name", name),)
    options = Options(
        labels=_labels(given.get("labelSelector", "")),
        fields=terms,
        version=_version(given.get("resourceVersion", "")),
        exact=given.get("resourceVersionMatch") == "Exact",
        limit=max(0, _integer("limit", given.get("limit", "0"))),
        page=given.get("continue", ""),
        watch=_flag(given.get("watch")),
        timeout=float(max(0, _integer("timeoutSeconds", given.get("timeoutSeconds", "0")))),
        bookmarks=_flag(given.get("allowWatchBookmarks")),
        initial_events=_flag(given.get("sendInitialEvents")),
        dry_run=_dry_run(given.get("dryRun", "")),
        field_validation=_field_validation(given.get("fieldValidation", "Warn")),
        manager=given.get("fieldManager", ""),
        agent=_name(agent),
        force=_flag(given.get("force")),
        include_object=given.get("includeObject", "Metadata"),
    )
    errors = _watch_errors(options, given) if options.watch else _list_errors(given)
    if errors:
        raise statuses.invalid(_LIST_OPTIONS, "", errors)
    return options


_LONGEST_MANAGER = 128
_LIST_OPTIONS = Resource("meta.k8s.io", "v1", "listoptions", "ListOptions")
_MATCH, _INITIAL = "resourceVersionMatch", "sendInitialEvents"


def _list_errors(given: Mapping[str, str]) -> list[FieldError]:
    """Say which options of a list exclude each other."""
    match, version = given.get("resourceVersionMatch", ""), given.get("resourceVersion", "")
    why = []
    if match and not version:
        why.append("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and "continue" in given:
        why.append("resourceVersionMatch is forbidden when continue is provided")
    if match == "Exact" and version == "0":
        why.append('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    errors = [fields.forbidden(_MATCH, text) for text in why] + _match_errors(match)
    if "sendInitialEvents" in given:
        errors.append(fields.forbidden(_INITIAL, "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(options: Options, given: Mapping[str, str]) -> list[FieldError]:
    """Say which options of a watch exclude each other."""
    match = given.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in given:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [fields.forbidden(_MATCH, text)] if match else []
    errors = []
    if match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(fields.forbidden(_MATCH, text))
    if options.initial_events and not options.bookmarks:
        errors.append(fields.forbidden(_INITIAL, "sendInitialEvents requires setting allowWatchBookmarks to true"))
    return errors + _match_errors(match)


def _match_errors(match: str) -> list[FieldError]:
    known = match in ("", "Exact", "NotOlderThan")
    return [] if known else [fields.unsupported(_MATCH, match, ["", "Exact", "NotOlderThan"])]


def _labels(text: str) -> tuple[Requirement, ...]:
    try:
        return parse_labels(text)
    except SelectorError as error:
        raise statuses.bad_request(str(error)) from error


def _fields(text: str, selectable: frozenset[str]) -> tuple[FieldTerm, ...]:
    try:
        terms = parse_fields(text)
    except SelectorError as error:
        raise statuses.bad_request(str(error)) from error
    for term in terms:
        if term.path not in selectable:
            raise statuses.bad_request(f"field label not supported: {term.path}")
    return terms


def _version(text: str) -> int:
    if not text:
        return -1
    if not text.isdecimal() or len(text) > 18:
        error = fields.invalid("resourceVersion", text, "must be a decimal number")
        raise statuses.bad_request(f"invalid resource version: {error}", [error])
    return int(text)


@lru_cache(maxsize=64)
def _plain(agent: str) -> Options:
    """Give the options of a request that asks for nothing special, as nearly all writes do."""
    return Options(agent=_name(agent))


def _name(agent: str) -> str:
    text = agent.partition("/")[0]
    return (text if text.isprintable() else "".join(filter(str.isprintable, text)))[:_LONGEST_MANAGER]


def _integer(name: str, text: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise statuses.bad_request(f"{name}: {text!r} is not an integer")
    return int(text)


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() in ("true", "1", "t")


def _dry_run(text: str) -> bool:
    if text not in ("", "All"):
        error = fields.unsupported("dryRun", [text], ["All"])
        raise statuses.bad_request(str(error), [error])
    return text == "All"


def _field_validation(text: str) -> FieldValidation:
    if text not in ("Ignore", "Warn", "Strict"):
        error = fields.unsupported("fieldValidation", text, ["Ignore", "Strict", "Warn"])
        raise statuses.bad_request(str(error), [error])
    return cast("FieldValidation", text)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How an object is to be deleted: `meta/v1.DeleteOptions`, from the body and the query."""

    grace: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def read_delete(query: Mapping[str, str], body: Json | None) -> DeleteOptions:
    """Read the options of a deletion; the query wins over the body. Refuses with 400."""
    body = body or {}
    conditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    propagation = query.get("propagationPolicy") or body.get("propagationPolicy")
    if query.get("orphanDependents") == "true" or body.get("orphanDependents") is True:
        propagation = "Orphan"
    if propagation not in (None, "Background", "Foreground", "Orphan"):
        error = fields.unsupported("propagationPolicy", propagation, ["Background", "Foreground", "Orphan"])
        raise statuses.bad_request(str(error), [error])
    if "gracePeriodSeconds" in query:
        grace = _integer("gracePeriodSeconds", query["gracePeriodSeconds"])
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise statuses.bad_request(f"gracePeriodSeconds: {grace!r} is not an integer")
    dry = query.get("dryRun") or ",".join(body.get("dryRun") or ())
    return DeleteOptions(
        grace,
        cast("Propagation | None", propagation),
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
        _dry_run(dry),
    )
