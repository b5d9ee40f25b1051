"""Actors that write down their starts and stops, and do to themselves what they are asked to."""

from collections.abc import Awaitable, Callable

import anyio

from relight.runtime import KILLED, SHUTDOWN, Actor, Exit, ExitReason, Ignore, Message, Request, handles
from relight.supervisors import Child, Restart
from relight.supervisors.policies import Backoff


class Who(Request[int], frozen=True):
    """Which incarnation answers?"""


class Crash(Request[None], frozen=True):
    pass


class Finish(Request[None], frozen=True):
    pass


class Leave(Request[None], frozen=True):
    pass


class Die(Request[None], frozen=True):
    pass


class Nap(Request[str], frozen=True):
    seconds: float


class Note(Message, frozen=True):
    """Told: is counted, and its number written down."""

    number: int = 0


class BoomError(Exception):
    pass


Starts = Callable[[int], Awaitable[None]]
"""What an incarnation does when it starts, by its number."""


async def starts(_: int) -> None:
    """Start at once."""


class Diary:
    """What became of the actors that share it: ``start a``, ``stop a shutdown``, ``startfail a``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes = 0
        self.numbers: list[tuple[int, int]] = []
        """Of each note: which incarnation handled it, and its number."""
        self.broken: set[int] = set()
        """Numbers of incarnations that can't be made, where an actor heeds it."""
        self._incarnations: dict[str, int] = {}

    def take(self) -> list[str]:
        """Return what was written since the last time."""
        lines, self.lines = self.lines, []
        return lines

    def incarnation(self, name: str) -> int:
        self._incarnations[name] = self._incarnations.get(name, 0) + 1
        return self._incarnations[name]

    def child(
        self,
        name: str,
        restart: str = "permanent",
        *,
        started: Starts = starts,
        slow_stop: float = 0.0,
        backoff: Backoff | None = None,
        shutdown: float = 5.0,
        start_timeout: float = 30.0,
        significant: bool = False,
    ) -> Child:
        """Describe a child that writes in this diary."""
        return Child(
            name,
            lambda: Recorded(self, name, started, slow_stop),
            restart=Restart(restart),
            backoff=backoff,
            shutdown=shutdown,
            start_timeout=start_timeout,
            significant=significant,
        )


class Recorded(Actor):
    """Writes in a diary."""

    def __init__(self, diary: Diary, name: str, started: Starts, slow_stop: float) -> None:
        self._diary = diary
        self._name = name
        self._starts = started
        self._slow_stop = slow_stop
        self._number = diary.incarnation(name)

    async def started(self) -> int:
        try:
            await self._starts(self._number)
        except Ignore:
            self._diary.lines.append(f"ignore {self._name}")
            raise
        except Exception:
            self._diary.lines.append(f"startfail {self._name}")
            raise
        self._diary.lines.append(f"start {self._name}")
        return self._number

    async def stopping(self, reason: ExitReason) -> None:
        if self._slow_stop:
            await anyio.sleep(self._slow_stop)
        word = "boom" if isinstance(reason.error, BoomError) else str(reason.kind)
        self._diary.lines.append(f"stop {self._name} {word}")

    @handles
    async def who(self, message: Who) -> int:
        return self._number

    @handles
    async def crash_now(self, message: Crash) -> None:
        raise BoomError

    @handles
    async def finish(self, message: Finish) -> None:
        raise Exit

    @handles
    async def leave(self, message: Leave) -> None:
        raise Exit(SHUTDOWN)

    @handles
    async def die(self, message: Die) -> None:
        raise Exit(KILLED)

    @handles
    async def nap(self, message: Nap) -> str:
        await anyio.sleep(message.seconds)
        return "rested"

    @handles
    async def note(self, message: Note) -> None:
        self._diary.notes += 1
        self._diary.numbers.append((self._number, message.number))


def failing(*numbers: int) -> Starts:
    """Make incarnations of these numbers fail to start."""

    async def start(number: int) -> None:
        if number in numbers:
            raise BoomError

    return start


def hanging(*numbers: int) -> Starts:
    """Make incarnations of these numbers hang when they start."""

    async def start(number: int) -> None:
        if number in numbers:
            await anyio.sleep_forever()

    return start


def ignoring(*numbers: int) -> Starts:
    """Make incarnations of these numbers say that they are not wanted now."""

    async def start(number: int) -> None:
        if number in numbers:
            raise Ignore

    return start
