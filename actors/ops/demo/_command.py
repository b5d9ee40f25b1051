"""``relight demo``: its options, and the way from them to an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from typing import TextIO

import anyio
import msgspec

from ....runtime import RelightError, SettingsError
from ....supervisors import Settings, run
from ..._errors import MissingExtraError
from ...fakes import FakeStartError
from ...jobs import MemoryStore, Query, StoreError, store_from_url
from ._display import PlainDisplay, open_display, prepare
from ._jobs import QUEUE, order_of
from ._log import log_to
from ._novel import read_novel, read_story
from ._output import OutputError, Shelf, check_writable, write_metrics
from ._pace import HURRY, REAL
from ._report import write_report
from ._run import DemoRun, RunPlan
from ._scenes import cut_scenes
from ._telling import ending, opening

STORE_NAME = "jobs.db"
"""In the folder of a run: its jobs, unless they are kept elsewhere."""
_OK, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command line, checked."""

    comics: int = 100
    fault_rate: float = 0.2
    seed: int | None = None
    novel: Path | None = None
    json: Path | None = None
    out: Path = Path("comics")
    store: str | None = None
    backend: str = "trio"
    real_waits: bool = False

    def __post_init__(self) -> None:
        _check("--comics", self.comics, 1, 10_000)
        _check("--fault-rate", self.fault_rate, 0, 1)
        _check("--seed", 0 if self.seed is None else self.seed, 0, 2**32 - 1)


def add_demo_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``demo`` to a command line."""
    purpose = "make comics from a story with services that fail one time in five, and lose none"
    parser = subparsers.add_parser("demo", help=purpose, description=f"{purpose.capitalize()}.")
    parser.add_argument("--comics", type=int, metavar="N", help="how many (default: 100)")
    parser.add_argument(
        "--fault-rate", type=float, metavar="P", help="share of requests that fail, 0 to 1 (default: 0.2)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the faults (default: another each time)")
    parser.add_argument("--novel", type=Path, metavar="FILE", help="draw this text, not the story we ship")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of the run to FILE")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="make the run's new folder in DIR (default: comics)"
    )
    parser.add_argument(
        "--store",
        metavar="FILE|URL",
        help="keep the jobs in this SQLite file or PostgreSQL database; where it has some, go on with those "
        "(default: a new file in the run's folder)",
    )
    parser.add_argument("--no-dashboard", action="store_true", help="do not serve a page (there is none yet)")
    parser.add_argument("--backend", choices=("trio", "asyncio"), help="default: trio")
    parser.add_argument(
        "--real-waits", action="store_true", help="wait as long as in production; takes many minutes"
    )


def run_demo(args: argparse.Namespace, *, environ: Mapping[str, str] | None = None) -> int:
    """Carry out ``demo`` and return the exit status.

    0: every comic ended, done or dead with its reason, and nothing was lost. 1: something was lost
    or did not work. 2: an option is wrong. 130: interrupted, and what is unfinished was named.

    Args:
        args: As parsed by the parser of `add_demo_parser`.
        environ: Environment variables with settings; None: those of this process.
    """
    try:
        options = _options(args)
        _require_extras()
        plan = _plan(options, os.environ if environ is None else environ)
        if options.json is not None:
            check_writable("--json", options.json)
        folder = None if options.store is None else anyio.run(_folder_of, options.store)
        shelf = _shelf(options, plan, folder)
        if options.store is None:
            plan = msgspec.structs.replace(plan, store=str(shelf.folder / STORE_NAME))
    except (RelightError, ValueError) as error:
        return _complain(error, _USAGE)
    except KeyboardInterrupt:
        return _INTERRUPTED
    prepare(sys.stdout)
    return _perform(options, plan, shelf, sys.stdout, goes_on=folder is not None)


async def _folder_of(place: str) -> Path | None:
    """Return the folder of the run that a store has; None: it has none."""
    store = store_from_url(place)
    if isinstance(store, MemoryStore):
        raise SettingsError("store", "memory is gone when the demo ends: name a file or a database")
    async with store.opened():
        jobs = await store.jobs(Query(queue=QUEUE), most=1)
    return Path(order_of(jobs[0]).folder) if jobs else None


def _shelf(options: DemoOptions, plan: RunPlan, folder: Path | None) -> Shelf:
    if folder is None:
        return Shelf.make(options.out, seed=plan.seed, now=datetime.now(UTC).astimezone())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError("--store", folder, error) from error
    return Shelf(folder)


def _options(args: argparse.Namespace) -> DemoOptions:
    given = {name: getattr(args, name) for name in DemoOptions.__struct_fields__}
    return DemoOptions(**{name: value for name, value in given.items() if value is not None})


def _plan(options: DemoOptions, environ: Mapping[str, str]) -> RunPlan:
    text = read_story() if options.novel is None else read_novel(options.novel)
    pace = REAL if options.real_waits else HURRY
    return RunPlan(
        scenes=cut_scenes(text, options.comics),
        store=options.store or "",
        fault_rate=options.fault_rate,
        seed=SystemRandom().randrange(2**16) if options.seed is None else options.seed,
        backend=options.backend,
        pace=pace,
        settings=Settings.load(file=pace.settings, environ=environ).settings,
    )


def _perform(options: DemoOptions, plan: RunPlan, shelf: Shelf, out: TextIO, *, goes_on: bool) -> int:
    """Run, and say what there is to say before, meanwhile and after."""
    voice = PlainDisplay(out)
    voice.say("\n".join(opening(plan, options.novel, shelf.folder, goes_on=goes_on)))
    with open_display(out) as display:
        demo = DemoRun(plan, shelf, display)
        status = _run(demo, plan, shelf)
    if status == _FAILED:
        return status
    voice.say("\n".join(ending(demo, shelf.folder)))
    return _write_results(demo, options, shelf.folder) or status or (_OK if demo.is_whole else _FAILED)


def _run(demo: DemoRun, plan: RunPlan, shelf: Shelf) -> int:
    _bypass_proxies()
    try:
        with log_to(shelf.folder, plan.settings.log_level):
            run(demo.main, backend=plan.backend)
    except (FakeStartError, StoreError) as error:
        return _complain(error, _FAILED)
    except SystemExit as end:  # `run` ends so after a signal, when everything has stopped in order
        return end.code if isinstance(end.code, int) else _FAILED
    except KeyboardInterrupt:  # a second Ctrl-C, or one before `run` was ready for it
        return _INTERRUPTED
    return _OK


def _write_results(demo: DemoRun, options: DemoOptions, folder: Path) -> int:
    place = ("--out", folder)
    try:
        write_metrics(demo.metrics, folder)
        if demo.report is not None and options.json is not None:
            place = ("--json", options.json)
            write_report(demo.report, options.json)
    except OSError as error:
        return _complain(OutputError(*place, error), _FAILED)
    return _OK


def _complain(error: Exception, status: int) -> int:
    print(f"relight demo: error: {error}", file=sys.stderr)
    return status


def _bypass_proxies() -> None:
    """Keep requests to the fakes from going through a proxy, which knows nothing of this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))


def _require_extras() -> None:
    if any(find_spec(module) is None for module in ("httpx2", "starlette", "hypercorn")):
        raise MissingExtraError("the demo", "http,web")


def _check(option: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{option} must be {low} to {high}, got {value}")
