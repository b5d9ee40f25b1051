"""Restart groups: what becomes of calls, queues and refs while a group restarts (G1 to G8, N1, N2)."""

from functools import partial
from math import inf

import anyio
import pytest
from anyio import CancelScope

from relight.runtime import (
    NORMAL,
    Actor,
    ActorStoppedError,
    ExitKind,
    ExitReason,
    MailboxFullError,
    StartError,
    handles,
)
from relight.supervisors import AlreadyPresentError, Child, GuardedActor, Supervisor, open_system
from relight.supervisors._administration import StartChild, TakeBack
from relight.supervisors.policies import Backoff, Fixed, Policy
from tests.runtime.desk import Answer, asking, cell_of, settle, telling
from tests.supervisors.conformance.trees import (
    child_ref,
    counts_of,
    crash,
    hear,
    open_tree,
    spawn_tree,
    state_of,
    states_of,
    supervisor_of,
)
from tests.supervisors.recorded import BoomError, Crash, Diary, Nap, Note, Who, failing, hanging, ignoring

pytestmark = pytest.mark.anyio

WAIT = Fixed(10.0)


async def test_n1_with_a_backoff_the_group_is_stopped_at_once_and_waits_stopped() -> None:
    """Nobody of a group runs without the others. They are undefined meanwhile, and keep their refs."""
    diary = Diary()
    children = [
        diary.child("a"),
        diary.child("b", backoff=WAIT),
        diary.child("c"),
        diary.child("t", "temporary"),
    ]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        refs = [system.get(f"tree/{name}") for name in "abc"]
        await crash(refs[1])
        assert diary.take() == ["stop b boom", "stop t shutdown", "stop c shutdown", "stop a shutdown"]
        assert await states_of(tree) == {"a": "undefined", "b": "restarting", "c": "undefined"}
        assert await counts_of(tree) == (3, 0, 0, 3)
        assert all(ref.is_alive for ref in refs)
        await anyio.sleep(9.9)
        assert diary.take() == []
        await anyio.sleep(0.2)
        assert diary.take() == ["start a", "start b", "start c"]
        assert [await ref.ask(Who()) for ref in refs] == [2, 2, 2]


async def test_n2_messages_to_held_siblings_go_to_their_next_incarnation_in_order() -> None:
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, _):
        b = system.get("tree/b")
        async with anyio.create_task_group() as group:
            in_hand = await asking(group, b, Nap(1.0))
            for number in range(3):
                b.tell_nowait(Note(number))
            system.get("tree/a").tell_nowait(Crash())
            await settle()
            b.tell_nowait(Note(3))
            await anyio.sleep(2.0)
            b.tell_nowait(Note(4))
            waiting = await asking(group, b, Who())
            assert b.statistics().queued == 6
        assert in_hand.value == "rested"
        assert waiting.value == 2
        assert waiting.at == pytest.approx(11.0)
        assert diary.numbers == [(2, number) for number in range(5)]


async def test_n2_the_message_in_hand_of_a_sibling_is_finished_within_its_shutdown_time() -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b", shutdown=3.0), diary.child("c", shutdown=3.0)]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, _):
        async with anyio.create_task_group() as group:
            short = await asking(group, system.get("tree/b"), Nap(2.0))
            long = await asking(group, system.get("tree/c"), Nap(60.0))
            await crash(system.get("tree/a"))
        assert short.value == "rested"
        assert isinstance(long.error, ActorStoppedError)
        assert long.at == pytest.approx(3.0)
        await anyio.sleep(4.0)
        assert [await system.get(f"tree/{name}").ask(Who()) for name in "abc"] == [2, 2, 2]


async def test_n2_a_sender_that_waits_for_room_at_a_held_sibling_is_let_in_after_the_restart() -> None:
    class Narrow(Actor):
        mailbox = 1

        def __init__(self, seen: list[int]) -> None:
            self._seen = seen

        @handles
        async def note(self, message: Note) -> None:
            self._seen.append(message.number)

    diary, seen = Diary(), list[int]()
    children = [diary.child("a", backoff=WAIT), Child("b", partial(Narrow, seen))]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, _):
        await crash(system.get("tree/a"))
        b = system.get("tree/b")
        async with anyio.create_task_group() as group:
            for number in range(3):
                await telling(group, b, Note(number))
            with pytest.raises(MailboxFullError):
                b.tell_nowait(Note(9))
            assert seen == []
        assert seen == [0, 1, 2]


@pytest.mark.parametrize("how", ["tree.stop", "system ends", "gives up"])
async def test_n3_held_siblings_fail_their_queues_at_once_when_the_supervisor_ends(how: str) -> None:
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b"), diary.child("z", "transient")]
    answers: list[Answer[int]] = []
    async with (
        anyio.create_task_group() as group,
        open_tree(*children, diary=diary, strategy="rest_for_one", intensity=1) as (system, tree),
    ):
        b = system.get("tree/b")
        await crash(system.get("tree/a"))
        answers.append(await asking(group, b, Who()))
        answers.append(await asking(group, system.get("tree/a"), Who()))
        b.tell_nowait(Note())
        if how == "tree.stop":
            await tree.stop()
        elif how == "gives up":
            await tree.restart_child("z")
            await crash(system.get("tree/z"))
        else:
            system.stop()
    assert [type(answer.error) for answer in answers] == [ActorStoppedError, ActorStoppedError]
    assert [answer.at for answer in answers] == [0.0, 0.0]
    assert diary.take() == [
        *["stop a boom", "stop z shutdown", "stop b shutdown"],
        *(["start z", "stop z boom"] if how == "gives up" else []),
    ]


@pytest.mark.parametrize("way", ["terminate_child", "ref.stop"])
async def test_g7_terminating_the_waiting_child_releases_the_others(way: str) -> None:
    """Nobody will start them: they stay undefined, their queues fail at once, and they may be restarted."""
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        a, b = system.get("tree/a"), system.get("tree/b")
        await crash(a)
        diary.take()
        async with anyio.create_task_group() as group:
            answer = await asking(group, b, Who())
            await (tree.terminate_child("a") if way == "terminate_child" else a.stop())
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.at == 0.0
        assert await states_of(tree) == dict.fromkeys("abc", "undefined")
        assert not b.is_alive
        await anyio.sleep(20)
        assert diary.take() == []
        assert await (await tree.restart_child("b")).ask(Who()) == 2


async def test_g7_terminating_one_of_two_waiting_children_keeps_whom_the_other_holds() -> None:
    diary = Diary()
    children = [
        diary.child("a", backoff=WAIT),
        diary.child("b"),
        diary.child("c", backoff=WAIT),
        diary.child("d"),
    ]
    async with open_tree(*children, diary=diary, strategy="rest_for_one") as (system, tree):
        b, d = system.get("tree/b"), system.get("tree/d")
        await crash(system.get("tree/a"))
        c = await tree.restart_child("c")
        assert await states_of(tree) == {
            "a": "restarting",
            "b": "undefined",
            "c": "running",
            "d": "undefined",
        }
        await crash(c)
        assert await states_of(tree) == {
            "a": "restarting",
            "b": "undefined",
            "c": "restarting",
            "d": "undefined",
        }
        await tree.terminate_child("a")
        assert (b.is_alive, d.is_alive) == (False, True)
        await anyio.sleep(20)
        assert await states_of(tree) == {"a": "undefined", "b": "undefined", "c": "running", "d": "running"}
        assert await d.ask(Who()) == 2


async def test_g7_terminating_a_held_sibling_leaves_the_others_waiting() -> None:
    """The group's restart revives it all the same, as any undefined sibling (G4): with a new ref."""
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        b, c = system.get("tree/b"), system.get("tree/c")
        await crash(system.get("tree/a"))
        async with anyio.create_task_group() as group:
            answer = await asking(group, b, Who())
            await tree.terminate_child("b")
        assert isinstance(answer.error, ActorStoppedError)
        await anyio.sleep(10.1)
        assert not b.is_alive
        assert await system.get("tree/b").ask(Who()) == 2
        assert await c.ask(Who()) == 2


async def test_a3_a_held_sibling_may_be_restarted_on_request_and_restarts_with_its_group_again() -> None:
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        b = system.get("tree/b")
        await crash(system.get("tree/a"))
        b.tell_nowait(Note(1))
        diary.take()
        assert await tree.restart_child("b") is b
        await settle()
        assert diary.numbers == [(2, 1)]
        assert await states_of(tree) == {"a": "restarting", "b": "running", "c": "undefined"}
        await anyio.sleep(10.1)
        assert diary.take() == ["start b", "stop b shutdown", "start a", "start b", "start c"]
        assert await b.ask(Who()) == 3


async def test_a3_a_restart_of_a_held_sibling_that_fails_leaves_it_held() -> None:
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b", started=failing(2))]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        b = system.get("tree/b")
        await crash(system.get("tree/a"))
        b.tell_nowait(Note(1))
        with pytest.raises(StartError):
            await tree.restart_child("b")
        assert await states_of(tree) == {"a": "restarting", "b": "undefined"}
        await anyio.sleep(10.1)
        assert await b.ask(Who()) == 3
        assert diary.numbers == [(3, 1)]


async def test_a3_a_held_sibling_may_be_deleted() -> None:
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b"), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        b = system.get("tree/b")
        await crash(system.get("tree/a"))
        async with anyio.create_task_group() as group:
            answer = await asking(group, b, Who())
            await tree.delete_child("b")
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.at == 0.0
        await tree.start_child(diary.child("b"))
        await anyio.sleep(10.1)
        assert await states_of(tree) == dict.fromkeys("acb", "running")
        assert await system.get("tree/b").ask(Who()) == 3


async def test_a1_a_held_sibling_is_already_present() -> None:
    diary = Diary()
    children = [diary.child("a", backoff=WAIT), diary.child("b")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        await crash(system.get("tree/a"))
        with pytest.raises(AlreadyPresentError):
            await tree.start_child(diary.child("b"))


async def test_n1_a_group_failure_merges_with_a_waiting_one() -> None:
    """The later wait counts for all: a new failure in the group overtakes the restart that was due."""
    diary = Diary()
    children = [diary.child("a", backoff=Fixed(4.0)), diary.child("b"), diary.child("c", backoff=Fixed(30.0))]
    async with open_tree(*children, diary=diary, strategy="rest_for_one") as (system, tree):
        await crash(system.get("tree/c"))
        assert await states_of(tree) == {"a": "running", "b": "running", "c": "restarting"}
        await crash(system.get("tree/a"))
        assert await states_of(tree) == {"a": "restarting", "b": "undefined", "c": "undefined"}
        diary.take()
        await anyio.sleep(4.1)
        assert diary.take() == ["start a", "start b", "start c"]
        await anyio.sleep(60)
        assert diary.take() == []


async def test_n1_a_member_that_fails_to_start_waits_by_its_own_backoff_and_the_group_with_it() -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b", started=failing(2, 3), backoff=WAIT), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all", intensity=9) as (system, tree):
        c = system.get("tree/c")
        await crash(system.get("tree/a"))
        redone = ["start a", "startfail b", "stop a shutdown"]
        assert diary.take() == ["stop a boom", "stop c shutdown", "stop b shutdown", *redone]
        assert await states_of(tree) == {"a": "undefined", "b": "restarting", "c": "undefined"}
        await anyio.sleep(10.1)
        assert diary.take() == redone
        await anyio.sleep(10.1)
        assert diary.take() == ["start a", "start b", "start c"]
        assert await c.ask(Who()) == 2


async def test_g8_a_member_that_is_not_wanted_again_does_not_stop_the_restart_of_the_group() -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b", started=ignoring(2)), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        b = system.get("tree/b")
        async with anyio.create_task_group() as group:
            in_hand = await asking(group, b, Nap(1.0))
            queued = await asking(group, b, Who())
            system.get("tree/a").tell_nowait(Crash())
        assert in_hand.value == "rested"
        assert isinstance(queued.error, ActorStoppedError)
        assert queued.at == pytest.approx(1.0)
        stops = ["stop a boom", "stop c shutdown", "stop b shutdown"]
        assert diary.take() == [*stops, "start a", "ignore b", "start c"]
        assert await states_of(tree) == {"a": "running", "b": "undefined", "c": "running"}


async def test_g1_a_supervisor_in_a_group_is_started_afresh_with_it() -> None:
    """Its children are others then, with other refs: they were stopped for good with their supervisor."""
    diary = Diary()
    inner = Supervisor("in", children=[diary.child("x"), diary.child("y")])
    async with open_tree(diary.child("a"), inner, diary.child("b"), diary=diary, strategy="one_for_all") as (
        system,
        tree,
    ):
        handle = system.supervisor("tree/in")
        await handle.start_child(diary.child("z"))
        x, b = system.get("tree/in/x"), system.get("tree/b")
        diary.take()
        await crash(system.get("tree/a"))
        stops = [f"stop {name} shutdown" for name in ("b", "z", "y", "x")]
        assert diary.take() == ["stop a boom", *stops, "start a", "start x", "start y", "start b"]
        assert not x.is_alive
        assert await b.ask(Who()) == 2
        assert await states_of(handle) == {"x": "running", "y": "running"}
        assert await counts_of(tree) == (3, 3, 1, 2)


async def test_g1_a_supervisor_that_gives_up_restarts_its_group() -> None:
    diary = Diary()
    inner = Supervisor("in", intensity=0, children=[diary.child("x")])
    async with open_tree(diary.child("a"), inner, diary=diary, strategy="one_for_all") as (system, _):
        a = system.get("tree/a")
        await crash(system.get("tree/in/x"))
        assert diary.take() == ["stop x boom", "stop a shutdown", "start a", "start x"]
        assert await a.ask(Who()) == 2


async def test_s2_a_group_member_that_can_not_be_stopped_is_left_behind_and_replaced() -> None:
    class Deaf(Actor):
        def __init__(self) -> None:
            diary.incarnation("deaf")

        @handles
        async def dig(self, message: Note) -> None:
            with CancelScope(shield=True):
                await anyio.sleep(100.0)

        @handles
        async def who(self, message: Who) -> int:
            return 7

    diary = Diary()
    children = [diary.child("a"), Child("deaf", Deaf, shutdown=1.0)]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, _):
        stuck = hear(system, "actor.stuck")
        deaf = system.get("tree/deaf")
        deaf.tell_nowait(Note())
        await settle()
        await crash(system.get("tree/a"))
        assert await deaf.ask(Who(), timeout=5.0) == 7
        assert anyio.current_time() <= 2.1
        assert stuck == [("actor.stuck", "tree/deaf")]


async def test_s1_a_stop_in_the_middle_of_a_group_restart_ends_every_member() -> None:
    diary = Diary()
    gate = anyio.Event()

    async def waiting(number: int) -> None:
        if number == 2:
            await gate.wait()

    children = [diary.child("a"), diary.child("b", started=waiting), diary.child("c")]
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        c = system.get("tree/c")
        await crash(system.get("tree/a"))
        async with anyio.create_task_group() as group:
            answer = await asking(group, c, Who())
            group.start_soon(tree.stop)
            await settle()
            gate.set()
        assert diary.take()[3:] == [
            "start a",
            "start b",
            "start c",
            *(f"stop {name} shutdown" for name in "cba"),
        ]
        assert answer.value == 2 or isinstance(answer.error, ActorStoppedError)
        assert system.actors() == []


async def test_n3_a_supervisor_that_is_killed_in_the_middle_of_a_group_restart_leaves_no_asker() -> None:
    diary = Diary()
    children = [diary.child("a"), diary.child("b", started=hanging(2), start_timeout=inf), diary.child("c")]
    async with open_system() as system:
        inner = Supervisor("in", strategy="one_for_all", shutdown=2.0, restart="temporary", children=children)
        tree = await spawn_tree(system, inner)
        c, b = system.get("tree/in/c"), system.get("tree/in/b")
        await crash(system.get("tree/in/a"))
        async with anyio.create_task_group() as group:
            answers = [await asking(group, ref, Who()) for ref in (b, c)]
            await tree.terminate_child("in")
        assert [type(answer.error) for answer in answers] == [ActorStoppedError, ActorStoppedError]
        assert anyio.current_time() <= 3.1
        assert [ref.path for ref in system.actors()] == ["tree"]


async def test_g7_a_start_that_is_taken_back_while_its_child_waits_releases_the_group() -> None:
    """Its asker leaves at the moment the child crashes: the request comes back behind the exit."""
    diary = Diary()
    async with open_tree(diary.child("b"), diary=diary, strategy="one_for_all") as (system, tree):
        supervisor = cell_of(tree.ref)
        b = system.get("tree/b")
        token = object()
        ref = await supervisor.ask(StartChild(diary.child("a", backoff=WAIT), token))
        await crash(ref)
        async with anyio.create_task_group() as group:
            answer = await asking(group, b, Who())
            supervisor.tell_nowait(TakeBack(token))
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.at == 0.0
        assert await states_of(tree) == {"b": "undefined"}


# --- services ---


class Api(GuardedActor):
    """A service that shares the diary."""

    policy = Policy(restart_backoff=Fixed(1.0))

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self._number = diary.incarnation("api")
        if self._number in diary.broken:
            raise BoomError

    async def started(self) -> None:
        self._diary.lines.append("start api")

    async def stopping(self, reason: ExitReason) -> None:
        self._diary.lines.append(f"stop api {reason.kind}")

    @handles
    async def who(self, message: Who) -> int:
        return self._number

    @handles
    async def nap(self, message: Nap) -> str:
        await anyio.sleep(message.seconds)
        return "rested"


def services(diary: Diary, *, shutdown: float = 5.0, backoff: Backoff | None = None) -> list[Child]:
    """Describe a service between two actors; ``a`` waits before its restarts."""
    api = Child("api", partial(Api, diary), shutdown=shutdown)
    return [diary.child("a", backoff=backoff), api, diary.child("b")]


@pytest.mark.parametrize("shutdown", [0.0, 5.0])
async def test_n2_a_service_in_a_group_keeps_its_ref_and_its_queue(shutdown: float) -> None:
    diary = Diary()
    children = services(diary, shutdown=shutdown, backoff=WAIT)
    async with open_tree(*children, diary=diary, strategy="one_for_all") as (system, tree):
        api = system.get("tree/api")
        async with anyio.create_task_group() as group:
            hands = [await asking(group, api, Nap(1.0)) for _ in range(3)]
            system.get("tree/a").tell_nowait(Crash())
            await anyio.sleep(2.0)
            queued = await asking(group, api, Who(), 60.0)
            assert system.find("tree/api") is api
            assert await states_of(tree) == {"a": "restarting", "api": "undefined", "b": "undefined"}
        assert queued.value == 2
        assert queued.at == pytest.approx(11.0 if shutdown else 10.0)
        assert all(answer.is_in for answer in hands)
        await settle()
        if shutdown:
            assert [answer.value for answer in hands] == ["rested"] * 3
            stops = ["stop a boom", "stop b shutdown", "stop api shutdown"]
            assert diary.take() == [*stops, "start a", "start api", "start b"]
        assert system.get("tree/api") is api
        assert (await child_ref(tree, "api")) is api
        monitored = system.monitor(api)
        await tree.stop()
        assert (await monitored.wait()).reason.kind is (ExitKind.SHUTDOWN if shutdown else ExitKind.KILLED)


@pytest.mark.parametrize(
    "way", ["terminate a", "terminate api", "delete api", "stop api", "tree.stop", "kill"]
)
async def test_n3_a_service_that_is_held_fails_its_queue_at_once_when_it_will_not_come_back(way: str) -> None:
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("in", strategy="one_for_all", children=services(diary, backoff=WAIT), shutdown=5.0)
        outer = await spawn_tree(system, inner)
        tree = system.supervisor("tree/in")
        api = system.get("tree/in/api")
        await crash(system.get("tree/in/a"))
        async with anyio.create_task_group() as group:
            answer = await asking(group, api, Who(), 1000.0)
            match way:
                case "terminate a":
                    await tree.terminate_child("a")
                case "terminate api":
                    await tree.terminate_child("api")
                case "delete api":
                    await tree.delete_child("api")
                case "stop api":
                    await api.stop()
                case "tree.stop":
                    await outer.terminate_child("in")
                case _:
                    cell_of(tree.ref).kill()
        assert isinstance(answer.error, ActorStoppedError)
        assert answer.at == pytest.approx(0.0, abs=0.01)
        assert not api.is_alive
        assert "tree/in/api/service" not in [ref.path for ref in system.actors()]


async def test_n2_a_service_that_does_not_start_again_with_its_group_keeps_its_queue() -> None:
    diary = Diary()
    diary.broken = {2, 3}
    async with open_tree(*services(diary), diary=diary, strategy="one_for_all") as (system, _):
        api = system.get("tree/api")
        async with anyio.create_task_group() as group:
            hand = await asking(group, api, Nap(1.0))
            system.get("tree/a").tell_nowait(Crash())
            await settle()
            queued = await asking(group, api, Who(), 60.0)
        assert hand.value == "rested"
        assert queued.value == 4
        assert system.get("tree/api") is api


async def test_s1_a_stop_that_overtakes_the_pause_of_a_service_is_for_good() -> None:
    diary = Diary()
    async with open_tree(*services(diary), diary=diary, strategy="one_for_all") as (system, tree):
        api = system.get("tree/api")
        async with anyio.create_task_group() as group:
            hand = await asking(group, api, Nap(2.0))
            queued = await asking(group, api, Nap(2.0))
            system.get("tree/a").tell_nowait(Crash())
            await anyio.sleep(1.0)
            supervisor = cell_of(system.get("tree/b")).owner
            assert supervisor is supervisor_of(tree)
            await supervisor.stop_child(cell_of(api), NORMAL, None)
        assert hand.value == "rested"
        assert queued.is_in
        assert await state_of(tree, "api") in ("undefined", "running")
