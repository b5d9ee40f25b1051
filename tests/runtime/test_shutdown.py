"""Shutdown: the phases of a system's end, what their steps may do, and one deadline for all."""

from functools import partial

import anyio
import anyio.lowlevel
import pytest

from relight import ActorStoppedError, Child, RelightError, ShutdownPhase, open_system
from tests.runtime.desk import Answer, Desk, Dig, Echo, Hold, Log, asking, heard, open_desk
from tests.runtime.test_engine import Fatal, Orderly

pytestmark = pytest.mark.anyio

INTAKE, DRAIN, ACTORS, CLOSE = ShutdownPhase


async def write(log: Log, text: object, pause: float = 0.0) -> None:
    await anyio.sleep(pause)
    log.append(text)


async def hang() -> None:
    await anyio.sleep_forever()


async def swallow(seconds: float) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(seconds)


async def fail() -> None:
    raise ValueError("token=abc")


async def test_the_phases_come_in_order_around_the_stop_of_the_actors() -> None:
    log = Log()
    async with open_system() as system:
        for phase in (CLOSE, DRAIN, INTAKE):
            system.at_shutdown(phase, partial(write, log, phase.name, 1.0), name=phase.name)
        for number in range(3):
            await system.spawn(Child(str(number), partial(Orderly, log, number)))
    assert log == ["INTAKE", "DRAIN", 2, 1, 0, "CLOSE"]


async def test_the_phases_keep_their_order_under_an_outer_cancellation() -> None:
    log = Log()
    with anyio.CancelScope() as scope:
        async with open_system() as system:
            for phase in (INTAKE, DRAIN, CLOSE):
                system.at_shutdown(phase, partial(write, log, phase.name, 1.0), name=phase.name)
            await system.spawn(Child("a", partial(Orderly, log, "a")))
            scope.cancel()
            await anyio.sleep(1)
    assert log == ["INTAKE", "DRAIN", "a", "CLOSE"]


async def test_the_steps_of_one_phase_run_at_once() -> None:
    log = Log()
    began = anyio.current_time()
    async with open_system() as system:
        for pause in (3.0, 1.0, 2.0):
            system.at_shutdown(DRAIN, partial(write, log, pause, pause), name=str(pause))
    assert log == [1.0, 2.0, 3.0]
    assert anyio.current_time() - began == pytest.approx(3.0)


async def test_actors_answer_until_their_own_phase() -> None:
    answers: list[int] = []
    async with open_desk() as (system, ref, _log):

        async def ask(number: int) -> None:
            answers.append(await ref.ask(Echo(number)))

        system.at_shutdown(INTAKE, partial(ask, 1), name="one")
        system.at_shutdown(DRAIN, partial(ask, 2), name="two")
    assert answers == [1, 2]


async def test_a_step_that_raises_is_named_and_keeps_nothing_from_going_on() -> None:
    log = Log()
    async with open_system() as system:
        events = heard(system)
        system.at_shutdown(INTAKE, fail, name="broken")
        system.at_shutdown(INTAKE, partial(write, log, "beside", 1.0), name="beside")
        system.at_shutdown(DRAIN, partial(write, log, "after"), name="after")
    assert log == ["beside", "after"]
    [(name, fields)] = events
    assert name == "shutdown.step_failed"
    assert {key: fields[key] for key in ("step", "phase", "error_type", "error")} == {
        "step": "broken",
        "phase": "intake",
        "error_type": "ValueError",
        "error": "token=***",
    }
    assert "in fail" in str(fields["traceback"])


async def test_a_step_that_overruns_is_cancelled_at_its_own_time_and_named() -> None:
    log = Log()
    began = anyio.current_time()
    async with open_system() as system:
        events = heard(system)
        system.at_shutdown(CLOSE, hang, name="slow", timeout=2.0)
        system.at_shutdown(CLOSE, partial(write, log, "other", 3.0), name="other")
    assert log == ["other"]
    assert events == [("shutdown.step_overran", {"step": "slow", "phase": "close", "timeout": 2.0})]
    assert anyio.current_time() - began == pytest.approx(3.0)


async def test_a_step_that_swallows_its_cancellation_is_left_behind_after_a_second() -> None:
    log, times = Log(), list[float]()
    began = anyio.current_time()
    async with open_system() as system:
        events = heard(system)
        system.events.listen(lambda _name, _fields: times.append(anyio.current_time() - began))
        system.at_shutdown(INTAKE, partial(swallow, 60.0), name="stubborn", timeout=2.0)
        system.at_shutdown(DRAIN, partial(write, log, "after"), name="after")
        system.at_shutdown(CLOSE, lambda: write(log, anyio.current_time() - began), name="time")
    assert log == ["after", pytest.approx(3.0)]
    assert [name for name, _ in events] == ["shutdown.step_overran"]
    assert times == [pytest.approx(3.0)]


async def test_a_step_that_ends_late_in_spite_of_its_cancellation_has_overrun() -> None:
    async with open_system() as system:
        events = heard(system)
        system.at_shutdown(INTAKE, partial(swallow, 2.5), name="late", timeout=2.0)
    assert events == [("shutdown.step_overran", {"step": "late", "phase": "intake", "timeout": 2.0})]


async def test_one_deadline_covers_all_phases() -> None:
    log = Log()
    began = anyio.current_time()
    async with open_system(shutdown_timeout=4.0) as system:
        events = heard(system)
        await system.spawn(Child("a", partial(Orderly, log, "a", 3.0)))
        system.at_shutdown(INTAKE, partial(write, log, "in", 3.0), name="in")
        system.at_shutdown(CLOSE, hang, name="close")
    assert log == ["in"]
    assert [name for name, _ in events] == ["system.shutdown_overran", "shutdown.step_overran"]
    assert anyio.current_time() - began == pytest.approx(4.0)


async def test_a_step_whose_turn_comes_too_late_is_cancelled_where_it_first_waits() -> None:
    log = Log()

    async def close() -> None:
        log.append("begun")
        await anyio.lowlevel.checkpoint()
        log.append("ended")

    async with open_system(shutdown_timeout=1.0) as system:
        system.at_shutdown(DRAIN, hang, name="drain")
        system.at_shutdown(CLOSE, close, name="close")
    assert log == ["begun"]


async def test_a_step_can_be_taken_back() -> None:
    log = Log()
    async with open_system() as system:
        take_back = system.at_shutdown(DRAIN, partial(write, log, "no"), name="no")
        system.at_shutdown(DRAIN, partial(write, log, "yes"), name="yes")
        take_back()
        take_back()
    assert log == ["yes"]


async def test_a_step_may_add_steps_to_later_phases_alone() -> None:
    log = Log()
    async with open_system() as system:

        async def add(phase: ShutdownPhase) -> None:
            try:
                system.at_shutdown(phase, partial(write, log, phase.name), name="late")
            except RelightError as error:
                log.append(str(error))

        system.at_shutdown(DRAIN, partial(add, INTAKE), name="1")
        system.at_shutdown(DRAIN, partial(add, DRAIN), name="2")
        system.at_shutdown(DRAIN, partial(add, CLOSE), name="3")
    assert log.pop() == "CLOSE"
    assert set(log) == {  # the steps of one phase run in no particular order
        "late: too late for INTAKE, the system is in DRAIN",
        "late: too late for DRAIN, the system is in DRAIN",
    }


@pytest.mark.parametrize(
    ("phase", "timeout", "problem"),
    [(ACTORS, 1.0, "tree's own phase"), (DRAIN, 0.0, "above 0"), (DRAIN, float("nan"), "above 0")],
)
async def test_a_wrong_step_is_refused_when_it_is_given(
    phase: ShutdownPhase, timeout: float, problem: str
) -> None:
    async with open_system() as system:
        with pytest.raises(ValueError, match=problem):
            system.at_shutdown(phase, hang, name="wrong", timeout=timeout)


async def test_what_a_step_must_not_swallow_takes_the_system_down_and_fails_who_waits() -> None:
    async def die() -> None:
        raise Fatal("die")

    answers: list[Answer[int]] = []
    async with anyio.create_task_group() as group:
        with pytest.raises(Fatal):  # noqa: PT012 - the block raises
            async with open_desk() as (system, ref, _log):
                answers.append(await asking(group, ref, Hold()))
                system.at_shutdown(DRAIN, die, name="die")
    assert isinstance(answers[0].error, ActorStoppedError)


async def test_siblings_stop_in_order_beside_a_handler_that_swallows_its_cancellation() -> None:
    log = Log()
    began = anyio.current_time()
    names: list[str] = []
    async with open_system(shutdown_timeout=30.0) as system, anyio.create_task_group() as group:
        system.events.listen(lambda name, _fields: names.append(name))
        await system.spawn(Child("a", partial(Orderly, log, "a")))
        stubborn = await system.spawn(Child("b", partial(Desk, log), shutdown=2.0))
        await system.spawn(Child("c", partial(Orderly, log, "c")))
        system.at_shutdown(CLOSE, lambda: write(log, anyio.current_time() - began), name="time")
        await asking(group, stubborn, Dig(10.0))
        system.stop()
    assert log == ["c", "a", pytest.approx(3.0), "dug"]
    assert names == ["actor.stuck"]
