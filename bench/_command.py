"""``relight bench``: ask the questions, each backend in a process of its own, and print the answers."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ..runtime import RelightError
from ._backends import BACKENDS
from ._child import Order
from ._questions import QUESTIONS
from ._table import Table
from .harness import Figure, Stage

QUICK_SECONDS = 0.1
FULL_SECONDS = 2.0


class BenchError(RelightError):
    """The benchmarks cannot be run like that."""


def add_bench_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` to a command line."""
    purpose = "measure how fast relight is on this machine"
    parser = subparsers.add_parser("bench", help=purpose, description=f"{purpose.capitalize()}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(QUESTIONS)}")
    parser.add_argument("--quick", action="store_true", help="a rough look, in seconds")
    parser.add_argument(
        "--peers", action="store_true", help="beside other libraries too, as far as installed"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE as well")
    parser.add_argument("--backend", choices=BACKENDS, help="only this one; otherwise all that are there")


def run_bench(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit status.

    Raises:
        BenchError: A question, a backend or the file cannot be had. Nothing was measured.
    """
    names: list[str] = args.names or list(QUESTIONS)
    file: Path | None = args.json
    _check_names(names)
    if file is not None:
        _check_file(file)
    table = Table(sys.stdout)
    figures: list[Figure] = []
    for order in _orders(names, _backends(args.backend), is_quick=args.quick, peers=args.peers):
        for figure in _answers(order):
            figures.append(figure)
            table.add(figure)
    table.end()
    if file is not None:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return 0


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name not in QUESTIONS:
            raise BenchError(f"bench: there is no question {name!r}: choose from {', '.join(QUESTIONS)}")


def _check_file(file: Path) -> None:
    try:
        file.open("ab").close()
    except OSError as error:
        raise BenchError(f"bench: --json {file}: {error.strerror}") from error


def _backends(wanted: str | None) -> Sequence[str]:
    has_uvloop = find_spec("uvloop") is not None
    if wanted == "uvloop" and not has_uvloop:
        raise BenchError("bench: uvloop is not installed: pip install 'relight[uvloop]'")
    if wanted is not None:
        return (wanted,)
    return BACKENDS if has_uvloop else BACKENDS[:2]


def _orders(names: Sequence[str], backends: Sequence[str], *, is_quick: bool, peers: bool) -> Iterator[Order]:
    for backend in backends:
        seconds = QUICK_SECONDS if is_quick else FULL_SECONDS
        stage = Stage(backend=backend, seconds=seconds, is_quick=is_quick, peers=peers)
        # What waits for other processes is slow; for a rough look one backend will do.
        chosen = [
            name for name in names if QUESTIONS[name].keeps_busy or not is_quick or backend == backends[0]
        ]
        if chosen:
            yield Order(stage, tuple(chosen))


def _answers(order: Order) -> Iterator[Figure]:
    """Run a process that measures, and yield its figures as they come."""
    command = [sys.executable, "-m", __package__ or "relight.bench", msgspec.json.encode(order).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                yield msgspec.json.decode(line, type=Figure)
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise BenchError(f"bench: the process that measured on {order.stage.backend} failed, see above")
