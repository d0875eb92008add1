"""Corefiles as people have them are read as they are; what is not supported is named with its line."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pytest
from tests.corefiles import KUBEADM

from kdns.corefile.configuration import configuration
from kdns.errors import SettingInvalid
from kdns.settings import EVERYWHERE, Access, Configuration, Forwarding, Listen, Upstream

NODE_LOCAL = """\
cluster.local:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    forward . 10.96.0.100 {
            force_tcp
    }
    prometheus :9253
    health 169.254.20.10:8080
    }
.:53 {
    errors
    cache 30
    bind 169.254.20.10 10.96.0.10
    forward . /etc/resolv.conf
    }
"""


def read(text: str, files: Mapping[str, str] | None = None, **environment: str) -> Configuration:
    def reading(pattern: str, _: str) -> Mapping[str, str]:
        return {name: found for name, found in (files or {}).items() if name.startswith(pattern.rstrip("*"))}

    return configuration(text, "Corefile", reading, environment)


def test_the_corefile_of_kubeadm_is_understood_whole() -> None:
    found = read(KUBEADM)
    (block,) = found.blocks
    settings = block.settings
    assert block.zones == ("",)
    assert block.listen == tuple(Listen(address, 53) for address in EVERYWHERE)
    assert (settings.cluster, settings.zone, settings.pods, settings.ttl) == (True, "cluster.local", "insecure", 30)
    assert settings.reverse == (), "both reverse zones fall through"
    assert not settings.fallthrough
    assert settings.forwards == (Forwarding(files=("/etc/resolv.conf",), policy="random", max_fails=2, most=1000),)
    assert settings.cache is not None
    assert (settings.cache.longest, settings.cache.longest_denied, settings.loop) == (30, 30, True)
    assert found.health == tuple((address, port) for port in (8080, 8181) for address in EVERYWHERE)
    assert found.metrics == tuple((address, 9153) for address in EVERYWHERE)
    assert (found.lameduck, found.reload, found.access, found.files) == (5.0, 30.0, Access(), ("Corefile",))


def test_the_corefile_of_the_node_local_cache_is_understood_whole() -> None:
    found = read(NODE_LOCAL)
    cluster, rest = found.blocks
    bound = ("169.254.20.10", "10.96.0.10")
    assert cluster.zones == ("cluster.local",)
    assert [str(listen.address) for listen in cluster.listen] == list(bound)
    assert cluster.listen == rest.listen
    assert cluster.settings.forwards[0].tcp
    assert not cluster.settings.cluster
    assert cluster.settings.cache is not None
    assert (cluster.settings.cache.entries, cluster.settings.cache.longest_denied) == (9984, 5)
    assert found.health == ((ip_address("169.254.20.10"), 8080),)
    assert found.access is None


def test_snippets_files_and_the_environment_are_put_in_place() -> None:
    text = """
    (common) {
        errors
        cache {$SECONDS} # a comment
    }
    import more/*
    "example.org", example.net:{%PORT%} {
        import common
        import stub
    }
    """
    files = {
        "stub": "forward . 192.0.2.1:5353\n",
        "more/a": "corp.example {\n import common\n forward . 192.0.2.2\n}\n",
    }
    found = read(text, files, SECONDS="17", PORT="5300")
    corp, example = found.blocks
    assert corp.zones == ("corp.example",)
    assert example.zones == ("example.org", "example.net")
    assert {listen.port for listen in example.listen} == {53, 5300}
    assert example.settings.forwards[0].upstreams == (Upstream("192.0.2.1", 5353),)
    assert all(block.settings.cache and block.settings.cache.longest == 17 for block in found.blocks)
    assert found.files == ("Corefile", "more/a", "stub")


def test_one_block_needs_no_braces() -> None:
    assert read(".\nforward . 192.0.2.1\nlog").blocks[0].settings.log == "text"


def test_reverse_zones_that_do_not_fall_through_are_ours() -> None:
    found = read(
        ". {\n kubernetes cluster.local 10.96.0.0/16 in-addr.arpa fd96::/112 {\n fallthrough in-addr.arpa\n }\n}"
    )
    assert found.blocks[0].settings.reverse == (ip_network("10.96.0.0/16"), ip_network("fd96::/112"))
    through = read("cluster.local {\n kubernetes {\n  fallthrough\n }\n}").blocks[0].settings
    assert (through.fallthrough, through.reverse) == (True, ())


def test_transports_and_upstreams_over_tls() -> None:
    text = """tls://.:8853 https://. {
        tls cert.pem key.pem
        forward . tls://9.9.9.9 tls://[2620:fe::fe]:8853 {
            tls_servername dns.quad9.net
            policy sequential
            except internal.example
        }
    }"""
    (block,) = read(text).blocks
    assert {(listen.scheme, listen.port, listen.certificate) for listen in block.listen} == {
        ("tls", 8853, "cert.pem"),
        ("https", 443, "cert.pem"),
    }
    (forwarding,) = block.settings.forwards
    assert forwarding.upstreams == (
        Upstream("9.9.9.9", 853, "dns.quad9.net"),
        Upstream("2620:fe::fe", 8853, "dns.quad9.net"),
    )
    assert (forwarding.policy, forwarding.excepted) == ("sequential", ("internal.example",))


@pytest.mark.parametrize(
    ("words", "stale", "verified"),
    [
        ("", 3600, False),
        (" 10m", 600, False),
        (" 10m verify", 600, True),
        (" verify", 3600, True),
        (" immediate", 3600, False),
    ],
)
def test_what_has_ended_is_told_at_once_or_after_upstreams_were_asked(words: str, stale: int, verified: bool) -> None:
    (block,) = read(f". {{\n cache {{\n  serve_stale{words}\n }}\n}}").blocks
    assert block.settings.cache is not None
    assert (block.settings.cache.stale, block.settings.cache.stale_verified) == (stale, verified)


def test_names_in_answers_are_turned_back_without_saying_how() -> None:
    (block,) = read(". {\n rewrite stop name suffix .lan. .cluster.local. answer auto\n}").blocks
    (rule,) = block.settings.rewrites
    assert rule.answers == tuple((part, "^(.*)\\.cluster\\.local$", "{1}.lan") for part in ("name", "value"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Corefile: there is no server block in it"),
        (". {\n template IN A\n}", "Corefile:2: template: this plug-in is not supported; supported are autopath, bind"),
        (". {\n log\n", "Corefile:1: a block begins here and never ends"),
        (". {\n}\n}", "Corefile:3: "),
        ('. {\n log "half\n}', "Corefile:2: a quotation begins here"),
        (". {\n import nothing\n}", "Corefile:2: there is neither a snippet nor a file 'nothing'"),
        (". {\n forward .\n}", "Corefile:2: forward: a zone and upstreams are needed"),
        (". {\n forward . dns.example\n}", "Corefile:2: forward: 'dns.example' is neither an address nor a file"),
        (
            ". {\n forward . 1.1.1.1 {\n  policy best\n }\n}",
            "Corefile:3: policy: 'policy best' is not supported in forward",
        ),
        (
            ". {\n kubernetes cluster.local {\n  labels app=x\n }\n}",
            "Corefile:3: labels: 'labels app=x' is not supported",
        ),
        (". {\n kubernetes in-addr.arpa\n}", "one zone that is no reverse zone is needed"),
        (". {\n rewrite class IN CH\n}", "rules for 'class' are not supported"),
        (". {\n rewrite name regex ( x\n}", "'(' is not a regular expression"),
        (
            ". {\n cache {\n  serve_stale 1h soon\n }\n}",
            "Corefile:3: serve_stale: 'serve_stale 1h soon' is not supported",
        ),
        (
            ". {\n rewrite name regex (.*) {1} answer auto\n}",
            "`answer auto` is for names that are no regular expressions",
        ),
        (". {\n autopath @kubernetes\n}", "autopath needs `pods verified`"),
        (".:70000 {\n}", "'70000' is not a number from 0 to 65535"),
        ("grpc://. {\n}", "the schemes served are dns, tls, https"),
        ("tls://. {\n}", "need a certificate"),
        (". {\n}\n. {\n}", "is served by two server blocks"),
        (". {\n health {\n  lameduck soon\n }\n}", "Corefile:3: lameduck: 'soon' is not a duration, such as 5s"),
        (". {\n import a\n}", "over 100 imports"),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SettingInvalid) as failure:
        read(text, {"a": "import a\n"})
    assert message in str(failure.value)
