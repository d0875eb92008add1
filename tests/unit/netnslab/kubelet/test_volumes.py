from __future__ import annotations

from typing import Any

import pytest

from netnslab.kubelet import podreading, volumes
from netnslab.kubelet.environment import Missing, Placement, Sources
from netnslab.kubelet.podspec import PodSpec
from netnslab.kubelet.volumes import File, Given
from netnslab.kubelet.volumespec import ACCOUNT, SourceKind

Json = dict[str, Any]

PLACEMENT = Placement("worker-1", ("172.30.0.11", "fd30::b"), ("10.244.1.5", "fd44:0:0:1::5"))
MAPS = {"shop/settings": {"data": {"colour": "blue", "size": "7"}, "binaryData": {"logo": "AP8="}}}
SECRETS = {"shop/keys": {"data": {"key": "c2VjcmV0", "broken": "%"}}}


def pod(*given: Json) -> PodSpec:
    meta = {"name": "web-1", "namespace": "shop", "labels": {"b": 'say "x"', "a": "1"}}
    named = [{"name": f"v{number}", **volume} for number, volume in enumerate(given)]
    return podreading.read({"metadata": meta, "spec": {"containers": [{"name": "main"}], "volumes": named}})


def given(spec: PodSpec) -> Given:
    return Given(spec, PLACEMENT, Sources(MAPS, SECRETS, ()), {"": "for the API", "me": "for me"}, "PEM")


def files(volume: Json) -> dict[str, File]:
    spec = pod(volume)
    assert not spec.problems
    return volumes.files(spec.volumes[0], given(spec))


def test_each_key_of_a_configmap_is_a_file() -> None:
    found = files({"configMap": {"name": "settings"}})
    assert found == {"colour": File(b"blue", 0o644), "size": File(b"7", 0o644), "logo": File(b"\x00\xff", 0o644)}


@pytest.mark.parametrize("key", ["", ".", "..", "..data", "a/b", "a\0", "x" * 254])
def test_a_key_that_the_api_would_not_have_is_no_file(key: str) -> None:
    spec = pod({"configMap": {"name": "odd"}})
    sources = Sources({"shop/odd": {"data": {key: "1", ".a..b": "2"}}}, {}, ())
    assert volumes.files(spec.volumes[0], Given(spec, PLACEMENT, sources, {}, "")) == {".a..b": File(b"2", 0o644)}


def test_items_choose_keys_and_say_where_they_are_and_with_which_mode() -> None:
    items = [{"key": "colour", "path": "a/b"}, {"key": "size", "path": "c", "mode": 0o400}]
    found = files({"configMap": {"name": "settings", "items": items, "defaultMode": 0o600}})
    assert found == {"a/b": File(b"blue", 0o600), "c": File(b"7", 0o400)}


def test_a_secret_is_decoded_and_what_is_no_base64_left_out() -> None:
    assert files({"secret": {"secretName": "keys"}}) == {"key": File(b"secret", 0o644)}


def test_fields_of_the_pod_are_files() -> None:
    fields = {"labels": "metadata.labels", "address": "status.podIP"}
    items: list[Json] = [{"path": path, "fieldRef": {"fieldPath": field}} for path, field in fields.items()]
    items.append({"path": "limit", "resourceFieldRef": {"resource": "limits.cpu"}})
    found = {path: file.data for path, file in files({"downwardAPI": {"items": items}}).items()}
    assert found == {"labels": b'a="1"\nb="say \\"x\\""', "address": b"10.244.1.5", "limit": b"0"}


def test_a_projected_volume_has_the_files_of_all_its_sources() -> None:
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "size", "path": "size"}]}},
        {"secret": {"name": "keys"}},
        {"serviceAccountToken": {"path": "token", "audience": "me"}},
    ]
    found = {path: file.data for path, file in files({"projected": {"sources": sources}}).items()}
    assert found == {"size": b"7", "key": b"secret", "token": b"for me"}


def test_every_pod_is_given_what_it_shows_to_the_api() -> None:
    found = {path: file.data for path, file in volumes.files(ACCOUNT, given(pod())).items()}
    assert found == {"token": b"for the API", "ca.crt": b"PEM", "namespace": b"shop"}


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"configMap": {"name": "nobody"}}, 'configmap "nobody" not found'),
        ({"secret": {"secretName": "nobody"}}, 'secret "nobody" not found'),
        (
            {"configMap": {"name": "settings", "items": [{"key": "no", "path": "x"}]}},
            'configmap "settings" references non-existent key: no',
        ),
        ({"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "spec.no"}}]}}, "'spec.no' is not a field"),
    ],
)
def test_what_lacks_is_named_as_the_kubelet_does(volume: Json, words: str) -> None:
    with pytest.raises(Missing, match=words):
        files(volume)


def test_what_is_optional_may_lack() -> None:
    assert files({"secret": {"secretName": "nobody", "optional": True}}) == {}
    items = [{"key": "no", "path": "x"}]
    assert files({"configMap": {"name": "settings", "optional": True, "items": items}}) == {}


def test_it_is_known_which_objects_and_tokens_a_pod_needs() -> None:
    projected = {"sources": [{"secret": {"name": "b"}}, {"serviceAccountToken": {"path": "t", "audience": "me"}}]}
    wanted = pod({"configMap": {"name": "a"}}, {"projected": projected}, {"emptyDir": {}}).volumes
    assert volumes.objects(wanted) == {(SourceKind.CONFIG_MAP, "a"), (SourceKind.SECRET, "b")}
    assert volumes.audiences(wanted) == {"me"}


def test_a_kind_of_volume_that_is_not_known_is_named() -> None:
    assert pod({"nfs": {"server": "x"}}).volumes[0].unknown == "nfs"
