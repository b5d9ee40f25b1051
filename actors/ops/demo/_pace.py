"""How fast a run goes: in a hurry by default, or with the waits that production has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ....supervisors.policies import Backoff, Exponential
from ...fakes import FaultPlan, Outage, RetryAfterForm
from ...providers import Polling

SETTINGS_FILE: Final = Path(__file__).with_name("demo.toml")
"""The demo's own settings: shorter waits and more concurrency for its three providers."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The waits that no setting covers."""

    attempts: int
    """Of a comic's job. A refusal is not counted: nothing was tried."""
    backoff: Backoff
    """Between them."""
    attempt_timeout: float
    """Seconds one may take."""
    lease: float
    """Seconds after which a run that is started again takes over what a killed one had in hand."""
    polling: Polling
    """How often a picture in work is looked at."""
    submits: int
    """Pictures ordered at the same moment."""
    retry_after: float
    """Seconds the fakes ask for when they limit the rate."""
    settings: Path | None
    """The settings file in force."""


HURRY: Final = Pace(
    attempts=5,
    backoff=Exponential(0.25, cap=4.0, jitter="equal"),
    attempt_timeout=120.0,
    lease=2.0,
    polling=Polling(initial=0.06, factor=1.3, cap=0.4),
    submits=8,
    retry_after=0.5,
    settings=SETTINGS_FILE,
)
"""A hundred comics in less than a minute."""

REAL: Final = Pace(
    attempts=5,
    backoff=Exponential(1.0, cap=30.0),
    attempt_timeout=900.0,
    lease=15.0,
    polling=Polling(),
    submits=4,
    retry_after=1.0,
    settings=None,
)
"""The waits of production."""

_SHORTEST_OUTAGE, _LONGEST_OUTAGE, _OUTAGE_PER_COMIC = 2.0, 3.0, 0.03


def fault_plan(pace: Pace, *, rate: float, seed: int) -> FaultPlan:
    """Plan the faults of a run: the same for the same seed."""
    forms = (RetryAfterForm.FLOAT, RetryAfterForm.MILLISECONDS)
    return FaultPlan(rate=rate, seed=seed, retry_after_seconds=pace.retry_after, retry_after_forms=forms)


def outage(comics: int) -> Outage:
    """Take Anthropic down hard in the middle of a run of *comics*.

    Each comic begins with a request to Anthropic, so the count of its requests tells how far the run is.
    """
    # In a long run the first probe fails too; a short one should not be all outage.
    seconds = min(max(_SHORTEST_OUTAGE, comics * _OUTAGE_PER_COMIC), _LONGEST_OUTAGE)
    return Outage("anthropic", seconds, after_requests=comics * 2 // 3, status=529)
