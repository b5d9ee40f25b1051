"""Make a video of a story, offline: ``python -m examples.video_maker --scenes 5 --rate 0.2 --seed 44``."""

from __future__ import annotations

import sys

import relight
from relight.fakes import Step, open_fakes

from ..common.checkpoints import Checkpoints
from ..common.options import Options, read_options
from ..common.report import Outcome, print_outcome
from ..common.services import OPTIONS, PROVIDERS
from .production import run


async def main(options: Options) -> Outcome:
    """Open the fakes, and run the application on them."""
    done = Checkpoints(options.folder(), say=lambda step: print(f"      {step}"))
    async with open_fakes(PROVIDERS, plan=options.faults(), options=OPTIONS) as fakes:
        # Models talk: the first answer to the script writer is prose, so it is asked again.
        await fakes.script("openai", [Step(operation="chat", answer="Sure! Here are your scenes.")])
        return await run(fakes, options, done)


if __name__ == "__main__":
    chosen = read_options("video_maker", "scenes", 5)
    outcome = relight.run(lambda: main(chosen))
    print_outcome(outcome)
    sys.exit(outcome.status)
