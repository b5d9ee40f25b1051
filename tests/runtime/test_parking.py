"""Parking: one suite for every slot: shared trap, public calls alone, asyncio's future."""

import asyncio
from functools import partial

import anyio
import pytest
import trio

from relight import Child, open_system
from relight.runtime import Slot
from relight.runtime import _parking as parking
from tests.runtime.desk import Boom, Desk, Echo, Hold, Log, asking, settle


@pytest.fixture
def make(request: pytest.FixtureRequest, anyio_backend_name: str) -> type[Slot] | None:
    """Return the slot class to test; None on asyncio, whose class is made by the running loop."""
    return {"trap": parking.TrioSlot, "plain": parking.PlainTrioSlot, "future": None}[request.param]


each_slot = pytest.mark.parametrize(
    ("anyio_backend", "make"),
    [("trio", "trap"), ("trio", "plain"), ("asyncio", "future")],
    indirect=True,
    ids=["trap", "plain", "future"],
)
pytestmark = pytest.mark.anyio


def new_slot(make: type[Slot] | None) -> Slot:
    slot = parking.current_backend().slot
    return slot() if make is None else make()


class Waiter:
    """A task that waits on a slot."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.scope = anyio.CancelScope()
        self.value: object = None
        self.error: Exception | None = None
        self.task: object = None

    async def run(self) -> None:
        self.task = parking.current_backend().current_task()
        with self.scope:
            try:
                self.value = await self.slot
            except ValueError as error:
                self.error = error


@each_slot
async def test_a_slot_wakes_its_waiter_with_the_value(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        assert waiter.slot.resolve(7)
    assert waiter.value == 7


@each_slot
async def test_a_slot_wakes_its_waiter_with_the_error(make: type[Slot] | None) -> None:
    waiter, error = Waiter(new_slot(make)), ValueError("no")
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        assert waiter.slot.resolve(error=error)
    assert waiter.error is error


@each_slot
async def test_a_slot_resolved_before_it_is_awaited_needs_no_wait(make: type[Slot] | None) -> None:
    slot = new_slot(make)
    assert slot.resolve(7)
    with anyio.CancelScope() as scope:
        scope.cancel()  # it is no checkpoint either
        assert await slot == 7


@each_slot
async def test_an_error_set_before_the_slot_is_awaited_is_raised(make: type[Slot] | None) -> None:
    slot = new_slot(make)
    assert slot.resolve(error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await slot


@each_slot
async def test_a_slot_is_resolved_once(make: type[Slot] | None) -> None:
    slot = new_slot(make)
    assert slot.resolve(1)
    assert not slot.resolve(2)
    assert await slot == 1


@each_slot
async def test_a_waiting_slot_is_resolved_once(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        assert waiter.slot.resolve(1)
        assert not waiter.slot.resolve(2)
        assert waiter.slot.done
    assert waiter.value == 1


@each_slot
async def test_resolving_after_the_waiter_was_cancelled_says_so(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        waiter.scope.cancel()
        await settle()
        assert not waiter.slot.resolve(1)
    assert waiter.value is None


@each_slot
async def test_a_cancelled_waiter_that_has_not_run_yet_and_the_one_who_resolves_agree(
    make: type[Slot] | None,
) -> None:
    """On trio it is dead already; on asyncio the cancellation is delivered later, and the value wins."""
    waiter, was_seen = Waiter(new_slot(make)), False
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        waiter.scope.cancel()
        was_seen = waiter.slot.resolve(7)
    assert was_seen == (waiter.value == 7)
    if make is not None:
        assert not was_seen


@each_slot
async def test_a_waiter_resolved_before_it_is_cancelled_gets_the_value(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        assert waiter.slot.resolve(7)
        waiter.scope.cancel()
    assert waiter.value == 7


@each_slot
async def test_a_slot_awaited_in_a_cancelled_scope_is_abandoned(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    waiter.scope.cancel()
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        assert not waiter.slot.resolve(1)
    assert waiter.value is None


@each_slot
async def test_a_slot_without_an_owner_ignores_its_deadline(make: type[Slot] | None) -> None:
    slot = new_slot(make)
    slot.expire()
    assert not slot.done


@each_slot
async def test_many_slots_are_answered_in_any_order(make: type[Slot] | None) -> None:
    waiters = [Waiter(new_slot(make)) for _ in range(50)]
    async with anyio.create_task_group() as group:
        for waiter in waiters:
            group.start_soon(waiter.run)
        await settle()
        for number, waiter in reversed(list(enumerate(waiters))):
            assert waiter.slot.resolve(number)
    assert [waiter.value for waiter in waiters] == list(range(50))


@each_slot
async def test_a_waiter_that_is_woken_looks_around_and_may_wait_again(make: type[Slot] | None) -> None:
    slot = new_slot(make)
    seen: list[object] = []

    async def wait() -> None:
        while not slot.done:
            seen.append(await slot)

    async with anyio.create_task_group() as group:
        slot.wake()  # nobody waits yet
        group.start_soon(wait)
        await settle()
        assert seen == []
        slot.wake()
        slot.wake()
        await settle()
        assert seen == [None]
        assert slot.resolve("answer")
        await settle()
        assert seen == [None, "answer"]
        slot.wake()  # nobody waits any more


@each_slot
async def test_an_answer_right_after_a_wake_is_not_lost(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        waiter.slot.wake()
        assert waiter.slot.resolve("answer")
    assert waiter.slot.done
    assert waiter.slot.value == "answer"


@each_slot
async def test_a_waiter_cancelled_before_it_is_woken_stays_cancelled(make: type[Slot] | None) -> None:
    waiter = Waiter(new_slot(make))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        waiter.scope.cancel()
        waiter.slot.wake()
        waiter.slot.resolve("too late")
    assert waiter.scope.cancelled_caught
    assert waiter.value is None


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("slot_class", [parking.TrioSlot, parking.PlainTrioSlot])
async def test_trio_clears_the_mark_by_which_a_sleeping_task_is_known(slot_class: type[Slot]) -> None:
    waiter = Waiter(slot_class())
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        task = waiter.task
        assert isinstance(task, trio.lowlevel.Task)
        assert task.custom_sleep_data is waiter.slot
        waiter.scope.cancel()
        assert task.custom_sleep_data is None
        again = Waiter(slot_class())
        group.start_soon(again.run)
        await settle()
        task = again.task
        assert isinstance(task, trio.lowlevel.Task)
        again.slot.resolve()
        assert task.custom_sleep_data is None


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_trios_trap_is_the_one_we_know() -> None:
    """When this fails, trio has changed: slots work on, slower, until the trap is looked at again."""
    assert parking.current_backend().slot is parking.TrioSlot
    assert type(parking.TrioSlot.trap).__name__ == "WaitTaskRescheduled"


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("trap", [None, "another"])
async def test_a_trap_we_do_not_know_is_not_used(monkeypatch: pytest.MonkeyPatch, trap: str | None) -> None:
    async def another(_abort: object) -> None:
        if trap is None:
            raise RuntimeError("this trio is different")
        await asyncio.sleep(0)  # yields something that is no trap of trio's

    monkeypatch.setattr(trio.lowlevel, "wait_task_rescheduled", another)
    assert parking.current_backend().slot is parking.PlainTrioSlot


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_whole_system_runs_on_public_calls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "_shared_trap", lambda: None)
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Child("desk", partial(Desk, log), shutdown=1.0))
        assert await ref.ask(Echo(1)) == 1
        await ref.tell(Boom())
        held = await asking(group, ref, Hold())
        with anyio.move_on_after(1):
            await ref.ask(Echo(2))
        log.open()
        await settle()
        assert held.value == 0


async def test_each_backend_names_itself_and_its_clock() -> None:
    backend = parking.current_backend()
    assert backend.name in ("trio", "asyncio")
    assert backend.now() == anyio.current_time()
    await backend.checkpoint()


def test_a_bare_slot_cannot_be_awaited() -> None:
    slot = parking.Slot()
    with pytest.raises(NotImplementedError):
        slot.__await__()
    with pytest.raises(NotImplementedError):
        slot.resolve()
    with pytest.raises(NotImplementedError):
        slot.wake()
    with pytest.raises(NotImplementedError):
        parking.SlotOwner().slot_expired(slot)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_on_asyncio_a_cancelled_future_is_a_failure_and_a_cancelled_task_is_not() -> None:
    backend = parking.current_backend()
    verdicts: list[bool] = []
    assert backend.is_failure(asyncio.CancelledError())
    assert backend.is_failure(ValueError())
    assert not backend.is_failure(KeyboardInterrupt())
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        except asyncio.CancelledError as error:
            verdicts.append(backend.is_failure(error))
            raise
    assert verdicts == [False]


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_on_trio_a_group_is_a_failure_when_it_holds_one() -> None:
    backend = parking.current_backend()
    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        except trio.Cancelled as cancelled:
            caught.append(cancelled)
            raise
    assert not backend.is_failure(caught[0])
    assert not backend.is_failure(BaseExceptionGroup("", caught))
    assert backend.is_failure(BaseExceptionGroup("", [*caught, ValueError()]))
    assert not backend.is_failure(BaseExceptionGroup("", [*caught, KeyboardInterrupt()]))
    assert backend.is_failure(ExceptionGroup("", [ValueError()]))


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_an_error_for_a_cancelled_waiter_leaves_no_complaint_behind(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    waiter = Waiter(new_slot(None))
    async with anyio.create_task_group() as group:
        group.start_soon(waiter.run)
        await settle()
        waiter.slot.resolve(error=ValueError("nobody hears it"))
        task = waiter.task
        assert isinstance(task, asyncio.Task)
        task.cancel()  # natively: it pierces what anyio promises
    waiter.task = waiter.slot = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    await settle()
    assert not list(recwarn)
    assert caplog.text == ""
