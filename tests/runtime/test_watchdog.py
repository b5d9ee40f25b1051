"""Watchdog: a loop that stands still is reported with the actor at work, and so are rings of asks."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import inf

import anyio
import anyio.lowlevel
import pytest
import structlog

from relight import (
    Child,
    GuardedActor,
    Request,
    Settings,
    handles,
    open_system,
)
from tests.runtime.desk import Desk, Log, cell_of, heard

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Real time: the watchdog is a thread, and no virtual clock waits for threads."""
    return str(request.param)


QUICK = Settings(watchdog_seconds=0.1)


class Lines:
    """Where the application logs: a block of the loop can wait until a line is there."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []
        self._news = threading.Condition()

    def __call__(self, _logger: object, _level: str, event: structlog.typing.EventDict) -> str:
        with self._news:
            self.lines.append(dict(event))
            self._news.notify_all()
        raise structlog.DropEvent

    def block(self, event: str) -> dict[str, object]:
        """Stand in the loop's way until *event* is logged."""
        with self._news:
            assert self._news.wait_for(lambda: event in self.names, timeout=20.0)
        return next(line for line in self.lines if line["event"] == event)

    @property
    def names(self) -> list[object]:
        with self._news:
            return [line["event"] for line in self.lines]


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    structlog.configure(processors=[found])
    yield found
    structlog.reset_defaults()


def watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "relight watchdog"]


class Block(Request[int], frozen=True):
    """Stands in the loop's way."""


class Blocker(Desk):
    def __init__(self, log: Log, block: Callable[[], object]) -> None:
        super().__init__(log)
        self.block = block

    @handles
    async def on_block(self, message: Block) -> int:
        secret = "sk-proj-aaaaaaaaaaaaaaaa"
        self.block()
        return len(secret)


class SoloBlocker(Blocker):
    isolated = True


class BlockingService(GuardedActor):
    def __init__(self, block: Callable[[], object]) -> None:
        self.block = block

    @handles
    async def on_block(self, message: Block) -> int:
        self.block()
        return 1


class SlowToStart(Desk):
    def __init__(self, log: Log, block: Callable[[], object]) -> None:
        super().__init__(log)
        self.block = block

    async def started(self) -> None:
        self.block()


class SlowToStop(SlowToStart):
    async def started(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def stopping(self, reason: object) -> None:
        self.block()


async def turn_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn, in real time, until the watchdog's thread has come by."""
    for _ in range(2000):  # not a deadline: virtual time does not wait for threads
        if condition():
            return
        await anyio.to_thread.run_sync(partial(threading.Event().wait, 0.01))
    raise AssertionError("the watchdog did not come by")


# --- a loop that stands still ---


@pytest.mark.parametrize("actor", [Blocker, SoloBlocker])
async def test_who_stands_in_the_loops_way_is_named_while_it_does(actor: type[Blocker], lines: Lines) -> None:
    async with open_system(settings=QUICK) as system:
        events = heard(system)
        heard_meanwhile: list[int] = []

        def block() -> None:
            lines.block("actor.blocking")
            heard_meanwhile.append(len(events))

        ref = await system.spawn(Child("blocker", partial(actor, Log(), block)))
        await ref.ask(Block(), timeout=inf)
        assert heard_meanwhile == [0]  # listeners belong to the loop's thread
        line = lines.block("actor.blocking")
        assert (line["actor_path"], line["message"]) == ("blocker", "Block")
        assert float(str(line["seconds"])) >= 0.1
        stack = str(line["stack"])
        assert "in on_block" in stack
        assert "trio/_core" not in stack
        assert "asyncio/runners" not in stack
        await turn_until(lambda: len(events) == 2)
        [(first, fields), (second, recovered)] = events
        assert (first, second) == ("actor.blocking", "loop.recovered")
        assert fields == {key: line[key] for key in ("actor_path", "message", "seconds", "stack")}
        assert recovered["actor_path"] == "blocker"
        seconds = recovered["seconds"]
        assert isinstance(seconds, float)
        assert seconds >= float(str(line["seconds"]))
        statistics = system.watchdog_statistics()
        assert (statistics.blocked, statistics.blocked_seconds) == (1, seconds)
    assert lines.names == ["actor.blocking", "loop.recovered"]


async def test_a_standstill_is_reported_once_however_long_and_the_next_one_again(lines: Lines) -> None:
    async with open_system(settings=QUICK) as system:

        def block() -> None:
            lines.block("actor.blocking")
            assert not threading.Event().wait(0.3)

        ref = await system.spawn(Child("blocker", partial(Blocker, Log(), block)))
        for _ in range(2):
            await ref.ask(Block(), timeout=inf)
            await turn_until(lambda: lines.names[-1] == "loop.recovered")
            assert lines.names == ["actor.blocking", "loop.recovered"]
            lines.lines.clear()


async def test_a_service_is_named_with_the_message_of_its_attempt(lines: Lines) -> None:
    async with open_system(settings=QUICK) as system:
        block = partial(lines.block, "actor.blocking")
        ref = await system.spawn(Child("provider", partial(BlockingService, block)))
        await ref.ask(Block(), timeout=inf)
    line = lines.block("actor.blocking")
    assert (line["actor_path"], line["message"]) == ("provider/service", "Block")


@pytest.mark.parametrize(("actor", "hook"), [(SlowToStart, "started"), (SlowToStop, "stopping")])
async def test_a_hook_is_named_like_a_message(actor: type[SlowToStart], hook: str, lines: Lines) -> None:
    async with open_system(settings=QUICK) as system:
        ref = await system.spawn(Child("a", partial(actor, Log(), partial(lines.block, "actor.blocking"))))
        await ref.stop()
    line = lines.block("actor.blocking")
    assert (line["actor_path"], line["message"]) == ("a", hook)


async def test_code_of_no_actor_is_shown_by_its_stack_alone(lines: Lines) -> None:
    async with open_system(settings=QUICK) as system:
        events = heard(system)
        await turn_until(lambda: True)
        line = lines.block("loop.blocked")
        await turn_until(lambda: len(events) == 2)
    assert set(line) - {"level", "event"} == {"seconds", "stack"}
    assert "test_code_of_no_actor" in str(line["stack"])
    assert [name for name, _ in events] == ["loop.blocked", "loop.recovered"]
    assert events[1][1]["actor_path"] == ""


async def test_a_logger_that_raises_does_not_end_the_watch(lines: Lines) -> None:
    logged = threading.Event()

    def raises(_logger: object, _level: str, event: structlog.typing.EventDict) -> str:
        if event["event"] != "loop.blocked":
            raise structlog.DropEvent
        logged.set()
        raise OSError("no room on the device")

    structlog.configure(processors=[raises])
    async with open_system(settings=QUICK) as system:
        events = heard(system)
        assert logged.wait(20.0)
        await turn_until(lambda: len(events) == 2)
        assert len(watchdogs()) == 1
    assert [name for name, _ in events] == ["loop.blocked", "loop.recovered"]


async def test_the_stack_is_bounded_and_shows_no_secrets(lines: Lines) -> None:
    def deep(left: int) -> None:
        deep(left - 1) if left else lines.block("loop.blocked")  # api_key="sk-proj-aaaaaaaaaaaaaaaa"

    async with open_system(settings=QUICK):
        deep(100)
    stack = str(lines.block("loop.blocked")["stack"])
    assert len(stack) <= 2048
    assert "sk-proj-aaaa" not in stack


# --- the thread ---


async def test_the_thread_ends_with_its_system() -> None:
    assert watchdogs() == []
    async with open_system():
        assert [thread.daemon for thread in watchdogs()] == [True]
        async with open_system():
            assert len(watchdogs()) == 2
    assert watchdogs() == []


async def test_no_thread_runs_where_nothing_is_watched() -> None:
    async with open_system(settings=Settings(watchdog_seconds=0.0)) as system:
        assert watchdogs() == []
        assert system.watchdog_statistics().blocked == 0


async def test_the_thread_ends_where_the_loop_has_ended_without_its_system() -> None:
    def closed(_callback: object) -> None:
        raise RuntimeError("the loop is closed")

    async with open_system(settings=QUICK) as system:
        ref = await system.spawn(Child("a", partial(Desk, Log())))
        kernel = cell_of(ref).kernel
        kernel.backend = replace(kernel.backend, run_soon=closed)
        await turn_until(lambda: not watchdogs())


async def test_a_beat_that_comes_after_the_end_says_nothing(lines: Lines) -> None:
    async with open_system(settings=QUICK) as system:
        watchdog = system._engine.watchdog
    watchdog._report = {"seconds": 1.0, "stack": ""}
    watchdog._tick()
    assert lines.names == []
