"""The protobuf form of the kinds that clients write: field numbers, as facts of `k8s.io/api`'s generated.proto. Pure.

A message is a text: one field an entry, `number name type`. Types are `str`, `int`, `bool`, `bytes` (base64 in JSON),
`time`, `microtime`, `int-or-string`, `quantity`, or the name of another message; `[...]` is a list, `{...}` a map from
strings. A field with `?` is a pointer in Go: its zero is a value. All other zeros mean that nothing was said.
`inline` fields have no name in JSON.
"""

from __future__ import annotations

_META = "1 metadata ObjectMeta"

MESSAGES: dict[str, str] = {
    "ObjectMeta": """
        1 name str, 2 generateName str, 3 namespace str, 4 selfLink str, 5 uid str, 6 resourceVersion str,
        7 generation int, 8 creationTimestamp time, 9 deletionTimestamp time, 10 deletionGracePeriodSeconds int?,
        11 labels {str}, 12 annotations {str}, 13 ownerReferences [OwnerReference], 14 finalizers [str]""",
    "OwnerReference": """
        1 kind str, 3 name str, 4 uid str, 5 apiVersion str, 6 controller bool?, 7 blockOwnerDeletion bool?""",
    "LabelSelector": "1 matchLabels {str}, 2 matchExpressions [LabelSelectorRequirement]",
    "LabelSelectorRequirement": "1 key str, 2 operator str, 3 values [str]",
    "ObjectReference": """
        1 kind str, 2 namespace str, 3 name str, 4 uid str, 5 apiVersion str, 6 resourceVersion str, 7 fieldPath str""",
    "LocalObjectReference": "1 name str",
    "Preconditions": "1 uid str, 2 resourceVersion str",
    "v1/DeleteOptions": """
        1 gracePeriodSeconds int?, 2 preconditions Preconditions, 3 orphanDependents bool?, 4 propagationPolicy str,
        5 dryRun [str]""",
    "v1/Namespace": f"{_META}, 2 spec NamespaceSpec, 3 status NamespaceStatus",
    "NamespaceSpec": "1 finalizers [str]",
    "NamespaceStatus": "1 phase str",
    "v1/ConfigMap": f"{_META}, 2 data {{str}}, 3 binaryData {{bytes}}, 4 immutable bool?",
    "v1/Secret": f"{_META}, 2 data {{bytes}}, 3 type str, 4 stringData {{str}}, 5 immutable bool?",
    "v1/ServiceAccount": f"""
        {_META}, 2 secrets [ObjectReference], 3 imagePullSecrets [LocalObjectReference],
        4 automountServiceAccountToken bool?""",
    "v1/Service": f"{_META}, 2 spec ServiceSpec, 3 status ServiceStatus",
    "ServiceSpec": """
        1 ports [ServicePort], 2 selector {str}, 3 clusterIP str, 4 type str, 5 externalIPs [str],
        7 sessionAffinity str,
        8 loadBalancerIP str, 9 loadBalancerSourceRanges [str], 10 externalName str, 11 externalTrafficPolicy str,
        12 healthCheckNodePort int, 13 publishNotReadyAddresses bool, 14 sessionAffinityConfig SessionAffinityConfig,
        17 ipFamilyPolicy str, 18 clusterIPs [str], 19 ipFamilies [str], 20 allocateLoadBalancerNodePorts bool?,
        21 loadBalancerClass str, 22 internalTrafficPolicy str, 23 trafficDistribution str""",
    "ServicePort": """
        1 name str, 2 protocol str, 3 port int, 4 targetPort int-or-string, 5 nodePort int, 6 appProtocol str""",
    "SessionAffinityConfig": "1 clientIP ClientIPConfig",
    "ClientIPConfig": "1 timeoutSeconds int?",
    "ServiceStatus": "1 loadBalancer LoadBalancerStatus",
    "LoadBalancerStatus": "1 ingress [LoadBalancerIngress]",
    "LoadBalancerIngress": "1 ip str, 2 hostname str, 3 ipMode str",
    "v1/Endpoints": f"{_META}, 2 subsets [EndpointSubset]",
    "EndpointSubset": "1 addresses [EndpointAddress], 2 notReadyAddresses [EndpointAddress], 3 ports [SubsetPort]",
    "EndpointAddress": "1 ip str, 2 targetRef ObjectReference, 3 hostname str, 4 nodeName str",
    "SubsetPort": "1 name str, 2 port int, 3 protocol str, 4 appProtocol str",
    "discovery.k8s.io/v1/EndpointSlice": f"""
        {_META}, 2 endpoints [Endpoint], 3 ports [EndpointPort], 4 addressType str""",
    "Endpoint": """
        1 addresses [str], 2 conditions EndpointConditions, 3 hostname str, 4 targetRef ObjectReference,
        5 deprecatedTopology {str}, 6 nodeName str, 7 zone str, 8 hints EndpointHints""",
    "EndpointConditions": "1 ready bool?, 2 serving bool?, 3 terminating bool?",
    "EndpointHints": "1 forZones [ForZone], 2 forNodes [ForZone]",
    "ForZone": "1 name str",
    "EndpointPort": "1 name str?, 2 protocol str, 3 port int?, 4 appProtocol str",
    "v1/Event": f"""
        {_META}, 2 involvedObject ObjectReference, 3 reason str, 4 message str, 5 source EventSource,
        6 firstTimestamp time, 7 lastTimestamp time, 8 count int, 9 type str, 10 eventTime microtime, 12 action str,
        13 related ObjectReference, 14 reportingComponent str, 15 reportingInstance str""",
    "EventSource": "1 component str, 2 host str",
    "coordination.k8s.io/v1/Lease": f"{_META}, 2 spec LeaseSpec",
    "LeaseSpec": """
        1 holderIdentity str, 2 leaseDurationSeconds int?, 3 acquireTime microtime, 4 renewTime microtime,
        5 leaseTransitions int?""",
    "apps/v1/Deployment": f"{_META}, 2 spec DeploymentSpec, 3 status DeploymentStatus",
    "DeploymentSpec": """
        1 replicas int?, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy,
        5 minReadySeconds int, 6 revisionHistoryLimit int?, 7 paused bool, 9 progressDeadlineSeconds int?""",
    "DeploymentStrategy": "1 type str, 2 rollingUpdate RollingUpdateDeployment",
    "RollingUpdateDeployment": "1 maxUnavailable int-or-string, 2 maxSurge int-or-string",
    "DeploymentStatus": """
        1 observedGeneration int, 2 replicas int, 3 updatedReplicas int, 4 availableReplicas int,
        5 unavailableReplicas int, 7 readyReplicas int, 8 collisionCount int?""",
    "PodTemplateSpec": "1 metadata ObjectMeta, 2 spec PodSpec",
    "v1/Pod": f"{_META}, 2 spec PodSpec",
    "PodSpec": """
        2 containers [Container], 3 restartPolicy str, 4 terminationGracePeriodSeconds int?,
        5 activeDeadlineSeconds int?, 6 dnsPolicy str, 7 nodeSelector {str}, 8 serviceAccountName str,
        9 serviceAccount str, 10 nodeName str, 11 hostNetwork bool, 12 hostPID bool, 13 hostIPC bool,
        15 imagePullSecrets [LocalObjectReference], 16 hostname str, 17 subdomain str, 19 schedulerName str,
        20 initContainers [Container], 21 automountServiceAccountToken bool?, 24 priorityClassName str,
        25 priority int?,
        30 enableServiceLinks bool?""",
    "Container": """
        1 name str, 2 image str, 3 command [str], 4 args [str], 5 workingDir str, 6 ports [ContainerPort],
        7 env [EnvVar], 8 resources ResourceRequirements, 13 terminationMessagePath str, 14 imagePullPolicy str,
        16 stdin bool, 17 stdinOnce bool, 18 tty bool, 20 terminationMessagePolicy str, 24 restartPolicy str""",
    "ContainerPort": "1 name str, 2 hostPort int, 3 containerPort int, 4 protocol str, 5 hostIP str",
    "EnvVar": "1 name str, 2 value str",
    "ResourceRequirements": "1 limits {quantity}, 2 requests {quantity}",
    "networking.k8s.io/v1/Ingress": f"{_META}, 2 spec IngressSpec, 3 status IngressStatus",
    "IngressSpec": "1 defaultBackend IngressBackend, 2 tls [IngressTLS], 3 rules [IngressRule], 4 ingressClassName str",
    "IngressStatus": "1 loadBalancer LoadBalancerStatus",
    "IngressTLS": "1 hosts [str], 2 secretName str",
    "IngressRule": "1 host str, 2 inline IngressRuleValue",
    "IngressRuleValue": "1 http HTTPIngressRuleValue",
    "HTTPIngressRuleValue": "1 paths [HTTPIngressPath]",
    "HTTPIngressPath": "1 path str, 2 backend IngressBackend, 3 pathType str",
    "IngressBackend": "4 service IngressServiceBackend",
    "IngressServiceBackend": "1 name str, 2 port ServiceBackendPort",
    "ServiceBackendPort": "1 name str, 2 number int",
}
