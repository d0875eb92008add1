from __future__ import annotations

from typing import Any

import pytest

from kapi.errors import DecodeError
from kingress import decode
from kingress.objects import BackendRef, PathType

Json = dict[str, Any]
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


def ingress(spec: Any, **meta: Any) -> Json:
    return {"metadata": {"namespace": "shop", "name": "web", **meta}, "spec": spec}


def with_path(path: Json, host: Any = "a.example") -> Json:
    return ingress({"rules": [{"host": host, "http": {"paths": [path]}}]})


def test_an_ingress_is_read_whole() -> None:
    read = decode.ingress(
        ingress(
            {
                "ingressClassName": "kproxy",
                "defaultBackend": {"service": {"name": "rest", "port": {"name": "http"}}},
                "tls": [{"hosts": ["A.example"], "secretName": "cert"}],
                "rules": [
                    {"host": "A.Example", "http": {"paths": [{"path": "/x", "pathType": "Exact", "backend": BACKEND}]}},
                    {"http": {"paths": [{"path": "/y/", "pathType": "Prefix", "backend": BACKEND}]}},
                ],
            },
            creationTimestamp="2026-01-01T00:00:00Z",
            annotations={"kubernetes.io/ingress.class": "old"},
        )
        | {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}, {"hostname": "lb.example"}]}}}
    )
    assert not read.problems
    assert (read.key, read.class_name, read.class_annotation) == ("shop/web", "kproxy", "old")
    assert read.default_backend == BackendRef("shop", "rest", "http")
    assert [(rule.host, rule.paths[0].path, rule.paths[0].type) for rule in read.rules] == [
        ("a.example", "/x", PathType.EXACT),
        ("", "/y/", PathType.PREFIX),
    ]
    assert read.tls[0].hosts == ("a.example",)
    assert read.addresses == ("10.0.0.1", "lb.example")
    assert read.rules[1].paths[0].field == "spec.rules[1].http.paths[0]"


def path(path: Any = "/", kind: Any = "Prefix", backend: Any = BACKEND) -> Json:
    return {"path": path, "pathType": kind, "backend": backend}


WRONG: list[tuple[Json, str]] = [
    (with_path(path(), "10.0.0.1"), "spec.rules[0].host"),
    (with_path(path(), "*"), "spec.rules[0].host"),
    (with_path(path(), "a.*.example"), "spec.rules[0].host"),
    (with_path(path(), "*a.example"), "spec.rules[0].host"),
    (with_path(path(), "a.example:80"), "spec.rules[0].host"),
    (with_path(path(), "a.example."), "spec.rules[0].host"),
    (with_path(path(), 7), "spec.rules[0].host"),
    (with_path(path("x")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("")), "spec.rules[0].http.paths[0].path"),
    (with_path(path(None, "Exact")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a//b")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a/./b")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a/../b")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a/..")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a%2Fb")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a%2fb")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a%zz")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/a%00")), "spec.rules[0].http.paths[0].path"),
    (with_path(path("/", None)), "spec.rules[0].http.paths[0].pathType"),
    (with_path(path("/", "Regex")), "spec.rules[0].http.paths[0].pathType"),
    (ingress({"defaultBackend": {"service": {"name": "web"}}}), "spec.defaultBackend.service.port"),
]


@pytest.mark.parametrize(("obj", "field"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_part_is_left_out_and_named(obj: Json, field: str) -> None:
    read = decode.ingress(obj)
    assert [problem.field.endswith(field) for problem in read.problems] == [True], read.problems
    assert not any(rule.paths for rule in read.rules)


@pytest.mark.parametrize(
    ("backend", "field"),
    [
        (None, ".backend.service.name"),
        ({"resource": {"kind": "Bucket", "name": "b"}}, ".backend.resource"),
        ({"service": {"name": "web"}}, ".backend.service.port"),
        ({"service": {"name": "web", "port": {"number": 0}}}, ".backend.service.port"),
        ({"service": {"name": "web", "port": {"number": 80, "name": "http"}}}, ".backend.service.port"),
    ],
)
def test_a_path_whose_backend_cannot_be_read_stays_taken(backend: Any, field: str) -> None:
    read = decode.ingress(with_path(path("/", "Prefix", backend)))
    (problem,) = read.problems
    assert problem.field.endswith(field)
    (rule,) = read.rules[0].paths
    assert (rule.path, rule.broken) == ("/", str(problem))
    assert not read.targets


def test_one_bad_path_leaves_the_others() -> None:
    read = decode.ingress(
        ingress({"rules": [{"host": "a.example", "http": {"paths": [path("x"), path("/good")]}}, {"host": "10.0.0.1"}]})
    )
    assert [p.path for rule in read.rules for p in rule.paths] == ["/good"]
    assert len(read.problems) == 2


def test_an_implementation_specific_path_is_a_prefix_and_may_be_empty() -> None:
    read = decode.ingress(with_path(path(None, "ImplementationSpecific")))
    assert read.rules[0].paths[0].path == "/"


def test_a_rule_without_http_sends_its_host_to_the_default_backend() -> None:
    read = decode.ingress(ingress({"defaultBackend": BACKEND, "rules": [{"host": "a.example"}]}))
    assert read.rules[0].paths[0].backend == BackendRef("shop", "web", 80)


@pytest.mark.parametrize("spec", [None, [], "x", {"rules": "x"}, {"rules": [1]}, {"rules": [{"http": {"paths": 3}}]}])
def test_nonsense_is_an_ingress_without_rules(spec: Any) -> None:
    assert not any(rule.paths for rule in decode.ingress(ingress(spec)).rules)


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": {"name": 3}}, [], None])
def test_an_object_without_a_name_is_refused(obj: Any) -> None:
    with pytest.raises(DecodeError):
        decode.ingress(obj)


def test_a_class_says_whose_it_is_and_whether_it_is_the_default() -> None:
    read = decode.ingress_class(
        {
            "metadata": {"name": "kproxy", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
            "spec": {"controller": "kproxy.io/ingress"},
        }
    )
    assert (read.name, read.controller, read.is_default) == ("kproxy", "kproxy.io/ingress", True)


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/shop(/|$)(.*)", "/shop"), ("/(.*)", "/"), ("/shop/(.*)", "/shop"), ("/shop(/|$)(.*)$", "/shop")],
)
def test_the_regular_expressions_that_mean_a_prefix_are_read_as_one(path: str, prefix: str) -> None:
    rule = {"http": {"paths": [{"path": path, "pathType": "ImplementationSpecific", "backend": BACKEND}]}}
    read = decode.ingress(ingress({"rules": [rule]}))
    assert read.rules[0].paths[0].path == prefix


@pytest.mark.parametrize(
    ("path", "target", "told"),
    [
        ("/shop(/|$)(.*)", "/$1", "in '/shop(/|$)(.*)' $1 is not what follows the prefix: $2 is, and is used"),
        ("/shop/(.*)", "/$2", "in '/shop/(.*)' $2 is not what follows the prefix: $1 is, and is used"),
        ("/shop(/|$)(.*)", "/$2", ""),
        ("/shop/(.*)", "/$1", ""),
        ("/shop", "/$1", ""),
    ],
)
def test_a_rewrite_that_names_another_capture_than_the_rest_is_told(path: str, target: str, told: str) -> None:
    rule = {"http": {"paths": [{"path": path, "pathType": "ImplementationSpecific", "backend": BACKEND}]}}
    made = ingress({"rules": [rule]})
    made["metadata"]["annotations"] = {"nginx.ingress.kubernetes.io/rewrite-target": target}
    problems = [str(problem) for problem in decode.ingress(made).problems]
    assert problems == ([f"spec.rules[0].http.paths[0].path: rewrite-target is wrong: {told}"] if told else [])
