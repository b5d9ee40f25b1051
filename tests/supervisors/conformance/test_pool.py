"""Pools: who gets a message, what becomes of it when a member ends, and members that are changed."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import ClassVar, cast

import anyio
import pytest

from relight.runtime import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    Exit,
    MailboxClosedError,
    MailboxFullError,
    Message,
    Request,
    StartError,
    UnhandledMessageError,
    handles,
)
from relight.supervisors import (
    Child,
    ChildSpecError,
    DynamicSupervisor,
    GuardedActor,
    Pool,
    PoolRef,
    RouteName,
    System,
    open_system,
)
from relight.supervisors._administration import ReplaceMember
from relight.supervisors.policies import Fixed, Policy
from tests.runtime.desk import Answer, asking, cell_of, settle, telling
from tests.supervisors.conformance.trees import crash, hear, open_group, open_tree
from tests.supervisors.recorded import BoomError, Crash, Diary, Finish, Who, failing, ignoring

pytestmark = pytest.mark.anyio


class Ticket(Request[str], frozen=True):
    """Who handles this? Answered with the id of the member and its make."""

    key: int = 0
    seconds: float = 0.0


class Desk(Actor):
    """A member: says who it is, and takes its time."""

    make: ClassVar[str] = "old"

    async def started(self) -> str:
        return self.ref.path.rpartition("/")[2]

    @handles
    async def ticket(self, message: Ticket) -> str:
        if message.seconds:
            await anyio.sleep(message.seconds)
        return f"{self.ref.path.rpartition('/')[2]} {self.make}"

    @handles
    async def crash_now(self, message: Crash) -> None:
        raise BoomError

    @handles
    async def finish(self, message: Finish) -> None:
        raise Exit


class NewDesk(Desk):
    make = "new"


class Broken(Desk):
    async def started(self) -> str:
        raise BoomError


MEMBER = Child("desk", Desk)


@asynccontextmanager
async def open_pool(
    size: int = 3,
    *,
    member: Child = MEMBER,
    route: RouteName | Callable[[Message], Hashable] = "round_robin",
    intensity: int = 3,
) -> AsyncGenerator[tuple[System, PoolRef]]:
    async with open_system() as system:
        spec = Pool("pool", member, size=size, route=route, intensity=intensity, restart="temporary")
        yield system, await system.spawn(spec)


def key_of(message: Message) -> Hashable:
    return message.key if isinstance(message, Ticket) else None


async def many(pool: PoolRef, count: int) -> list[str]:
    """Ask a pool again and again, one after the other; return the members' ids."""
    return [(await pool.ask(Ticket(number))).split()[0] for number in range(count)]


async def expect_closed(pool: PoolRef) -> None:
    """Try to send in each way there is."""
    with pytest.raises(MailboxClosedError):
        await pool.ask(Ticket())
    with pytest.raises(MailboxClosedError):
        await pool.tell(Ticket())
    with pytest.raises(MailboxClosedError):
        pool.tell_nowait(Ticket())


# --- routing ---


async def test_members_take_turns() -> None:
    async with open_pool() as (_, pool):
        assert sorted(await many(pool, 6)) == ["desk-1", "desk-1", "desk-2", "desk-2", "desk-3", "desk-3"]
        assert [ref.path for ref in pool.members()] == ["pool/desk-1", "pool/desk-2", "pool/desk-3"]
        assert pool.info == ["desk-1", "desk-2", "desk-3"]
        assert repr(pool) == "<PoolRef pool running>"
        assert (pool.path, pool.is_alive, pool.principal.path) == ("pool", True, "pool")


async def test_the_least_loaded_member_gets_the_message() -> None:
    async with open_pool(route="least_loaded") as (_, pool), open_group() as group:
        busy = [await asking(group, pool, Ticket(seconds=10.0)) for _ in range(2)]
        free = await many(pool, 5)
        assert len(set(free)) == 1
        await anyio.sleep(10.1)
        assert {*free, *((answer.value or "").split()[0] for answer in busy)} == {
            "desk-1",
            "desk-2",
            "desk-3",
        }


async def test_a_key_belongs_to_one_member() -> None:
    async with open_pool(5, route=key_of) as (_, pool):
        first = await many(pool, 100)
        assert await many(pool, 100) == first
        assert len(set(first)) == 5


async def test_keys_are_spread_over_all_members() -> None:
    """Small numbers too, which hash to themselves."""
    async with open_pool(5, route=key_of) as (_, pool):
        owners = Counter(await many(pool, 500))
        assert len(owners) == 5
        assert min(owners.values()) >= 50


@pytest.mark.parametrize(("before", "after"), [(4, 5), (5, 4)])
async def test_a_change_of_size_moves_as_few_keys_as_can_be(before: int, after: int) -> None:
    """Only to the member that has come, or from the one that has gone."""
    async with open_pool(before, route=key_of) as (_, pool):
        first = await many(pool, 200)
        await pool.resize(after)
        second = await many(pool, 200)
        moved = [(old, new) for old, new in zip(first, second, strict=True) if old != new]
        assert 0 < len(moved) < 100
        assert all("desk-5" in pair for pair in moved)


async def test_a_keys_messages_wait_for_its_member_while_it_restarts() -> None:
    member = Child("desk", Desk, backoff=Fixed(10.0))
    async with open_pool(route=key_of, member=member) as (_, pool):
        owner = (await pool.ask(Ticket(7))).split()[0]
        ref = next(ref for ref in pool.members() if ref.path == f"pool/{owner}")
        await crash(ref)
        assert (await pool.ask(Ticket(7), timeout=60.0)).split()[0] == owner
        assert anyio.current_time() == pytest.approx(10.0)


@pytest.mark.parametrize("route", ["round_robin", "least_loaded"])
async def test_a_member_that_restarts_gets_no_messages_while_others_can(route: RouteName) -> None:
    member = Child("desk", Desk, backoff=Fixed(10.0))
    async with open_pool(2, route=route, member=member) as (_, pool):
        await crash(pool.members()[0])
        assert await many(pool, 4) == ["desk-2"] * 4
        assert anyio.current_time() == 0.0
        await crash(pool.members()[1])
        assert len(pool.members()) == 2
        await pool.ask(Ticket(), timeout=60.0)  # nobody can: it waits for one that will
        assert anyio.current_time() == pytest.approx(10.0)


async def test_a_full_member_is_passed_over_while_another_has_room() -> None:
    class Narrow(Desk):
        mailbox = 1

    async with open_pool(2, member=Child("desk", Narrow)) as (_, pool), open_group() as group:
        answers = [await asking(group, pool, Ticket(seconds=1.0)) for _ in range(4)]
        with pytest.raises(MailboxFullError):
            pool.tell_nowait(Ticket())
        late = await telling(group, pool, Ticket())
        assert not late.is_in
        await anyio.sleep(5.0)
        assert late.error is None
        assert all(answer.error is None for answer in answers)


async def test_a_told_message_is_handled_by_one_member() -> None:
    async with open_pool() as (_, pool):
        for _ in range(9):
            await pool.tell(Ticket())
        pool.tell_nowait(Ticket())
        await settle()
        assert [ref.statistics().handled for ref in pool.members()] == [3, 4, 3]
        assert (pool.statistics().handled, pool.statistics().accepted) == (10, 10)


async def test_errors_of_the_message_itself_come_from_its_member() -> None:
    """Only a message that its member has not taken is tried with another one."""
    async with open_pool() as (_, pool):
        with pytest.raises(UnhandledMessageError):
            await pool.ask(Who())
        with pytest.raises(ActorCrashedError):
            await pool.ask(Crash())


@pytest.mark.parametrize("way", ["ask", "tell"])
async def test_a_closed_mailbox_that_a_handler_met_is_not_taken_for_the_pools(way: str) -> None:
    class Middle(Actor):
        declines = (MailboxClosedError,)

        @handles
        async def ticket(self, message: Ticket) -> str:
            return await gone.ask(message)

    async with open_pool(member=Child("middle", Middle)) as (system, pool):
        gone = await system.spawn(Child("gone", Desk))
        await gone.stop()
        if way == "ask":
            with pytest.raises(MailboxClosedError) as caught:
                await pool.ask(Ticket())
            assert caught.value.ref is gone
        else:
            await pool.tell(Ticket())
        await settle()
        assert sum(ref.statistics().accepted for ref in pool.members()) == 1


# --- members that end ---


async def test_a_member_that_crashes_is_restarted_and_keeps_its_place() -> None:
    async with open_pool() as (_, pool):
        members = pool.members()
        with pytest.raises(ActorCrashedError):
            await pool.ask(Crash())
        await settle()
        assert pool.members() == members
        assert pool.statistics().restarts == 1
        assert sorted(set(await many(pool, 3))) == ["desk-1", "desk-2", "desk-3"]


async def test_a_sender_that_waits_for_room_at_a_member_that_ends_goes_to_another() -> None:
    class Narrow(Desk):
        mailbox = 1

    member = Child("desk", Narrow, shutdown=0.0)
    async with open_pool(2, member=member, route=key_of) as (_, pool), open_group() as group:
        owner = (await pool.ask(Ticket(1))).split()[0]
        hands = [await asking(group, pool, Ticket(1, seconds=100.0)) for _ in range(2)]
        waiting = await asking(group, pool, Ticket(1), 50.0)
        by_default = await asking(group, pool, Ticket(1), None)
        told = await telling(group, pool, Ticket(1))
        await next(ref for ref in pool.members() if ref.path == f"pool/{owner}").stop()
        await settle()
        assert by_default.error is None
        assert waiting.value is not None
        assert waiting.value.split()[0] != owner
        assert told.error is None
        assert [type(answer.error) for answer in hands] == [ActorStoppedError] * 2


async def test_a_pool_without_members_takes_nothing() -> None:
    """Temporary members that have ended are gone; a new size brings new ones."""
    async with open_pool(2, member=Child("desk", Desk, restart="temporary")) as (_, pool):
        for _ in range(2):
            with pytest.raises(ActorStoppedError):
                await pool.ask(Finish())
            await settle()
        assert pool.members() == []
        await expect_closed(pool)
        await pool.resize(1)
        assert await many(pool, 2) == ["desk-3", "desk-3"]


async def test_a_pool_that_is_given_up_takes_nothing_and_leaves_no_asker() -> None:
    async with open_pool(intensity=1) as (system, pool):
        heard = hear(system, "actor.gave_up")
        async with open_group() as group:
            in_hand = await asking(group, pool, Ticket(seconds=2.0))
            for _ in range(2):
                idle = next(ref for ref in pool.members() if not ref.statistics().in_hand)
                await crash(idle)
        assert heard == [("actor.gave_up", "pool")]
        assert in_hand.error is None
        assert not pool.is_alive
        await expect_closed(pool)
        assert system.actors() == []
        assert (pool.members(), pool.info, pool.statistics().handled) == ([], [], 0)
        assert repr(pool) == "<PoolRef pool stopped>"
        await pool.stop()


async def test_a_pool_stops_with_all_members_at_the_same_time() -> None:
    diary = Diary()
    async with open_pool(member=diary.child("m", slow_stop=1.0)) as (system, pool):
        await pool.stop()
        assert anyio.current_time() == pytest.approx(1.0)
        assert diary.take()[3:] == ["stop m shutdown"] * 3
        assert system.actors() == []


async def test_a_pool_whose_member_does_not_start_does_not_start() -> None:
    diary = Diary()
    async with open_system() as system:
        with pytest.raises(StartError):
            await system.spawn(Pool("pool", diary.child("m", started=failing(3)), size=4))
        assert diary.take() == ["start m", "start m", "startfail m", "stop m shutdown", "stop m shutdown"]
        assert system.actors() == []


async def test_a_member_that_is_not_wanted_is_no_member() -> None:
    diary = Diary()
    async with open_pool(member=diary.child("m", started=ignoring(2))) as (_, pool):
        assert [ref.path for ref in pool.members()] == ["pool/m-1", "pool/m-3"]
        await pool.resize(3)
        assert [ref.path for ref in pool.members()] == ["pool/m-1", "pool/m-3", "pool/m-4"]


async def test_a_pool_may_be_part_of_a_supervisors_group_and_its_ref_stays_good() -> None:
    diary = Diary()
    spec = Pool("pool", MEMBER, size=2)
    async with open_tree(diary.child("a"), spec, diary=diary, strategy="one_for_all") as (system, tree):
        (listed,) = [child for child in await tree.which_children() if child.id == "pool"]
        pool = listed.ref
        assert isinstance(pool, PoolRef)
        assert pool.path == "tree/pool"
        await crash(system.get("tree/a"))
        assert await many(pool, 2) == ["desk-2", "desk-1"]
        assert pool.statistics().handled == 2


async def test_a_pool_that_gave_up_and_was_restarted_keeps_its_ref() -> None:
    diary = Diary()
    async with open_tree(Pool("pool", MEMBER, size=2, intensity=0), diary=diary) as (_, tree):
        (listed,) = await tree.which_children()
        pool = listed.ref
        assert isinstance(pool, PoolRef)
        await crash(pool.members()[0])
        assert sorted(await many(pool, 2)) == ["desk-1", "desk-2"]


async def test_a_pool_takes_nothing_while_it_is_restarted_itself() -> None:
    """It has no members then, and no mailbox of its own."""
    diary = Diary()
    spec = Pool("pool", MEMBER, size=1, intensity=0, backoff=Fixed(10.0))
    async with open_tree(spec, diary=diary) as (_, tree):
        (listed,) = await tree.which_children()
        pool = cast("PoolRef", listed.ref)
        await crash(pool.members()[0])
        assert pool.is_alive
        await expect_closed(pool)
        await anyio.sleep(10.1)
        assert await many(pool, 1) == ["desk-1"]


async def test_two_refs_of_one_pool_are_equal() -> None:
    async with open_pool(1) as (_, pool), open_pool(1) as (_, other):
        again = PoolRef(cell_of(pool.principal))
        assert again == pool
        assert hash(again) == hash(pool)
        assert other != pool
        assert pool.principal != pool


async def test_a_pool_in_a_crowd_is_terminated_by_the_ref_it_had_before_its_restart() -> None:
    async with open_system() as system:
        crowd = await system.spawn(DynamicSupervisor("crowd"))
        pool = await crowd.start_child(Pool("pool", MEMBER, size=1, intensity=0))
        await crash(pool.members()[0])
        assert await many(pool, 1) == ["desk-1"]
        await crowd.terminate_child(pool)
        assert not pool.is_alive


# --- changing the members ---


async def test_a_pool_grows() -> None:
    async with open_pool(1) as (_, pool):
        await pool.resize(3)
        assert sorted(set(await many(pool, 3))) == ["desk-1", "desk-2", "desk-3"]


async def test_members_that_are_too_many_handle_what_is_queued_for_them() -> None:
    async with open_pool(3) as (system, pool), open_group() as group:
        answers = [await asking(group, pool, Ticket(seconds=1.0)) for _ in range(9)]
        await pool.resize(1)
        assert anyio.current_time() == 0.0
        assert [ref.path for ref in pool.members()] == ["pool/desk-1"]
        assert await many(pool, 1) == ["desk-1"]
        await anyio.sleep(5.0)
        assert all(answer.value is not None for answer in answers)
        assert [ref.path for ref in system.actors()] == ["pool", "pool/desk-1"]


async def test_members_that_are_too_many_have_the_time_to_drain_and_no_more() -> None:
    async with open_pool(2) as (system, pool), open_group() as group:
        answers = [await asking(group, pool, Ticket(seconds=20.0)) for _ in range(4)]
        await pool.resize(1, drain=3.0)
        await anyio.sleep(9.0)
        assert [ref.path for ref in system.actors()] == ["pool", "pool/desk-1"]
        failed = [answer for answer in answers if answer.error is not None]
        assert [type(answer.error) for answer in failed] == [ActorStoppedError] * 2
        assert sorted(answer.at or 0.0 for answer in failed) == pytest.approx([3.0, 8.0])


async def test_a_member_that_crashes_while_it_drains_is_restarted_for_the_rest_of_its_queue() -> None:
    async with open_pool(2) as (system, pool), open_group() as group:
        second = pool.members()[1]
        hand = await asking(group, second, Ticket(seconds=1.0))
        poison = await asking(group, second, Crash())
        rest = await asking(group, second, Ticket())
        await pool.resize(1)
        await anyio.sleep(2.0)
        assert hand.error is None
        assert isinstance(poison.error, ActorCrashedError)
        assert rest.value == "desk-2 old"
        assert [ref.path for ref in system.actors()] == ["pool", "pool/desk-1"]


@pytest.mark.parametrize("size", [0, -1, 1.5, "many"])
async def test_a_size_that_is_none_is_refused(size: int) -> None:
    async with open_pool() as (_, pool):
        with pytest.raises(ChildSpecError, match=r"Pool.size must be a whole number >= 1"):
            await pool.resize(size)
        assert len(pool.members()) == 3


async def test_a_new_member_that_does_not_start_fails_the_resize_and_those_before_it_stay() -> None:
    diary = Diary()
    async with open_pool(2, member=diary.child("m", started=failing(4))) as (_, pool):
        with pytest.raises(StartError):
            await pool.resize(5)
        assert len(pool.members()) == 3
        await pool.resize(4)
        assert len(pool.members()) == 4


async def test_members_are_replaced_one_at_a_time_under_load_without_losing_a_message() -> None:
    async with open_pool(3) as (_, pool):
        serving: list[int] = []
        async with open_group() as group:
            answers: list[Answer[str]] = []

            async def load() -> None:
                for number in range(100):
                    answer: Answer[str] = Answer()
                    answers.append(answer)
                    group.start_soon(answer.run, pool, Ticket(number, seconds=0.1), 60.0)
                    await anyio.sleep(0.01)
                    serving.append(sum(cell_of(ref).is_serving for ref in pool.members()))

            group.start_soon(load)
            await anyio.sleep(0.2)
            await pool.replace(NewDesk)
        assert [answer.error for answer in answers] == [None] * 100
        makes = [(answer.value or "").split()[1] for answer in answers]
        assert set(makes) == {"old", "new"}
        assert min(serving) == 2
        assert set(await many(pool, 3)) == {"desk-1", "desk-2", "desk-3"}
        assert pool.statistics().dead_letters == 0


async def test_later_members_are_of_the_new_make_too() -> None:
    async with open_pool(1) as (_, pool):
        await pool.replace(NewDesk)
        await pool.resize(2)
        await crash(pool.members()[0])
        assert sorted([await pool.ask(Ticket()) for _ in range(2)]) == ["desk-1 new", "desk-2 new"]


async def test_members_may_be_replaced_by_others_of_the_same_make() -> None:
    async with open_pool(2) as (_, pool):
        await pool.replace()
        assert pool.statistics().restarts == 2
        assert await pool.ask(Ticket()) == "desk-2 old"


async def test_a_new_make_that_does_not_start_is_taken_back() -> None:
    """The first member is what it was before, with its queue; the others were not touched."""
    async with open_pool(2) as (_, pool), open_group() as group:
        hand = await asking(group, pool.members()[0], Ticket(seconds=1.0))
        queued = await asking(group, pool.members()[0], Ticket())
        with pytest.raises(StartError):
            await pool.replace(Broken)
        assert hand.value == "desk-1 old"
        await settle()
        assert queued.value == "desk-1 old"
        assert [ref.statistics().restarts for ref in pool.members()] == [1, 0]
        await pool.resize(3)
        assert (await pool.ask(Ticket())).endswith("old")


async def test_a_member_that_starts_no_more_in_either_make_is_tried_again() -> None:
    """Its old make fails too: a restart that fails, which counts."""
    diary = Diary()
    member = diary.child("m", started=failing(3), backoff=Fixed(5.0))
    async with open_pool(2, member=member) as (_, pool):
        with pytest.raises(StartError):
            await pool.replace(Broken)
        assert not cell_of(pool.members()[0]).is_serving
        await anyio.sleep(5.1)
        assert [ref.statistics().restarts for ref in pool.members()] == [1, 0]


async def test_a_member_that_has_ended_meanwhile_is_not_replaced() -> None:
    async with open_pool(3) as (_, pool):
        supervisor = pool.principal
        await pool.resize(2)
        await cell_of(supervisor).ask(ReplaceMember("desk-3", NewDesk))
        await cell_of(supervisor).ask(ReplaceMember("nobody", NewDesk))
        assert {await pool.ask(Ticket()) for _ in range(2)} == {"desk-1 old", "desk-2 old"}


# --- services ---


class Api(GuardedActor):
    made: ClassVar[int] = 0

    def __init__(self) -> None:
        type(self).made += 1

    @handles
    async def ticket(self, message: Ticket) -> str:
        await anyio.sleep(message.seconds)
        return "served"


async def test_services_may_be_members() -> None:
    async with open_pool(2, member=Child("api", Api)) as (system, pool):
        assert [ref.path for ref in pool.members()] == ["pool/api-1/service", "pool/api-2/service"]
        assert [await pool.ask(Ticket(seconds=0.1)) for _ in range(4)] == ["served"] * 4
        assert [service.provider for service in system.services()] == ["api-1", "api-2"]
        assert pool.statistics().handled == 4


async def test_a_replaced_service_of_another_policy_gets_a_guard_of_its_own() -> None:
    """Its ref is another one then, and what was queued has failed; the pool sends on what was not taken."""

    class Hasty(Api):
        policy = Policy(call_timeout=7.0)

    async with open_pool(1, member=Child("api", Api)) as (_, pool):
        before = pool.members()[0]
        await pool.replace(Hasty)
        assert not before.is_alive
        assert cell_of(pool.members()[0]).call_timeout == 7.0
        assert await pool.ask(Ticket()) == "served"


async def test_a_service_may_be_replaced_by_a_plain_actor_and_back() -> None:
    async with open_pool(1, member=Child("api", Api)) as (_, pool):
        service = pool.members()[0]
        await pool.replace(NewDesk)
        assert not service.is_alive
        assert await pool.ask(Ticket()) == "api-1 new"
        await pool.replace(Api)
        assert await pool.ask(Ticket()) == "served"


async def test_services_are_replaced_without_losing_a_call() -> None:
    async with open_pool(2, member=Child("api", Api)) as (_, pool), open_group() as group:
        made, members = Api.made, pool.members()
        answers = [await asking(group, pool, Ticket(seconds=1.0), 60.0) for _ in range(40)]
        await pool.replace()
        late = [await asking(group, pool, Ticket(seconds=0.1), 60.0) for _ in range(4)]
        await anyio.sleep(60.0)
        assert [answer.value for answer in [*answers, *late]] == ["served"] * 44
        assert Api.made == made + 2
        assert pool.members() == members


async def test_a_new_member_that_is_not_wanted_is_left_out() -> None:
    diary = Diary()
    async with open_pool(1, member=diary.child("m", started=ignoring(2, 3))) as (_, pool):
        await pool.resize(4)
        assert [ref.path for ref in pool.members()] == ["pool/m-1", "pool/m-4"]


async def test_a_service_that_has_failed_is_passed_over() -> None:
    class Ill(Api):
        policy = Policy(intensity=0, failed_probe=30.0)

        @handles
        async def crash_now(self, message: Crash) -> None:
            raise BoomError

    async with open_pool(2, member=Child("api", Ill)) as (system, pool):
        await crash(pool.members()[0])
        assert [node.state for node in system.tree() if node.role == "service"] == ["failed", "ok"]
        assert [await pool.ask(Ticket()) for _ in range(4)] == ["served"] * 4
        assert [ref.statistics().handled for ref in pool.members()] == [1, 4]


async def test_a_member_that_ends_by_itself_while_it_drains_is_done() -> None:
    member = Child("desk", Desk, restart="transient")
    async with open_pool(2, member=member) as (system, pool), open_group() as group:
        second = pool.members()[1]
        hand = await asking(group, second, Ticket(seconds=1.0))
        last = await asking(group, second, Finish())
        await pool.resize(1)
        await anyio.sleep(2.0)
        assert hand.error is None
        assert isinstance(last.error, ActorStoppedError)
        assert [ref.path for ref in system.actors()] == ["pool", "pool/desk-1"]
        assert pool.statistics().handled == 0
