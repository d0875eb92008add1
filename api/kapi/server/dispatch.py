"""From a request to its answer, whatever way the request came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from kapi.codec.bodies import own
from kapi.server import fields, requests, statuses
from kapi.server import options as query
from kapi.server.aliases import Alias
from kapi.server.answers import Answer, Following, Many, One, Plain, Streamed
from kapi.server.deleting import Deleter
from kapi.server.discovery import Discovery
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.patching import Patcher
from kapi.server.reading import read_list
from kapi.server.records import Record
from kapi.server.reviews import Reviews
from kapi.server.routes import Route, Routes
from kapi.server.state import State
from kapi.server.subresources import Subresources
from kapi.server.views import View, view_of
from kapi.server.watching import Watch
from kapi.server.writing import Writer
from kapi.transport import Request

Json = dict[str, Any]
Reply = Answer | Following | Streamed


class Dispatcher:
    """Answers requests. Every refusal is a `kapi.errors.StatusError`."""

    def __init__(
        self,
        kinds: tuple[Kind, ...],
        *,
        clock: Callable[[], datetime],
        catch_up: Callable[[], Awaitable[None]],
        state: State,
        writer: Writer,
        deleter: Deleter,
        discovery: Discovery,
        subresources: Subresources,
        reviews: Reviews,
    ) -> None:
        self._routes = Routes(kinds)
        known = {kind.resource: kind for kind in kinds}
        self._aliases = {kind.resource: Alias(kind, known[kind.stored_as or kind.resource]) for kind in kinds}
        self._clock = clock
        self._catch_up = catch_up
        self._state = state
        self._writer = writer
        self._patcher = Patcher(state, writer)
        self._deleter = deleter
        self._discovery = discovery
        self._subresources = subresources
        self._reviews = reviews

    async def answer(self, request: Request) -> Reply:
        """Answer one request."""
        found = self._discovery.answer(request) or self._reviews.answer(request)
        if found is not None:
            return found
        asked = self._routes.find(request.path)
        alias = self._aliases[asked.kind.resource]
        if not alias.is_other:
            return await self._answer_as(request, asked, alias)
        route = replace(asked, kind=alias.stored)
        return alias.reply(await self._answer_as(alias.request(request), route, alias))

    async def _answer_as(self, request: Request, route: Route[Kind], alias: Alias) -> Reply:
        if not request.query.get("resourceVersion"):  # which would say how old an answer may be
            await self._catch_up()
        reply = await self._answer(request, route, alias)
        if route.kind.deprecated:
            return replace(reply, warnings=(route.kind.deprecated, *reply.warnings))
        return reply

    async def _answer(self, request: Request, route: Route[Kind], alias: Alias) -> Reply:
        if route.subresource and route.subresource != "status":
            return await self._subresources.answer(request, route, self._options(request, route))
        match request.method:
            case "GET":
                return await self._read(request, route)
            case "POST":
                return await self._create(request, route, alias)
            case "PUT" if route.name:
                return await self._update(request, route, alias)
            case "PATCH" if route.name:
                return await self._patch(request, route, alias)
            case "DELETE":
                return await self._delete(request, route)
        raise statuses.method_not_allowed(route.kind.resource, request.method.lower())

    def _options(self, request: Request, route: Route[Kind]) -> Options:
        name = route.name if request.query.get("watch") in ("true", "1") else ""
        return query.read(request.query, route.kind.selectable, name, request.agent)

    async def _read(self, request: Request, route: Route[Kind]) -> Reply:
        options = self._options(request, route)
        view = self._view(request, route, options)
        if options.watch:
            return await self._watch(route, options, view)
        if options.version > 0:
            await self._state.reach(options.version)
        if route.name:
            return self._show(view, self._get(route))
        page = read_list(self._state, route.kind, route.namespace, options)
        return Answer(Plain(view.many(page)) if view else Many(route.kind.resource, page))

    async def _watch(self, route: Route[Kind], options: Options, view: View | None) -> Following:
        if options.version > 0:
            await self._state.reach(options.version)
        watch = Watch(self._state, self._state.of(route.kind.resource), route.namespace, options)
        watch.open()
        return Following(watch, view.events() if view else None)

    def _view(self, request: Request, route: Route[Kind], options: Options) -> View | None:
        return view_of(request.accept, route.kind, options.include_object, self._clock)

    def _get(self, route: Route[Kind]) -> Record:
        record = self._state.of(route.kind.resource).get(route.namespace, route.name)
        if record is None:
            raise statuses.not_found(route.kind.resource, route.name)
        return record

    def _show(self, view: View | None, record: Record, code: int = 200, warnings: tuple[str, ...] = ()) -> Answer:
        return Answer(Plain(view.one(record)) if view else One(record), code, warnings=warnings)

    async def _create(self, request: Request, route: Route[Kind], alias: Alias) -> Answer:
        if route.name or (route.kind.resource.namespaced and not route.namespace):
            raise statuses.method_not_allowed(route.kind.resource, "create")
        options = self._options(request, route)
        obj = requests.whole_object(request, alias.asked(route))
        warnings = alias.kind.check(obj, options.field_validation)
        record = await self._writer.create(route, alias.inward(obj, {}), options)
        return self._show(self._view(request, route, options), record, 201, warnings)

    async def _update(self, request: Request, route: Route[Kind], alias: Alias) -> Answer:
        options = self._options(request, route)
        obj = requests.whole_object(request, alias.asked(route))
        warnings = alias.kind.check(obj, options.field_validation)
        view = self._view(request, route, options)
        missing = self._state.of(route.kind.resource).get(route.namespace, route.name) is None
        if missing and route.kind.created_by_update and not route.subresource:
            obj["metadata"].pop("resourceVersion", None)
            record = await self._writer.create(route, alias.inward(obj, {}), options)
            return self._show(view, record, 201, warnings)
        if route.kind.update_names_version and not obj["metadata"].get("resourceVersion") and not missing:
            error = fields.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise statuses.invalid(route.kind.resource, route.name, [error])

        def change(record: Record) -> Json:
            return own(alias.inward(obj, record.object))  # type: ignore[no-any-return]  # an object's copy is an object

        record = await self._writer.change(route, change, options)
        return self._show(view, record, 200, warnings)

    async def _patch(self, request: Request, route: Route[Kind], alias: Alias) -> Answer:
        options = self._options(request, route)
        record, code, warnings = await self._patcher.patch(request, route, options, alias)
        return self._show(self._view(request, route, options), record, code, warnings)

    async def _delete(self, request: Request, route: Route[Kind]) -> Answer:
        if route.subresource:
            raise statuses.method_not_allowed(route.kind.resource, "delete")
        options = query.read_delete(request.query, requests.options_body(request))
        resource = route.kind.resource
        if route.name:
            record, gone = await self._deleter.delete(route.kind, route.namespace, route.name, options)
            if gone and not route.kind.shown_when_deleted:
                return Answer(Plain(statuses.success(resource, record.name, record.object["metadata"]["uid"])))
            return Answer(One(record))
        selection = query.read(request.query, route.kind.selectable)
        records = await self._deleter.delete_all(route.kind, route.namespace, selection, options)
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        meta = {"resourceVersion": str(self._state.version)}
        return Answer(Plain(head | {"metadata": meta, "items": [record.shown for record in records]}))
