"""Who may do what. The rules are stored and not enforced."""

from __future__ import annotations

from kapi.objects.base import Json, Object, Structure, about


class PolicyRule(Structure):
    """What is allowed."""

    verbs: list[str] | None = about("What may be done, such as get or create; * for everything.")
    api_groups: list[str] | None = about("Groups of the resources.")
    resources: list[str] | None = about("The resources; * for all.")
    resource_names: list[str] | None = about("Objects, where not all of a resource are meant.")
    non_resource_urls: list[str] | None = about("Paths that are no resources.")


class Subject(Structure):
    """Someone who may."""

    atomic = True

    kind: str | None = about("User, Group or ServiceAccount.")
    api_group: str | None = about("API group of the subject.")
    name: str | None = about("Name of the subject.")
    namespace: str | None = about("Namespace of a ServiceAccount.")


class RoleRef(Structure):
    """The role that is given."""

    atomic = True

    api_group: str | None = about("API group of the role.")
    kind: str | None = about("Role or ClusterRole.")
    name: str | None = about("Name of the role.")


class Role(Object):
    """What may be done in a namespace."""

    rules: list[PolicyRule] | None = about("What is allowed.")


class ClusterRole(Object):
    """What may be done in all namespaces."""

    rules: list[PolicyRule] | None = about("What is allowed.")
    aggregation_rule: Json | None = about("Roles whose rules are collected here.")


class RoleBinding(Object):
    """Gives a role to someone, in a namespace."""

    subjects: list[Subject] | None = about("Who.")
    role_ref: RoleRef | None = about("Which role. It cannot be changed.")


class ClusterRoleBinding(Object):
    """Gives a role to someone, in all namespaces."""

    subjects: list[Subject] | None = about("Who.")
    role_ref: RoleRef | None = about("Which role. It cannot be changed.")
