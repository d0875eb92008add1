"""What the server has: its groups and resources, its version, and whether it is well.

Discovery comes in two forms: the old one, a document per group and version, and the aggregated one (KEP-3352), which
is asked for in the Accept header.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kapi.objects import Object
from kapi.resources import Resource
from kapi.server import statuses
from kapi.server.answers import Answer, Plain, Raw
from kapi.server.kinds import Kind
from kapi.server.openapi import OpenApi
from kapi.transport import Request

Json = dict[str, Any]

KUBERNETES = (1, 33)  # the version whose behaviour is followed
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_AGGREGATED = "as=APIGroupDiscoveryList"
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_SUBRESOURCE_VERBS = {
    "attach": ["create", "get"],
    "binding": ["create"],
    "eviction": ["create"],
    "exec": ["create", "get"],
    "log": ["get"],
    "portforward": ["create", "get"],
    "finalize": ["update"],
    "token": ["create"],
}
_SUBRESOURCE_KINDS = {
    "attach": {"group": "", "version": "v1", "kind": "PodAttachOptions"},
    "binding": {"group": "", "version": "v1", "kind": "Binding"},
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
    "exec": {"group": "", "version": "v1", "kind": "PodExecOptions"},
    "portforward": {"group": "", "version": "v1", "kind": "PodPortForwardOptions"},
    "scale": _SCALE,
    "token": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"},
}
_WELL = ("/healthz", "/livez", "/readyz")


class Discovery:
    """Answers requests that are about the server and not about objects."""

    def __init__(self, kinds: tuple[Kind, ...], reviews: Mapping[Resource, type[Object]]) -> None:
        self._resources = (*(kind.resource for kind in kinds), *reviews)
        self._reviews = frozenset(reviews)
        self._openapi = OpenApi(kinds, reviews)

    def answer(self, request: Request) -> Answer | None:
        """Answer a request for discovery; None where the path is for objects."""
        path = request.path.rstrip("/")
        if path.startswith(_WELL):
            return Answer(Raw(b"ok"), media_type="text/plain; charset=utf-8")
        if path.startswith("/openapi/"):
            return self._openapi.answer(request)
        parts = path.split("/")[1:]
        if len(parts) > 3 or (parts[0] == "api" and len(parts) > 2):
            return None
        make = self._document(parts, request.accept)
        if make is None:
            return None
        if request.method != "GET":
            raise statuses.refuse(405, "MethodNotAllowed", "discovery can only be read")
        return make()

    def _document(self, parts: list[str], accept: str) -> Callable[[], Answer] | None:
        match parts:
            case ["version"]:
                return lambda: Answer(Plain(_version()))
            case ["api"]:
                return lambda: self._aggregated(accept, core=True) or Answer(Plain(_API_VERSIONS))
            case ["apis"]:
                return lambda: self._aggregated(accept, core=False) or Answer(Plain(self._groups()))
            case ["api", "v1"]:
                return lambda: Answer(Plain(self._resource_list("", "v1")))
            case ["apis", group]:
                return lambda: Answer(Plain(self._one_group(group)))
            case ["apis", group, one]:
                return lambda: Answer(Plain(self._resource_list(group, one)))
            case [""]:
                return lambda: Answer(Plain({"paths": ["/api", "/apis", "/healthz", "/openapi/v3", "/version"]}))
        return None

    def _verbs(self, resource: Resource) -> list[str]:
        if resource in self._reviews:
            return ["create"]
        return [verb for verb in _VERBS if not (resource.kind == "Namespace" and verb == "deletecollection")]

    def _versions(self, group: str) -> list[str]:
        return list(dict.fromkeys(r.version for r in self._resources if r.group == group))

    def _group_names(self) -> list[str]:
        return list(dict.fromkeys(r.group for r in self._resources if r.group))

    def _groups(self) -> Json:
        groups = [self._group(name) for name in self._group_names()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, name: str) -> Json:
        versions = [{"groupVersion": f"{name}/{v}", "version": v} for v in self._versions(name)]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _one_group(self, name: str) -> Json:
        if name not in self._group_names():
            raise statuses.no_such_path()
        return {"kind": "APIGroup", "apiVersion": "v1"} | self._group(name)

    def _resource_list(self, group: str, one: str) -> Json:
        found = [r for r in self._resources if (r.group, r.version) == (group, one)]
        if not found:
            raise statuses.no_such_path()
        resources = [entry for resource in found for entry in _entries(resource, self._verbs(resource))]
        head = {"kind": "APIResourceList", "apiVersion": "v1"}
        return head | {"groupVersion": found[0].api_version, "resources": resources}

    def _aggregated(self, accept: str, *, core: bool) -> Answer | None:
        for choice in accept.split(","):
            if _AGGREGATED not in choice:
                continue
            served = "v2" if "v=v2;" in f"{choice.strip()};" else "v2beta1"
            items = [self._aggregated_group(name) for name in ([""] if core else self._group_names())]
            body = {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{served}", "metadata": {}}
            media = f"application/json;g=apidiscovery.k8s.io;v={served};as=APIGroupDiscoveryList"
            return Answer(Plain(body | {"items": items}), media_type=media)
        return None

    def _aggregated_group(self, name: str) -> Json:
        versions = [
            {
                "version": one,
                "freshness": "Current",
                "resources": [
                    _aggregated(r, self._verbs(r)) for r in self._resources if (r.group, r.version) == (name, one)
                ],
            }
            for one in self._versions(name)
        ]
        return {"metadata": {"name": name} if name else {}, "versions": versions}


_API_VERSIONS: Json = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _version() -> Json:
    major, minor = KUBERNETES
    try:
        ours = version("kproxy")
    except PackageNotFoundError:  # run from a source tree that is not installed
        ours = "0"
    return {
        "major": str(major),
        "minor": str(minor),
        "gitVersion": f"v{major}.{minor}.0+kapi.{ours}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "cpython",
        "platform": f"linux/{platform.machine()}",
    }


def _entries(resource: Resource, verbs: list[str]) -> list[Json]:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs,
    }
    entry |= {"shortNames": list(resource.short_names)} if resource.short_names else {}
    entry |= {"categories": list(resource.categories)} if resource.categories else {}
    below = [_subresource_entry(resource, name) for name in resource.subresources]
    return [entry, *below]


def _subresource_entry(resource: Resource, name: str) -> Json:
    kind = _SUBRESOURCE_KINDS.get(name) or {"kind": resource.kind}
    verbs = _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"])
    entry = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    return entry | kind | {"verbs": verbs}


def _aggregated(resource: Resource, verbs: list[str]) -> Json:
    own = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    below = [
        {
            "subresource": name,
            "responseKind": _SUBRESOURCE_KINDS.get(name) or own,
            "verbs": _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
        }
        for name in resource.subresources
    ]
    entry: Json = {
        "resource": resource.plural,
        "responseKind": own,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": verbs,
    }
    entry |= {"shortNames": list(resource.short_names)} if resource.short_names else {}
    entry |= {"categories": list(resource.categories)} if resource.categories else {}
    return entry | ({"subresources": below} if below else {})
