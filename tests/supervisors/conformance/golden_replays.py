"""The scenarios behind the golden traces, done with relight. Each is known by its title in the file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
import pytest

from relight import DynamicSupervisor, Ignore
from relight.runtime import ExitKind, ExitReason, StartError
from relight.supervisors import (
    AlreadyPresentError,
    AlreadyStartedError,
    Child,
    ChildSpecError,
    ChildStatus,
    Supervisor,
)
from relight.testing import settle
from tests.supervisors.conformance.golden_world import SlowStop, World, reason_kind, started
from tests.supervisors.otp.actors import BoomError, Diary, Leave, Scripted, reason_term, with_arguments
from tests.supervisors.otp.terms import Term

Replay = Callable[[World], Awaitable[Term]]
ReplayT = TypeVar("ReplayT", bound=Replay)
REPLAYS: dict[str, Replay] = {}


def replays(title: str) -> Callable[[ReplayT], ReplayT]:
    """Register the replay of a scenario."""

    def register(replay: ReplayT) -> ReplayT:
        REPLAYS[title] = replay
        return replay

    return register


# --- starts and restart intensity ---


@replays("init: 2nd child fails")
async def init_fails(world: World) -> Term:
    with pytest.raises(StartError) as caught:
        await world.supervise(world.child("a"), world.child("b", "fail"), world.child("c"), quiet=False)
    assert world.system.actors() == []
    error = caught.value.__cause__
    assert isinstance(error, StartError)
    assert error.__cause__ is not None
    failed, why = error.path.rpartition("/")[2], reason_term(ExitReason(ExitKind.CRASHED, error.__cause__))
    reason: Term = ("shutdown", ("failed_to_start_child", failed, why))
    return (("error", reason), [reason])


@replays("intensity 0")
async def intensity_0(world: World) -> Term:
    await world.supervise(world.child("a"), world.child("b"), quiet=False, intensity=0)
    await world.exit("a", "boom")
    return await world.status()


@replays("default intensity: 1 crash ok, 2nd kills")
async def intensity_1(world: World) -> Term:
    await world.supervise(world.child("a"), world.child("b"))
    await world.exit("a", "boom")
    first = await world.status()
    await world.exit("a", "boom")
    return (first, await world.status())


@replays("intensity exceeded: are siblings restarted/stop order")
async def intensity_exceeded(world: World) -> Term:
    await world.supervise(*(world.child(name) for name in "abc"), intensity=0)
    await world.exit("b", "boom")
    return await world.status()


@replays("failed restart attempts count: failn 2 with intensity 3")
async def two_failed_restarts(world: World) -> Term:
    await world.supervise(world.child("a", "ok", "fail", "fail"), intensity=3)
    await world.exit("a", "boom")
    return await world.status()


@replays("failed restart attempts count: failn 3 with intensity 3")
async def three_failed_restarts(world: World) -> Term:
    await world.supervise(world.child("a", "ok", "fail", "fail", "fail"), intensity=3)
    await world.exit("a", "boom")
    return await world.status()


@replays("window edge: 2 crashes spaced 1.1s/2.2s with intensity 1 period 1")
async def window_edge(world: World) -> Term:
    await world.supervise(world.child("a"), quiet=False, period=1.0)
    await world.exit("a", "boom")
    await anyio.sleep(1.1)
    await world.exit("a", "boom")
    status = await world.status()
    assert isinstance(status, tuple)
    return (status[0],)


# --- groups ---


@replays("one_for_all of 3 counts once (intensity 1)")
async def one_for_all_counts_once(world: World) -> Term:
    await world.supervise(*(world.child(name) for name in "abc"), strategy="one_for_all")
    await world.exit("b", "boom")
    return await world.status()


@replays("one_for_all: normal-exited transient sibling is restarted")
async def one_for_all_revives_a_finished_sibling(world: World) -> Term:
    await world.supervise(
        world.child("a"),
        world.child("b", restart="transient"),
        world.child("c", restart="temporary"),
        strategy="one_for_all",
    )
    await world.exit("b", "normal")
    world.diary.take()
    first = await world.status()
    await world.exit("a", "boom")
    return (first, await world.status())


@replays("one_for_all: terminate_child'ed permanent sibling is restarted by later crash")
async def one_for_all_revives_a_terminated_sibling(world: World) -> Term:
    top = await world.supervise(world.child("a"), world.child("b"), strategy="one_for_all")
    await top.terminate_child("b")
    world.diary.take()
    first = await world.status()
    await world.exit("a", "boom")
    return (first, await world.status())


async def end_b(world: World, reason: str, restart: str) -> Term:
    await world.supervise(world.child("a"), world.child("b", restart=restart), strategy="one_for_all")
    await world.exit("b", reason)
    return await world.status()


REPLAYS["one_for_all: transient exits normal does not touch siblings"] = partial(
    end_b, reason="normal", restart="transient"
)
REPLAYS["one_for_all: temporary crash does not touch siblings"] = partial(
    end_b, reason="boom", restart="temporary"
)
REPLAYS["one_for_all: permanent exits normal restarts all"] = partial(
    end_b, reason="normal", restart="permanent"
)


async def crash_b_of_four(world: World, strategy: str, *plan: str) -> Term:
    a, b, d = (world.child(name) for name in "abd")
    await world.supervise(a, b, world.child("c", *plan), d, strategy=strategy, intensity=5)
    await world.exit("b", "boom")
    return await world.status()


@replays("rest_for_one b of abcd")
async def rest_for_one(world: World) -> Term:
    return await crash_b_of_four(world, "rest_for_one")


@replays("rest_for_one: c fails once on restart")
async def rest_for_one_fails_once(world: World) -> Term:
    return await crash_b_of_four(world, "rest_for_one", "ok", "fail")


@replays("one_for_all: c fails once on restart")
async def one_for_all_fails_once(world: World) -> Term:
    return await crash_b_of_four(world, "one_for_all", "ok", "fail")


@replays("ignore during restart (permanent, one_for_one)")
async def ignore_during_restart(world: World) -> Term:
    top = await world.supervise(world.child("a", "ok", "ignore", "ignore"))
    await world.exit("a", "boom")
    status = await world.status()
    first = started(await top.restart_child("a"))
    second = started(await top.restart_child("a"))
    assert isinstance(second, tuple)
    return (status, first, "true" if second[1] == "pid" else "false", second[0])


@replays("transient {shutdown,x} not restarted; killed restarted")
async def shutdown_x_and_kill(world: World) -> Term:
    top = await world.supervise(world.child("a", restart="transient"), quiet=False)
    await world.exit("a", "shutdown_x")
    first = await world.status()
    await top.restart_child("a")
    await world.exit("a", "kill")
    return (first, await world.status())


# --- stopping and administration ---


@replays("shutdown timeout kill, order")
async def stop_overruns(world: World) -> Term:
    await world.supervise(world.child("a", shutdown=0.1, slow_stop=1000.0))
    took = await world.stop()
    assert world.monitor.down is not None
    return (reason_kind(world.monitor.down.reason), took)


@replays("non-trapping child: terminate not run")
async def terminate_runs_the_stop_hook(world: World) -> Term:
    top = await world.supervise(world.child("a"))
    await top.terminate_child("a")
    return await world.status()


@replays("terminate_child counts no restart")
async def terminate_counts_no_restart(world: World) -> Term:
    top = await world.supervise(world.child("a"), quiet=False, intensity=0)
    await top.terminate_child("a")
    await top.restart_child("a")
    return await world.status()


@replays("dup id")
async def duplicate_id(world: World) -> Term:
    top = await world.supervise(world.child("a"), quiet=False)
    answers: list[Term] = []
    with pytest.raises(AlreadyStartedError) as running:
        await top.start_child(world.child("a"))
    assert running.value.ref is world.diary.refs["a"]
    answers.append("already_started")
    await top.terminate_child("a")
    with pytest.raises(AlreadyPresentError):
        await top.start_child(world.child("a"))
    answers.append(("error", "already_present"))
    with pytest.raises(ChildSpecError) as refused:
        Supervisor("other", children=[world.child("a"), world.child("a")])
    answers.append(("error", ("start_spec", ("duplicate_child_name", str(refused.value.value)))))
    return tuple(answers)


@replays("start_child failing leaves no spec")
async def failing_start_child(world: World) -> Term:
    top = await world.supervise(quiet=False)
    with pytest.raises(StartError) as caught:
        await top.start_child(world.child("z", "fail"))
    assert isinstance(caught.value.__cause__, BoomError)
    return ("error", "boom", await world.status())


@replays("supervisor blocked in child init: which_children waits")
async def busy_while_a_child_starts(world: World) -> Term:
    class SlowIgnored(Scripted):
        async def started(self) -> None:
            await anyio.sleep(0.3)
            raise Ignore

    top = await world.supervise(quiet=False)
    slow = Child("s", lambda: SlowIgnored(world.diary, "s", "ok"), restart="temporary")
    children: list[ChildStatus] = []
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(top.start_child, slow)
        await settle()
        children += await top.which_children()
    waited = anyio.current_time() - began
    return ([child.id for child in children], "true" if waited > 0.2 else "false")


@replays("parent exit(normal) signal to supervisor")
async def parent_exits_normally(world: World) -> Term:
    """A stop through its handle is what comes from above: its reason is normal."""
    top = await world.supervise(world.child("a"), quiet=False)
    await top.stop()
    return await world.status()


@replays("unknown linked exit ignored")
async def unknown_exit(world: World) -> Term:
    top = await world.supervise(world.child("a"), quiet=False)
    stranger = await world.system.spawn(Child("stranger", partial(Scripted, Diary(), "stranger", "ok")))
    world.system.link(top.ref, stranger)
    stranger.tell_nowait(Leave("boom"))
    await settle()
    return await world.status()


@replays("simple_one_for_one shutdown is parallel")
async def parallel_stop(world: World) -> Term:
    template = Child("any", with_arguments(partial(SlowStop, world.diary, seconds=0.2)))
    crowd = await world.system.spawn(DynamicSupervisor("crowd", template=template))
    world.top = crowd
    for number in range(1, 6):
        await crowd.start(str(number))
    return await world.stop()


@replays("one_for_one shutdown is sequential")
async def sequential_stop(world: World) -> Term:
    await world.supervise(*(world.child(str(number), slow_stop=0.2) for number in range(1, 6)))
    return await world.stop()


# --- significant children ---


@replays("any_significant stop order")
async def any_significant(world: World) -> Term:
    b = world.child("b", restart="transient", significant=True)
    await world.supervise(world.child("a"), b, world.child("c"), auto_shutdown="any_significant")
    await world.exit("b", "normal")
    return await world.status()


@replays("all_significant, nonsignificant running")
async def all_significant(world: World) -> Term:
    b = world.child("b", restart="transient", significant=True)
    c = world.child("c", restart="temporary", significant=True)
    await world.supervise(world.child("a"), b, c, quiet=False, auto_shutdown="all_significant")
    await world.exit("b", "normal")
    first = await world.status()
    await world.exit("c", "boom")
    return (first, await world.status())


@replays("all_significant: one stopped by terminate_child, then other exits")
async def all_significant_and_terminated(world: World) -> Term:
    b, c = (world.child(name, restart="transient", significant=True) for name in "bc")
    top = await world.supervise(b, c, quiet=False, auto_shutdown="all_significant")
    await top.terminate_child("b")
    first = await world.status()
    await world.exit("c", "normal")
    return (first, await world.status())
