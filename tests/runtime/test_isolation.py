"""Isolation: what context variables an actor's handlers see and leave behind."""

import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial

import anyio
import pytest

from relight import (
    SHUTDOWN,
    Actor,
    ActorCrashedError,
    Child,
    Down,
    Exited,
    ExitReason,
    Message,
    Ref,
    System,
    handles,
    open_system,
)
from relight.runtime import current_request
from tests.runtime.desk import Boom, Desk, Echo, Hold, Log, Nap, Note, asking, open_desk, settle

pytestmark = pytest.mark.anyio

language: ContextVar[str] = ContextVar("language", default="none")


class Speaker(Desk):
    """Logs the language it finds and sets its own."""

    async def note(self, message: Note) -> None:
        self.log.append(language.get())
        language.set(str(message.text))

    async def hold(self, message: Hold) -> int:
        language.set("held")
        await super().hold(message)
        self.log.append(language.get())
        return message.number

    async def echo(self, message: Echo) -> int:
        self.log.append(language.get())
        return message.number


class Isolated(Speaker):
    isolated = True


async def test_an_isolated_handler_leaves_no_variable_behind() -> None:
    async with open_desk(Isolated) as (_, ref, log):
        for text in ("en", "fr"):
            await ref.tell(Note(text))
        await settle()
        assert log == ["none", "none"]


async def test_an_isolated_handler_keeps_its_variables_over_an_await() -> None:
    async with open_desk(Isolated) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        log.open()
        await settle()
        await ref.ask(Echo())
        assert log[-2:] == ["held", "none"]


async def test_an_isolated_handler_sees_the_context_the_system_was_opened_in() -> None:
    token = language.set("system")
    try:
        async with open_desk(Isolated) as (_, ref, log):
            await ref.tell(Note("en"))
            await settle()
            assert log == ["system"]
    finally:
        language.reset(token)


async def test_no_handler_sees_the_variables_of_its_sender() -> None:
    async with open_desk(Isolated) as (_, ref, log):
        token = language.set("sender")
        await ref.ask(Echo())
        language.reset(token)
        assert log == ["none"]


async def test_workers_start_in_the_context_of_the_system_not_of_the_handler_that_needs_them() -> None:
    class Opener(Desk):
        async def echo(self, message: Echo) -> int:
            language.set("opener")
            for far in fars:
                await far.tell(Hold())  # each needs a worker of its own
            return 0

    fars: list[Ref] = []
    log = Log()
    async with open_system() as system:
        fars += [await system.spawn(Child(f"far{number}", partial(Holder, log))) for number in range(5)]
        opener = await system.spawn(Child("opener", partial(Opener, log)))
        await opener.ask(Echo())
        await settle()
        assert log.count("none") >= 4  # the opener's own worker may serve one of them
        log.open()


class Holder(Desk):
    async def hold(self, message: Hold) -> int:
        self.log.append(language.get())
        await self.log.gate.wait()
        return 0


async def test_a_lifespan_starts_in_the_context_of_the_system() -> None:
    class Tenant(Desk):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None, None]:
            self.log.append(language.get())
            yield

    async with open_desk() as (system, _ref, log):
        token = language.set("spawner")
        await system.spawn(Child("tenant", partial(Tenant, log)))
        language.reset(token)
        assert log == ["none"]


async def test_a_task_of_an_isolated_handler_inherits_its_variables() -> None:
    class Grouped(Isolated):
        async def echo(self, message: Echo) -> int:
            language.set("parent")
            async with anyio.create_task_group() as group:
                group.start_soon(self.child)
            return 0

        async def child(self) -> None:
            self.log.append(language.get())

    async with open_desk(Grouped) as (_, ref, log):
        await ref.ask(Echo())
        assert log == ["parent"]


async def test_an_isolated_handler_is_cancelled_like_any_other() -> None:
    async with open_desk(Isolated, shutdown=1.0) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        await ref.stop()
        await settle()
        assert ("cancelled", 1) in log


async def test_an_isolated_handler_that_raises_crashes() -> None:
    async with open_desk(Isolated) as (_, ref, _log):
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Boom("spark"))
        assert repr(caught.value.__cause__) == "ValueError('spark')"


async def test_an_isolated_handler_may_catch_what_its_awaits_raise() -> None:
    class Careful(Isolated):
        async def nap(self, message: Nap) -> float:
            try:
                with anyio.fail_after(message.seconds):
                    await anyio.sleep_forever()
            except TimeoutError:
                self.log.append("caught")
            return -1

    async with open_desk(Careful) as (_, ref, _log):
        assert await ref.ask(Nap(1)) == -1


async def test_an_isolated_handler_inherits_the_deadline_of_its_asker() -> None:
    class Nested(Isolated):
        async def echo(self, message: Echo) -> int:
            request = current_request.get()
            assert request is not None
            self.log.append(request.limit - anyio.current_time())
            return 0

    async with open_desk(Nested) as (_, ref, log):
        await ref.ask(Echo(), timeout=3)
        assert log == [pytest.approx(3)]


async def test_the_request_in_hand_is_forgotten_after_it() -> None:
    class Nosy(Desk):
        async def note(self, message: Note) -> None:
            request = current_request.get()
            self.log.append(request is None or request.done)

    async with open_desk(Nosy) as (_, ref, log):
        await ref.ask(Echo(1), timeout=1)
        await ref.tell(Note())
        await settle()
        assert log == [1, True]


class Keepsake:
    """What a message may carry."""


class Carry(Message, frozen=True):
    keepsake: Keepsake


class Fragile(Actor):
    @handles
    async def carry(self, message: Carry) -> None:
        raise ValueError


async def test_an_actor_that_runs_again_keeps_nothing_of_the_message_that_crashed_it() -> None:
    async with open_system() as system:
        ref = await system.spawn(Child("fragile", Fragile))
        keepsake = Keepsake()
        kept = weakref.ref(keepsake)
        await ref.tell(Carry(keepsake))
        del keepsake
        await settle()
        gc.collect()
        assert ref.statistics().restarts == 1
        assert kept() is None


# --- nobody sees what an isolated actor binds ------------------------------------------------------------


class Marked(Isolated):
    """Binds the variable wherever the runtime calls it."""

    traps_exits = True

    async def started(self) -> None:
        language.set("started")

    async def stopping(self, reason: ExitReason) -> None:
        language.set("stopping")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        language.set("lifespan")
        async with anyio.create_task_group() as group:
            group.start_soon(self.background)
            yield
            group.cancel_scope.cancel()

    async def background(self) -> None:
        self.log.append(("background", language.get()))
        language.set("background")
        await anyio.sleep_forever()

    @handles
    async def exited(self, message: Exited) -> None:
        self.log.append(("exited", language.get()))
        language.set("exited")

    @handles
    async def down(self, message: Down) -> None:
        self.log.append(("down", language.get()))
        language.set("down")


async def look(system: System) -> set[str]:
    """Look into the context of every worker there is."""
    log = Log()
    async with anyio.create_task_group() as group:
        for number in range(20):
            ref = await system.spawn(Child(f"looker{number}", partial(Holder, log)))
            await asking(group, ref, Hold())
        log.open()
    for number in range(20):
        await system.get(f"looker{number}").stop()
    return {str(entry) for entry in log}


async def test_nobody_sees_what_the_hooks_of_an_isolated_actor_bind() -> None:
    async with open_desk(Marked) as (system, ref, log):
        assert await look(system) == {"none"}
        await ref.tell(Boom())  # stops and starts
        await settle()
        assert await look(system) == {"none"}
        await ref.stop()
        assert await look(system) == {"none"}
        assert log == [("background", "lifespan")] * 2


async def test_nobody_sees_what_an_isolated_actor_binds_when_it_is_told_of_others() -> None:
    async with open_desk(Marked) as (system, ref, log):
        other = await system.spawn(Child("other", partial(Desk, Log())))
        system.link(ref, other)
        system.monitor(other, notify=ref)
        with system.trace(ref):
            await other.tell(Boom())
            await ref.tell(Note("noted"))
            await settle()
        log.remove(("background", "lifespan"))
        assert log == [("down", "none"), ("exited", "none"), "none"]
        assert await look(system) == {"none"}


async def test_an_actor_is_told_of_an_end_in_no_context_of_whoever_caused_it() -> None:
    async with open_desk(Marked) as (system, ref, log):
        other = await system.spawn(Child("other", partial(Desk, Log())))
        system.link(ref, other)
        token = language.set("culprit")
        system.kill(other)
        system.exit(ref, SHUTDOWN)
        language.reset(token)
        await settle()
        assert log[-2:] == [("exited", "none")] * 2


async def test_a_stop_hook_that_is_caused_by_a_link_sees_nothing_of_the_cause() -> None:
    class Sharp(Isolated):
        async def stopping(self, reason: ExitReason) -> None:
            self.log.append(("stopping", language.get()))

    async with open_desk(Sharp) as (system, ref, log):
        other = await system.spawn(Child("other", partial(Speaker, Log())))
        system.link(ref, other)
        token = language.set("culprit")
        system.kill(other)
        language.reset(token)
        await settle()
        assert log == [("stopping", "none")]
