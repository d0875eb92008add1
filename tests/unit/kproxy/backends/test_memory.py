"""The fake is as strict as the kernel: the same mistakes are refused, and leave nothing behind."""

from __future__ import annotations

import pytest

from kproxy.backends.memory import MemoryFilter
from kproxy.backends.nftables import encode
from kproxy.backends.nftables.encode import ElementWriter, Operation, Step
from kproxy.backends.nftables.layout import sets
from kproxy.errors import CommitFailed, Refused
from kproxy.rules.model import Chain, Fate, Goto, Rule, Verdict

PLACE = b"\x0a\x60\x00\x01\x00\x50\x00\x00"
FRONTENDS = sets()["tcp-frontends"]
WRITER = ElementWriter(4, "kproxy", FRONTENDS)
BASE = [
    encode.new_table(4, "kproxy", "test"),
    encode.new_set(4, "kproxy", FRONTENDS),
    encode.new_chain(4, "kproxy", Chain("there", ())),
]


def put(chain: str) -> list[Step]:
    return list(WRITER.add([(PLACE, Verdict(Fate.GOTO, chain, "default/web:http"))], "default/web"))


@pytest.fixture
def filled() -> MemoryFilter:
    made = MemoryFilter()
    made.commit([*BASE, *put("there")])
    return made


@pytest.mark.parametrize(
    "steps",
    [
        put("elsewhere"),
        list(WRITER.remove([PLACE[:-4] + b"\x00\x51\x00\x00"], "default/web")),
        list(ElementWriter(4, "kproxy", sets()["tcp-endpoints"]).remove([b"\0" * 12], "default/web")),
        [encode.new_rule(4, "kproxy", "elsewhere", Rule((Goto("there"),)), "default/web")],
        [encode.delete_chain(4, "kproxy", "elsewhere", "default/web")],
        [encode.new_chain(6, "kproxy", Chain("there", ()), "default/web")],
    ],
)
def test_what_the_kernel_would_refuse_is_refused_and_changes_nothing(filled: MemoryFilter, steps: list[Step]) -> None:
    before = filled.dump(Operation.GET_CHAIN, 4), filled.generation()
    with pytest.raises(Refused, match="default/web"):
        filled.commit([encode.new_chain(4, "kproxy", Chain("extra", ())), *steps])
    assert (filled.dump(Operation.GET_CHAIN, 4), filled.generation()) == before


def test_a_chain_that_an_element_points_at_cannot_go(filled: MemoryFilter) -> None:
    with pytest.raises(CommitFailed, match="there"):
        filled.commit([encode.delete_chain(4, "kproxy", "there")])


def test_an_element_put_again_with_the_same_value_is_fine(filled: MemoryFilter) -> None:
    filled.commit(put("there"))
