"""Captured events: found by name and fields, waited for, and missed with a readable text."""

import pytest

from relight import Child, System
from relight.testing import capture_events, crash
from tests.testing.actors import Counter, real_time

pytestmark = pytest.mark.anyio


async def test_events_of_the_block_are_captured_in_order(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    with capture_events(virtual_system) as events:
        await crash(counter)
    await crash(counter)
    assert events.names == ["actor.crashed", "actor.restarted"]
    name, fields = events[1]
    assert (name, fields) == ("actor.restarted", {"actor_path": "counter", "restarts": 1})


async def test_events_are_found_by_name_and_fields(virtual_system: System) -> None:
    for name in ("one", "two"):
        await virtual_system.spawn(Child(name, Counter))
    with capture_events(virtual_system) as events:
        for name in ("one", "two", "two"):
            await crash(virtual_system.get(name))
    assert len(events.named("actor.restarted")) == 3
    assert [event.fields["restarts"] for event in events.named("actor.restarted", actor_path="two")] == [1, 2]
    assert events.named("actor.restarted", nothing=1) == []


async def test_an_event_that_has_been_is_waited_for_no_more(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    with capture_events(virtual_system) as events:
        await crash(counter)
        found = await events.wait_for("actor.restarted", actor_path="counter")
    assert found.fields["restarts"] == 1


@real_time
async def test_an_event_to_come_is_waited_for_in_real_time_too(relight_system: System) -> None:
    counter = await relight_system.spawn(Child("counter", Counter))
    with capture_events(relight_system) as events:
        await crash(counter)
        await crash(counter)
        found = await events.wait_for("actor.restarted", times=2)
    assert found.fields["restarts"] == 2


async def test_an_event_that_does_not_come_fails_with_what_there_was(virtual_system: System) -> None:
    counter = await virtual_system.spawn(Child("counter", Counter))
    with capture_events(virtual_system) as events:
        await crash(counter)
        with pytest.raises(
            AssertionError, match=r"no event actor.restarted restarts=7 within 3 s.*'restarts': 1"
        ):
            await events.wait_for("actor.restarted", restarts=7, timeout=3)
        with pytest.raises(
            AssertionError, match=r"no event provider.paused .*actor.crashed, actor.restarted"
        ):
            await events.wait_for("provider.paused")
        with pytest.raises(AssertionError, match="fewer than 2 event"):
            await events.wait_for("actor.crashed", times=2)
