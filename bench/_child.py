"""The process that measures: one backend, some questions, a line of JSON for each figure."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import msgspec
import structlog

from ._backends import run_on
from ._questions import QUESTIONS, Question
from .harness import Stage


class Order(msgspec.Struct, frozen=True):
    """What the parent wants to know."""

    stage: Stage
    questions: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the order in the first argument, on standard output."""
    text = (sys.argv[1:] if arguments is None else arguments)[0]
    order = msgspec.json.decode(text, type=Order)
    # Crashes are part of the questions; what they look like in a log is not.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name in order.questions:
        question = QUESTIONS[name]
        with _one_core(question.keeps_busy):
            _run(question, order.stage)
    return 0


def _run(question: Question, stage: Stage) -> None:
    async def answer() -> None:
        async for figure in question.answer(stage):
            sys.stdout.write(msgspec.json.encode(figure).decode() + "\n")
            sys.stdout.flush()

    run_on(stage.backend, answer)


@contextmanager
def _one_core(is_wanted: bool) -> Generator[None]:  # noqa: FBT001 - says whether, in one place
    """Stay on one core, where the system lets us, so that the caches stay warm."""
    if not (is_wanted and hasattr(os, "sched_setaffinity")):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
