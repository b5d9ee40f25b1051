"""How a dynamic supervisor starts one more child from its template: at once, or in its turn."""

from functools import partial

import pytest
from anyio import create_task_group

from relight.runtime import Actor, Ref
from relight.supervisors import Child, DynamicSupervisor, MaxChildrenError, open_system

pytestmark = pytest.mark.anyio


class Plain(Actor):
    """Nothing to wait for on its way in."""


class Named(Actor):
    """Keeps what its factory was called with."""

    def __init__(self, *names: str) -> None:
        self.names = names

    async def started(self) -> object:
        return self.names


def crowd(template: Child, max_children: int | None = None) -> DynamicSupervisor:
    return DynamicSupervisor("crowd", template=template, max_children=max_children)


async def test_a_child_without_a_hook_is_there_before_anybody_else_runs() -> None:
    """Two ticks less than a request, for those who start many."""
    async with open_system() as system:
        supervisor = await system.spawn(crowd(Child("child", Plain)))
        starting = supervisor.start()
        with pytest.raises(StopIteration) as ended:
            starting.send(None)
        assert isinstance(ended.value.value, Ref)


@pytest.mark.parametrize("kind", [Plain, Named])
async def test_children_are_numbered_without_gaps_however_they_are_started(kind: type[Actor]) -> None:
    async with open_system() as system:
        supervisor = await system.spawn(crowd(Child("child", kind)))
        first = await supervisor.start()
        async with create_task_group() as group:
            for _ in range(3):
                group.start_soon(supervisor.start)
        last = await supervisor.start()
        numbers = [int(path.rpartition("-")[2]) for path in (first.path, last.path)]
        assert numbers[1] - numbers[0] == 4


async def test_the_arguments_reach_a_child_that_has_to_be_waited_for() -> None:
    async with open_system() as system:
        supervisor = await system.spawn(crowd(Child("child", partial(Named, "ann"))))
        assert (await supervisor.start("bob")).info == ("ann", "bob")


@pytest.mark.parametrize("kind", [Plain, Named])
async def test_one_child_too_many_is_refused_however_it_is_started(kind: type[Actor]) -> None:
    async with open_system() as system:
        supervisor = await system.spawn(crowd(Child("child", kind), max_children=1))
        await supervisor.start()
        with pytest.raises(MaxChildrenError):
            await supervisor.start()
        assert (await supervisor.count_children()).specs == 1
