"""What names, labels and keys may look like. Pure. Rules: RFC 1035, RFC 1123 and the Kubernetes API conventions."""

from __future__ import annotations

import re
from typing import Any

from kapi.resources import Resource
from kapi.server.fields import FieldError, invalid

Json = dict[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
SEGMENT_TEXT = "may not be '.' or '..', and may not contain '/' or '%'"
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def is_subdomain(text: str) -> bool:
    """Whether `text` is a lowercase RFC 1123 subdomain."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Whether `text` is a lowercase RFC 1123 label."""
    return len(text) <= 63 and _LABEL_1123.fullmatch(text) is not None


def is_label_1035(text: str) -> bool:
    """Whether `text` is a lowercase RFC 1035 label: as RFC 1123, and its first character is a letter."""
    return len(text) <= 63 and _LABEL_1035.fullmatch(text) is not None


def name_errors(resource: Resource, name: str, path: str = "metadata.name") -> list[FieldError]:
    """Say what is wrong with an object's name; most kinds take a DNS subdomain."""
    if resource.kind == "Service":
        fits, text, most = _LABEL_1035, LABEL_1035_TEXT, 63
    elif resource.kind == "Namespace":
        fits, text, most = _LABEL_1123, LABEL_TEXT, 63
    elif resource.group == "rbac.authorization.k8s.io" or resource.kind == "IPAddress":
        fits, text, most = _SEGMENT, SEGMENT_TEXT, 253
    else:
        fits, text, most = _SUBDOMAIN, SUBDOMAIN_TEXT, 253
    errors = []
    if len(name) > most:
        errors.append(invalid(path, name, f"must be no more than {most} characters"))
    if not fits.fullmatch(name):
        errors.append(invalid(path, name, text))
    return errors


def label_errors(labels: Json, path: str) -> list[FieldError]:
    """Say what is wrong with a map of labels."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += key_errors(key, path, key)
        if len(value) > 63:
            errors.append(invalid(path, value, "must be no more than 63 characters"))
        elif not _LABEL_VALUE.fullmatch(value):
            errors.append(invalid(path, value, _VALUE_TEXT))
    return errors


def key_errors(key: str, path: str, shown: str) -> list[FieldError]:
    """Say what is wrong with the name of a label, an annotation or a finalizer; `shown` is how the client wrote it."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return [invalid(path, shown, f"prefix part {SUBDOMAIN_TEXT}")]
    if not name or len(name) > 63:
        return [
            invalid(
                path,
                shown,
                "name part must be non-empty" if not name else "name part must be no more than 63 characters",
            )
        ]
    return [] if _QUALIFIED.fullmatch(name) else [invalid(path, shown, _NAME_PART_TEXT)]
