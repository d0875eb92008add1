"""The command line: `netns-lab up`, `down`, `status`, `exec`, `check`, ..."""

from __future__ import annotations

import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence

from netnslab import commands
from netnslab.errors import LabError
from netnslab.parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; see `netns-lab --help`."""
    grammar = parser()
    options, unknown = grammar.parse_known_args(argv)
    if unknown:
        grammar.error(_complaint(options, unknown, sys.argv[1:] if argv is None else argv))
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        return int(commands.VERBS[options.verb](options))
    except LabError as error:
        print(f"netns-lab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


def _complaint(options: Namespace, unknown: Sequence[str], argv: Sequence[str]) -> str:
    if options.verb != "exec":
        return f"unrecognized arguments: {' '.join(unknown)}"
    command = argv[list(argv).index(options.target) + 1 :]
    return f"put the command after --: netns-lab exec {options.target} -- {shlex.join(command)}"


def _interrupted(*_: object) -> None:
    """End in an orderly way, as for Ctrl-C: a lab that is half started is taken down again."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
