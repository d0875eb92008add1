"""The command line: `netns-lab up`, `down`, `status`, `exec`, `logs`, `list`, `kubeconfig`, `doctor`, `completion`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from netnslab import commands
from netnslab.errors import LabError
from netnslab.parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; see `netns-lab --help`."""
    options = parser().parse_args(argv)
    try:
        return int(commands.VERBS[options.verb](options))
    except LabError as error:
        print(f"netns-lab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


if __name__ == "__main__":
    sys.exit(main())
