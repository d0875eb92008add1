"""What each verb of the command line does. Whatever is slow to import is imported by the verb that needs it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from argparse import Namespace as Options
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netnslab.errors import InvalidManifest, InvalidTopology, LabError, NotRunning
from netnslab.state import LabFolder, labs

Json = dict[str, Any]

_FOLLOW_SECONDS = 0.2


def up(options: Options) -> int:
    """Start a lab."""
    from netnslab import lifecycle, picture  # noqa: PLC0415  # see the module's docstring
    from netnslab.config import Config  # noqa: PLC0415  # as above

    _usable(options)
    config = Config(options.name, options.nodes, options.backend, _manifests(options.file))
    status = lifecycle.up(
        config,
        api_port=options.api_port,
        ingress_port=options.ingress_port,
        progress=_quiet if options.json else _progress,
    )
    if options.json:
        return _print_json(status)
    _say(picture.draw(status, color=_color()))
    flag = LabFolder.of(options.name).flag
    _say(f"\nnext:\n  export KUBECONFIG=$(netns-lab kubeconfig{flag})\n  kubectl get pods -A")
    _say(f"  netns-lab --help    # a first Service, and what else there is\n  netns-lab down{flag}")
    return 0


def down(options: Options) -> int:
    """End a lab, or all."""
    from netnslab import remote  # noqa: PLC0415  # see the module's docstring

    names = [lab.name for lab in labs()] if options.all else [options.name]
    begun = time.monotonic()
    for name in names:
        remote.end(LabFolder.of(name))
    if options.json:
        return _print_json(names)
    _say(f"ended {', '.join(names) or 'nothing: no lab runs'} in {time.monotonic() - begun:.2f} s")
    return 0


def status(options: Options) -> int:
    """Show a lab."""
    from netnslab import picture, remote  # noqa: PLC0415  # see the module's docstring

    folder = LabFolder.of(options.name)
    found = remote.ask(folder, {"do": "status"})["status"] | {"pid": remote.process_of(folder)}
    if options.json:
        return _print_json(found)
    _say(picture.draw(found, color=_color()))
    return 0


def execute(options: Options) -> int:
    """Run a command in a lab, and end with its exit code."""
    from netnslab import terminal  # noqa: PLC0415  # see the module's docstring

    command = options.command or [os.environ.get("SHELL", "/bin/sh")]
    return terminal.execute(LabFolder.of(options.name), options.target, command)


def kubeconfig(options: Options) -> int:
    """Print the path of a lab's kubeconfig."""
    folder = _running(options.name)
    _say(str(folder.kubeconfig))
    return 0


def logs(options: Options) -> int:
    """Print a log, and with --follow what is added to it."""
    from netnslab import remote  # noqa: PLC0415  # see the module's docstring

    folder = _running(options.name)
    path = folder.log
    if options.pod:
        path = Path(remote.ask(folder, {"do": "log", "pod": options.pod, "container": options.container})["path"])
    elif options.container:
        raise LabError("--container needs a pod: `netns-lab logs POD -c CONTAINER`")
    _print_log(path, folder, follow=options.follow)
    return 0


def check(options: Options) -> int:
    """Try what a file of checks asks for, and say how each ended."""
    from netnslab import check, place  # noqa: PLC0415  # see the module's docstring

    checks = check.read(Path(options.file))
    folder = _running(options.name)
    width = max((len(entry.words) for entry in checks), default=0)
    verdicts: list[check.Verdict] = []
    for verdict in check.carry_out(checks, lambda where, script: place.run(folder, where, script)):
        verdicts.append(verdict)
        if not options.json:
            _say(check.line(verdict, width=width, columns=_columns(), color=_color()))
    failed = sum(not verdict.passed for verdict in verdicts)
    if options.json:
        _print_json([verdict.report() for verdict in verdicts])
    else:
        _say(f"\n{len(verdicts) - failed} of {len(verdicts)} checks passed")
    return 1 if failed else 0


def show_list(options: Options) -> int:
    """List the labs that run."""
    names = [lab.name for lab in labs()]
    if options.json:
        return _print_json(names)
    _say("\n".join(names) if names else "no lab runs; start one with `netns-lab up`")
    return 0


def doctor(options: Options) -> int:
    """Say what this machine has and lacks."""
    import netnslab.doctor as checks  # noqa: PLC0415  # see the module's docstring

    findings = checks.examine()
    if options.json:
        _print_json([finding.as_json() for finding in findings])
    else:
        _say(checks.told(findings, columns=_columns(), color=_color()))
    return checks.exit_code(findings)


def completion(options: Options) -> int:
    """Print a completion script."""
    try:
        import shtab  # noqa: PLC0415  # see the module's docstring
    except ImportError as error:
        raise LabError("completion scripts are written by shtab: pip install 'kproxy[lab]'") from error
    from netnslab import completing  # noqa: PLC0415  # as above
    from netnslab.parser import parser  # noqa: PLC0415  # as above

    _say(shtab.complete(parser(), shell=options.shell, preamble=completing.PREAMBLE.get(options.shell, "")))
    return 0


def words(options: Options) -> int:
    """Print what a shell completes, a word a line."""
    from netnslab import completing  # noqa: PLC0415  # see the module's docstring

    _say("\n".join(completing.words(options.kind, options.name)))
    return 0


VERBS: Mapping[str, Callable[[Options], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "exec": execute,
    "kubeconfig": kubeconfig,
    "logs": logs,
    "list": show_list,
    "check": check,
    "doctor": doctor,
    "completion": completion,
    "words": words,
}


def _usable(options: Options) -> None:
    """Refuse at once what no lab can be made of. Raises InvalidTopology."""
    from kproxy.backends import names  # noqa: PLC0415  # see the module's docstring
    from netnslab import topology  # noqa: PLC0415  # as above

    topology.default(options.nodes)
    if options.backend not in names():
        raise InvalidTopology(f"there is no backend {options.backend!r}: choose one of {', '.join(names())}")


def _manifests(files: list[str]) -> tuple[Json, ...]:
    if not files:
        return ()
    from netnslab import manifests  # noqa: PLC0415  # see the module's docstring

    found: list[Json] = []
    for name in files:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidManifest(f"{name} cannot be read: {error}") from error
        found += manifests.read(text, name)
    return tuple(found)


def _running(name: str) -> LabFolder:
    folder = LabFolder.of(name)
    if not folder.running():
        folder.bury()
        raise NotRunning(f"no lab {name!r} runs; start it with `netns-lab up{folder.flag}`{folder.epitaph()}")
    return folder


def _print_log(path: Path, folder: LabFolder, *, follow: bool) -> None:
    from netnslab.growing import GrowingLog  # noqa: PLC0415  # see the module's docstring

    with GrowingLog(path) as log:
        while True:
            going_on = follow and folder.running()
            data = log.more()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            if not data and not going_on:
                return
            if not data:
                time.sleep(_FOLLOW_SECONDS)


def _progress(step: str, seconds: float) -> None:
    mark = "\033[32m✓\033[0m" if _color(sys.stderr) else "-"
    print(f"{mark} {seconds:6.2f} s  {step}", file=sys.stderr, flush=True)  # noqa: T201  # progress, beside the output


def _quiet(_step: str, _seconds: float) -> None:
    pass


def _color(stream: Any = None) -> bool:
    return (stream or sys.stdout).isatty() and "NO_COLOR" not in os.environ


def _columns() -> int:
    return shutil.get_terminal_size((200, 24)).columns


def _print_json(value: Any) -> int:
    _say(json.dumps(value, indent=2))
    return 0


def _say(text: str) -> None:
    print(text)  # noqa: T201  # a command's output
