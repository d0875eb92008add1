"""Roles and who has them. They are stored; nothing is refused by them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import rbac
from kapi.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from kapi.server.columns import AGE, NAME, PLAIN, Column
from kapi.server.fields import FieldError, invalid, required, unsupported
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("Group", "ServiceAccount", "User")


def _default_binding(obj: Json) -> None:
    role = obj.get("roleRef")
    if isinstance(role, dict):
        role.setdefault("apiGroup", _GROUP)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _GROUP)


def _check_binding(new: Json, old: Json | None) -> list[FieldError]:
    role = new.get("roleRef") or {}
    errors: list[FieldError] = []
    kinds = ("ClusterRole",) if new["kind"] == "ClusterRoleBinding" else ("ClusterRole", "Role")
    if role.get("kind") not in kinds:
        errors.append(unsupported("roleRef.kind", role.get("kind") or "", kinds))
    if not role.get("name"):
        errors.append(required("roleRef.name"))
    if old is not None and old.get("roleRef") != new.get("roleRef"):
        errors.append(invalid("roleRef", role, "cannot change roleRef"))
    for index, subject in enumerate(new.get("subjects") or ()):
        path = f"subjects[{index}]"
        if not subject.get("name"):
            errors.append(required(f"{path}.name"))
        if subject.get("kind") not in _SUBJECTS:
            errors.append(unsupported(f"{path}.kind", subject.get("kind") or "", _SUBJECTS))
        elif subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    return errors


def _check_role(new: Json, _: Json | None) -> list[FieldError]:
    rules = enumerate(new.get("rules") or ())
    return [
        required(f"rules[{index}].verbs", "verbs must contain at least one value")
        for index, rule in rules
        if not rule.get("verbs")
    ]


def _role(obj: Json, _: datetime) -> str:
    role = obj.get("roleRef") or {}
    return f"{role.get('kind', '')}/{role.get('name', '')}"


def _subjects(kind: str) -> Any:
    def cell(obj: Json, _: datetime) -> str:
        found = [s for s in obj.get("subjects") or () if s.get("kind") == kind]
        names = [f"{s.get('namespace', '')}/{s['name']}" if kind == "ServiceAccount" else s["name"] for s in found]
        return ", ".join(names)

    return cell


_BINDING_COLUMNS = (
    NAME,
    Column("Role", _role),
    AGE,
    Column("Users", _subjects("User"), wide=True),
    Column("Groups", _subjects("Group"), wide=True),
    Column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
)

ROLE = Kind(ROLES, rbac.Role, validate=_check_role, columns=PLAIN, created_by_update=True)
CLUSTER_ROLE = Kind(CLUSTER_ROLES, rbac.ClusterRole, validate=_check_role, columns=PLAIN, created_by_update=True)
ROLE_BINDING = Kind(
    ROLE_BINDINGS, rbac.RoleBinding, default=_default_binding, validate=_check_binding, columns=_BINDING_COLUMNS
)
CLUSTER_ROLE_BINDING = Kind(
    CLUSTER_ROLE_BINDINGS,
    rbac.ClusterRoleBinding,
    default=_default_binding,
    validate=_check_binding,
    columns=_BINDING_COLUMNS,
)
