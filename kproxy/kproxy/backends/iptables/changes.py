"""What is in place, what is to change, and how `iptables-restore --noflush` is told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from kproxy.backends.iptables.compile import Compiled, Where
from kproxy.backends.iptables.layout import foundation, is_ours
from kproxy.model import NodeDuties
from kproxy.rules.model import Chain, Dialect, Rule, Ruleset, Table
from kproxy.rules.xtables import TABLES, appended, plain, render_rule

FAMILIES = (4, 6)
Ours = Callable[[str], bool]  # whether a chain (`table/chain`) is of the layout in question


@dataclass(frozen=True, slots=True)
class Change:
    """One Service before and after; None is absence."""

    key: str
    old: Compiled | None
    new: Compiled | None


@dataclass(slots=True)
class InPlace:
    """Everything that has been committed."""

    node: NodeDuties
    services: dict[str, Compiled] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)  # how many there are, by table

    def __post_init__(self) -> None:
        """Count what is there without any Service."""
        for family in FAMILIES:
            for chain in foundation(self.node, family).values():
                self.rules[_table(chain.name)] += len(chain.rules)

    def change(self, key: str, new: Compiled | None) -> Change:
        """Compare a Service with what is in place."""
        return Change(key, self.services.get(key), new)

    def take(self, changes: Iterable[Change]) -> None:
        """Note that changes are in place now."""
        for change in changes:
            self.rules.subtract(_rules(change.old))
            self.rules.update(_rules(change.new))
            if change.new is None:
                self.services.pop(change.key, None)
            else:
                self.services[change.key] = change.new

    def counts(self, family: int) -> dict[str, int]:
        """Count the rules of every chain of ours, and the jumps to them from others, as `counts` finds them."""
        return written(self.table(family))

    def ruleset(self) -> Ruleset:
        """Give all rules, those of Services before the ones that close the shared chains."""
        return Ruleset(tuple(self.table(family) for family in FAMILIES), Dialect.XTABLES)

    def table(self, family: int) -> Table:
        """Give the rules of one family."""
        chains = foundation(self.node, family)
        inserted: dict[str, list[Rule]] = {}
        for service in self.services.values():
            chains |= {name: chain for (f, name), chain in service.chains.items() if f == family}
            for (f, name), rules in service.shared.items():
                if f == family:
                    inserted.setdefault(name, []).extend(rules)
        for name, own in inserted.items():
            chains[name] = Chain(name, (*own, *chains[name].rules))
        return Table(family, "kproxy", {}, chains)


def _rules(compiled: Compiled | None) -> Counter[str]:
    """Count the rules of a Service by table."""
    found: Counter[str] = Counter()
    if compiled is not None:
        for (_, name), chain in compiled.chains.items():
            found[_table(name)] += len(chain.rules)
        for (_, name), rules in compiled.shared.items():
            found[_table(name)] += len(rules)
    return found


def _table(chain: str) -> str:
    return chain.partition("/")[0]


def rules_in(text: str) -> Counter[str]:
    """Count the rules that a text for `iptables-restore` writes, by table."""
    found: Counter[str] = Counter()
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(("-A ", "-I ")):
            found[table] += 1
    return found


@dataclass(frozen=True, slots=True)
class There:
    """What a listing of one family shows: chains of this layout, and rules elsewhere that jump to them."""

    chains: frozenset[str]
    jumps: Mapping[str, tuple[str, ...]]  # by table: lines as `iptables-save` writes them


def read(listing: str, ours: Ours = is_ours) -> There:
    """Read what `iptables-save` wrote."""
    chains: set[str] = set()
    jumps: dict[str, list[str]] = {}
    for chain, line in _of(listing, ours):
        if line.startswith(":"):
            chains.add(chain)
        elif not ours(chain):
            jumps.setdefault(chain.partition("/")[0], []).append(line)
    return There(frozenset(chains), {name: tuple(lines) for name, lines in jumps.items()})


def counts(listing: str, ours: Ours = is_ours) -> dict[str, int]:
    """Count the rules of every chain of ours that a listing shows, and the jumps to them from others."""
    found: dict[str, int] = {}
    for chain, line in _of(listing, ours):
        found[chain] = found.get(chain, 0) + line.startswith("-A ")
    return found


def written(table: Table) -> dict[str, int]:
    """Count the same in rules that are to be in place."""
    chains = table.chains.values()
    return {chain.name: len(chain.rules) for chain in chains if chain.rules or not chain.hook}


def digest(listings: Iterable[str], ours: Ours = is_ours) -> str:
    """Sum up our chains, and the jumps to them."""
    summed = sha256()
    for listing in listings:
        for chain, line in _of(listing, ours):
            summed.update((chain if line.startswith(":") else line).encode())
    return summed.hexdigest()


def _of(listing: str, ours: Ours) -> Iterator[tuple[str, str]]:
    """Give the lines that are about our chains, each with the chain (`table/chain`) it stands in."""
    table = ""
    for line in listing.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith((":", "-A ")):
            chain = f"{table}/{line.removeprefix('-A ').lstrip(':').partition(' ')[0]}"
            target = f"{table}/{line.rpartition(' -j ')[2].partition(' ')[0]}"
            if ours(chain) or (line.startswith("-A ") and ours(target)):
                yield chain, line


def everything(table: Table, there: There, names: Sequence[str] = TABLES) -> str:
    """Write all rules of a family, in the place of whatever of this layout is there."""
    family = table.family
    lines: list[str] = []
    for name in names:
        own = [c for c in table.chains.values() if c.name.startswith(f"{name}/")]
        wanted = {c.name for c in own if not c.hook}
        stale = sorted({c for c in there.chains if c.startswith(f"{name}/")} - wanted)
        lines += [f"*{name}", *(f":{plain(chain)} - [0:0]" for chain in (*sorted(wanted), *stale))]
        lines += [f"-D{line[2:]}" for line in there.jumps.get(name, ())]
        for chain in own:
            lines += _inserted(chain, family) if chain.hook else appended(chain, family)
        lines += [*(f"-X {plain(chain)}" for chain in stale), "COMMIT"]
    return "\n".join(lines) + "\n"


def nothing(there: There, names: Sequence[str] = TABLES) -> str:
    """Write what removes everything of this layout."""
    lines: list[str] = []
    for name in names:
        ours = sorted(c for c in there.chains if c.startswith(f"{name}/"))
        jumps = there.jumps.get(name, ())
        if ours or jumps:
            lines += [f"*{name}", *(f":{plain(chain)} - [0:0]" for chain in ours)]
            lines += [f"-D{line[2:]}" for line in jumps]
            lines += [*(f"-X {plain(chain)}" for chain in ours), "COMMIT"]
    return "\n".join([*lines, ""]) if lines else ""


def update(changes: Iterable[Change], family: int) -> str:
    """Write the chains and rules of a family that changes touch, and no others."""
    changes = list(changes)
    lines: list[str] = []
    for name in TABLES:
        written = list(_touched(changes, family, f"{name}/"))
        if written:
            lines += [f"*{name}", *written, "COMMIT"]
    return "\n".join([*lines, ""]) if lines else ""


def _touched(changes: list[Change], family: int, table: str) -> Iterator[str]:
    rewritten: list[Chain] = []
    removed: list[str] = []
    edits: list[str] = []
    for change in changes:
        old, new = change.old or Compiled(change.key), change.new or Compiled(change.key)
        rewritten += [c for (f, n), c in new.chains.items() if f == family and old.chains.get((f, n)) != c]
        removed += [n for (f, n) in old.chains if f == family and (f, n) not in new.chains]
        edits += _edits(old.shared, new.shared, family, table)
    rewritten = [chain for chain in rewritten if chain.name.startswith(table)]
    removed = [name for name in removed if name.startswith(table)]
    yield from (f":{plain(name)} - [0:0]" for name in (*(c.name for c in rewritten), *removed))
    yield from edits
    for chain in rewritten:
        yield from appended(chain, family)
    yield from (f"-X {plain(name)}" for name in removed)


def _edits(
    old: Mapping[Where, tuple[Rule, ...]], new: Mapping[Where, tuple[Rule, ...]], family: int, table: str
) -> Iterator[str]:
    """Write the differences in shared chains: rules of Services stand before all others, in no order."""
    for where in dict.fromkeys((*old, *new)):
        if where[0] != family or not where[1].startswith(table):
            continue
        before, after = old.get(where, ()), new.get(where, ())
        name = plain(where[1])
        yield from (f"-D {name} {render_rule(rule, family)}" for rule in before if rule not in after)
        yield from (f"-I {name} {render_rule(rule, family)}" for rule in after if rule not in before)


def _inserted(chain: Chain, family: int) -> Iterator[str]:
    """Put the jumps from the kernel's own chains before all other rules there, in their order."""
    for position, rule in enumerate(chain.rules, 1):
        yield f"-I {plain(chain.name)} {position} {render_rule(rule, family)}"
