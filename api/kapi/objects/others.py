"""Kinds that are only kept for those who read them: their parts are not looked into."""

from __future__ import annotations

from kapi.objects.base import Json, Object, about


class CertificateSigningRequest(Object):
    """A wish for a certificate."""

    spec: Json | None = about("What is wished for.")
    status: Json | None = about("What became of it.")


class ValidatingAdmissionPolicy(Object):
    """Rules for new and changed objects. It is stored and not enforced."""

    spec: Json | None = about("The rules.")
    status: Json | None = about("What is wrong with them.")


class ValidatingAdmissionPolicyBinding(Object):
    """Puts a policy into effect. It is stored and not enforced."""

    spec: Json | None = about("Which policy, and where.")


class ResourceClaim(Object):
    """A pod's claim to devices."""

    spec: Json | None = about("What is claimed.")
    status: Json | None = about("What was given.")


class ResourceClaimTemplate(Object):
    """A ResourceClaim to be made."""

    spec: Json | None = about("The claim.")


class ResourceSlice(Object):
    """Devices of a node."""

    spec: Json | None = about("The devices.")


class DeviceClass(Object):
    """A class of devices."""

    spec: Json | None = about("Which devices are of the class.")


class VolumeAttributesClass(Object):
    """Attributes of volumes that can be changed."""

    driver_name: str | None = about("The driver it is for.")
    parameters: dict[str, str] | None = about("The attributes.")
