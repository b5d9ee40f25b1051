"""The tree as data, and what of it does not run as it should."""

import anyio
import pytest

from relight import (
    Actor,
    Child,
    DynamicSupervisor,
    Exponential,
    FailureKind,
    Fixed,
    GuardedActor,
    NoSuchActorError,
    Pool,
    ProviderError,
    Request,
    Supervisor,
    System,
    handles,
    open_system,
)
from relight.runtime import ActorCell
from tests.supervisors.recorded import BoomError, Crash, Diary, Note, Who, failing
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


class Say(Request[str], frozen=True):
    pass


class Broke(GuardedActor):
    @handles
    async def say(self, message: Say) -> str:
        raise ProviderError("broke", FailureKind.QUOTA)


class Buggy(GuardedActor):
    @handles
    async def say(self, message: Say) -> str:
        raise BoomError


def shape(system: System) -> list[tuple[str, str, str]]:
    return [(node.path, node.role, node.state) for node in system.tree()]


async def test_the_tree_shows_every_kind_of_actor_with_its_role_and_state() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(
            Supervisor(
                "top",
                strategy="rest_for_one",
                children=[
                    diary.child("a"),
                    Pool("pool", diary.child("m"), size=2),
                    DynamicSupervisor("dynamic"),
                    Child("service", Broke),
                    Supervisor("inner", children=[diary.child("x")]),
                ],
            )
        )
        assert shape(system) == [
            ("root", "supervisor", "running"),
            ("top", "supervisor", "running"),
            ("top/a", "actor", "running"),
            ("top/pool", "pool", "running"),
            ("top/pool/m-1", "actor", "running"),
            ("top/pool/m-2", "actor", "running"),
            ("top/dynamic", "dynamic", "running"),
            ("top/service", "service", "ok"),
            ("top/inner", "supervisor", "running"),
            ("top/inner/x", "actor", "running"),
        ]
        assert system.health().status == "ok"


async def test_a_node_tells_its_class_its_restarts_and_its_queue() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(
            Supervisor("top", intensity=7, period=9.0, children=[diary.child("a", "transient")])
        )
        actor = system.get("top/a")
        await actor.tell(Crash())
        await actor.tell(Note())
        await anyio.wait_all_tasks_blocked()
        assert isinstance(actor, ActorCell)
        top, node = list(system.tree())[1:]
        assert (node.kind, node.restart, node.restarts, node.queued, node.in_hand) == (
            "Recorded",
            "transient",
            1,
            0,
            0,
        )
        assert top.supervision is not None
        assert (top.supervision.strategy, top.supervision.intensity, top.supervision.period) == (
            "one_for_one",
            7,
            9.0,
        )
        assert top.supervision.recent_restarts == 1
        await anyio.sleep(10)
        assert system.tree().children[0].supervision.recent_restarts == 0  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]


async def test_a_child_that_waits_for_its_restart_is_a_passing_problem() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(Supervisor("top", children=[diary.child("a", backoff=Fixed(4.0))]))
        await system.get("top/a").tell(Crash())
        await anyio.sleep(1)
        (node,) = [node for node in system.tree() if node.id == "a"]
        assert (node.state, node.restart_in) == ("restarting", 3.0)
        assert str(system.health()) == "degraded\ntop/a: restarting: next try in 3 s"
        await anyio.sleep(4)
        assert system.health().problems == ()


async def test_a_sibling_that_waits_with_its_group_is_undefined_and_named_by_nobody() -> None:
    diary = Diary()
    async with open_system() as system:
        children = [diary.child("a", backoff=Fixed(4.0)), diary.child("b")]
        await system.spawn(Supervisor("top", strategy="one_for_all", children=children))
        await system.get("top/a").tell(Crash())
        await anyio.sleep(1)
        assert shape(system)[2:] == [("top/a", "actor", "restarting"), ("top/b", "actor", "undefined")]
        assert [problem.path for problem in system.health().problems] == ["top/a"]


async def test_a_transient_supervisor_that_gives_up_is_named_until_it_runs_again() -> None:
    """In OTP it is not restarted, and nobody hears of it."""
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("inner", restart="transient", intensity=0, children=[diary.child("x")])
        top = await system.spawn(Supervisor("top", children=[inner]))
        await system.get("top/inner/x").tell(Crash())
        await anyio.wait_all_tasks_blocked()
        health = system.health()
        assert health.status == "failing"
        assert str(health) == "failing\ntop/inner: gave_up: x ended once within 5 s (BoomError)"
        assert system.given_up_by_kind() == {"SupervisorActor": 1}
        await top.restart_child("inner")
        assert system.health().status == "ok"
        assert system.given_up_by_kind() == {"SupervisorActor": 1}


async def test_a_loss_is_forgotten_with_its_spec() -> None:
    diary = Diary()
    async with open_system() as system:
        inner = Supervisor("inner", restart="transient", intensity=0, children=[diary.child("x")])
        top = await system.spawn(Supervisor("top", children=[inner]))
        await system.get("top/inner/x").tell(Crash())
        await anyio.wait_all_tasks_blocked()
        await top.delete_child("inner")
        assert system.health().status == "ok"


async def test_a_child_of_the_root_that_is_given_up_is_named_by_its_path() -> None:
    async with open_system() as system:
        diary = Diary()
        ref = await system.spawn(diary.child("a", started=failing(*range(2, 10))))
        await ref.tell(Crash())
        await anyio.wait_all_tasks_blocked()
        assert str(system.health()) == "failing\na: gave_up: a ended 6 times within 60 s (BoomError)"
        await system.spawn(Diary().child("a"))
        assert system.health().status == "ok"


async def test_a_loss_is_not_mended_by_a_path_that_only_begins_like_it() -> None:
    diary = Diary()
    async with open_system() as system:
        ref = await system.spawn(diary.child("a", started=failing(*range(2, 10))))
        await ref.tell(Crash())
        await anyio.wait_all_tasks_blocked()
        await system.spawn(diary.child("ab"))
        assert [problem.path for problem in system.health().problems] == ["a"]


async def test_a_service_without_quota_is_a_lasting_problem_and_a_failed_one_too() -> None:
    async with open_system() as system:
        broke = await system.spawn(Child("broke", Broke))
        buggy = await system.spawn(Child("buggy", Buggy, backoff=Exponential(0.1)))
        with pytest.raises(ProviderError):
            await broke.ask(Say())
        for _ in range(6):
            await anyio.sleep(0.2)
            with pytest.raises(Exception):  # noqa: B017, PT011 - a crash, then a refusal
                await buggy.ask(Say())
        await anyio.wait_all_tasks_blocked()
        states = {problem.path: (problem.what, problem.is_lasting) for problem in system.health().problems}
        assert states == {"broke": ("blocked", True), "buggy": ("failed", True)}


async def test_lasting_problems_come_first() -> None:
    diary = Diary()
    async with open_system() as system:
        waiting = diary.child("a", backoff=Fixed(4.0))
        inner = Supervisor("inner", restart="transient", intensity=0, children=[diary.child("x")])
        await system.spawn(Supervisor("top", children=[waiting, inner]))
        await system.get("top/a").tell(Crash())
        await system.get("top/inner/x").tell(Crash())
        await anyio.wait_all_tasks_blocked()
        assert [problem.is_lasting for problem in system.health().problems] == [True, False]


async def test_a_printed_tree_is_a_line_an_actor() -> None:
    diary = Diary()
    async with open_system() as system:
        await system.spawn(
            Supervisor(
                "top",
                children=[
                    Supervisor("inner", strategy="one_for_all", children=[diary.child("x")]),
                    diary.child("a", backoff=Fixed(4.0)),
                ],
            )
        )
        ref = system.get("top/a")
        await ref.tell(Crash())
        await anyio.sleep(1)
        await ref.tell(Note())
        await system.get("top/inner/x").tell(Crash())
        await anyio.wait_all_tasks_blocked()
        assert str(system.tree()).splitlines() == [
            "root: running, one_for_one",
            "└─ top: running, one_for_one",
            "   ├─ inner: running, one_for_all",
            "   │  └─ x: running, restarts 1",
            "   └─ a: restarting, next try in 3 s, queued 1",
        ]


async def test_only_a_running_supervisor_of_a_list_has_a_handle_by_its_path() -> None:
    async with open_system() as system:
        await system.spawn(Supervisor("top", children=[Child("plain", Actor), DynamicSupervisor("crowd")]))
        assert (await system.supervisor("top").count_children()).specs == 2
        assert (await system.dynamic_supervisor("top/crowd").count_children()).specs == 0
        for path in ("top/plain", "top/crowd", "nobody"):
            with pytest.raises(NoSuchActorError, match=path):
                system.supervisor(path)
        for path in ("top/plain", "top", "nobody"):
            with pytest.raises(NoSuchActorError, match=path):
                system.dynamic_supervisor(path)


async def test_an_actor_that_starts_is_seen_starting() -> None:
    async with open_system() as system:
        gate = anyio.Event()

        async def slowly(_: int) -> None:
            await gate.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(system.spawn, Diary().child("slow", started=slowly))
            await anyio.wait_all_tasks_blocked()
            assert shape(system)[1:] == [("slow", "actor", "starting")]
            gate.set()
        assert await system.get("slow").ask(Who()) == 1


async def test_a_breaker_held_open_by_an_operator_is_a_lasting_problem() -> None:
    async with open_system() as system:
        await system.spawn(Child("broke", Broke))
        system.force_breaker("broke", "open")
        assert str(system.health()) == "failing\nbroke: forced_open: an operator holds its breaker open"
        system.force_breaker("broke", None)
        assert str(system.health()) == "degraded\nbroke: half_open: its calls wait or are refused"


async def test_an_actor_that_is_held_from_outside_is_a_passing_problem() -> None:
    async with open_system() as system:
        ref = await system.spawn(Diary().child("a"))
        system.suspend(ref)
        await ref.tell(Note())
        assert str(system.health()) == "degraded\na: suspended: held from outside, 1 queued"
        system.resume(ref)
        assert system.health().status == "ok"


async def test_the_least_loaded_service_gets_the_call() -> None:
    class Slow(GuardedActor):
        @handles
        async def say(self, message: Say) -> str:
            await anyio.sleep(5.0)
            return self.ref.path

    async with open_system() as system:
        pool = await system.spawn(Pool("pool", Child("m", Slow), size=2, route="least_loaded"))
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await pool.ask(Say()))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(ask)
        assert sorted(answers) == ["pool/m-1/service"] * 2 + ["pool/m-2/service"] * 2
