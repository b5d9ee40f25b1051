"""The options of ``relight jobs``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from math import inf

from ..jobs import JobState, LetterSource

NOW = "now"
"""Stands for the cursor after the newest event."""
_MOST = 1_000_000_000
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_LEAST_LEDGER = 2 * _UNITS["d"]
_STATES = tuple(str(state) for state in JobState)
_SOURCES = tuple(str(source) for source in LetterSource)


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


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"must be a number, 1..{_MOST}, got {text!r}")
    return int(text)


def _add_most(parser: argparse.ArgumentParser, default: int | None, purpose: str) -> None:
    parser.add_argument("--most", type=_count, default=default, metavar="N", help=purpose)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        action="append",
        choices=_STATES,
        metavar="STATE",
        help=f"{', '.join(_STATES)}; may be given several times",
    )
    _add_causes(parser)


def _add_causes(parser: argparse.ArgumentParser) -> None:
    for name, purpose in (
        ("queue", "the queue's name; of messages, the actor's path"),
        ("kind", "the job function's name; of messages, their type"),
        ("user", "whose jobs"),
        ("cause", "as `groups` prints it"),
    ):
        parser.add_argument(f"--{name}", metavar=name.upper(), help=purpose)


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_filters(parser)
    parser.add_argument("--after", metavar="ID", help="only older jobs than this one")
    _add_most(parser, 100, "no more than N of them; default: 100")


def _add_dead(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        action="append",
        choices=_SOURCES,
        metavar="SOURCE",
        help=f"{', '.join(_SOURCES)}; may be given several times",
    )
    _add_causes(parser)
    parser.add_argument("--after", metavar="ID", help="only older jobs than this one")
    _add_most(parser, 100, "no more than N of them; default: 100")


def _add_app(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--app", metavar="MODULE:QUEUE", help=purpose)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a job's, or a message's as `dead` prints it")
    _add_app(parser, "your queue, to name arguments by and hide secret ones")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="which ones; or say so by what they have in common"
    )
    _add_filters(parser)
    parser.add_argument("--all", action="store_true", help="all are meant, where nothing else is said")
    _add_most(parser, None, "no more than N of them, the newest")
    _add_app(parser, "your queue, to check arguments by")


def _add_edit(parser: argparse.ArgumentParser) -> None:
    _add_choice(parser)
    parser.add_argument("--args", required=True, metavar="FILE|-|JSON", help="all arguments, as a JSON list")


def _add_queue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="its name, as `queues` prints it")


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)", text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0.0 < seconds < inf:
        raise argparse.ArgumentTypeError(
            f"must be a time with its unit, such as 30d, 12h or 90min, got {text!r}"
        )
    return seconds


def _ledger_age(text: str) -> float:
    seconds = _age(text)
    if seconds < _LEAST_LEDGER:
        raise argparse.ArgumentTypeError(
            f"must be 2d or more, for budgets go by the sums of the day, got {text!r}"
        )
    return seconds


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        type=_age,
        metavar="AGE",
        help="jobs that ended so long ago, dead ones too, events and messages: 30d, 12h, 90min",
    )
    parser.add_argument(
        "--ledger-older-than",
        type=_ledger_age,
        metavar="AGE",
        help="what was spent so long ago; default: the ledger stays",
    )
    parser.add_argument("--dry-run", action="store_true", help="say how much it is, and delete nothing")
    _add_app(parser, "your queue, where its large results are not beside a SQLite store")


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    """Add no options."""


def _add_queues(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ended",
        action="store_true",
        help="count the jobs that have succeeded, were cancelled or put aside, too: reads all jobs there are",
    )


def _add_events(parser: argparse.ArgumentParser) -> None:
    for name, metavar, purpose in (
        ("job", "ID", "of this job alone"),
        ("user", "USER", "of this user's jobs alone"),
        ("queue", "QUEUE", "of this queue alone"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, help=purpose)
    after = (
        f"go on after an event printed before; {NOW}: with what happens from now on; default: from the first"
    )
    parser.add_argument("--after", metavar="CURSOR", help=after)
    parser.add_argument("--follow", action="store_true", help="go on with what happens, until an interrupt")
    _add_most(parser, 500, "no more than N of them, unless they are followed; default: 500")


_ACTIONS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("list", "list jobs, newest first", _add_list),
    ("show", "show all there is to know of a job, or of a message", _add_show),
    ("dead", "list dead jobs, and messages that could not be delivered", _add_dead),
    ("groups", "group dead jobs and messages by their cause", _add_causes),
    ("retry", "go on with dead jobs from their finished steps", _add_choice),
    ("replay", "do dead jobs again from scratch, as new ones", _add_choice),
    ("edit", "do dead jobs again from scratch, with other arguments", _add_edit),
    ("cancel", "cancel unfinished jobs", _add_choice),
    ("discard", "put dead jobs aside, forget messages", _add_choice),
    ("queues", "show the queues, their workers and what they have to do", _add_queues),
    ("pause", "begin no more jobs of a queue", _add_queue),
    ("resume", "begin jobs of a queue again", _add_queue),
    ("events", "print what happened, oldest first", _add_events),
    ("prune", "delete what ended long ago, as a worker with a retention does", _add_prune),
    ("migrate", "bring the store's tables to the version of this relight, or make them", _add_nothing),
)
