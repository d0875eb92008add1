"""The command line: what it accepts, what it says, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import IO, Any

import pytest

from kproxy import cli, flags, sysctls
from kproxy.backends import Scheduled, load, names
from kproxy.errors import Misconfigured, Unavailable
from kproxy.host import ThisHost
from kproxy.model import Absence

# A kube-proxy's file as kubeadm writes it.
KUBEADM = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/k.conf, qps: 0}
clusterCIDR: 10.244.0.0/16,fd44::/48
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: 24h0m0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: "Worker-1"
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s}
kind: KubeProxyConfiguration
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: "0.0.0.0"
mode: ""
nftables: {masqueradeAll: false, masqueradeBit: 9, minSyncPeriod: 0s, syncPeriod: 10s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false}
"""


def read(*argv: str) -> cli.Options:
    return cli.read(flags.parser().parse_args(argv))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--proxy-mode", "ebpf"], "--proxy-mode: 'ebpf' is not accepted: it takes auto, nftables"),
        (["--cluster-cidr", "10.244.0.0/99"], "--cluster-cidr: '10.244.0.0/99' is not accepted: a network looks like"),
        (["--nodeport-addresses", "primary,x"], "--nodeport-addresses: 'x' is not accepted: it takes primary, all, l"),
        (["--iptables-masquerade-bit", "40"], "--iptables-masquerade-bit: '40' is not accepted: it should be less"),
        (["--healthz-bind-address", "here"], "--healthz-bind-address: 'here' is not accepted: a place to listen"),
        (["--metrics-bind-address", "0.0.0.0:0"], "a port is a number from 1 to 65535"),
        (["--detect-local-mode", "Luck"], "it should be '', 'ClusterCIDR', 'NodeCIDR'"),
        (["--service-cidr", "10"], "--service-cidr: '10' is not accepted"),
        (["--conntrack-min", "-1"], "--conntrack-min: '-1' is not accepted"),
        (["--iptables-sync-period", "soon"], "a duration looks like 30s or 1h0m0s"),
        (["--masquerade-all=maybe"], "--masquerade-all: 'maybe' is not accepted"),
        (["--server", "http://x", "--manifests", "/x"], "--server and --manifests exclude each other"),
        (["--config", "/nowhere"], "--config: /nowhere cannot be read"),
    ],
)
def test_wrong_values_are_one_sentence_and_exit_code_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("argv", [["--nonsense"], ["--events", "file"], ["--without-endpoints", "shrug"]])
def test_wrong_usage_is_told_with_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mode: ebpf", "mode: 'ebpf' is not accepted: it takes auto, nftables"),
        (
            "nftables: {masqueradeBit: 32}",
            "nftables.masqueradeBit: 32 is not accepted: it should be less than or equal to",
        ),
        ("nftables: {bit: 1}", "nftables.bit: there is no such field; there are localhostNodePorts, masqueradeAll"),
        ("clusterCidr: 10.0.0.0/8", "clusterCidr: there is no such field; there are apiVersion, bindAddress"),
        ("kind: Deployment", "kind: 'Deployment' is not accepted: it should be 'KubeProxyConfiguration'"),
        ("nodePortAddresses: [10.0.0.0/8, here]", "nodePortAddresses: 'here' is not accepted: it takes primary, all"),
        ("- 1", "holds no KubeProxyConfiguration"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_the_file_and_the_field(
    tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert cli.main(["--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert str(path) in said
    assert said.count("\n") == 1


def test_the_file_that_kubeadm_writes_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(KUBEADM)
    options = read("--config", str(path))
    assert options.node_name == "worker-1"
    assert options.kubeconfig == Path("/var/lib/kube-proxy/k.conf")
    chosen = cli.settings(options, "nftables", ThisHost())
    assert [str(n) for n in chosen.local_traffic.networks] == ["10.244.0.0/16", "fd44::/48"]
    assert (chosen.healthz, chosen.metrics) == (None, ("0.0.0.0", 10249))
    assert (chosen.masquerade_bit, chosen.stuck_seconds) == (9, 20)
    assert cli.settings(options, "iptables", ThisHost()).masquerade_bit == 14
    assert dict(sysctls.wanted(options.configuration.conntrack, 4)) == {
        "net/netfilter/nf_conntrack_tcp_timeout_established": 86400
    }


def test_flags_are_laid_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(KUBEADM)
    argv = ["--config", str(path), "--cluster-cidr", "10.9.0.0/16", "--nodeport-addresses", "all,localhost"]
    options = read(*argv, "--masquerade-all", "--iptables-masquerade-bit", "3", "--kubeconfig", "/x", "--v=2")
    chosen = cli.settings(options, "nftables", ThisHost())
    assert chosen.local_traffic.networks == (ip_network("10.9.0.0/16"),)
    assert chosen.node_port_addresses == ("all", "localhost")
    assert (chosen.masquerade_all, chosen.masquerade_bit) == (True, 3)
    assert options.kubeconfig == Path("/x")
    assert options.verbose
    with pytest.raises(Misconfigured, match=r"^--iptables-masquerade-bit: '77'"):
        read("--config", str(path), "--iptables-masquerade-bit", "77")


def test_a_kube_proxys_command_line_is_accepted() -> None:
    argv = "--kubeconfig=/k --proxy-mode=iptables --hostname-override=n1 --v=0 --oom-score-adj=-998 --profiling=false "
    argv += "--iptables-min-sync-period=1s --iptables-sync-period=30s --conntrack-max-per-core=131072 "
    argv += "--detect-local-mode=BridgeInterface --pod-bridge-interface=cni0 --bind-address=192.0.2.7"
    argv += " --feature-gates=A=true,B=false --masquerade-all=false --metrics-bind-address=[::]:10249"
    options = read(*argv.split())
    chosen = cli.settings(options, "iptables", ThisHost())
    assert chosen.local_traffic.interface == "cni0"
    assert chosen.node_addresses == (ip_address("192.0.2.7"),)
    assert chosen.metrics == ("::", 10249)
    assert not chosen.masquerade_all
    assert dict(sysctls.wanted(options.configuration.conntrack, 2)) == {"net/netfilter/nf_conntrack_max": 262144}
    prefixed = read("--detect-local-mode", "InterfaceNamePrefix", "--pod-interface-name-prefix", "veth")
    assert cli.settings(prefixed, "nftables", ThisHost()).local_traffic.interface == "veth*"


def test_what_happens_without_endpoints_can_be_chosen() -> None:
    assert cli.settings(read("--without-endpoints", "drop"), "nftables", ThisHost()).without_endpoints is Absence.DROP


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_node_ports_on_localhost_can_be_had_by_kube_proxys_flag(mode: str) -> None:
    plain = cli.settings(read(), mode, ThisHost())
    asked = cli.settings(read("--iptables-localhost-nodeports"), mode, ThisHost())
    both = read("--iptables-localhost-nodeports", "--nodeport-addresses", "localhost,10.0.0.0/8")
    assert plain.node_port_addresses == ("primary",)
    assert asked.node_port_addresses == ("primary", "localhost")
    assert cli.settings(both, mode, ThisHost()).node_port_addresses == ("localhost", "10.0.0.0/8")


def test_the_scheduler_of_ipvs_reaches_its_backend() -> None:
    with closing(load("ipvs")(ThisHost())) as backend:
        assert isinstance(backend, Scheduled)
        cli.set_up(backend, read().configuration.ipvs)
        assert backend.scheduler == "rr"
        cli.set_up(backend, read("--ipvs-scheduler", "wlc", "--ipvs-exclude-cidrs", "192.0.2.0/24").configuration.ipvs)
        assert backend.scheduler == "wlc"
    with pytest.raises(Misconfigured, match=r"--ipvs-scheduler: 'luck' is not accepted: it should be .*'rr', 'wrr'"):
        read("--ipvs-scheduler", "luck")


def test_help_teaches_with_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "exit codes:" in shown


def test_a_host_that_lacks_something_is_told_what_and_which_modes_would_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kproxy.backends.memory.Memory.missing", lambda self: "it needs the moon.")
    monkeypatch.setattr("kproxy.modes.PREFERRED", ("nftables", "iptables"))
    monkeypatch.setattr("kproxy.modes.missing", lambda mode, host: None if mode == "iptables" else "no")
    assert cli.main(["--proxy-mode", "memory"]) == 3
    told = "kproxy: mode memory cannot work here: it needs the moon; these modes would: iptables\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("works", "said"),
    [
        ({"nftables", "iptables"}, "mode nftables, which works here"),
        ({"iptables"}, "mode iptables, since nftables cannot work (nftables is missing)"),
    ],
)
def test_auto_takes_the_first_mode_that_works_and_says_why(
    works: set[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kproxy import modes

    monkeypatch.setattr("kproxy.modes.missing", lambda mode, host: None if mode in works else f"{mode} is missing")
    backend, why = modes.choose("auto", ThisHost())
    assert why == said
    backend.close()


def test_where_no_mode_works_every_cause_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from kproxy import modes

    monkeypatch.setattr("kproxy.modes.missing", lambda mode, host: f"{mode} is missing")
    with pytest.raises(Unavailable, match=r"nftables cannot work .*; iptables cannot work .*; userspace cannot work"):
        modes.choose("auto", ThisHost())


@pytest.mark.parametrize(
    ("mode", "uses"),
    [("nftables", False), ("iptables", False), ("memory", False), ("userspace", True), ("ipvs", True)],
)
def test_pyroute2_is_imported_by_the_modes_that_use_it(mode: str, uses: bool) -> None:
    code = f"import sys, kproxy.cli, kproxy.backends as b; b.load({mode!r}); print('pyroute2' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == str(uses)


def test_an_unknown_backend_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(Unavailable, match="nftables"):
        load("ebpf")
    assert {"nftables", "memory"} <= set(names())


def heard(stream: IO[str], words: str) -> bool:
    """Whether a line says this, before the stream ends."""
    return any(words in line for line in stream)


@contextmanager
def start(*argv: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "kproxy", "--proxy-mode", "memory", *argv]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(number: signal.Signals) -> None:
    with start("--server", "http://127.0.0.1:1", "-v") as running:
        assert running.stderr is not None
        assert heard(running.stderr, "trying again")  # it is at work: the API cannot be reached, and it says so
        running.send_signal(number)
        assert running.wait(10) == 0


def test_events_that_end_too_early_are_an_error_and_a_folder_that_is_missing_is_one(tmp_path: Path) -> None:
    with start("--events", "-", stdin=subprocess.DEVNULL) as running:
        assert running.stderr is not None
        assert running.wait(10) == 1
        assert "before a SYNC line" in running.stderr.read()
    with start("--manifests", str(tmp_path / "no")) as running:
        assert running.stderr is not None
        assert running.wait(10) == 1
        assert "is no folder" in running.stderr.read()


def test_events_are_followed_until_a_signal() -> None:
    with start("--events", "-", "-v", stdin=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        bad = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "x"}}
        running.stdin.write(json.dumps({"type": "ADDED", "object": bad}) + "\nSYNC\n")
        running.stdin.flush()
        assert heard(running.stderr, "spec.clusterIPs")  # the problem with the Service is told
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
