"""What an object has beside itself: scale, binding, eviction, log, finalize."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from kapi.codec.bodies import own
from kapi.patch.merge import merge
from kapi.server import fields, logs, patching, requests, statuses, tokens
from kapi.server.answers import Answer, One, Plain, Raw, Streamed
from kapi.server.deleting import Deleter
from kapi.server.kinds import Kind
from kapi.server.kinds.workloads import selector_text
from kapi.server.options import Options, read_delete
from kapi.server.records import Record
from kapi.server.routes import Route
from kapi.server.settings import Settings
from kapi.server.state import State
from kapi.server.writing import Writer
from kapi.transport import Request

Json = dict[str, Any]

_TOKEN_SECONDS = 3600
_TOKEN_SECONDS_LEAST = 600


class Subresources:
    """Answers requests for subresources other than status."""

    def __init__(self, state: State, writer: Writer, deleter: Deleter, settings: Settings) -> None:
        self._state = state
        self._writer = writer
        self._deleter = deleter
        self._settings = settings

    async def answer(self, request: Request, route: Route[Kind], options: Options) -> Answer | Streamed:
        """Answer one request. Refuses with the Status that fits."""
        match route.subresource, request.method:
            case "binding", "POST":
                return await self._bind(request, route, options)
            case "eviction", "POST":
                return await self._evict(request, route)
            case "log", "GET":
                return await self._log(request, route)
            case "attach" | "exec" | "portforward", "GET" | "POST":
                raise statuses.bad_request("Upgrade request required")
            case "token", "POST":
                return self._token(request, route)
            case "finalize", "PUT":
                return await self._finalize(request, route, options)
            case "scale", "GET":
                return Answer(Plain(_scale(self._get(route))))
            case "scale", "PUT" | "PATCH":
                return await self._rescale(request, route, options)
        raise statuses.method_not_allowed(route.kind.resource, request.method.lower())

    def _get(self, route: Route[Kind]) -> Record:
        record = self._state.of(route.kind.resource).get(route.namespace, route.name)
        if record is None:
            raise statuses.not_found(route.kind.resource, route.name)
        return record

    async def _bind(self, request: Request, route: Route[Kind], options: Options) -> Answer:
        body = requests.parsed(request)
        node = (body.get("target") or {}).get("name") if isinstance(body, dict) else None
        if not isinstance(node, str) or not node:
            raise statuses.bad_request("target.name: Required value")

        def change(record: Record) -> Json:
            obj: Json = own(record.object)
            bound = obj["spec"].get("nodeName")
            if bound:
                why = f'pod {route.name} is already assigned to node "{bound}"'
                raise statuses.conflict(route.kind.resource, route.name, why)
            obj["spec"]["nodeName"] = node
            _note_scheduled(obj.setdefault("status", {}), self._writer.now())
            return obj

        await self._writer.change(route, change, options)
        return Answer(Plain({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}), 201)

    async def _evict(self, request: Request, route: Route[Kind]) -> Answer:
        body = requests.parsed(request)
        inner = body.get("deleteOptions") if isinstance(body, dict) else None
        options = read_delete(request.query, inner if isinstance(inner, dict) else None)
        await self._deleter.delete(route.kind, route.namespace, route.name, options)
        return Answer(Plain({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}), 201)

    async def _log(self, request: Request, route: Route[Kind]) -> Answer | Streamed:
        record = self._get(route)
        container = _container(record.object, request.query.get("container", ""))
        previous = request.query.get("previous", "") in ("true", "1")
        cut = logs.Cut.of(request.query, self._now())
        told = logs.warnings(request.query) if self._settings.log_times is None else ()
        if told:
            cut = replace(cut, since=None, stamped=False)

        def times() -> logs.Times:
            ask = self._settings.log_times
            return ask(route.namespace, route.name, container, previous) if ask is not None and cut.timed else ()

        if request.query.get("follow", "") in ("true", "1") and not previous and self._settings.kubelets is not None:
            pieces = self._settings.kubelets.follow(route.namespace, route.name, container)
            return Streamed(cut.stream(pieces, times, self._now), told)
        ask = self._settings.previous_logs if previous else self._settings.pod_logs
        log = ask(route.namespace, route.name, container) if ask is not None else None
        if log is None and previous:
            raise statuses.bad_request(f'previous terminated container "{container}" in pod "{route.name}" not found')
        if log is None:
            raise statuses.bad_request(f'container "{container}" in pod "{route.name}" has no log here')
        return Answer(Raw(cut.whole(await log, times(), self._now())), media_type="text/plain", warnings=told)

    def _now(self) -> float:
        return self._settings.clock().timestamp()

    def _token(self, request: Request, route: Route[Kind]) -> Answer:
        """Answer an authentication.k8s.io/v1 TokenRequest for a ServiceAccount."""
        asked = requests.parsed(request)
        spec = asked.get("spec") if isinstance(asked, dict) else None
        spec = spec if isinstance(spec, dict) else {}
        audiences, seconds = spec.get("audiences") or [tokens.ISSUER], spec.get("expirationSeconds", _TOKEN_SECONDS)
        requests.check_list(audiences, "spec.audiences")
        if not isinstance(seconds, int) or not _TOKEN_SECONDS_LEAST <= seconds <= 1 << 32:
            raise statuses.bad_request("spec.expirationSeconds: Invalid value: may not be less than 10 minutes")
        meta, clock = self._get(route).object["metadata"], self._settings.clock()
        account = tokens.Account(route.namespace, route.name, meta["uid"])
        now = int(clock.timestamp())
        token = tokens.issue(self._settings.signing_key, account, now=now, seconds=seconds, audiences=tuple(audiences))
        end = (clock + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        told = {"name": route.name, "namespace": route.namespace, "creationTimestamp": self._writer.now()}
        spec = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None}
        status = {"token": token, "expirationTimestamp": end}
        return Answer(Plain(head | {"metadata": told, "spec": spec, "status": status}), 201)

    async def _finalize(self, request: Request, route: Route[Kind], options: Options) -> Answer:
        body = requests.whole_object(request, route)
        finalizers = (body.get("spec") or {}).get("finalizers") or []
        requests.check_list(finalizers, "spec.finalizers")

        def change(record: Record) -> Json:
            obj: Json = own(record.object)
            obj.setdefault("spec", {})["finalizers"] = finalizers
            return obj

        return Answer(One(await self._writer.change(route, change, options)))

    async def _rescale(self, request: Request, route: Route[Kind], options: Options) -> Answer:
        patch = request.method == "PATCH"
        body = patching.read(request) if patch else requests.parsed(request)

        def change(record: Record) -> Json:
            now = _scale(record)
            wanted = patching.apply_plain(request, now, body) if patch else merge(now, body)
            replicas = _replicas(route, wanted)
            version = ((wanted.get("metadata") or {}).get("resourceVersion")) or now["metadata"]["resourceVersion"]
            obj: Json = own(record.object)
            obj["spec"]["replicas"] = replicas
            obj["metadata"]["resourceVersion"] = version
            return obj

        return Answer(Plain(_scale(await self._writer.change(route, change, options))))


def _note_scheduled(status: Json, now: str) -> None:
    """Set the condition PodScheduled."""
    others = [condition for condition in status.get("conditions") or () if condition.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    status["conditions"] = [*others, scheduled]


def _replicas(route: Route[Kind], scale: Json) -> int:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        error = fields.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        message = f'Scale.autoscaling "{route.name}" is invalid: {error}'
        raise statuses.refuse(422, "Invalid", message, name=route.name, kind="Scale", causes=[error.cause()])
    return replicas


def _scale(record: Record) -> Json:
    """Give the autoscaling/v1 Scale of a workload."""
    obj = record.object
    meta = obj["metadata"]
    kept = {part: meta[part] for part in ("name", "namespace", "uid", "creationTimestamp")}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept | {"resourceVersion": str(record.version)},
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {"replicas": (obj.get("status") or {}).get("replicas") or 0, "selector": selector_text(obj)},
    }


def _container(pod: Json, name: str) -> str:
    names = [container["name"] for container in pod["spec"].get("containers") or ()]
    others = [container["name"] for container in pod["spec"].get("initContainers") or ()]
    if name and name not in (*names, *others):
        raise statuses.bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
    if not name and len(names) != 1:
        listed = " ".join(names)
        raise statuses.bad_request(
            f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{listed}]"
        )
    return name or str(names[0])
