"""The fakes under a short name, for tests: ``from relight import fakes``.

    async with fakes.open_fakes(["openai"]) as opened:
        await opened.script("openai", [fakes.Step(fault=fakes.FaultKind.QUOTA)])
        ...

Everything here is `relight.actors.fakes`; the guide is ``docs/fakes.md``.
"""

from .actors.fakes import *  # noqa: F403 - the same names, of which that face keeps the list
