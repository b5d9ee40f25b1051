"""``relight jobs``: look at jobs, and decide about dead ones."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

import msgspec

from ...runtime import RelightError, SettingsError
from ...supervisors import run
from ..jobs import (
    DeadLetterOffice,
    Feed,
    JobReport,
    JobState,
    Outcome,
    Query,
    Queue,
    Selection,
    Store,
    event_row,
    row_of,
    store_from_url,
    store_url,
)
from ._tables import Printer

_NOTHING = 1
_STATES = tuple(str(state) for state in JobState)


def add_jobs_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``jobs`` to a command line."""
    purpose = "look at jobs, and decide about dead ones"
    jobs = subparsers.add_parser("jobs", help=purpose, description=f"{purpose.capitalize()}.")
    actions = jobs.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_, build in _ACTIONS:
        parser = actions.add_parser(name, help=help_, description=f"{help_.capitalize()}.")
        parser.add_argument(
            "--store",
            metavar="FILE|URL",
            help="SQLite file, sqlite:///FILE or postgresql://...; default: $RELIGHT_STORE",
        )
        parser.add_argument("--json", action="store_true", help="print JSON for other programs")
        build(parser)


def run_jobs(args: argparse.Namespace, *, environ: Mapping[str, str] | None = None) -> int:
    """Carry out ``jobs``; the status is 0 when done, 1 when nothing or not all matched, 2 for a mistake.

    Args:
        args: As parsed by the parser of `add_jobs_parser`.
        environ: Environment variables; None: those of this process.

    Raises:
        RelightError: The user's mistake, or a store that can't be used; in one line.
    """
    url = store_url(cast("str | None", args.store), os.environ if environ is None else environ)
    store = store_from_url(url, must_exist=True)
    try:
        return run(partial(_carry_out, args, store), backend="trio", handle_signals=False)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        raise KeyboardInterrupt from None  # wrapped up by the task groups it went through


async def _carry_out(args: argparse.Namespace, store: Store) -> int:
    printer = Printer(as_json=cast("bool", args.json))
    problem: Exception | None = None
    status = 0
    async with store.opened():
        try:
            status = await _COMMANDS[cast("str", args.action)](args, store, printer)
        except (RelightError, OSError) as error:
            problem = error  # raised outside: the store's task group would wrap it up
    if problem is not None:
        raise problem
    return status


# --- looking ----------------------------------------------------------------------------------------------


async def _list(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    jobs = await store.jobs(_query(args), after=args.after, most=args.most)
    printer.jobs([row_of(job) for job in jobs])
    return 0 if jobs else _NOTHING


async def _show(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    report = await _office(args, store).show(args.id)
    if not isinstance(report, JobReport):
        sys.stderr.write(f"relight: there is no job {args.id}\n")
        return _NOTHING
    printer.report(report)
    return 0


async def _groups(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    groups = await DeadLetterOffice(store).groups(_query(args))
    printer.groups(groups)
    return 0 if groups else _NOTHING


async def _queues(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    printer.queues(await store.queues())
    return 0


async def _events(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    interest = {"job": args.job, "user": args.user, "queue": args.queue}
    after = cast("str", args.after)
    if not args.follow:
        events = await store.events(after, most=args.most, **interest)
        for event in events:
            printer.event(event_row(event))
        return 0 if events else _NOTHING
    async for event in Feed(store).subscribe(after=after, **interest):
        printer.event(event_row(event))
    return 0


# --- deciding ---------------------------------------------------------------------------------------------


async def _retry(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    office = _office(args, store)
    done = await office.retry(_selection(args), everything=args.all, most=args.most)
    return _said(args, printer, "retried", done)


async def _replay(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    office = _office(args, store)
    done = await office.replay(_selection(args), everything=args.all, most=args.most)
    return _said(args, printer, "replayed", done)


async def _discard(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    office = _office(args, store)
    done = await office.discard(_selection(args), everything=args.all, most=args.most)
    return _said(args, printer, "discarded", done)


async def _cancel(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    office = _office(args, store)
    done = await office.cancel(_selection(args), everything=args.all, most=args.most)
    return _said(args, printer, "cancelled", done)


async def _edit(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    arguments = _given_arguments(cast("str", args.args))
    office = _office(args, store)
    done = await office.edit(_selection(args), arguments, everything=args.all, most=args.most)
    return _said(args, printer, "replayed", done)


async def _pause(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _set_paused(args, store, printer, paused=True)


async def _resume(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _set_paused(args, store, printer, paused=False)


async def _set_paused(args: argparse.Namespace, store: Store, printer: Printer, *, paused: bool) -> int:
    name = cast("str", args.queue)
    if name not in {queue.name for queue in await store.queues()}:
        sys.stderr.write(f"relight: there is no queue {name!r} yet\n")
        return _NOTHING
    await store.set_queue(name, paused=paused)
    printer.queues([queue for queue in await store.queues() if queue.name == name])
    return 0


def _said(args: argparse.Namespace, printer: Printer, verb: str, outcome: Outcome) -> int:
    printer.outcome(verb, outcome)
    is_missing = args.most is None and outcome.matched < len(frozenset(cast("list[str]", args.ids)))
    return 0 if outcome.done and not outcome.skipped and not is_missing else _NOTHING


# --- what the user said -----------------------------------------------------------------------------------


def _query(args: argparse.Namespace) -> Query:
    states = frozenset(JobState(state) for state in cast("list[str] | None", args.state) or ())
    return Query(states=states, queue=args.queue, kind=args.kind, user=args.user, cause=args.cause)


def _selection(args: argparse.Namespace) -> Selection:
    ids = cast("list[str]", args.ids)
    if not ids:
        return _query(args)
    query = msgspec.structs.replace(_query(args), ids=frozenset(ids))
    return query if query != Query(ids=query.ids) else ids


def _office(args: argparse.Namespace, store: Store) -> DeadLetterOffice:
    named = cast("str | None", args.app)
    return DeadLetterOffice(store, queues=() if named is None else [_queue(named)])


def _queue(named: str) -> Queue:
    """Import the queue with the user's job functions, to check arguments by their types."""
    module, _, attribute = named.partition(":")
    sys.path.insert(0, "")
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError("--app", f"can't be imported: {error}", value=named) from None
    finally:
        sys.path.remove("")
    if not isinstance(found, Queue):
        raise SettingsError("--app", "is no Queue: name it as MODULE:QUEUE", value=named)
    return found


def _given_arguments(given: str) -> bytes:
    """Return arguments that were given as JSON, as the name of a file, or on the standard input."""
    if given == "-":
        return sys.stdin.buffer.read()
    if given.lstrip()[:1] in ("[", "{", '"'):
        return given.encode()
    try:
        return Path(given).read_bytes()
    except OSError as error:
        raise SettingsError("--args", f"can't be read: {error.strerror}", value=given) from None


# --- options ----------------------------------------------------------------------------------------------


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", action="append", choices=_STATES, help="may be given several times")
    for name in ("queue", "kind", "user", "cause"):
        parser.add_argument(f"--{name}", metavar=name.upper())


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_filters(parser)
    parser.add_argument("--after", metavar="ID", help="only older jobs than this one")
    parser.add_argument("--most", type=int, default=100, metavar="N", help="default: 100")


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", metavar="MODULE:QUEUE", help="your job functions, to name arguments by")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    _add_app(parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    _add_filters(parser)
    parser.add_argument("--all", action="store_true", help="all of them are meant")
    parser.add_argument("--most", type=int, metavar="N", help="no more than N of them")
    _add_app(parser)


def _add_edit(parser: argparse.ArgumentParser) -> None:
    _add_choice(parser)
    parser.add_argument("--args", required=True, metavar="FILE|-|JSON", help="a JSON list of arguments")


def _add_queue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    """Add no options."""


def _add_events(parser: argparse.ArgumentParser) -> None:
    for name in ("job", "user", "queue"):
        parser.add_argument(f"--{name}", metavar=name.upper())
    parser.add_argument("--after", default="0", metavar="CURSOR", help="default: from the first")
    parser.add_argument("--follow", action="store_true", help="go on with what happens")
    parser.add_argument("--most", type=int, default=500, metavar="N", help="default: 500")


_ACTIONS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("list", "list jobs, newest first", _add_list),
    ("show", "show all there is to know of a job", _add_show),
    ("groups", "group dead jobs by their cause", _add_filters),
    ("retry", "go on with dead jobs from their finished steps", _add_choice),
    ("replay", "do dead jobs again from scratch, as new ones", _add_choice),
    ("edit", "do dead jobs again from scratch, with other arguments", _add_edit),
    ("cancel", "cancel unfinished jobs", _add_choice),
    ("discard", "put dead jobs aside", _add_choice),
    ("queues", "show the queues", _add_nothing),
    ("pause", "begin no more jobs of a queue", _add_queue),
    ("resume", "begin jobs of a queue again", _add_queue),
    ("events", "print what happened", _add_events),
)

_COMMANDS: Mapping[str, Callable[[argparse.Namespace, Store, Printer], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "groups": _groups,
    "retry": _retry,
    "replay": _replay,
    "edit": _edit,
    "cancel": _cancel,
    "discard": _discard,
    "queues": _queues,
    "pause": _pause,
    "resume": _resume,
    "events": _events,
}
