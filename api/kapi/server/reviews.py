"""Reviews: questions about who somebody is and what they may do. They are asked by creating them; nothing is stored.

Whoever is known may do everything, so all that is asked about access is allowed, and the answer says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi.objects import Object, reviews
from kapi.resources import Resource
from kapi.server import fields, requests, statuses
from kapi.server.answers import Answer, Plain
from kapi.server.identity import ANONYMOUS, Authenticator, Identity
from kapi.transport import Request

Json = dict[str, Any]

_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
_TOKEN = Resource(_AUTHENTICATION, "v1", "tokenreviews", "TokenReview", False)
_SELF = Resource(_AUTHENTICATION, "v1", "selfsubjectreviews", "SelfSubjectReview", False)
_ACCESS = (
    Resource(_AUTHORIZATION, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
    Resource(_AUTHORIZATION, "v1", "subjectaccessreviews", "SubjectAccessReview", False),
    Resource(_AUTHORIZATION, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview"),
)
_RULES = Resource(_AUTHORIZATION, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False)
REVIEWS: Mapping[Resource, type[Object]] = {
    _TOKEN: reviews.TokenReview,
    _SELF: reviews.SelfSubjectReview,
    _ACCESS[0]: reviews.SelfSubjectAccessReview,
    _ACCESS[1]: reviews.SubjectAccessReview,
    _ACCESS[2]: reviews.LocalSubjectAccessReview,
    _RULES: reviews.SelfSubjectRulesReview,
}

_ALL = ["*"]
_EVERYTHING = {
    "resourceRules": [{"verbs": _ALL, "apiGroups": _ALL, "resources": _ALL}],
    "nonResourceRules": [{"verbs": _ALL, "nonResourceURLs": _ALL}],
    "incomplete": False,
}
_WHY = "roles are stored and not enforced: whoever is known may do everything"


class Reviews:
    """Answers reviews."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._answers: dict[str, Callable[[Request, Json], Json]] = {
            _TOKEN.kind: self._token,
            _SELF.kind: lambda request, _: {"userInfo": _told(caller(request))},
            _RULES.kind: lambda _request, _spec: _EVERYTHING,
            **{resource.kind: self._access for resource in _ACCESS},
        }

    def answer(self, request: Request) -> Answer | None:
        """Answer a review; None for any other request. Refuses with the Status that fits."""
        if not request.path.startswith((f"/apis/{_AUTHENTICATION}/v1/", f"/apis/{_AUTHORIZATION}/v1/")):
            return None
        plural = request.path.rpartition("/")[2]
        resource = next((one for one in REVIEWS if one.plural == plural), None)
        if resource is None:
            raise statuses.no_such_path()
        if request.method != "POST":
            raise statuses.method_not_allowed(resource, request.method.lower())
        obj = requests.parsed(request)
        spec = (obj.get("spec") or {}) if isinstance(obj, dict) else None
        if not isinstance(spec, dict):
            raise statuses.bad_request("spec: Invalid value: must be an object")
        head = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
        status = self._answers[resource.kind](request, spec)
        return Answer(Plain({**head, "spec": spec, "status": status}), 201)

    def _token(self, _: Request, spec: Json) -> Json:
        token = spec.get("token")
        found = self._authenticator.of_token(token) if isinstance(token, str) else None
        if found is None:
            return {"authenticated": False, "user": {}, "error": "the token is not known, or no longer good"}
        return {"authenticated": True, "user": _told(found)}

    def _access(self, _: Request, spec: Json) -> Json:
        if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
            text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            error = fields.invalid("spec.resourceAttributes", spec.get("resourceAttributes"), text)
            raise statuses.invalid(_ACCESS[0], "", [error])
        return {"allowed": True, "reason": _WHY}


def caller(request: Request) -> Identity:
    """Give who sends a request."""
    return Identity(request.user, request.groups) if request.user else ANONYMOUS


def _told(identity: Identity) -> Json:
    return {"username": identity.user, "groups": list(identity.groups)}
