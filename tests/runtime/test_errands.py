"""Errands: messages that bring along what is to be done, for any actor."""

from __future__ import annotations

import anyio
import pytest

from relight import Actor, ActorCrashedError, Child, GuardedActor, Message, Request, handles, open_system
from relight.runtime import Errand
from tests.runtime.desk import Boom, Desk, Echo, Note, open_desk, settle

pytestmark = pytest.mark.anyio


class Look(Errand[str], frozen=True):
    """Asked: which class is the actor of?"""

    async def carry_out(self, actor: Actor) -> str:
        await anyio.sleep(1)
        return type(actor).__name__


class Break(Errand[None], frozen=True):
    async def carry_out(self, actor: Actor) -> None:
        raise KeyError


class Bare(Errand[None], frozen=True):
    pass


class TakesAll(Desk):
    @handles
    async def anything(self, message: Message) -> None:
        self.log.append(type(message).__name__)


class Quiet(GuardedActor):
    pass


class Plain(Request[None], frozen=True):
    pass


async def test_any_actor_carries_it_out_in_its_turn() -> None:
    async with open_desk() as (_system, ref, log):
        await ref.tell(Note("first"))
        assert await ref.ask(Look()) == "Desk"
        assert (log, ref.statistics().handled) == (["first"], 2)


async def test_a_told_one_is_carried_out_too() -> None:
    async with open_desk() as (_system, ref, _log):
        await ref.tell(Look())
        await ref.ask(Echo(1))
        assert ref.statistics().handled == 2


async def test_an_actor_that_takes_every_message_does_not_get_it() -> None:
    async with open_desk(TakesAll) as (_system, ref, log):
        await ref.ask(Plain())
        assert await ref.ask(Look()) == "TakesAll"
        assert log == ["Plain"]


async def test_what_it_raises_is_a_crash() -> None:
    async with open_desk() as (_system, ref, log):
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Break())
        assert isinstance(caught.value.__cause__, KeyError)
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Bare())
        assert isinstance(caught.value.__cause__, NotImplementedError)
        await settle()
        assert (ref.statistics().crashed, log.made) == (2, 3)


async def test_a_service_carries_it_out_behind_its_guard() -> None:
    async with open_system() as system:
        quiet = await system.spawn(Child("quiet", Quiet))
        assert await quiet.ask(Look()) == "Quiet"
        assert system.services()[0].attempts == 1


async def test_it_changes_nothing_for_other_messages() -> None:
    async with open_desk() as (_system, ref, _log):
        await ref.ask(Look())
        with pytest.raises(ActorCrashedError):
            await ref.ask(Boom())
        assert await ref.ask(Echo(3)) == 3
