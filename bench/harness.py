"""Measure a value and its floor in turns, and say how they compare."""

from __future__ import annotations

import gc
import math
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec

Round = Callable[[], Awaitable[float]]
"""Does one round of work and returns what one piece of it took, in seconds."""

MICROSECONDS = 1e6
"""How many make a second."""
LIBRARIES = ("relight", "anyio", "trio", "uvloop", "msgspec")
"""Whose versions go into a figure."""

clock = time.thread_time
"""The processor time of this thread: on a busy machine the others' turns do not count. For work that
never waits; what waits is timed with ``time.perf_counter``."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how long to measure."""

    backend: str
    """``trio``, ``asyncio`` or ``uvloop``."""
    seconds: float = 2.0
    """How long to measure each figure, more or less."""
    is_quick: bool = False
    """Be content with less: a rough look, as CI takes it."""
    peers: bool = False
    """Beside other libraries too, where they are installed."""


class Target(msgspec.Struct, frozen=True):
    """The most that is good enough."""

    limit: float
    of: Literal["ratio", "value"] = "ratio"
    """What is limited."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the rounds came to."""

    value: float
    """The best round's."""
    floor: float | None = None
    """The best round's, of the rounds in between."""
    ratio: float | None = None
    """Value by floor."""
    spread: float = 0.0
    """The noise: the middle half of the rounds' own ratios is so wide, as a share of their median."""
    rounds: int = 1

    def scaled(self, value: float, floor: float | None = None) -> Measured:
        """Change the unit: multiply the value by *value* and the floor by *floor*, if that is another."""
        factor = value if floor is None else floor
        if self.floor is None or self.ratio is None:
            return msgspec.structs.replace(self, value=self.value * value)
        ratio = self.ratio * value / factor
        return msgspec.structs.replace(self, value=self.value * value, floor=self.floor * factor, ratio=ratio)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, as it is printed and saved."""

    name: str
    backend: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    target: float | None
    """None: there is none on this backend."""
    met: bool | None
    target_of: Literal["ratio", "value"] = "ratio"
    floor_is: str = ""
    """What the floor is, in words."""
    note: str = ""
    """Why there is no floor."""
    spread: float = 0.0
    rounds: int = 1
    machine: str = ""
    versions: dict[str, str] = {}


async def in_turns(value: Round, floor: Round, seconds: float, *, at_least: int = 5) -> Measured:
    """Measure *value* and *floor* in turns: value, floor, value, floor.

    What slows the machine down for a while slows both. Rounds should be short, a few milliseconds, so
    that some find it quiet.

    Args:
        value: One round of what is asked for.
        floor: One round of what it is compared with.
        seconds: When to stop.
        at_least: Rounds to do in any case.
    """
    await value()
    await floor()  # both are warm now: caches, specialised byte code, worker tasks
    settle()
    values: list[float] = []
    floors: list[float] = []
    end = time.perf_counter() + seconds
    while len(values) < at_least or time.perf_counter() < end:
        values.append(await value())
        floors.append(await floor())
    return summary(values, floors)


class Turns:
    """Values and floors, for questions that measure several things in one round."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._floors: list[float] = []

    def add(self, value: float, floor: float) -> None:
        """Note one round of each."""
        self._values.append(value)
        self._floors.append(floor)

    def best(self) -> Measured:
        """Compare the best rounds: for work that noise can only slow down."""
        return summary(self._values, self._floors)

    def medians(self) -> Measured:
        """Compare the middle rounds: for percentiles."""
        return medians(self._values, self._floors)


def summary(values: Sequence[float], floors: Sequence[float]) -> Measured:
    """Compare the best value with the best floor: noise only ever adds, so the least is the truest."""
    ratios = sorted(value / floor for value, floor in zip(values, floors, strict=True))
    return Measured(
        value=min(values),
        floor=min(floors),
        ratio=min(values) / min(floors),
        spread=spread(ratios),
        rounds=len(values),
    )


def medians(values: Sequence[float], floors: Sequence[float]) -> Measured:
    """Compare by the median of the rounds' ratios: a p99 has no best round."""
    ratios = [value / floor for value, floor in zip(values, floors, strict=True)]
    return Measured(
        value=statistics.median(values),
        floor=statistics.median(floors),
        ratio=statistics.median(ratios),
        spread=spread(ratios),
        rounds=len(ratios),
    )


def spread(samples: Sequence[float]) -> float:
    """Return how wide the middle half of *samples* is, as a share of their median."""
    if len(samples) < 2:
        return 0.0
    quarter, middle, three_quarters = statistics.quantiles(samples, n=4, method="inclusive")
    return (three_quarters - quarter) / middle


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the least sample that *share* of all are not above: 0.99 for p99."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figure(
    name: str,
    stage: Stage,
    measured: Measured,
    *,
    unit: str = "us",
    floor_is: str = "",
    target: Target | None = None,
    note: str = "",
) -> Figure:
    """Hold what was measured against its target, and write down where it was."""
    of = "ratio" if target is None else target.of
    judged = measured.ratio if of == "ratio" else measured.value
    return Figure(
        name=name,
        backend=stage.backend,
        value=measured.value,
        unit=unit,
        floor=measured.floor,
        ratio=measured.ratio,
        target=None if target is None else target.limit,
        met=None if target is None or judged is None else judged <= target.limit,
        target_of=of,
        floor_is=floor_is,
        note=note,
        spread=measured.spread,
        rounds=measured.rounds,
        machine=machine(),
        versions=versions(),
    )


def settle() -> None:
    """Collect the garbage there is and leave what lives out of later collections."""
    gc.collect()
    gc.freeze()


def machine() -> str:
    """Describe the machine in a line."""
    name = platform.processor() or platform.machine()
    return f"{platform.system()} {name}, {platform.python_implementation()} {platform.python_version()}"


def versions() -> dict[str, str]:
    """Return the versions of the libraries that matter, as far as they are installed."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
