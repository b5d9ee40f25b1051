"""Forced exit: a process that was asked to stop ends, whatever its handlers do. In processes of their own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import anyio
import pytest

from relight import Actor, Child, Message, Settings, handles, open_system, run
from relight.runtime import ForcedExit, StopAsked
from relight.supervisors import _system
from relight.supervisors._process import note_signals, stop_asked

pytestmark = pytest.mark.slow

STUBBORN = """
    import sys, threading, time
    import anyio, relight
    from relight import Actor, Child, ExitReason, Message, Settings, ShutdownPhase, handles

    SETTINGS = Settings(watchdog_seconds=0.2, shutdown_timeout=0.5)

    class Go(Message, frozen=True):
        pass

    class Busy(Actor):
        @handles
        async def go(self, message: Go) -> None:
            while True:
                compute()

    def compute() -> None:
        sum(range(1000))

    class Swallows(Actor):
        @handles
        async def go(self, message: Go) -> None:
            while True:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.05)
                try:
                    await anyio.sleep(0.05)
                except BaseException:
                    pass

    class Orderly(Actor):
        def __init__(self, name: str) -> None:
            self.name = name

        async def stopping(self, reason: ExitReason) -> None:
            print("stopped", self.name, flush=True)

    async def main() -> None:
        async with relight.open_system(settings=SETTINGS, **OPTIONS) as system:
            await system.spawn(Child("first", lambda: Orderly("first")))
            ref = await system.spawn(Child("bad", ACTOR, shutdown=0.1))
            await system.spawn(Child("last", lambda: Orderly("last")))
            await ref.tell(Go())
            await anyio.sleep(0)
            print("ready", flush=True)
            await anyio.sleep(ENDS_AFTER)

    relight.run(main, backend=sys.argv[1])
    print("threads", threading.active_count(), flush=True)
"""


def start(backend: str, actor: str, *, options: str = "{}", ends_after: str = "100") -> subprocess.Popen[str]:
    code = textwrap.dedent(STUBBORN).replace("**OPTIONS", f"**{options}")
    code = code.replace("ENDS_AFTER", ends_after).replace("ACTOR", actor)
    return subprocess.Popen(
        [sys.executable, "-c", code, backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read standard error until *text* has come by."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never written")


BACKENDS = ("trio", "asyncio")


def test_a_busy_loop_is_named_with_its_stack_and_ended_with_the_process() -> None:
    processes = [start(backend, "Busy") for backend in BACKENDS]
    for process in processes:
        wait_for_line(process, "actor.blocking")
        process.send_signal(signal.SIGTERM)
    for process in processes:
        out, err = process.communicate(timeout=60.0)
        assert process.returncode == 70
        assert "bad (Go)" in err
        assert ", in go" in err
        assert "system.forced_exit" in err
        assert "threads" not in out


def test_siblings_of_a_handler_that_swallows_cancellation_stop_in_order() -> None:
    processes = [start(backend, "Swallows", options="{'shutdown_timeout': 3.0}") for backend in BACKENDS]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
    for process in processes:
        out, err = process.communicate(timeout=60.0)
        assert process.returncode == 70
        assert out.splitlines() == ["stopped last", "stopped first"]
        assert "actor.stuck" in err
        assert re.search("actors=.*bad", err), err
        assert "bad (Go)" in err
        assert ", in go" in err


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_ordinary_end_is_no_forced_one(backend: str) -> None:
    process = start(backend, 'lambda: Orderly("bad")', ends_after="0.01")
    out, _ = process.communicate(timeout=60.0)
    assert process.returncode == 0
    assert out.splitlines() == ["ready", "stopped last", "stopped bad", "stopped first", "threads 1"]


def test_a_second_signal_ends_a_stuck_process_at_once() -> None:
    with start("trio", "Busy", options="{'shutdown_timeout': 100.0}") as process:
        wait_for_line(process, "actor.blocking")
        process.send_signal(signal.SIGTERM)
        for patience in (0.2, 2.0, 20.0):  # two that come together are one
            time.sleep(patience / 2)
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=patience)
                break
        else:
            process.kill()
    assert process.returncode == -signal.SIGTERM


def test_a_system_can_be_spared_the_forced_exit() -> None:
    with start("trio", "Swallows", options="{'forced_exit': False}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=5.0)
        process.kill()


# --- the deadline ---


def test_the_deadline_counts_from_the_beginning_of_the_stop() -> None:
    deadline = ForcedExit(10.0)
    assert not deadline.is_due(1e9, stuck_since=None)
    assert not deadline.is_due(1e9, stuck_since=0.0)
    before = time.monotonic()
    deadline.stopping()
    after = time.monotonic()
    deadline.stopping()
    assert not deadline.is_due(before + 12.9, stuck_since=None)
    assert deadline.is_due(after + 13.0, stuck_since=None)


def test_a_signal_counts_only_while_the_loop_cannot_take_it() -> None:
    asked = StopAsked()
    deadline = ForcedExit(10.0, asked)
    assert not deadline.is_due(1000.0, stuck_since=0.0)
    asked.at = 100.0
    assert not deadline.is_due(1000.0, stuck_since=None)
    assert not deadline.is_due(112.9, stuck_since=50.0)
    assert deadline.is_due(113.0, stuck_since=50.0)
    assert not deadline.is_due(113.0, stuck_since=110.0)


def test_run_takes_the_process_for_its_own_in_the_main_thread_alone() -> None:
    owned: list[bool] = []

    async def main() -> None:
        owned.append(stop_asked.get() is not None)

    run(main)
    run(main, handle_signals=False)
    assert owned == [True, True]
    assert stop_asked.get() is None


def test_the_first_signal_is_noted_and_passed_on_and_an_ignored_one_is_noted() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: heard.append(number))
    try:
        for passed_on in (1, 0):
            asked = StopAsked()
            note_signals(asked, signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert asked.at is not None
            assert len(heard) == passed_on
            heard.clear()
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_second_signal_is_left_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []

    def kill(_pid: int, number: int) -> None:
        killed.append(number)

    monkeypatch.setattr(os, "kill", kill)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        note_signals(StopAsked(), signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert killed == []
        signal.raise_signal(signal.SIGUSR1)
        assert killed == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_than_the_main_one_owns_no_process() -> None:
    owned: list[bool] = []

    async def main() -> None:
        owned.append(stop_asked.get() is not None)

    thread = threading.Thread(target=run, args=(main,))
    thread.start()
    thread.join()
    assert owned == [False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_is_left_is_named_with_stacks(
    backend: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit is passed in, so that the process that looks at it stays alive."""
    left: list[int] = []

    class Go(Message, frozen=True):
        pass

    class Digger(Actor):
        @handles
        async def go(self, message: Go) -> None:
            with anyio.CancelScope(shield=True):
                while not left:  # noqa: ASYNC110 - a thread sets it
                    await anyio.sleep(0.01)

    def deadline(_seconds: float, asked: StopAsked | None) -> ForcedExit:
        return ForcedExit(-2.9, asked, left.append)

    monkeypatch.setattr(_system, "ForcedExit", deadline)

    async def main() -> None:
        settings = Settings(watchdog_seconds=0.2)
        async with open_system(settings=settings, shutdown_timeout=0.1) as system:
            ref = await system.spawn(Child("digger", Digger))
            await ref.tell(Go())
            await anyio.sleep(0.01)

    run(main, backend=backend)
    assert left == [70]
    said = capfd.readouterr().err
    assert "digger (Go)" in said
    assert ", in go" in said
    assert re.search("actors=.*digger", said), said  # its supervisor, too, where that is not done yet


def test_last_words_are_said_where_nobody_is_left(capfd: pytest.CaptureFixture[str]) -> None:
    left: list[int] = []

    async def main() -> None:
        async with open_system() as system:
            ForcedExit(0.0, leave=left.append).carry_out([], system.events)

    run(main)
    assert left == [70]
    assert "no actor's code that could be found" in capfd.readouterr().err
