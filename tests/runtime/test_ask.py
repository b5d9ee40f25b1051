"""Ask: replies, deadlines, and what the asker is told when there is none."""

from functools import partial
from math import inf, nan

import anyio
import pytest

from relight import (
    Actor,
    ActorCrashedError,
    ActorStoppedError,
    AskTimeoutError,
    Child,
    DeadlineExceededError,
    Exit,
    MailboxClosedError,
    Ref,
    Request,
    SelfAskError,
    UnhandledMessageError,
    handles,
)
from tests.runtime.desk import (
    Boom,
    Crowd,
    Desk,
    Echo,
    Hold,
    Log,
    Nap,
    Narrow,
    Note,
    Unknown,
    asking,
    cell_of,
    heard,
    jump,
    open_desk,
    settle,
)

pytestmark = pytest.mark.anyio


class Relay(Request[str], frozen=True):
    """Have a clerk ask *ref* in turn; the reply says how that went."""

    ref: Ref
    message: Request[object]
    timeout: float | None = None
    pause: float = 0.0


class Clerk(Actor):
    """Ask others while handling an ask."""

    def __init__(self, log: Log | None = None) -> None:
        self.log = log

    @handles
    async def relay(self, message: Relay) -> str:
        began = anyio.current_time()
        await anyio.sleep(message.pause)
        try:
            await message.ref.ask(message.message, timeout=message.timeout)
        except Exception as error:  # noqa: BLE001 - it is told on
            said = f"{type(error).__name__} after {anyio.current_time() - began:.3g}"
        else:
            said = f"reply after {anyio.current_time() - began:.3g}"
        if self.log is not None:
            self.log.append(said)
        return said


async def test_the_reply_comes_back() -> None:
    async with open_desk() as (_, ref, _log):
        assert await ref.ask(Echo(7)) == 7


async def test_the_handlers_error_is_the_cause_of_what_the_asker_gets() -> None:
    async with open_desk() as (_, ref, _log):
        with pytest.raises(ActorCrashedError, match="desk: crashed on Boom: ValueError") as caught:
            await ref.ask(Boom("spark"))
        assert repr(caught.value.__cause__) == "ValueError('spark')"
        assert caught.value.message == Boom("spark")
        assert caught.value.ref is ref


async def test_an_actor_that_exits_on_an_ask_has_stopped_before_its_answer() -> None:
    class Quitter(Desk):
        async def echo(self, message: Echo) -> int:
            raise Exit

    async with open_desk(Quitter) as (_, ref, _log):
        with pytest.raises(ActorStoppedError, match=r"stopped before it answered Echo \(normal\)") as caught:
            await ref.ask(Echo())
        assert caught.value.message == Echo()


async def test_an_explicit_timeout_ends_the_wait_for_a_handler_that_has_begun() -> None:
    async with open_desk() as (_, ref, _log):
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError, match=r"desk: no reply to Nap within 2 s") as caught:
            await ref.ask(Nap(10), timeout=2.0)
        assert anyio.current_time() - began == pytest.approx(2.0)
        assert caught.value.timeout == pytest.approx(2.0)
        assert isinstance(caught.value, TimeoutError)


async def test_the_default_timeout_is_five_seconds() -> None:
    async with open_desk() as (_, ref, _log):
        began = anyio.current_time()
        with pytest.raises(AskTimeoutError) as caught:
            await ref.ask(Nap(10))
        assert anyio.current_time() - began == pytest.approx(5.0)
        assert caught.value.timeout == pytest.approx(5.0)


async def test_an_actor_class_may_choose_its_default_timeout() -> None:
    class Slow(Desk):
        call_timeout = 60.0

    async with open_desk(Slow) as (_, ref, _log):
        assert await ref.ask(Nap(50)) == 50


async def test_an_infinite_timeout_waits() -> None:
    async with open_desk() as (_, ref, _log):
        assert await ref.ask(Nap(100_000), timeout=inf) == 100_000


async def test_an_ask_that_expires_in_the_mailbox_was_never_begun() -> None:
    async with open_desk() as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        with pytest.raises(
            DeadlineExceededError, match=r"desk: Echo not begun: its deadline \(1 s\)"
        ) as caught:
            await ref.ask(Echo(9), timeout=1.0)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.provider == "desk"
        log.open()
        await settle()
        assert 9 not in log
        assert ref.statistics().abandoned == 1


async def test_the_time_spent_waiting_for_room_counts() -> None:
    async with open_desk(Narrow) as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold())
        await ref.tell(Note("queued"))
        began = anyio.current_time()
        with pytest.raises(DeadlineExceededError):
            await ref.ask(Echo(9), timeout=3.0)
        assert anyio.current_time() - began == pytest.approx(3.0)
        log.open()
        await settle()
        assert 9 not in log


@pytest.mark.parametrize("timeout", [0, -1.0, nan, -inf, 1e-300])
async def test_a_timeout_that_leaves_no_time_fails_at_once(timeout: float) -> None:
    async with open_desk() as (_, ref, log):
        if anyio.current_time() == 0:
            await anyio.sleep(1)
        with pytest.raises(DeadlineExceededError):
            await ref.ask(Echo(1), timeout=timeout)
        await settle()
        assert log == []
        assert ref.statistics().accepted == 0


async def test_an_ask_without_a_handler_says_what_is_missing() -> None:
    async with open_desk() as (system, ref, _log):
        with pytest.raises(
            UnhandledMessageError, match="Unknown has no handler: add an @handles method for it to Desk"
        ):
            await ref.ask(Unknown())
        assert ref.statistics().dead_letters == 1
        assert system.dead_letters.statistics().total == 0  # the asker was told: nothing to review
        assert await ref.ask(Echo(1)) == 1


async def test_a_told_message_without_a_handler_is_a_dead_letter_and_crashes_nobody() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.tell(Unknown())
        assert await ref.ask(Echo(1)) == 1
        [letter] = system.dead_letters.read()
        assert (letter.message, letter.reason, letter.ref) == (Unknown(), "unhandled", ref)


async def test_a_forwarder_is_not_blamed_for_the_handler_another_actor_lacks() -> None:
    class Forwarder(Desk):
        @handles
        async def unknown(self, message: Unknown) -> int:
            return await self.log.far.ask(message)

    async with open_desk(Forwarder) as (system, ref, log):
        log.far = await system.spawn(Child("far", partial(Desk, log)))
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Unknown())
        assert isinstance(caught.value.__cause__, UnhandledMessageError)


async def test_a_late_reply_is_counted_and_harms_nobody() -> None:
    async with open_desk() as (_, ref, _log):
        with pytest.raises(AskTimeoutError):
            await ref.ask(Nap(2), timeout=1)
        assert await ref.ask(Echo(1)) == 1
        statistics = ref.statistics()
        assert (statistics.late_replies, statistics.handled, statistics.crashed) == (1, 2, 0)


async def test_a_crash_nobody_waits_for_any_more_is_still_a_crash() -> None:
    class Late(Desk):
        async def nap(self, message: Nap) -> float:
            await anyio.sleep(message.seconds)
            raise ValueError("late")

    async with open_desk(Late) as (_, ref, _log):
        with pytest.raises(AskTimeoutError):
            await ref.ask(Nap(2), timeout=1)
        await anyio.sleep(2)
        assert ref.statistics().crashed == 1
        assert await ref.ask(Echo(1)) == 1


async def test_a_cancelled_asker_does_not_disturb_the_actor() -> None:
    async with open_desk() as (_, ref, log), anyio.create_task_group() as group:
        asked = await asking(group, ref, Hold(1))
        asked.scope.cancel()
        await settle()
        assert ref.statistics().in_hand == 1
        log.open()
        await settle()
        assert log == [("holds", 1), ("held", 1)]
        assert ref.statistics().late_replies == 1


async def test_queued_work_of_a_cancelled_asker_is_skipped() -> None:
    async with open_desk() as (_, ref, log), anyio.create_task_group() as group:
        await asking(group, ref, Hold(1))
        asked = await asking(group, ref, Echo(2))
        asked.scope.cancel()
        await settle()
        log.open()
        await settle()
        assert 2 not in log
        assert ref.statistics().abandoned == 1


async def test_an_actor_that_asks_itself_is_told_so() -> None:
    class Narcissus(Desk):
        async def echo(self, message: Echo) -> int:
            return await self.ref.ask(Echo(message.number - 1)) if message.number else 0

    async with open_desk(Narcissus) as (_, ref, _log):
        with pytest.raises(ActorCrashedError) as caught:
            await ref.ask(Echo(1))
        assert isinstance(caught.value.__cause__, SelfAskError)
        assert "asked of the actor itself: call the method, or tell() it" in str(caught.value.__cause__)
        assert ref.statistics().accepted == 1


async def test_an_actor_with_room_for_two_may_ask_itself() -> None:
    class Recursive(Crowd):
        async def echo(self, message: Echo) -> int:
            return 1 + await self.ref.ask(Echo(message.number - 1)) if message.number else 0

    async with open_desk(Recursive) as (_, ref, _log):
        assert await ref.ask(Echo(2)) == 2


async def test_a_cycle_of_asks_ends_at_its_deadline() -> None:
    async with open_desk(Clerk) as (system, first, _log):
        second = await system.spawn(Child("second", Clerk))
        began = anyio.current_time()
        cycle = Relay(second, Relay(first, Echo()))
        with pytest.raises((AskTimeoutError, DeadlineExceededError)):
            await first.ask(cycle, timeout=3)
        assert anyio.current_time() - began == pytest.approx(3)


async def test_an_explicit_timeout_is_inherited_by_asks_made_while_handling() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        with pytest.raises(AskTimeoutError):
            await clerk.ask(Relay(desk, Nap(10)), timeout=2)
        await settle()
        assert log == ["AskTimeoutError after 2"]


async def test_what_is_left_of_an_inherited_timeout_counts() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        with pytest.raises(AskTimeoutError):
            await clerk.ask(Relay(desk, Nap(10), pause=1.5), timeout=2)
        await settle()
        assert log == ["AskTimeoutError after 2"]


async def test_an_inherited_timeout_is_handed_on_and_on() -> None:
    async with open_desk(Clerk) as (system, first, log):
        second = await system.spawn(Child("second", partial(Clerk, log)))
        desk = await system.spawn(Child("far", partial(Desk, log)))
        with pytest.raises(AskTimeoutError):
            await first.ask(Relay(second, Relay(desk, Nap(10)), timeout=60), timeout=2)
        await settle()
        assert set(log) == {"AskTimeoutError after 2"}


async def test_a_default_timeout_is_not_inherited() -> None:
    class Patient(Clerk):
        call_timeout = 1.0

    async with open_desk(Patient) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        with pytest.raises(AskTimeoutError):
            await clerk.ask(Relay(desk, Nap(3)))
        await anyio.sleep(5)
        assert log == ["reply after 3"]


async def test_a_default_timeout_on_the_way_is_not_inherited_either() -> None:
    async with open_desk(Clerk) as (system, first, log):
        second = await system.spawn(Child("second", partial(Clerk, log)))
        desk = await system.spawn(Child("far", partial(Desk, log)))
        await first.ask(Relay(second, Relay(desk, Nap(8), timeout=20)), timeout=30)
        await anyio.sleep(10)
        assert log == ["AskTimeoutError after 5", "reply after 8"]


async def test_an_own_timeout_shortens_the_inherited_one() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        assert await clerk.ask(Relay(desk, Nap(10), timeout=1), timeout=3) == "AskTimeoutError after 1"


async def test_an_own_timeout_cannot_lengthen_the_inherited_one() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Crowd, log)))
        for timeout in (30, inf):
            with pytest.raises(AskTimeoutError):
                await clerk.ask(Relay(desk, Nap(10), timeout=timeout), timeout=2)
        await settle()
        assert log == ["AskTimeoutError after 2"] * 2


async def test_a_default_shorter_than_the_inherited_timeout_still_holds() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        assert await clerk.ask(Relay(desk, Nap(10)), timeout=30) == "AskTimeoutError after 5"


async def test_an_infinite_timeout_hands_on_no_deadline() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        assert await clerk.ask(Relay(desk, Nap(3)), timeout=inf) == "reply after 3"


async def test_an_ask_made_when_the_inherited_time_is_just_up_is_not_sent() -> None:
    class Dawdler(Desk):
        async def echo(self, message: Echo) -> int:
            jump(2)  # as long work on the processor would: nobody was told of the deadline yet
            with pytest.raises(DeadlineExceededError, match=r"far: Echo not begun"):
                await self.log.far.ask(Echo(5))
            return 6

    async with open_desk(Dawdler) as (system, dawdler, log):
        log.far = await system.spawn(Child("far", partial(Desk, log)))
        assert await dawdler.ask(Echo(), timeout=1.5) == 6
        await settle()
        assert log == []


async def test_an_inherited_deadline_that_ends_a_handler_is_no_crash() -> None:
    """The asker chose a short timeout: that must not cost the actor its state."""

    class Middle(Desk):
        async def echo(self, message: Echo) -> int:
            return int(await self.log.far.ask(Nap(10)))

    async with open_desk(Middle) as (system, middle, log):
        log.far = await system.spawn(Child("far", partial(Desk, log)))
        with pytest.raises(AskTimeoutError):
            await middle.ask(Echo(), timeout=1)
        await settle()
        assert middle.statistics().crashed == 0


async def test_a_told_message_inherits_no_deadline() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        await clerk.tell(Relay(desk, Nap(3)))
        await anyio.sleep(4)
        assert log == ["reply after 3"]


async def test_a_told_message_handled_after_an_ask_inherits_nothing_of_it() -> None:
    async with open_desk(Clerk) as (system, clerk, log):
        desk = await system.spawn(Child("far", partial(Desk, log)))
        async with anyio.create_task_group() as group:
            await asking(group, clerk, Relay(desk, Nap(0.5)), timeout=1)
            await clerk.tell(Relay(desk, Nap(3)))
        await anyio.sleep(4)
        assert log == ["reply after 0.5", "reply after 3"]


async def test_a_request_that_was_answered_binds_its_handlers_tasks_no_longer() -> None:
    class Background(Desk):
        async def echo(self, message: Echo) -> int:
            group.start_soon(self.later)
            return message.number

        async def later(self) -> None:
            await anyio.sleep(0.1)
            self.log.append(await self.log.far.ask(Nap(2)))
            self.log.append(await self.log.far.ask(Nap(3), timeout=4))

    async with open_desk(Background) as (system, ref, log), anyio.create_task_group() as group:
        log.far = await system.spawn(Child("far", partial(Desk, log)))
        assert await ref.ask(Echo(1), timeout=1) == 1
        await anyio.sleep(6)
        assert log == [2, 3]


async def test_a_closed_actor_is_not_asked() -> None:
    async with open_desk() as (_, ref, _log):
        await ref.stop()
        with pytest.raises(MailboxClosedError):
            await ref.ask(Echo())


async def test_errors_an_actor_declines_with_are_answers() -> None:
    class Polite(Desk):
        declines = (LookupError,)

        async def boom(self, message: Boom) -> int:
            raise KeyError(message.why)

    async with open_desk(Polite) as (_, ref, log):
        with pytest.raises(KeyError, match="boom"):
            await ref.ask(Boom())
        assert await ref.ask(Echo(1)) == 1
        statistics = ref.statistics()
        assert (log.made, statistics.handled, statistics.crashed, statistics.restarts) == (1, 2, 0, 0)


async def test_a_told_message_that_is_declined_is_a_dead_letter() -> None:
    class Polite(Desk):
        declines = (LookupError,)

        async def boom(self, message: Boom) -> int:
            raise KeyError(message.why)

    async with open_desk(Polite) as (system, ref, log):
        await ref.tell(Boom())
        assert await ref.ask(Echo(1)) == 1
        assert [letter.reason for letter in system.dead_letters.read()] == ["declined"]
        assert log.made == 1


async def test_deadlines_do_not_pile_up() -> None:
    async with open_desk() as (_, ref, _log):
        for number in range(3000):
            await ref.ask(Echo(number))
            await ref.ask(Echo(number), timeout=7)
            await ref.ask(Echo(number), timeout=10 + number / 1000)
        timers = cell_of(ref).kernel.timers.statistics()
        assert timers.lanes <= 64
        assert timers.in_lanes + timers.in_heap < 1300


async def test_a_crash_says_what_was_in_hand() -> None:
    async with open_desk() as (system, ref, _log):
        events = heard(system)
        await ref.tell(Boom("spark"))
        await settle()
        name, fields = events[0]
        assert name == "actor.crashed"
        assert (fields["actor_path"], fields["kind"], fields["message"]) == ("desk", "Desk", "Boom")
        assert (fields["error_type"], fields["error"]) == ("ValueError", "spark")
        assert "in boom" in str(fields["traceback"])
