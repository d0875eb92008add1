"""The functional core stays pure: no clock, no sockets, no processes, no randomness, no logging."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PURE = (
    "api/kapi/network.py",
    "api/kapi/decode.py",
    "api/kapi/resources.py",
    "api/kapi/errors.py",
    "api/kapi/selectors.py",
    "api/kapi/quantities.py",
    "api/kapi/patch/json_patch.py",
    "api/kapi/patch/merge.py",
    "api/kapi/patch/strategic.py",
    "api/kapi/patch/shape.py",
    "api/kapi/patch/ownership.py",
    "api/kapi/patch/apply.py",
    "api/kapi/codec/bodies.py",
    "api/kapi/codec/wire.py",
    "api/kapi/codec/messages.py",
    "api/kapi/codec/protobuf.py",
    "api/kapi/codec/gnostic.py",
    "api/kapi/objects/base.py",
    "api/kapi/server/fields.py",
    "api/kapi/server/names.py",
    "api/kapi/server/metadata.py",
    "api/kapi/server/options.py",
    "api/kapi/server/routes.py",
    "api/kapi/server/statuses.py",
    "api/kapi/server/structure.py",
    "api/kapi/server/schemas.py",
    "api/kapi/server/columns.py",
    "api/kapi/server/families.py",
    "api/kapi/server/kinds/kind.py",
    "api/kapi/server/kinds/core.py",
    "api/kapi/server/kinds/pods.py",
    "api/kapi/server/kinds/services.py",
    "api/kapi/server/kinds/endpoints.py",
    "api/kapi/server/kinds/ingresses.py",
    "api/kapi/server/kinds/workloads.py",
    "netns-lab/netnslab/steps.py",
    "netns-lab/netnslab/rtnetlink.py",
    "netns-lab/netnslab/topology.py",
    "netns-lab/netnslab/plan.py",
    "netns-lab/netnslab/config.py",
    "netns-lab/netnslab/echohttp.py",
    "netns-lab/netnslab/picture.py",
    "netns-lab/netnslab/system.py",
    "netns-lab/netnslab/kubelet/backoff.py",
    "netns-lab/netnslab/kubelet/environment.py",
    "netns-lab/netnslab/kubelet/images.py",
    "netns-lab/netnslab/kubelet/node.py",
    "netns-lab/netnslab/kubelet/podfiles.py",
    "netns-lab/netnslab/kubelet/podspec.py",
    "netns-lab/netnslab/kubelet/podstatus.py",
    "dns/kdns/alias.py",
    "dns/kdns/answer.py",
    "dns/kdns/compiled.py",
    "dns/kdns/errors.py",
    "dns/kdns/existing.py",
    "dns/kdns/flags.py",
    "dns/kdns/names.py",
    "dns/kdns/query.py",
    "dns/kdns/records.py",
    "dns/kdns/resolvconf.py",
    "dns/kdns/wire.py",
    "endpoints/kendpoints/codec.py",
    "endpoints/kendpoints/diff.py",
    "endpoints/kendpoints/endpoints.py",
    "endpoints/kendpoints/metrics.py",
    "endpoints/kendpoints/hints.py",
    "endpoints/kendpoints/index.py",
    "endpoints/kendpoints/labels.py",
    "endpoints/kendpoints/mirror.py",
    "endpoints/kendpoints/pack.py",
    "endpoints/kendpoints/proportional.py",
    "endpoints/kendpoints/slices.py",
    "endpoints/kendpoints/trigger.py",
    "netns-lab/netnslab/workloads/actions.py",
    "netns-lab/netnslab/workloads/addresses.py",
    "netns-lab/netnslab/workloads/claim.py",
    "netns-lab/netnslab/workloads/clock.py",
    "netns-lab/netnslab/workloads/deployment.py",
    "netns-lab/netnslab/workloads/progress.py",
    "netns-lab/netnslab/workloads/replicas.py",
    "netns-lab/netnslab/workloads/rolling.py",
    "netns-lab/netnslab/workloads/scheduler.py",
    "netns-lab/netnslab/workloads/template.py",
    "netns-lab/netnslab/workloads/values.py",
    "kproxy/kproxy/claims.py",
    "kproxy/kproxy/exposition.py",
    "kproxy/kproxy/metrics.py",
    "kproxy/kproxy/pending.py",
    "kproxy/kproxy/weights.py",
    "kproxy/kproxy/desired.py",
    "kproxy/kproxy/flows.py",
    "kproxy/kproxy/model.py",
    "kproxy/kproxy/netlink.py",
    "kproxy/kproxy/settings.py",
    "kproxy/kproxy/topology.py",
    "kproxy/kproxy/rules/evaluate.py",
    "kproxy/kproxy/rules/explain.py",
    "kproxy/kproxy/rules/fields.py",
    "kproxy/kproxy/rules/model.py",
    "kproxy/kproxy/rules/text.py",
    "kproxy/kproxy/rules/xtables.py",
    "kproxy/kproxy/backends/iptables/changes.py",
    "kproxy/kproxy/backends/iptables/compile.py",
    "kproxy/kproxy/backends/iptables/layout.py",
    "kproxy/kproxy/backends/nftables/affinity.py",
    "kproxy/kproxy/backends/nftables/changes.py",
    "kproxy/kproxy/backends/nftables/classes.py",
    "kproxy/kproxy/backends/nftables/compile.py",
    "kproxy/kproxy/backends/nftables/encode.py",
    "kproxy/kproxy/backends/nftables/expressions.py",
    "kproxy/kproxy/backends/nftables/layout.py",
    "kproxy/kproxy/backends/nftables/observe.py",
    "kproxy/kproxy/backends/nftables/userdata.py",
    "ingress/kingress/backends.py",
    "ingress/kingress/balance.py",
    "ingress/kingress/decode.py",
    "ingress/kingress/flags.py",
    "ingress/kingress/forwarded.py",
    "ingress/kingress/h1/reader.py",
    "ingress/kingress/h1/requests.py",
    "ingress/kingress/h1/responses.py",
    "ingress/kingress/h1/writer.py",
    "ingress/kingress/headers.py",
    "ingress/kingress/listing.py",
    "ingress/kingress/match.py",
    "ingress/kingress/message.py",
    "ingress/kingress/objects.py",
    "ingress/kingress/ownership.py",
    "ingress/kingress/pages.py",
    "ingress/kingress/publish.py",
    "ingress/kingress/routes.py",
    "ingress/kingress/settings.py",
    "ingress/kingress/target.py",
)
EFFECTS = {
    "aiohttp",
    "asyncio",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "pyroute2",
    "random",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uvloop",
}
EFFECTFUL_CALLS = {"open", "print", "input"}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_effectful(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = {node.module.partition(".")[0]}
        else:
            continue
        assert not found & EFFECTS, f"{name}:{node.lineno} imports {found & EFFECTS}"


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_reads_no_clock_and_opens_no_file(name: str) -> None:
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in EFFECTFUL_CALLS, f"{name}:{node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "datetime":
            assert node.attr not in {"now", "utcnow", "today"}, f"{name}:{node.lineno} reads the clock"
