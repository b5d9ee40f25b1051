"""``relight jobs``: look at jobs, and decide about dead ones."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar, cast

import msgspec

from ...runtime import RelightError, SettingsError, redact
from ...supervisors import run
from ..jobs import (
    CursorExpiredError,
    DeadLetterOffice,
    Feed,
    JobSpecError,
    JobState,
    Letter,
    LetterSource,
    MemoryStore,
    Outcome,
    Query,
    Queue,
    QueueState,
    Selection,
    Store,
    event_row,
    row_of,
    store_from_url,
    store_url,
)
from ._jobs_left import looked_up, reasons
from ._jobs_parser import NOW
from ._jobs_upkeep import migrate, prune
from ._tables import Printer

_NOTHING = 1
FoundT = TypeVar("FoundT")

_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
"""How the ids look that relight makes."""
_NAMES = ("id", "ids", "queue", "kind", "user", "cause", "after", "job")
"""Options that stores look for."""


def run_jobs(args: argparse.Namespace, *, environ: Mapping[str, str] | None = None) -> int:
    """Carry out ``jobs``; the status is 0 when done, 1 when nothing or not all matched, 2 for a mistake.

    Args:
        args: As parsed by the parser of `add_jobs_parser`.
        environ: Environment variables; None: those of this process.

    Raises:
        RelightError: The user's mistake, or a store that can't be used; in one line.
    """
    _check_texts(args)
    url = store_url(cast("str | None", args.store), os.environ if environ is None else environ)
    store = store_from_url(url, must_exist=args.action != "migrate")
    if isinstance(store, MemoryStore):
        raise SettingsError(
            "store", "is in memory, where no other process sees it: name a file or a database"
        )
    try:
        return run(partial(_carry_out, args, store), backend="trio", handle_signals=False)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        raise KeyboardInterrupt from None  # wrapped up by the task groups it went through


def _check_texts(args: argparse.Namespace) -> None:
    """Refuse names that no store can hold, for they are no text: bytes that the shell handed on."""
    for field in _NAMES:
        given: object = getattr(args, field, None)
        for text in cast("list[object]", given) if isinstance(given, list) else [given]:
            try:
                str(text).encode()
            except UnicodeEncodeError:
                option = "ID" if field in ("id", "ids") else f"--{field}"
                raise SettingsError(option, "is no text in UTF-8", value=text) from None


async def _carry_out(args: argparse.Namespace, store: Store) -> int:
    printer = Printer(as_json=cast("bool", args.json))
    if args.action == "migrate":
        return await migrate(store, printer)
    problem: Exception | None = None
    status = 0
    # As it is: who looks from another version must not change what the workers of this one use.
    async with store.opened(migrate=False):
        try:
            status = await _COMMANDS[cast("str", args.action)](args, store, printer)
        except (RelightError, OSError) as error:
            problem = error  # raised outside: the store's task group would wrap it up
    if problem is not None:
        raise problem
    return status


# --- looking ----------------------------------------------------------------------------------------------


async def _list(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    await _check_after(args.after, store)
    jobs = await store.jobs(_query(args), after=args.after, most=args.most + 1)
    printer.jobs([row_of(job) for job in jobs[: args.most]])
    _tell_of_more(jobs, args.most, lambda last: last.id)
    return _found(jobs, "no job is like that")


async def _show(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    report = await _office(args, store).show(args.id)
    if report is None:
        return _found(
            [], f"there is no job and no message {args.id!r}: `relight jobs list` and `dead` show ids"
        )
    if isinstance(report, Letter):
        printer.letter(report)
    else:
        printer.report(report)
    return 0


async def _dead(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    named = cast("list[str] | None", args.source)
    sources = [LetterSource(source) for source in named or LetterSource]
    office = DeadLetterOffice(store)
    await _check_after(args.after, store)
    letters = await office.letters(_query(args), after=args.after, most=args.most + 1, sources=sources)
    printer.letters(letters[: args.most])
    # Pages begin after a job: messages come first, all of them.
    _tell_of_more(letters, args.most, lambda last: last.id if last.source is LetterSource.JOB else None)
    return _found(letters, "nothing dead is like that")


async def _groups(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    groups = await DeadLetterOffice(store).groups(_query(args))
    printer.groups(groups)
    return _found(groups, "nothing dead is like that")


async def _queues(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    queues = await store.queues(ended=args.ended)
    printer.queues(queues)
    _tell(_unserved(queue) for queue in queues if queue.is_unserved)
    return _found(queues, "there are no queues yet: one begins with its first job or worker")


def _unserved(queue: QueueState) -> str:
    return (
        f"queue {queue.name!r}: no worker takes its jobs, and {queue.pending} wait for one: start a worker, "
        "or look whether yours use this store"
    )


def _found(found: Sequence[object], nothing: str) -> int:
    if found:
        return 0
    return _say([nothing])


def _say(lines: Sequence[str]) -> int:
    _tell(lines)
    return _NOTHING


def _tell(lines: Iterable[str]) -> None:
    sys.stderr.writelines(f"relight: {line}\n" for line in lines)


async def _events(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    interest = {"job": args.job, "user": args.user, "queue": args.queue}
    after = await _cursor(cast("str | None", args.after), store)
    if not args.follow:
        events = await store.events(after, most=args.most + 1, **interest)
        for event in events[: args.most]:
            printer.event(event_row(event))
        _tell_of_more(events, args.most, lambda last: last.cursor)
        return _found(events, "no event is like that")
    async for event in Feed(store).subscribe(after=after, **interest):
        printer.event(event_row(event))
    return 0


def _tell_of_more(found: Sequence[FoundT], most: int, place_of: Callable[[FoundT], str | None]) -> None:
    """Say that more was *found* than is shown, and how to go on: after the last, where that has a place."""
    if len(found) > most:
        place = place_of(found[most - 1])
        way = "" if place is None else f"go on with --after {place}, or "
        _tell([f"there are more: {way}give a greater --most"])


async def _check_after(given: str | None, store: Store) -> None:
    """Refuse what is the id of no job, and looks like none: a job that is gone still has its place.

    Raises:
        SettingsError: It is none.
    """
    if given is None or _ID.fullmatch(given) or await store.job(given) is not None:
        return
    raise SettingsError("--after", "is the id of no job: give one that was printed before", value=given)


async def _cursor(given: str | None, store: Store) -> str:
    """Return the cursor that a user gave.

    Raises:
        SettingsError: It is none, or what comes after it has been pruned.
    """
    if given == NOW:
        return await store.last_cursor()
    if given is None:
        return await store.first_cursor()
    try:
        await store.events(given, most=1)
    except CursorExpiredError:
        problem = (
            "is too old: what happened right after it has been pruned; leave it out to begin with the oldest"
        )
    except JobSpecError:
        problem = "is none of this store's cursors: give one that `jobs events` has printed"
    else:
        return given
    raise SettingsError("--after", problem, value=given)


# --- deciding ---------------------------------------------------------------------------------------------


async def _retry(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _decide(args, store, printer, "retried", DeadLetterOffice.retry)


async def _replay(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _decide(args, store, printer, "replayed", DeadLetterOffice.replay)


async def _discard(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _decide(args, store, printer, "discarded", DeadLetterOffice.discard)


async def _cancel(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _decide(args, store, printer, "cancelled", DeadLetterOffice.cancel)


async def _edit(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    arguments = _given_arguments(cast("str", args.args))

    async def edit(
        office: DeadLetterOffice, selection: Selection, *, everything: bool, most: int | None
    ) -> Outcome:
        return await office.edit(selection, arguments, everything=everything, most=most)

    return await _decide(args, store, printer, "replayed", edit)


async def _pause(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _set_paused(args, store, printer, paused=True)


async def _resume(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    return await _set_paused(args, store, printer, paused=False)


async def _set_paused(args: argparse.Namespace, store: Store, printer: Printer, *, paused: bool) -> int:
    name = cast("str", args.queue)
    names = [queue.name for queue in await store.queues()]
    if name not in names and not await store.jobs(Query(queue=name), most=1):
        return _say([f"there is no queue {name!r}; there {_are(names)}"])
    await store.set_queue(name, paused=paused)
    printer.queues([queue for queue in await store.queues() if queue.name == name])
    return 0


def _are(names: Sequence[str]) -> str:
    return f"are: {', '.join(names)}" if names else "are none yet: one begins with its first job"


class _Act(Protocol):
    def __call__(
        self, office: DeadLetterOffice, selection: Selection, /, *, everything: bool, most: int | None
    ) -> Awaitable[Outcome]: ...


async def _decide(args: argparse.Namespace, store: Store, printer: Printer, verb: str, act: _Act) -> int:
    office, ids = _office(args, store), cast("list[str]", args.ids)
    found = await looked_up(office, ids)
    outcome = await act(office, _selection(args), everything=args.all, most=args.most)
    printer.outcome(verb, outcome)
    lines = reasons(cast("str", args.action), found, outcome, is_of_states=bool(args.state))
    is_missing = args.most is None and outcome.matched < len(frozenset(ids))
    is_whole = outcome.done and not outcome.skipped and not is_missing
    return 0 if is_whole else _say(lines)


async def _prune(args: argparse.Namespace, store: Store, printer: Printer) -> int:
    named = cast("str | None", args.app)
    return await prune(args, store, printer, None if named is None else _queue(named))


# --- what the user said -----------------------------------------------------------------------------------


def _query(args: argparse.Namespace) -> Query:
    named = cast("list[str] | None", getattr(args, "state", None))
    states = frozenset(JobState(state) for state in named or ())
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
    if not (module and attribute):
        raise SettingsError("--app", "names no queue: write MODULE:QUEUE", value=named)
    sys.path.insert(0, "")
    try:
        found: object = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's module does
        said = redact(f"{type(error).__name__}: {error}")
        raise SettingsError("--app", f"can't be imported: {said}", value=named) from error
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


_COMMANDS: Mapping[str, Callable[[argparse.Namespace, Store, Printer], Awaitable[int]]] = {
    "list": _list,
    "show": _show,
    "dead": _dead,
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
    "prune": _prune,
}
