"""Runs one bench and prints its rows as a table, and as JSON where asked: `scripts/bench lab --json lab.json`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benches.row import Row

BENCHES = tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py") if file.stem != "row"))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


def table(rows: list[Row]) -> str:
    """Lay the rows out for people."""
    cells = [("what", "measured", "target", "")]
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row["met"]]
        cells.append((row["name"], f"{row['value']:g} {row['unit']}", row["target"] or "", verdict))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def main() -> int:
    """Run the bench that was asked for. Exit 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("bench", choices=BENCHES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--part", action="append", metavar="NAME", help="only this part of it, where it has parts")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw growth curves there instead, as SVG")
    arguments = parser.parse_args()
    bench = importlib.import_module(f"benches.{arguments.bench}")
    if arguments.plot:
        if not hasattr(bench, "draw"):
            parser.error(f"--plot: {arguments.bench} draws no curves")
        print(*bench.draw(arguments.plot), sep="\n")
        return 0
    parts: dict[str, Callable[[], Iterable[Row]]] = getattr(bench, "PARTS", {})
    for name in arguments.part or ():
        if name not in parts:
            parser.error(f"--part {name}: {arguments.bench} has {', '.join(parts) or 'no parts'}")
    where = machine()
    print(
        f"{arguments.bench} on {where['cores']} x {where['cpu']}, Linux {where['kernel']}, Python {where['python']}\n"
    )
    rows = [row for name in arguments.part for row in parts[name]()] if arguments.part else list(bench.rows())
    missing: list[str] = list(getattr(bench, "missing", list)())
    print(table(rows))
    for peer in missing:
        print(f"not measured beside it: {peer} is not installed")
    if arguments.json:
        result = {"bench": arguments.bench, "machine": where, "rows": rows, "missing": missing}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if any(row["met"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
