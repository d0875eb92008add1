"""The command line: `netns-lab up`, `down`, `status`, `exec`, `check`, ..."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from netnslab import commands
from netnslab.errors import LabError
from netnslab.parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; see `netns-lab --help`."""
    options = parser().parse_args(argv)
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


def _interrupted(*_: object) -> None:
    """End in an orderly way, as for Ctrl-C: a lab that is half started is taken down again."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
