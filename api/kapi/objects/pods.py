"""Pods: containers that run together and share an address."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Condition,
    Int,
    IntOrString,
    Json,
    LocalObjectReference,
    Long,
    Object,
    ObjectMeta,
    Quantity,
    Structure,
    Time,
    about,
)


class ContainerPort(Structure):
    """A port that a container listens on. It serves as information, and as a name for targetPort."""

    name: str | None = about("A name for the port, unique in the pod, which Services can refer to.")
    host_port: Int | None = about("The same port on the node, if it is to be reached there.")
    container_port: Int | None = about("The port in the pod.")
    protocol: str | None = about("TCP (the default), UDP or SCTP.")
    host_ip: str | None = about("The node's address for hostPort.")


class EnvVar(Structure):
    """A variable in a container's environment."""

    name: str | None = about("Name of the variable.")
    value: str | None = about("Value; $(OTHER) is replaced by the value of a variable before it.")
    value_from: Json | None = about("Where the value comes from: a field, a ConfigMap or a Secret.")


class ResourceRequirements(Structure):
    """What a container needs and may use."""

    limits: dict[str, Quantity] | None = about("The most the container may use.")
    requests: dict[str, Quantity] | None = about("The least it needs.")
    claims: list[Json] | None = about("Devices it uses.")


class VolumeMount(Structure):
    """Where a volume appears in a container."""

    name: str | None = about("Name of the volume.")
    read_only: Bool | None = about("Whether it cannot be written.")
    mount_path: str | None = about("Path in the container.")
    sub_path: str | None = about("Path in the volume.")
    sub_path_expr: str | None = about("Path in the volume, with variables.")
    mount_propagation: str | None = about("Whether mounts beneath are seen across.")
    recursive_read_only: str | None = about("Whether mounts beneath are read-only as well.")


class HTTPGetAction(Structure):
    """An HTTP request that succeeds with a status from 200 to 399."""

    path: str | None = about("Path to ask for.")
    port: IntOrString | None = about("Port by number or name.")
    host: str | None = about("Host to connect to; the pod by default.")
    scheme: str | None = about("HTTP (the default) or HTTPS.")
    http_headers: list[Json] | None = about("Headers to send.")


class TCPSocketAction(Structure):
    """A connection that succeeds when it opens."""

    port: IntOrString | None = about("Port by number or name.")
    host: str | None = about("Host to connect to; the pod by default.")


class ExecAction(Structure):
    """A command that succeeds with exit code 0."""

    command: list[str] | None = about("The command and its arguments; no shell is involved.")


class GRPCAction(Structure):
    """A gRPC health check."""

    port: Int | None = about("The port.")
    service: str | None = about("The service to ask about.")


class Probe(Structure):
    """A regular question to a container. Exactly one of exec, httpGet, tcpSocket and grpc is set."""

    exec_: ExecAction | None = about("Runs a command.")
    http_get: HTTPGetAction | None = about("Sends an HTTP request.")
    tcp_socket: TCPSocketAction | None = about("Opens a connection.")
    grpc: GRPCAction | None = about("Asks a gRPC health service.")
    initial_delay_seconds: Int | None = about("Seconds from the start to the first question.")
    timeout_seconds: Int | None = about("Seconds until no answer is a failure.")
    period_seconds: Int | None = about("Seconds between questions.")
    success_threshold: Int | None = about("Successes in a row that make a success.")
    failure_threshold: Int | None = about("Failures in a row that make a failure.")
    termination_grace_period_seconds: Long | None = about("Seconds to end in, after a failure.")


class Container(Structure):
    """One process (and what it starts) of a pod."""

    name: str | None = about("Name of the container, unique in the pod.")
    image: str | None = about("The image to run.")
    command: list[str] | None = about("The program, instead of the image's own.")
    args: list[str] | None = about("Its arguments, instead of the image's own.")
    working_dir: str | None = about("The directory to start in.")
    ports: list[ContainerPort] | None = about(
        "Ports the container listens on.", key="containerPort", keys=("containerPort", "protocol")
    )
    env_from: list[Json] | None = about("ConfigMaps and Secrets that become variables as a whole.")
    env: list[EnvVar] | None = about("Variables of the environment.", key="name")
    resources: ResourceRequirements | None = about("What the container needs and may use.")
    resize_policy: list[Json] | None = about("What happens when resources change.")
    restart_policy: str | None = about("Always makes an init container a sidecar.")
    restart_policy_rules: list[Json] | None = about("When to restart, by exit code.")
    volume_mounts: list[VolumeMount] | None = about("Where volumes appear.", key="mountPath")
    volume_devices: list[Json] | None = about("Where block devices appear.", key="devicePath")
    liveness_probe: Probe | None = about("Fails when the container must be restarted.")
    readiness_probe: Probe | None = about("Fails when the container must not get traffic.")
    startup_probe: Probe | None = about("Succeeds when the container is up; the other probes wait for it.")
    lifecycle: Json | None = about("What to do after the start and before the end.")
    termination_message_path: str | None = about("File whose content explains the end.")
    termination_message_policy: str | None = about("File, or FallbackToLogsOnError.")
    image_pull_policy: str | None = about("Always, IfNotPresent or Never.")
    security_context: Json | None = about("Privileges of the container.")
    stdin: Bool | None = about("Whether standard input is kept open.")
    stdin_once: Bool | None = about("Whether standard input is closed after the first client.")
    tty: Bool | None = about("Whether there is a terminal.")
    target_container_name: str | None = about("For ephemeral containers: whose processes to see.")


class Volume(Structure):
    """Files that containers share. Besides the name it has one field that says what kind of volume it is."""

    name: str | None = about("Name of the volume, unique in the pod.")
    host_path: Json | None = about("A path of the node.")
    empty_dir: Json | None = about("An empty directory that lives as long as the pod.")
    secret: Json | None = about("The data of a Secret, as files.")
    config_map: Json | None = about("The data of a ConfigMap, as files.")
    downward_api: Json | None = about("Fields of the pod, as files.")
    projected: Json | None = about("Several sources in one directory.")
    persistent_volume_claim: Json | None = about("A claim for storage.")
    ephemeral: Json | None = about("Storage that lives as long as the pod.")
    csi: Json | None = about("Storage of a CSI driver.")
    nfs: Json | None = about("An NFS share.")
    iscsi: Json | None = about("An iSCSI disk.")
    fc: Json | None = about("A Fibre Channel disk.")
    image: Json | None = about("The content of an image.")
    git_repo: Json | None = about("No longer supported.")
    cephfs: Json | None = about("A Ceph file system.")
    rbd: Json | None = about("A Ceph block device.")
    glusterfs: Json | None = about("A GlusterFS volume.")
    aws_elastic_block_store: Json | None = about("A disk of AWS.")
    gce_persistent_disk: Json | None = about("A disk of GCE.")
    azure_disk: Json | None = about("A disk of Azure.")
    azure_file: Json | None = about("A share of Azure.")
    cinder: Json | None = about("A disk of OpenStack.")
    vsphere_volume: Json | None = about("A disk of vSphere.")
    portworx_volume: Json | None = about("A Portworx volume.")
    flex_volume: Json | None = about("No longer supported.")
    flocker: Json | None = about("No longer supported.")
    photon_persistent_disk: Json | None = about("No longer supported.")
    quobyte: Json | None = about("No longer supported.")
    scale_io: Json | None = about("No longer supported.")
    storageos: Json | None = about("No longer supported.")


class Toleration(Structure):
    """Lets a pod run on a node in spite of a taint."""

    key: str | None = about("Name of the taint; empty with operator Exists tolerates all.")
    operator: str | None = about("Exists, or Equal (the default).")
    value: str | None = about("Value of the taint, for Equal.")
    effect: str | None = about("The effect that is tolerated; empty for all.")
    toleration_seconds: Long | None = about("How long NoExecute is tolerated.")


class HostAlias(Structure):
    """A line of /etc/hosts."""

    ip: str | None = about("The address.")
    hostnames: list[str] | None = about("Its names.")


class PodDNSConfig(Structure):
    """Additions to /etc/resolv.conf."""

    nameservers: list[str] | None = about("Servers to ask.")
    searches: list[str] | None = about("Domains to search.")
    options: list[Json] | None = about("Options of the resolver.")


class PodSpec(Structure):
    """What a pod is asked to be."""

    volumes: list[Volume] | None = about("Volumes that containers can mount.", key="name", retain=True)
    init_containers: list[Container] | None = about("Containers that run to their end before the others.", key="name")
    containers: list[Container] | None = about("The containers; at least one.", key="name")
    ephemeral_containers: list[Container] | None = about("Containers added for debugging.", key="name")
    restart_policy: str | None = about("Always (the default), OnFailure or Never.")
    termination_grace_period_seconds: Long | None = about("Seconds to end in, when the pod is deleted.")
    active_deadline_seconds: Long | None = about("Seconds the pod may run.")
    dns_policy: str | None = about("ClusterFirst (the default), ClusterFirstWithHostNet, Default or None.")
    node_selector: dict[str, str] | None = about("Labels a node must have.", atomic=True)
    service_account_name: str | None = about("The identity of the pod's processes.")
    service_account: str | None = about("The old name of serviceAccountName.")
    automount_service_account_token: Bool | None = about("Whether the account's token is mounted.")
    node_name: str | None = about("The node that runs the pod; set by the scheduler.")
    host_network: Bool | None = about("Whether the pod shares the node's network.")
    host_pid: Bool | None = about("Whether the pod sees the node's processes.")
    host_ipc: Bool | None = about("Whether the pod shares the node's IPC.")
    host_users: Bool | None = about("Whether the pod shares the node's users.")
    share_process_namespace: Bool | None = about("Whether containers see each other's processes.")
    security_context: Json | None = about("Privileges of all containers.")
    image_pull_secrets: list[LocalObjectReference] | None = about("Secrets to fetch images with.", key="name")
    hostname: str | None = about("The pod's host name; its name by default.")
    hostname_override: str | None = about("The pod's host name, whatever else would set it.")
    subdomain: str | None = about("Name of a headless Service under which the pod has a DNS name.")
    affinity: Json | None = about("Where the pod would rather run.")
    scheduler_name: str | None = about("Who places the pod.")
    tolerations: list[Toleration] | None = about("Taints that do not keep the pod away.")
    host_aliases: list[HostAlias] | None = about("Lines for /etc/hosts.", key="ip")
    priority_class_name: str | None = about("How important the pod is, by name.")
    priority: Int | None = about("How important the pod is, by number.")
    dns_config: PodDNSConfig | None = about("Additions to /etc/resolv.conf.")
    readiness_gates: list[Json] | None = about("Further conditions that must be true for the pod to be ready.")
    runtime_class_name: str | None = about("What runs the containers.")
    enable_service_links: Bool | None = about("Whether containers get variables for the Services of the namespace.")
    preemption_policy: str | None = about("Whether the pod may push others away.")
    overhead: dict[str, Quantity] | None = about("What running the pod costs by itself.")
    topology_spread_constraints: list[Json] | None = about("How pods are to be spread.", key="topologyKey")
    set_hostname_as_fqdn: Bool | None = about("Whether the host name is the full DNS name.")
    os: Json | None = about("The operating system the pod is for.")
    scheduling_gates: list[Json] | None = about("What must be lifted before the pod is placed.", key="name")
    resource_claims: list[Json] | None = about("Devices the pod uses.", key="name")
    resources: ResourceRequirements | None = about("What the pod as a whole needs and may use.")
    workload_ref: Json | None = about("The workload the pod belongs to.")


class PodIP(Structure):
    """One address of a pod."""

    ip: str | None = about("The address.")


class ContainerStatus(Structure):
    """What became of a container."""

    name: str | None = about("Name of the container.")
    state: Json | None = about("What it does: waiting, running or terminated.")
    last_state: Json | None = about("How it ended last.")
    ready: Bool | None = about("Whether it takes traffic.")
    restart_count: Int | None = about("How often it was started again.")
    image: str | None = about("The image.")
    image_id: str | None = about("Exactly which image.")
    container_id: str | None = about("Which container.")
    started: Bool | None = about("Whether its start-up probe has succeeded.")
    allocated_resources: dict[str, Quantity] | None = about("What is set aside for it.")
    resources: ResourceRequirements | None = about("What it may use.")
    volume_mounts: list[Json] | None = about("Its volumes.")
    user: Json | None = about("Whom it runs as.")
    allocated_resources_status: list[Json] | None = about("Health of its devices.")
    stop_signal: str | None = about("The signal that ends it.")


class PodStatus(Structure):
    """What a pod is."""

    phase: str | None = about("Pending, Running, Succeeded, Failed or Unknown.")
    conditions: list[Condition] | None = about("Whether it is placed, started and ready.", key="type")
    message: str | None = about("Why the pod is in this state, in a sentence.")
    reason: str | None = about("Why the pod is in this state, in one word.")
    nominated_node_name: str | None = about("Where it will run once others have gone.")
    host_ip: str | None = about("The node's address.")
    host_ips: list[Json] | None = about("The node's addresses.", key="ip")
    pod_ip: str | None = about("The pod's address: the first of podIPs.")
    pod_ips: list[PodIP] | None = about("The pod's addresses, one per family.", key="ip")
    start_time: Time | None = about("When the node took the pod.")
    init_container_statuses: list[ContainerStatus] | None = about("The init containers.")
    container_statuses: list[ContainerStatus] | None = about("The containers.")
    ephemeral_container_statuses: list[ContainerStatus] | None = about("The ephemeral containers.")
    qos_class: str | None = about("Guaranteed, Burstable or BestEffort.")
    resize: str | None = about("What becomes of a change of resources.")
    resource_claim_statuses: list[Json] | None = about("The pod's devices.", key="name")
    observed_generation: Long | None = about("The generation that this status is about.")
    allocated_resources: dict[str, Quantity] | None = about("What is set aside for the pod.")
    resources: ResourceRequirements | None = about("What the pod may use.")
    extended_resource_claim_status: Json | None = about("The pod's devices.")


class Pod(Object):
    """Containers that run together on one node and share an address."""

    spec: PodSpec | None = about("What the pod is asked to be.")
    status: PodStatus | None = about("What the pod is.")


class PodTemplateSpec(Structure):
    """A pod to be made."""

    metadata: ObjectMeta | None = about("Labels and annotations of the pods.")
    spec: PodSpec | None = about("What the pods are asked to be.")
