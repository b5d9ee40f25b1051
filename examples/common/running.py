"""The command line of the applications: from their options to an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine

import relight
from relight import RelightError, StartError
from relight.fakes import Fakes, Step, open_fakes

from .options import Options
from .report import Outcome, print_outcome
from .services import OPTIONS, PROVIDERS

Run = Callable[[Fakes, Options], Coroutine[None, None, Outcome]]


def main(run: Run, options: Options, chatter: str) -> int:
    """Open the fakes, run an application on them, and say what came of it.

    Args:
        run: The application.
        options: What it is told.
        chatter: The script writer's first answer. Models talk, so that they are asked again.
    """

    async def on_fakes() -> Outcome:
        async with open_fakes(PROVIDERS, plan=options.faults(), options=OPTIONS) as fakes:
            await fakes.script("openai", [Step(operation="chat", answer=chatter)])
            return await run(fakes, options)

    if options.store is not None:
        print(
            "Stop it or kill it as you like: the same command goes on where it was, "
            f"{options.lease:g} seconds later.\n"
        )
    try:
        outcome = relight.run(on_fakes)
    except RelightError as error:
        print(f"error: {_first(error)}", file=sys.stderr)
        return 2
    print_outcome(outcome, options.store)
    return outcome.status


def _first(error: BaseException) -> BaseException:
    """Return what went wrong first: who did not start because of it is of no interest here."""
    while isinstance(error, StartError) and error.__cause__ is not None:
        error = error.__cause__
    return error
