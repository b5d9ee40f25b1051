"""Registry: paths and names are unique among the living, and free again when their actor has ended."""

from functools import partial

import anyio
import pytest

from relight import Child, NameTakenError, NoSuchActorError, Supervisor, open_system
from tests.runtime.desk import Boom, Desk, Echo, Hold, Log, asking, cell_of, open_desk, settle

pytestmark = pytest.mark.anyio


def named(name: str, log: Log, *, id: str = "named", shutdown: float = 5.0) -> Child:  # noqa: A002
    return Child(id, partial(Desk, log), name=name, shutdown=shutdown)


async def test_an_actor_is_found_by_its_path() -> None:
    log = Log()
    async with open_system() as system:
        await system.spawn(Supervisor("tree", children=[Child("leaf", partial(Desk, log))]))
        ref = system.get("tree/leaf")
        assert ref.path == "tree/leaf"
        assert system.find("tree/leaf") is ref


async def test_an_actor_is_found_by_its_name() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(named("front-desk", log))
        assert system.get("front-desk") is ref
        assert system.get("named") is ref


async def test_a_name_nobody_has_is_an_error_or_none() -> None:
    async with open_desk() as (system, _ref, _log):
        assert system.find("nobody") is None
        with pytest.raises(NoSuchActorError, match="no actor is registered as 'nobody'") as caught:
            system.get("nobody")
        assert caught.value.name == "nobody"


async def test_a_name_of_a_living_actor_is_taken() -> None:
    log = Log()
    async with open_system() as system:
        await system.spawn(named("front", log))
        with pytest.raises(NameTakenError, match="the name 'front' is taken by a live actor") as caught:
            await system.spawn(named("front", log, id="other"))
        assert caught.value.name == "front"
        assert system.find("other") is None


async def test_a_path_of_a_living_actor_is_taken_as_a_name() -> None:
    log = Log()
    async with open_desk() as (system, ref, _log):
        with pytest.raises(NameTakenError):
            await system.spawn(named("desk", log))
        assert system.find("named") is None
        assert system.get("desk") is ref


async def test_a_failed_claim_leaves_the_id_free() -> None:
    log = Log()
    async with open_system() as system:
        await system.spawn(named("front", log))
        with pytest.raises(NameTakenError):
            await system.spawn(named("front", log, id="other"))
        other = await system.spawn(named("back", log, id="other"))
        assert system.get("back") is other


async def test_names_survive_a_restart() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(named("front", log))
        await ref.tell(Boom())
        await settle()
        assert system.get("front") is ref
        assert await ref.ask(Echo(1)) == 1


async def test_names_are_free_when_the_actor_has_ended() -> None:
    log = Log()
    async with open_system() as system:
        await (await system.spawn(named("front", log))).stop()
        assert system.find("front") is None
        again = await system.spawn(named("front", log, id="again"))
        assert system.get("front") is again


async def test_names_are_kept_until_the_actor_has_ended() -> None:
    log = Log()
    async with open_system() as system, anyio.create_task_group() as group:
        ref = await system.spawn(named("front", log))
        other = await system.spawn(Child("other", partial(Desk, log)))
        await asking(group, ref, Hold())
        group.start_soon(ref.stop)
        await settle()
        with pytest.raises(NameTakenError):
            cell_of(ref).kernel.registry.claim("front", cell_of(other))
        log.open()


async def test_forgetting_an_actor_twice_leaves_its_successor_alone() -> None:
    log = Log()
    async with open_system() as system:
        first = await system.spawn(named("front", log))
        await first.stop()
        second = await system.spawn(named("front", log))
        cell_of(first).gone()
        assert system.get("front") is second
        assert system.get("named") is second


async def test_a_claim_repeated_by_its_holder_is_harmless() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(named("front", log))
        registry = cell_of(ref).kernel.registry
        registry.claim("front", cell_of(ref))
        assert registry.get("front") is ref
        assert len(registry) == 2
        await ref.stop()
        assert len(registry) == 0


async def test_living_actors_are_listed_once_each_in_start_order() -> None:
    log = Log()
    async with open_system() as system:
        first = await system.spawn(named("front", log))
        second = await system.spawn(Child("second", partial(Desk, log)))
        assert [ref for ref in system.actors() if ref in (first, second)] == [first, second]


async def test_a_running_actor_is_given_more_names() -> None:
    async with open_desk() as (system, ref, _log):
        system.register("front", ref)
        system.register("front", ref)
        system.register("main", ref)
        assert system.get("front") is system.get("main") is ref
        await ref.stop()
        assert (system.find("front"), system.find("main")) == (None, None)


async def test_an_extra_name_is_taken_back() -> None:
    async with open_desk() as (system, ref, _log):
        system.register("front", ref)
        system.register("main", ref)
        system.unregister("front")
        assert system.find("front") is None
        assert system.get("main") is ref
        system.unregister("main")
        assert len(cell_of(ref).kernel.registry) == 1


@pytest.mark.parametrize("name", ["desk", "nobody"])
async def test_only_extra_names_are_taken_back(name: str) -> None:
    async with open_desk() as (system, ref, _log):
        with pytest.raises(NoSuchActorError):
            system.unregister(name)
        assert system.get("desk") is ref


async def test_a_name_that_is_taken_names_its_holder() -> None:
    log = Log()
    async with open_desk() as (system, ref, _log):
        other = await system.spawn(named("front", log))
        with pytest.raises(NameTakenError) as caught:
            system.register("front", ref)
        assert caught.value.ref is other


async def test_a_stopped_actor_is_given_no_name() -> None:
    async with open_desk() as (system, ref, _log):
        await ref.stop()
        with pytest.raises(NoSuchActorError):
            system.register("front", ref)
        assert system.find("front") is None


async def test_a_name_claimed_twice_and_taken_back_once_is_free() -> None:
    log = Log()
    async with open_desk() as (system, ref, _log):
        other = await system.spawn(Child("other", partial(Desk, log)))
        system.register("front", ref)
        system.register("front", ref)
        system.unregister("front")
        system.register("front", other)
        await ref.stop()
        assert system.get("front") is other


async def test_every_name_is_listed_with_whose_it_is() -> None:
    log = Log()
    async with open_system() as system:
        ref = await system.spawn(named("front-desk", log))
        registry = cell_of(ref).kernel.registry
        assert registry.names() == {"named": ref, "front-desk": ref}
        registry.names().clear()
        assert len(registry) == 2
        await ref.stop()
        assert registry.names() == {}
