"""Reviews: what is asked by creating an object that nobody keeps, and answered in its status."""

from __future__ import annotations

from kapi.objects.base import Bool, Json, Object, Structure, about


class TokenReviewSpec(Structure):
    """The token that is asked about."""

    token: str | None = about("The bearer token.")
    audiences: list[str] | None = about("Whom it must be good for; this API by default.")


class TokenReviewStatus(Structure):
    """Whose the token is."""

    authenticated: Bool | None = about("Whether the token is known, and good now.")
    user: Json | None = about("Whose it is: a name, and groups.")
    audiences: list[str] | None = about("Whom it is good for.")
    error: str | None = about("Why it is not known.")


class TokenReview(Object):
    """Asks whose a token is."""

    spec: TokenReviewSpec | None = about("The token.")
    status: TokenReviewStatus | None = about("The answer.")


class SelfSubjectReview(Object):
    """Asks who one is."""

    status: Json | None = about("The answer: a name, and groups.")


class AccessReviewSpec(Structure):
    """What somebody wants to do: something with a resource, or with another path."""

    resource_attributes: Json | None = about("The verb, and the resource in question.")
    non_resource_attributes: Json | None = about("The verb, and the path in question.")
    user: str | None = about("Who; oneself where one asks for oneself.")
    groups: list[str] | None = about("The groups they are in.")
    uid: str | None = about("Their identity.")
    extra: Json | None = about("What else is known of them.")


class AccessReviewStatus(Structure):
    """Whether it may be done."""

    allowed: Bool | None = about("Whether it is allowed.")
    denied: Bool | None = about("Whether it is forbidden, whatever else allows it.")
    reason: str | None = about("Why.")
    evaluation_error: str | None = about("What went wrong in finding out.")


class SelfSubjectAccessReview(Object):
    """Asks whether one may do something."""

    spec: AccessReviewSpec | None = about("What one wants to do.")
    status: AccessReviewStatus | None = about("The answer.")


class SubjectAccessReview(Object):
    """Asks whether somebody may do something."""

    spec: AccessReviewSpec | None = about("Who wants to do what.")
    status: AccessReviewStatus | None = about("The answer.")


class LocalSubjectAccessReview(Object):
    """Asks whether somebody may do something in a namespace."""

    spec: AccessReviewSpec | None = about("Who wants to do what.")
    status: AccessReviewStatus | None = about("The answer.")


class RulesReviewSpec(Structure):
    """Where."""

    namespace: str | None = about("The namespace in question.")


class SelfSubjectRulesReview(Object):
    """Asks for all that one may do in a namespace."""

    spec: RulesReviewSpec | None = about("Where.")
    status: Json | None = about("The answer: rules.")
