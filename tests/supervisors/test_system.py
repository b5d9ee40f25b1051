"""System: a tree from its start to its orderly end, whatever ends it."""

import os
import signal
import subprocess
import sys
import textwrap
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest
from anyio import CancelScope, wait_all_tasks_blocked

from relight.runtime import ActorCell, ActorStoppedError, MailboxClosedError, NoSuchActorError, Ref, Request
from relight.supervisors import (
    AlreadyStartedError,
    Child,
    GuardedActor,
    Supervisor,
    SupervisorRef,
    System,
    open_system,
    run,
)
from tests.supervisors.recorded import Crash, Diary, Finish, Nap, Who, hanging
from tests.support.clocks import virtual_time

anyio_test = pytest.mark.anyio


ReplyT = TypeVar("ReplyT")


class Service(GuardedActor):
    pass


# --- spawning and finding ---


@anyio_test
async def test_an_id_is_free_again_when_its_actor_was_stopped() -> None:
    diary = Diary()
    async with open_system() as system:
        for number in range(1, 4):
            ref = await system.spawn(diary.child("a"))
            assert await ref.ask(Who()) == number
            with pytest.raises(AlreadyStartedError):
                await system.spawn(diary.child("a"))
            await ref.stop()
            assert system.find("a") is None


@anyio_test
async def test_the_same_tree_can_be_spawned_again_after_its_stop() -> None:
    diary = Diary()
    async with open_system() as system:
        for number in range(1, 4):
            tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
            assert isinstance(tree, SupervisorRef)
            assert await system.get("tree/a").ask(Who()) == number
            await tree.stop()


@anyio_test
async def test_an_actor_is_found_by_its_path_and_by_its_name() -> None:
    class Plain(Service):
        pass

    async with open_system() as system:
        ref = await system.spawn(Child("a", Plain, name="alias"))
        assert system.get("a") is system.get("alias") is ref
        assert system.find("nobody") is None
        with pytest.raises(NoSuchActorError) as caught:
            system.get("nobody")
        assert caught.value.name == "nobody"


@anyio_test
async def test_a_service_is_found_by_its_own_path() -> None:
    async with open_system() as system:
        await system.spawn(Supervisor("providers", children=[Child("one", Service), Child("two", Service)]))
        for name in ("one", "two"):
            ref = system.get(f"providers/{name}")
            assert ref.path == f"providers/{name}/service"
            assert ref.is_alive
        assert [service.provider for service in system.services()] == ["one", "two"]


@anyio_test
async def test_live_actors_are_listed_in_the_order_they_were_started() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(diary.child("b"))
        tree = await system.spawn(Supervisor("tree", children=[diary.child("c"), diary.child("a")]))
        assert [ref.path for ref in system.actors()] == ["b", "tree", "tree/c", "tree/a"]
        await tree.terminate_child("c")
        assert [ref.path for ref in system.actors()] == ["b", "tree", "tree/a"]
        kinds = [kind for kind, _ in system.actor_statistics()]
        assert kinds == ["Recorded", "SupervisorActor", "Recorded"]


@anyio_test
async def test_restarts_are_counted_by_class() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        for _ in range(2):
            ref.tell_nowait(Crash())
            await wait_all_tasks_blocked()
        await ref.stop()
        assert system.restarts_by_kind() == {"Recorded": 2}


# --- monitors ---


@anyio_test
async def test_a_monitor_reports_one_end_of_one_incarnation() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a"))
        monitor = system.monitor(ref)
        assert monitor.down is None
        ref.tell_nowait(Crash())
        down = await monitor.wait()
        assert (down.ref, down.incarnation, str(down.reason)) == (ref, 1, "crashed: BoomError")
        assert await ref.ask(Who()) == 2
        second = system.monitor(ref)
        await ref.stop()
        assert (await second.wait()).incarnation == 2
        assert await monitor.wait() is down


@anyio_test
async def test_a_monitor_of_a_stopped_actor_reports_at_once() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a", "temporary"))
        ref.tell_nowait(Finish())
        await wait_all_tasks_blocked()
        down = system.monitor(ref).down
        assert down is not None
        assert str(down.reason) == "normal"


@anyio_test
async def test_only_actors_can_be_monitored() -> None:
    async with open_system() as system:
        with pytest.raises(TypeError, match="is not an actor of this system"):
            system.monitor("a")  # type: ignore[arg-type]


# --- the end ---

FORTY = [f"actor-{number}" for number in range(40)]


async def spawn_forty(system: System, diary: Diary) -> None:
    for name in FORTY:
        await system.spawn(diary.child(name))
    diary.take()


@anyio_test
@pytest.mark.parametrize("how", ["end", "cancel", "cancel again", "error", "stop", "exit"])
async def test_forty_actors_stop_in_reverse_whatever_ends_the_block(how: str) -> None:
    """S1: a plain task group would cancel them in any order."""
    diary = Diary()
    with CancelScope() as scope:
        try:
            async with open_system() as system:
                await spawn_forty(system, diary)
                match how:
                    case "cancel" | "cancel again":
                        scope.cancel()
                        if how == "cancel again":
                            await anyio.sleep_forever()
                    case "error":
                        raise LookupError("lost")
                    case "exit":
                        raise SystemExit(3)
                    case "stop":
                        system.stop()
                        await anyio.sleep_forever()
                    case _:
                        pass
        except (LookupError, SystemExit):
            assert how in ("error", "exit")
    assert diary.take() == [f"stop {name} shutdown" for name in reversed(FORTY)]


@anyio_test
async def test_an_error_of_the_block_arrives_as_it_is() -> None:
    with pytest.raises(LookupError) as caught:
        async with open_system():
            raise LookupError("lost")
    assert caught.value.__cause__ is None


@anyio_test
async def test_a_cancellation_while_actors_stop_does_not_disturb_the_order() -> None:
    diary = Diary()
    with CancelScope() as scope:
        async with open_system() as system:
            for name in "abc":
                await system.spawn(diary.child(name, slow_stop=0.02))
            diary.take()

            async def cancel(_: int) -> None:
                scope.cancel()

            await system.spawn(diary.child("last", started=cancel))
    assert [line for line in diary.take() if line.startswith("stop")][-3:] == [
        "stop c shutdown",
        "stop b shutdown",
        "stop a shutdown",
    ]


@anyio_test
@virtual_time
async def test_a_stop_that_takes_too_long_kills_what_is_left() -> None:
    diary = Diary()
    said: list[str] = []
    async with open_system(shutdown_timeout=3.0) as system:
        system.events.listen(lambda event, _: said.append(event))
        first = await system.spawn(diary.child("first"))
        await system.spawn(diary.child("slow", slow_stop=1000.0, shutdown=1000.0))
        diary.take()
    assert anyio.current_time() == pytest.approx(3.0, abs=1.1)
    assert "system.shutdown_overran" in said
    assert diary.take() == []
    assert not first.is_alive


@anyio_test
@virtual_time
async def test_askers_outside_the_block_are_answered_when_it_ends() -> None:
    diary = Diary()
    answers: list[str] = []

    async def ask(ref: Ref, message: Request[ReplyT]) -> None:
        try:
            answers.append(str(await ref.ask(message, timeout=1000)))
        except (ActorStoppedError, MailboxClosedError) as error:
            answers.append(type(error).__name__)

    async with anyio.create_task_group() as group:
        async with open_system() as system:
            ref = await system.spawn(diary.child("a"))
            group.start_soon(ask, ref, Nap(2.0))
            await wait_all_tasks_blocked()
            group.start_soon(ask, ref, Who())
            await wait_all_tasks_blocked()
        group.start_soon(ask, ref, Who())
    assert answers == ["ActorStoppedError", "rested", "MailboxClosedError"]


@anyio_test
async def test_leaving_twice_and_stopping_an_empty_system_is_harmless() -> None:
    async with open_system() as system:
        system.stop()
        system.stop()


@anyio_test
@virtual_time
async def test_a_system_is_left_in_the_middle_of_a_hanging_start() -> None:
    diary = Diary()
    with anyio.move_on_after(1.0):
        async with open_system(shutdown_timeout=2.0) as system:
            await system.spawn(diary.child("a"))
            await system.spawn(diary.child("b", started=hanging(1), start_timeout=1000.0))
    assert anyio.current_time() <= 5.0


@anyio_test
async def test_systems_are_independent() -> None:
    diary = Diary()
    async with open_system() as one, open_system() as two:
        first, second = await one.spawn(diary.child("a")), await two.spawn(diary.child("a"))
        await first.stop()
        assert await second.ask(Who()) == 2


@anyio_test
async def test_the_root_can_be_stopped_like_any_supervisor() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(diary.child("a"))
        diary.take()
        await system.root.stop()
        assert diary.take() == ["stop a shutdown"]
        with pytest.raises(MailboxClosedError):
            await system.spawn(diary.child("b"))


@anyio_test
async def test_a_root_that_crashes_takes_its_actors_with_it_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a bug in it: nobody is above it to start it again."""

    async def broken(*_: object) -> None:
        raise LookupError

    diary = Diary()
    said: list[str] = []
    async with open_system() as system:
        system.events.listen(lambda event, _: said.append(event))
        other = await system.spawn(diary.child("a"))
        ref = await system.spawn(diary.child("b"))
        root = system.root.ref
        assert isinstance(root, ActorCell)
        monkeypatch.setattr(root.actor, "restart", broken)
        ref.tell_nowait(Crash())
        await wait_all_tasks_blocked()
        assert "system.root_crashed" in said
        assert system.actors() == []
        assert not other.is_alive


# --- run ---


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize("handle_signals", [True, False])
def test_run_returns_what_the_program_returns(backend: str, handle_signals: bool) -> None:
    async def main() -> int:
        await anyio.lowlevel.checkpoint()
        return 42

    assert run(main, backend=backend, handle_signals=handle_signals) == 42


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_run_raises_what_the_program_raises(backend: str) -> None:
    async def main() -> None:
        async with open_system():
            raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        run(main, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_run_leaves_a_group_of_the_program_as_it_is(backend: str) -> None:
    async def main() -> None:
        raise ExceptionGroup("two", [LookupError(), KeyError()])

    with pytest.raises(ExceptionGroup) as caught:
        run(main, backend=backend)
    assert caught.value.message == "two"


def test_run_refuses_an_unknown_backend() -> None:
    async def main() -> None: ...

    with pytest.raises(ValueError, match="backend must be 'trio' or 'asyncio', got 'curio'"):
        run(main, backend="curio")


PROGRAM = """
    import sys
    import anyio
    from relight.runtime import Actor, ExitReason
    from relight.supervisors import Child, open_system, run

    class Slow(Actor):
        async def stopping(self, reason: ExitReason) -> None:
            print("stopping", flush=True)
            await anyio.sleep({stop})
            print("stopped", reason, flush=True)

    async def main() -> None:
        async with open_system() as system:
            await system.spawn(Child("slow", Slow, shutdown=60.0))
            print("ready", flush=True)
            await anyio.sleep_forever()

    run(main, backend={backend!r})
"""


def start_program(backend: str, stop: float) -> subprocess.Popen[str]:
    program = textwrap.dedent(PROGRAM).format(backend=backend, stop=stop)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_system_in_order_and_sets_the_exit_status(
    backend: str, number: signal.Signals
) -> None:
    process = start_program(backend, 0.01)
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert output == "stopping\nstopped shutdown\n"
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_second_signal_ends_the_process_at_once(backend: str) -> None:
    process = start_program(backend, 60.0)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert output == ""


@pytest.mark.anyio
async def test_what_supervisors_tell_themselves_is_no_dead_letter() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
        supervisor = tree.ref
        assert isinstance(supervisor, ActorCell)
        system.suspend(supervisor)
        system.get("tree/a").tell_nowait(Crash())
        await wait_all_tasks_blocked()
        await supervisor.stop(timeout=0)
        assert supervisor.statistics().dead_letters == 1
        assert system.dead_letters.read() == []
