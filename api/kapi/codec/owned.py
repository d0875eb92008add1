"""The record of owners as it is kept: a text of about a tenth of the length of what objects show. Pure.

There is a record with every object, and it is long and always much the same: of 50,000 pods it would be 70 MB. It is
kept compressed against a text of what records mostly consist of.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

Json = dict[str, Any]

# What is compressed refers to this text: to change it is to make kept records unreadable. It stays as it is as long as
# there is a version 1; a better text is a version 2, which is written, beside this one, which is read. The commonest
# comes last.
_NAMES = """
jobTemplate schedule completions parallelism backoffLimit updateStrategy serviceName volumeClaimTemplates
minReadySeconds initContainers livenessProbe readinessProbe startupProbe httpGet tcpSocket path scheme
initialDelaySeconds periodSeconds timeoutSeconds successThreshold failureThreshold volumes volumeMounts mountPath
emptyDir configMap secret valueFrom env hostNetwork nodeName tolerations affinity limits requests cpu memory command
args addressType endpoints allocatable capacity addresses nodeInfo immutable stringData leaseTransitions acquireTime
holderIdentity leaseDurationSeconds renewTime involvedObject firstTimestamp lastTimestamp count reason source
reportingComponent reportingInstance message eventTime loadBalancer ingress ingressClassName rules tls
externalTrafficPolicy internalTrafficPolicy sessionAffinity clusterIP ipFamilies ipFamilyPolicy nodePort targetPort
availableReplicas fullyLabeledReplicas observedGeneration readyReplicas updatedReplicas lastUpdateTime lastProbeTime
lastHeartbeatTime containerStatuses hostIP hostIPs startTime phase podIP progressDeadlineSeconds
revisionHistoryLimit strategy rollingUpdate maxSurge maxUnavailable replicas selector template generateName
ownerReferences annotations labels app metadata enableServiceLinks serviceAccountName dnsPolicy restartPolicy
schedulerName securityContext terminationGracePeriodSeconds imagePullPolicy terminationMessagePath
terminationMessagePolicy resources type data conditions spec status
"""
_COMMON = (
    "".join(f'"f:{name}":{{}},' for name in _NAMES.split())
    + r"""
"f:kubectl.kubernetes.io/last-applied-configuration":{}"k:{\"uid\":\""k:{\"ip\":\"10.244."
"f:podIPs":{".":{},"k:{\"ip\":\"10.244.1.1\"}":{".":{},"f:ip":{}},"manager":"kube-controller-manager",
"f:conditions":{".":{},"k:{\"type\":\"PodScheduled\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{},
"k:{\"type\":\"Initialized\"}":{".":{},"k:{\"type\":\"ContainersReady\"}":{".":{},"k:{\"type\":\"Ready\"}":{".":{},
"f:containers":{"k:{\"name\":\"":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},
"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{},
"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}
}},"subresource":"status"},{"manager":"kubelet","operation":"Apply","apiVersion":"apps/v1",
"fieldsV1":{"f:data":{".":{},"fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:labels":{".":{},
[{"manager":"kubectl-create","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1",
"""
).encode()
_VERSION = b"\x01"  # in front of zlib's format, which tells by which text, and has a checksum
_WINDOW = 12  # 4 KiB, which the common text must fit in
_SQUEEZE = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, 3, zlib.Z_DEFAULT_STRATEGY, _COMMON)  # copied: a new one is slow
_WRITE = json.JSONEncoder(separators=(",", ":")).encode


class Unreadable(ValueError):
    """A record that was not kept by this release, or is not what was kept."""


def pack(entries: list[Json]) -> bytes:
    """Give managedFields in the form in which they are kept."""
    squeeze = _SQUEEZE.copy()
    return _VERSION + squeeze.compress(_WRITE(entries).encode()) + squeeze.flush()


def unpack(owned: bytes) -> bytes:
    """Give the JSON of managedFields. Raises `Unreadable`."""
    if owned[:1] != _VERSION:
        raise Unreadable(f"its version is {owned[:1].hex() or 'missing'}, and this release reads {_VERSION.hex()}")
    stretch = zlib.decompressobj(_WINDOW, _COMMON)
    try:
        found = stretch.decompress(owned[1:])
    except zlib.error as error:
        raise Unreadable(str(error)) from error
    if not stretch.eof or stretch.unused_data:
        raise Unreadable("it is cut off" if not stretch.eof else "there is more behind its end")
    return found


def kept(obj: Json, owned: bytes) -> Json:
    """Give an object as a store keeps it: with the packed record of its fields' owners, as text."""
    if not owned:
        return obj
    return {**obj, "metadata": {**obj["metadata"], "managedFields": base64.b64encode(owned).decode()}}


def taken(meta: Json) -> bytes:
    """Take the packed record out of the metadata of an object that a store kept. Raises `Unreadable`."""
    kept = meta.pop("managedFields", "")
    if not kept:
        return b""
    if isinstance(kept, list):  # earlier releases kept it as it is shown
        return pack(kept)
    try:
        owned = base64.b64decode(kept, validate=True)
    except (ValueError, TypeError) as error:
        raise Unreadable(str(error)) from error
    unpack(owned)
    return owned
