"""What a supervisor can be asked: start, terminate, restart, delete, list and count its children."""

import asyncio
from functools import partial

import anyio
import pytest
from anyio import CancelScope, wait_all_tasks_blocked

from relight.runtime import (
    Actor,
    AskTimeoutError,
    HandlerError,
    Request,
    StartError,
    handles,
)
from relight.supervisors import (
    AlreadyStartedError,
    Child,
    ChildNotFoundError,
    Supervisor,
    open_system,
)
from tests.supervisors.recorded import BoomError, Diary, Who, failing, hanging
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio


class Plain(Actor):
    pass


def explode() -> Actor:
    raise BoomError("no parts")


def return_nothing() -> Actor:
    return None  # type: ignore[return-value]


async def test_a_refused_request_leaves_the_supervisor_and_its_children_alone() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", children=[diary.child("a")]))
        for _ in range(10):
            with pytest.raises(ChildNotFoundError):
                await tree.delete_child("nobody")
            with pytest.raises(StartError):
                await tree.start_child(Child("b", explode))
        assert await system.get("tree/a").ask(Who()) == 1
        assert tree.ref.statistics().crashed == 0


async def test_a_start_hook_that_raises_is_the_cause_of_the_start_error() -> None:
    diary = Diary()
    async with open_system() as system:
        with pytest.raises(StartError) as caught:
            await system.spawn(diary.child("a", started=failing(1)))
        assert isinstance(caught.value.__cause__, BoomError)
        assert system.find("a") is None


async def test_an_actor_class_with_a_wrong_handler_is_refused_without_harm() -> None:
    class Wrong(Actor):
        @handles
        async def wrong(self, message: int) -> None: ...

    async with open_system() as system:
        await system.spawn(Child("a", Plain))
        for start in (Wrong, lambda: Wrong()):
            with pytest.raises(HandlerError):
                await system.spawn(Child("b", start))
        assert [ref.path for ref in system.actors()] == ["a"]


async def test_a_factory_is_called_once_an_incarnation() -> None:
    made: list[Actor] = []

    class Hooked(Actor):
        def __init__(self) -> None:
            made.append(self)

        async def started(self) -> None:
            await anyio.lowlevel.checkpoint()

    async with open_system() as system:
        await system.spawn(Child("a", Hooked))
        await system.spawn(Child("b", partial(Hooked)))
    assert len(made) == 2


async def test_a_class_that_makes_something_else_is_started_with_its_hooks() -> None:
    diary = Diary()

    class Disguise(Actor):
        def __new__(cls) -> Actor:  # type: ignore[misc]  # pyright: ignore[reportInconsistentConstructor]
            return diary.child("x").start()

    async with open_system() as system:
        await system.spawn(Child("a", Disguise))
        assert diary.take() == ["start x"]


# --- askers that leave ---


async def test_a_start_whose_asker_left_leaves_nothing() -> None:
    diary = Diary()

    async def slowly(_: int) -> None:
        await anyio.sleep_forever()

    async with open_system() as system:
        async with anyio.create_task_group() as group:
            group.start_soon(system.spawn, diary.child("a", started=slowly))
            await wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert diary.take() == []  # its hook was cancelled: nobody waits for a start that nobody wants
        assert system.actors() == []
        await system.spawn(diary.child("a"))


@pytest.mark.parametrize("ticks", range(8))
async def test_a_start_cancelled_at_any_moment_leaves_nothing(ticks: int) -> None:
    """The asker may be cancelled and not have run yet when the child has started."""
    diary = Diary()
    async with open_system() as system:
        with CancelScope() as scope:

            async def cancel_the_asker(_: int) -> None:
                scope.cancel()
                for _ in range(ticks):
                    await anyio.lowlevel.checkpoint()

            await system.spawn(diary.child("a", started=cancel_the_asker))
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        assert system.actors() == []
        assert diary.take() in ([], ["start a", "stop a shutdown"])


async def test_a_start_that_was_never_begun_leaves_nothing() -> None:
    diary = Diary()
    released = anyio.Event()

    async def slowly(_: int) -> None:
        await released.wait()

    async with open_system() as system:
        async with anyio.create_task_group() as group:
            group.start_soon(system.spawn, diary.child("a", started=slowly))
            await wait_all_tasks_blocked()
            with anyio.move_on_after(0):
                await system.spawn(diary.child("b"))
            released.set()
        await wait_all_tasks_blocked()
        assert [ref.path for ref in system.actors()] == ["a"]


async def test_a_cancelled_start_of_an_id_that_runs_does_not_stop_the_one_that_runs() -> None:
    diary = Diary()
    child = diary.child("a")
    async with open_system() as system:
        await system.spawn(child)
        with CancelScope() as scope:
            scope.cancel()
            with pytest.raises(AlreadyStartedError):
                await system.spawn(child)
            await anyio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        assert await system.get("a").ask(Who()) == 1


@virtual_time
async def test_a_start_cancelled_while_its_supervisor_ends_is_just_cancelled() -> None:
    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree", shutdown=1.0))
        async with anyio.create_task_group() as stopping, anyio.create_task_group() as starting:
            starting.start_soon(tree.start_child, diary.child("a", started=hanging(1)))
            await wait_all_tasks_blocked()
            stopping.start_soon(tree.stop)
            await wait_all_tasks_blocked()
            starting.cancel_scope.cancel()
        await anyio.sleep(10)
        assert system.actors() == []


@virtual_time
async def test_a_start_that_outlasts_the_deadline_of_who_asked_for_it_leaves_nothing() -> None:
    """An actor that starts others while it answers a request inherits the deadline."""

    class Hire(Request[None], frozen=True):
        pass

    class Employer(Actor):
        @handles
        async def hire(self, message: Hire) -> None:
            await tree.start_child(diary.child("a", started=slowly))

    async def slowly(_: int) -> None:
        await anyio.sleep(3.0)

    diary = Diary()
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree"))
        employer = await system.spawn(Child("employer", Employer))
        with pytest.raises(AskTimeoutError):
            await employer.ask(Hire(), timeout=1.0)
        await anyio.sleep(10)
        assert diary.take() == []
        assert await tree.which_children() == []


async def test_handles_say_whom_they_administer() -> None:
    async with open_system() as system:
        tree = await system.spawn(Supervisor("tree"))
        inner = await tree.start_child(Supervisor("in"))
        assert repr(inner) == "<SupervisorRef tree/in>"
        assert inner.path == inner.ref.path == "tree/in"
        assert repr(system.root) == "<SupervisorRef root>"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("ticks", range(12))
async def test_a_task_that_is_cancelled_while_it_starts_a_child_has_the_ref_or_leaves_nothing(
    ticks: int,
) -> None:
    """A native cancellation on asyncio can hit an asker whose answer is on its way."""
    diary = Diary()
    async with open_system() as system:
        task = asyncio.create_task(system.spawn(diary.child("a")))
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        try:
            ref = await task
        except asyncio.CancelledError:
            await wait_all_tasks_blocked()
            assert system.actors() == []
        else:
            assert system.actors() == [ref]
