"""Chaos: an hour of random deaths in a tree of three levels of supervisors, while everybody keeps asking.

Afterwards the tree is complete, every asker has had its answer, every message its one end, and nothing
has leaked. Where chance decides, it is seeded; ``RELIGHT_CHAOS_SEEDS=20`` tries more than one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Literal

import anyio
import pytest

from relight import (
    Actor,
    Child,
    Exit,
    ExitKind,
    ExitReason,
    Message,
    NoSuchActorError,
    Ref,
    RelightError,
    Request,
    Supervisor,
    System,
    handles,
    open_system,
)
from relight.supervisors import SupervisorRef
from relight.supervisors.policies import Backoff, Exponential, Fixed
from tests.runtime.desk import cell_of, settle
from tests.support.rest import Baseline, check_at_rest, living_tasks

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HOUR = 3600.0
ASKERS = 4
SEEDS = int(os.environ.get("RELIGHT_CHAOS_SEEDS", "1"))
UNBOUNDED = 1_000_000

WORKERS = [
    f"plant/hall-{hall}/line-{line}/w{worker}"
    for hall in range(3)
    for line in range(3)
    for worker in range(3)
]
LINES = sorted({path.rpartition("/")[0] for path in WORKERS})
HALLS = sorted({path.rpartition("/")[0] for path in LINES})


WAYS = {"crash": 8, "normal": 4, "shutdown": 4, "killed": 4, "axe": 8, "line": 1, "hall": 1}
"""How actors end, and how often: by message, by the axe, and with all that a supervisor holds."""


class Work(Request[int], frozen=True):
    number: int
    seconds: float
    then: str = ""
    """Path of the worker that is asked in turn."""


class Parcel(Message, frozen=True):
    number: int
    seconds: float


class Die(Message, frozen=True):
    """Told: the worker ends, in one of the ways there are."""

    how: str


@dataclass
class Books:
    """What everybody saw."""

    rng: Random
    system: System = field(init=False)
    refs: set[Ref] = field(default_factory=set[Ref])
    """Every place that there ever was."""
    is_chaos: bool = False
    """Starts may fail."""
    number: int = 0
    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    deaths: Counter[str] = field(default_factory=Counter[str])
    begun: Counter[int] = field(default_factory=Counter[int])
    parcels: int = 0
    """Parcels that were taken."""
    unpacked: int = 0
    """Parcels whose handler began."""
    entered: int = 0
    left: int = 0

    def next(self) -> int:
        self.number += 1
        return self.number

    def find(self, path: str) -> Ref:
        """Find who stands at *path* now; remember it."""
        ref = self.system.get(path)
        self.refs.add(ref)
        return ref


class Worker(Actor):
    """Does its work, and dies when it is told to."""

    mailbox = 8

    def __init__(self, books: Books) -> None:
        self.books = books

    @handles
    async def work(self, message: Work) -> int:
        self.books.begun[message.number] += 1
        await anyio.sleep(message.seconds)
        if message.then:
            request = Work(self.books.next(), message.seconds)
            return await self.books.find(message.then).ask(request, timeout=1.0)
        return message.number

    @handles
    async def parcel(self, message: Parcel) -> None:
        self.books.unpacked += 1
        self.books.begun[message.number] += 1
        await anyio.sleep(message.seconds)

    @handles
    async def die(self, message: Die) -> None:
        if message.how == "crash":
            raise ValueError(message.how)
        raise Exit(ExitReason(ExitKind(message.how)))


class Hooked(Worker):
    """Takes its time to start and to stop."""

    concurrency = 3

    async def started(self) -> None:
        await anyio.sleep(self.books.rng.choice([0, 0.1, 1.0]))

    async def stopping(self, reason: ExitReason) -> None:
        await anyio.sleep(self.books.rng.choice([0, 0.1, 1.0]))


class Housed(Worker):
    """Lives in a lifespan; now and then it can't be entered."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        await anyio.sleep(0.1)
        if self.books.is_chaos and self.books.rng.random() < 0.05:
            raise OSError("the port is taken")
        self.books.entered += 1
        try:
            yield
            await anyio.sleep(0.1)
        finally:
            self.books.left += 1


KINDS = (Worker, Hooked, Housed)
BACKOFFS: tuple[Backoff | None, ...] = (None, Fixed(0.5), Exponential(0.2, cap=5.0))
STRATEGIES: tuple[Literal["one_for_one", "one_for_all", "rest_for_one"], ...] = (
    "one_for_one",
    "one_for_all",
    "rest_for_one",
)


def plant(books: Books, line_intensity: int, hall_intensity: int) -> Supervisor:
    """Describe the tree."""

    def line(hall: int, number: int) -> Supervisor:
        workers = [
            Child(
                f"w{which}", partial(KINDS[which], books), backoff=BACKOFFS[(hall + which) % 3], shutdown=3.0
            )
            for which in range(3)
        ]
        return Supervisor(
            f"line-{number}",
            strategy=STRATEGIES[number],
            intensity=line_intensity,
            period=60.0,
            children=workers,
            backoff=BACKOFFS[hall],
        )

    halls = [
        Supervisor(
            f"hall-{hall}",
            strategy=STRATEGIES[hall],
            intensity=hall_intensity,
            period=60.0,
            children=[line(hall, number) for number in range(3)],
        )
        for hall in range(3)
    ]
    return Supervisor("plant", intensity=UNBOUNDED, period=60.0, children=halls)


async def asker(books: Books, until: float) -> None:
    """Ask and tell, and write down what became of it."""
    rng = books.rng
    while anyio.current_time() < until:
        path, number, seconds = rng.choice(WORKERS), books.next(), rng.choice([0.0, 0.0, 0.1, 0.8])
        try:
            ref = books.find(path)
            if rng.random() < 0.3:
                ref.tell_nowait(Parcel(number, seconds))
                books.parcels += 1
            else:
                await ask(books, ref, Work(number, seconds, rng.choice(["", "", *WORKERS])))
        except NoSuchActorError:
            books.outcomes["nobody there"] += 1
        except RelightError as error:
            books.outcomes[type(error).__name__] += 1
        await anyio.sleep(rng.choice([0.0, 2.0, 10.0]))


async def ask(books: Books, ref: Ref, message: Work) -> None:
    """Ask, and see that the answer comes in time."""
    timeout = books.rng.choice([None, 0.5, 20.0])
    latest = anyio.current_time() + (5.0 if timeout is None else timeout)
    books.asked += 1
    books.outcomes["pending"] += 1
    try:
        with anyio.move_on_after(books.rng.choice([0.3, 100.0])):
            await ref.ask(message, timeout=timeout)
            books.outcomes["answered"] += 1
    finally:
        books.outcomes["pending"] -= 1
    assert anyio.current_time() <= latest + 1e-6


async def reaper(books: Books, until: float) -> None:
    """End somebody every few seconds, by any means."""
    rng = books.rng
    while anyio.current_time() < until:
        await anyio.sleep(rng.expovariate(0.3))
        how = rng.choices(list(WAYS), list(WAYS.values()))[0]
        try:
            if how in ("axe", "line", "hall"):
                paths = {"axe": WORKERS, "line": LINES, "hall": HALLS}[how]
                cell_of(books.find(rng.choice(paths))).kill(final=False)
            else:
                books.find(rng.choice(WORKERS)).tell_nowait(Die(how))
            books.deaths[how] += 1
        except RelightError:
            books.deaths["missed"] += 1


async def check_the_tree(books: Books) -> None:
    """Look whether everybody is there, in order, and answers."""
    system = books.system
    expected = {"plant", *HALLS, *LINES, *WORKERS}
    assert {ref.path for ref in system.actors()} == expected
    for path in ("plant", *HALLS, *LINES):
        children = await SupervisorRef(cell_of(system.get(path))).which_children()
        below = [name for name in (*HALLS, *LINES, *WORKERS) if name.rpartition("/")[0] == path]
        assert [child.ref.path for child in reversed(children) if child.ref] == below
    for path in WORKERS:
        assert await system.get(path).ask(Work(7, 0.0)) == 7
    await settle()


def check_the_books(books: Books) -> None:
    """Look whether every asker was answered and every message had its one end."""
    assert books.outcomes["pending"] == 0
    assert {count for number, count in books.begun.items() if number != 7} == {1}  # never handled twice
    for ref in books.refs:
        check_at_rest(cell_of(ref))
    counts = books.system.dead_letters.statistics().counts
    dead = sum(count for (kind, _), count in counts.items() if kind == "Parcel")
    assert books.parcels == books.unpacked + dead


@pytest.mark.parametrize(
    ("line_intensity", "hall_intensity"), [(UNBOUNDED, UNBOUNDED), (1, 1)], ids=["restarts", "gives-up"]
)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_tree_survives_an_hour_of_chaos(seed: int, line_intensity: int, hall_intensity: int) -> None:
    books, tasks = Books(Random(seed)), living_tasks()
    books.number = 100
    gave_up: list[str] = []
    with anyio.fail_after(10 * HOUR):
        async with open_system(rng=Random(seed)) as system:
            books.system = system
            system.events.listen(
                lambda name, fields: (
                    gave_up.append(str(fields["actor_path"])) if name == "actor.gave_up" else None
                )
            )
            await system.spawn(plant(books, line_intensity, hall_intensity))
            await settle()
            baseline = Baseline(system)
            books.is_chaos = True
            until = anyio.current_time() + HOUR
            async with anyio.create_task_group() as group:
                for _ in range(ASKERS):
                    group.start_soon(asker, books, until)
                group.start_soon(reaper, books, until)
            books.is_chaos = False
            await anyio.sleep(600)  # the last restarts wait
            await check_the_tree(books)
            baseline.check()
            check_the_books(books)
            assert books.entered - books.left == sum(path.endswith("w2") for path in WORKERS)
    await settle()
    assert living_tasks() == tasks
    assert books.entered == books.left
    levels = Counter(path.count("/") for path in gave_up)
    assert (levels[1] > 0 and levels[2] > 0) == (line_intensity == 1), levels
    assert levels[0] == levels[3] == 0
    assert min(books.deaths[way] for way in WAYS) > 10
    assert books.outcomes["answered"] > books.asked / 4
