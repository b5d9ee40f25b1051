"""The command line: ``python -m relight``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from . import __version__
from ._interrupt import INTERRUPTED, interrupt_again
from .runtime import RelightError

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return the exit status: 2 for a user's mistake, told in one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        interrupt_again()
        return _run(given)
    except RelightError as error:
        sys.stderr.write(f"relight: {error}\n")
        return _USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _say_no_more()
        return 0


def _say_no_more() -> None:
    """Leave unsaid what is left: the reader has gone, and Python would fail to write it out at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _run(given: list[str]) -> int:
    # Imported here: an interrupt while the libraries load is still answered without a traceback.
    from .actors.fakes import run_fakes
    from .actors.ops import run_config, run_doctor, run_jobs, run_probe
    from .actors.ops.demo import run_demo
    from .actors.providers import PROVIDERS
    from .bench import run_bench

    if given[:1] == ["fakes"]:
        return run_fakes(given[1:])  # its options are those of the servers' own command
    args = _parser().parse_args(given)
    services = {service.provider: service.policy for service in PROVIDERS}
    operations = {service.provider: service.operations() for service in PROVIDERS}
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "bench": run_bench,
        "config": lambda args: run_config(args, services=services, operations=operations),
        "demo": run_demo,
        "doctor": run_doctor,
        "jobs": run_jobs,
        "probe": lambda args: run_probe(args, services=PROVIDERS),
    }
    return commands[args.command](args)


def _parser() -> argparse.ArgumentParser:
    from .actors.ops import (
        add_config_parser,
        add_doctor_parser,
        add_jobs_parser,
        add_probe_parser,
    )
    from .actors.ops.demo import add_demo_parser
    from .bench import add_bench_parser

    parser = argparse.ArgumentParser(
        prog="relight",
        description="A supervised actor for every external service your agents depend on.",
    )
    parser.add_argument("--version", action="version", version=f"relight {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_demo_parser(commands)
    add_bench_parser(commands)
    commands.add_parser("fakes", help="run fake providers on 127.0.0.1 (see fakes --help)", add_help=False)
    add_config_parser(commands)
    add_doctor_parser(commands)
    add_jobs_parser(commands)
    add_probe_parser(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
