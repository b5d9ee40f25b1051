"""Fakes of the providers: real HTTP servers on this machine, with faults on order.

There are fakes of OpenAI, Anthropic, RunPod, ElevenLabs and Supabase.

They speak as the providers do, errors, headers and status codes included, and they fail as the
providers do, reproducibly: the same seed gives the same request the same fault.

    plan = FaultPlan(rate=0.2, seed=7)
    outage = Outage("anthropic", 4.0, after_seconds=8.0)
    async with open_fakes(plan=plan, outages=[outage]) as fakes:
        base_url, key = fakes.url("openai"), fakes.key("openai")
        ...
        await fakes.script("openai", [Step(fault=FaultKind.QUOTA), Step(status=418, body="{}")])
        for entry in await fakes.log("openai"):
            print(entry.at, entry.path, entry.fault, entry.status)

Needs ``pip install "relight[web]"``; steering a running fake needs ``relight[http]`` too.
"""

from ...runtime import claim
from ._command import run_fakes
from ._errors import ERRORS
from ._fakes import Fakes, open_fakes
from ._log import FakeStatistics, LogEntry
from ._options import FakeOptions
from ._outages import Outage
from ._plan import DEFAULT_WEIGHTS, FaultKind, FaultPlan, RetryAfterForm
from ._process import FakeStartError
from ._steps import Step

__all__ = [
    "DEFAULT_WEIGHTS",
    "ERRORS",
    "FakeOptions",
    "FakeStartError",
    "FakeStatistics",
    "Fakes",
    "FaultKind",
    "FaultPlan",
    "LogEntry",
    "Outage",
    "RetryAfterForm",
    "Step",
    "open_fakes",
    "run_fakes",
]

claim(globals())
