"""Exits: one reason each, whatever happened inside."""

from functools import partial

import anyio
import pytest

from relight import Child, Exit, ExitKind, ExitReason, open_system
from relight.runtime import KILLED, NORMAL, SHUTDOWN, exit_reason, primary_error, text_of
from tests.runtime.desk import Boom, Desk, Echo, Log, open_desk, settle

pytestmark = pytest.mark.anyio


class Leaver(Desk):
    """Exits by itself, with the reason it was given."""

    def __init__(self, log: Log, reason: ExitReason = NORMAL) -> None:
        super().__init__(log)
        self.reason = reason

    async def boom(self, message: Boom) -> int:
        raise Exit(self.reason)


def test_a_reason_reads_as_its_kind_with_what_is_known() -> None:
    assert str(NORMAL) == "normal"
    assert str(ExitReason(ExitKind.NORMAL, detail="done")) == "normal: done"
    assert str(ExitReason(ExitKind.CRASHED, ValueError("secret"))) == "crashed: ValueError"


@pytest.mark.parametrize(("reason", "is_crash"), [(NORMAL, False), (SHUTDOWN, False), (KILLED, True)])
def test_crashes_and_kills_are_what_a_transient_child_is_restarted_after(
    reason: ExitReason, is_crash: bool
) -> None:
    assert reason.is_crash is is_crash


def test_an_error_makes_a_crash() -> None:
    error = ValueError("boom")
    reason = exit_reason(error)
    assert (reason.kind, reason.error) == (ExitKind.CRASHED, error)


def test_an_exit_carries_its_own_reason() -> None:
    assert exit_reason(Exit()) is NORMAL
    assert exit_reason(Exit(SHUTDOWN)) is SHUTDOWN


async def test_the_first_error_speaks_for_a_group() -> None:
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError(1)]), KeyError(2)])
    primary = primary_error(group)
    assert repr(primary) == "ValueError(1)"
    assert primary.__context__ is group


async def test_an_errors_own_context_is_kept() -> None:
    error, cause = ValueError(1), OSError(2)
    error.__context__ = cause
    assert primary_error(ExceptionGroup("group", [error])).__context__ is cause


async def test_a_cancellation_speaks_for_a_group_only_when_it_is_alone() -> None:
    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        except anyio.get_cancelled_exc_class() as cancelled:
            caught.append(cancelled)
            raise
    assert repr(primary_error(BaseExceptionGroup("mixed", [*caught, ValueError(1)]))) == "ValueError(1)"
    assert primary_error(BaseExceptionGroup("alone", caught)) is caught[0]


async def test_an_exit_in_a_task_group_is_an_exit() -> None:
    class Grouped(Leaver):
        async def boom(self, message: Boom) -> int:
            async with anyio.create_task_group() as group:
                group.start_soon(self.leave)
            return 0

        async def leave(self) -> None:
            raise Exit

    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("grouped", partial(Grouped, log), restart="transient"))
        await ref.tell(Boom())
        await settle()
        assert not ref.is_alive
        assert ref.statistics().crashed == 0


def test_an_errors_text_is_had_even_where_it_raises() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise KeyError("no words")

    assert text_of(ValueError("words")) == "words"
    assert text_of(MuteError()) == "<no text: its __str__ raised KeyError>"


async def test_a_message_that_ends_its_actor_counts_as_handled() -> None:
    async with open_desk(Leaver) as (_, ref, _log):
        await ref.tell(Boom())
        await settle()
        assert (ref.statistics().handled, ref.statistics().crashed) == (1, 0)


async def test_a_permanent_actor_that_exits_is_started_again() -> None:
    async with open_desk(Leaver) as (_, ref, log):
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert log.made == 2


async def test_an_exit_with_a_crash_for_a_reason_is_a_crash() -> None:
    reason = ExitReason(ExitKind.CRASHED, OSError("disk"))
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(Child("leaver", partial(Leaver, log, reason), restart="transient"))
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert ref.statistics().crashed == 1
