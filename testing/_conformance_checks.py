"""The rules by which relight runs actors, each as a check that says what is wrong and what helps."""

from __future__ import annotations

import gc
import pickle
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from copy import copy, deepcopy
from functools import partial
from weakref import ref as weak

import anyio
import anyio.lowlevel
import msgspec

from ..runtime import NORMAL, Actor, ActorState, Cell, Message, Ref, Request, UnhandledMessageError
from ..supervisors import System
from ._clock import is_virtual
from ._crash import crash
from ._events import capture_events
from ._idle import wait_until_idle
from ._leaks import no_leaks
from ._rehearsal import Rehearse
from ._subject import Subject

Check = Callable[[Subject], Awaitable[None]]

BAD_STOPS = ("actor.stop_failed", "actor.stop_overran", "actor.stuck")
CONTAINERS = (list, dict, set, bytearray, deque)
TRIES = 3
"""A step of a handler is too long if it was so each time: a busy machine is not the actor's fault."""


class _Unknown(Request[None], frozen=True):
    """Nobody handles it."""


def _cell(ref: Ref) -> Cell:
    assert isinstance(ref, Cell)
    return ref


async def handles_its_messages(subject: Subject) -> None:
    """Each message is handled without a crash, and again after it."""
    async with subject.running() as (system, ref):
        await subject.send_all(system, ref)
        await subject.send_all(system, ref)


async def survives_askers_that_leave(subject: Subject) -> None:
    """Whoever asks may leave at any moment: the actor goes on, and serves the next."""
    async with subject.running() as (system, ref):
        for request in subject.requests:
            took = await _seconds(subject, system, ref, [request])
            for leave in (
                *(partial(_checkpoints, count) for count in range(4)),
                partial(anyio.sleep, took / 2),
            ):
                async with anyio.create_task_group() as group:
                    group.start_soon(_ask_quietly, ref, request)
                    await leave()
                    group.cancel_scope.cancel()
                await wait_until_idle(system, timeout=subject.timeout)
                if ref.statistics().crashed:
                    name = type(request).__name__
                    raise AssertionError(
                        f"it crashed once an asker of {name} had left: clean up in finally blocks"
                    )
            await subject.send(system, ref, request)


async def restarts_afresh(subject: Subject) -> None:
    """After a crash the next incarnation is a new object, and handles messages."""
    async with subject.running() as (system, ref):
        old = _cell(ref).actor
        await _restart(subject, ref)
        if _cell(ref).actor is old:
            raise AssertionError("its factory returned the same object again: make a new one each time")
        await subject.send_all(system, ref)


async def keeps_state_apart(subject: Subject) -> None:
    """What handlers change in one incarnation is not seen by the next."""
    async with subject.running() as (system, ref):
        old = _cell(ref).actor
        before = {name: (value, _snapshot(value)) for name, value in _state(old)}
        await subject.send_all(system, ref)
        changed = {name: value for name, (value, was) in before.items() if value != was}
        await _restart(subject, ref)
        new = dict(_state(_cell(ref).actor))
        for name, value in changed.items():
            if name not in subject.shares and new.get(name) is value:
                raise AssertionError(
                    f"{name!r} was changed by handlers and is the same object in the next incarnation: "
                    f"make it in __init__, or say shares=[{name!r}]"
                )


async def stops_in_time(subject: Subject) -> None:
    """It stops within its time, without an error; stopping it twice, or its hook, does no harm."""
    async with subject.running() as (system, ref):
        await subject.send_all(system, ref)
        actor = _cell(ref).actor
        with capture_events(system) as events:
            await ref.stop()
            await ref.stop()
        for event in events:
            if event.name in BAD_STOPS:
                raise AssertionError(f"{event.name} when it was stopped: {_facts(event.fields)}")
        try:
            with anyio.fail_after(subject.stop_within):
                await actor.stopping(NORMAL)
        except TimeoutError:
            raise AssertionError("stopping() hangs when it is called a second time") from None
        except Exception as error:
            raise AssertionError(
                f"stopping() raised when it was called a second time: {error!r}; let it do nothing then"
            ) from error


async def starts_and_stops_without_leaks(subject: Subject) -> None:
    """Started and stopped many times, it leaves no task, timer, name or object behind."""
    actors: list[weak[Actor]] = []
    async with subject.running() as (system, ref):
        await subject.send_all(system, ref)
        await ref.stop()
        async with no_leaks(system, timeout=subject.stop_within + 1.0):
            for _ in range(subject.rounds):
                ref = await subject.start(system)
                actors.append(weak(_cell(ref).actor))
                await ref.stop()
        await anyio.lowlevel.checkpoint()
        gc.collect()
        kept = sum(actor() is not None for actor in actors)
        if kept > 1:  # the last one may still be in somebody's hands
            raise AssertionError(f"{kept} of {len(actors)} stopped objects are kept alive by somebody")


async def ignores_unknown_messages(subject: Subject) -> None:
    """A message it has no handler for does no harm."""
    async with subject.running() as (system, ref):
        try:
            await ref.ask(_Unknown(), timeout=subject.timeout)
        except UnhandledMessageError:
            pass
        except Exception as error:
            raise AssertionError(f"a message of an unknown type was answered with {error!r}") from error
        await ref.tell(_Unknown())
        await wait_until_idle(system, timeout=subject.timeout)
        if ref.statistics().crashed:
            raise AssertionError("it crashed on a message of an unknown type")
        await subject.send_all(system, ref)


async def leaves_no_context_variables(subject: Subject) -> None:
    """What a handler binds to context variables ends with the message: other actors share the context."""
    async with subject.running() as (_, ref):
        for message in subject.messages:
            seen = await ref.ask(Rehearse(message), timeout=subject.timeout)
            if seen.bound:
                raise AssertionError(
                    f"the handler of {type(message).__name__} leaves {', '.join(seen.bound)} bound: "
                    "reset them, or set isolated = True"
                )


async def handles_as_many_at_once_as_declared(subject: Subject) -> None:
    """As many requests as its ``concurrency`` says are handled side by side; more are all answered.

    Whether they really run side by side can be seen in virtual time only.
    """
    async with subject.running() as (system, ref):
        declared = _cell(ref).concurrency
        for request in subject.requests:
            alone = await _seconds(subject, system, ref, [request])
            together = await _seconds(subject, system, ref, [request] * declared)
            await _seconds(subject, system, ref, [request] * (declared + 1))
            if declared > 1 and is_virtual() and together > 1.5 * alone:
                raise AssertionError(
                    f"concurrency = {declared}, but {declared} {type(request).__name__} at once take "
                    f"{together:.3g} s and one takes {alone:.3g} s: something makes them wait for one another"
                )


async def sends_messages_as_data(subject: Subject) -> None:
    """Each message can be encoded, stored and read again: msgspec and pickle give an equal one back."""
    for message in subject.messages:
        for name, copied in (("msgspec", _encoded), ("pickle", _pickled)):
            try:
                again = copied(message)
            except Exception as error:
                raise AssertionError(f"{name} can't encode {type(message).__name__}: {error}") from error
            if again != message:
                raise AssertionError(f"{name} turns {message!r} into {again!r}: type its fields")


async def never_blocks_the_loop(subject: Subject) -> None:
    """No handler holds the event loop for long between two awaits."""
    async with subject.running() as (_, ref):
        for message in subject.messages:
            steps: list[float] = []
            while len(steps) < TRIES:
                seen = await ref.ask(Rehearse(message), timeout=subject.timeout)
                steps.append(seen.longest_step)
                if seen.longest_step <= subject.step_within:
                    break
            if min(steps) > subject.step_within:
                raise AssertionError(
                    f"the handler of {type(message).__name__} held the event loop for {min(steps):.3g} s "
                    f"(allowed: {subject.step_within:g} s): await, or use a thread"
                )


CHECKS: tuple[Check, ...] = (
    handles_its_messages,
    survives_askers_that_leave,
    restarts_afresh,
    keeps_state_apart,
    stops_in_time,
    starts_and_stops_without_leaks,
    ignores_unknown_messages,
    leaves_no_context_variables,
    handles_as_many_at_once_as_declared,
    sends_messages_as_data,
    never_blocks_the_loop,
)


async def _checkpoints(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def _ask_quietly(ref: Ref, request: Request[object]) -> None:
    with suppress(Exception):  # another check is about the answers
        await ref.ask(request)


async def _seconds(subject: Subject, system: System, ref: Ref, requests: list[Request[object]]) -> float:
    """Ask all at once; return the seconds until the last is answered."""
    began = anyio.current_time()
    errors: list[AssertionError] = []

    async def ask(request: Request[object]) -> None:
        try:
            await subject.send(system, ref, request)
        except AssertionError as error:  # carried out of the group, which would wrap it
            errors.append(error)

    async with anyio.create_task_group() as group:
        for request in requests:
            group.start_soon(ask, request)
    if errors:
        raise errors[0]
    return anyio.current_time() - began


async def _restart(subject: Subject, ref: Ref) -> None:
    state = await crash(ref, timeout=subject.timeout)
    if state is not ActorState.RUNNING:
        raise AssertionError(f"it did not start again after a crash: it is {state}")


def _state(actor: Actor) -> Iterator[tuple[str, object]]:
    """Yield the containers among an actor's attributes, its classes' own included."""
    names: dict[str, object] = {}
    for cls in reversed(type(actor).__mro__):
        if issubclass(cls, Actor) and cls is not Actor:
            names.update(vars(cls))
    names.update(vars(actor))
    for name, value in names.items():
        if isinstance(value, CONTAINERS) and not name.startswith("__"):
            yield name, value


def _snapshot(value: object) -> object:
    try:
        return deepcopy(value)
    except Exception:  # noqa: BLE001 - what can't be copied deeply is compared by its surface
        return copy(value)


def _facts(fields: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name}={value}" for name, value in fields.items() if name not in ("actor_path", "traceback")
    )


def _encoded(message: Message) -> Message:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))


def _pickled(message: Message) -> object:
    return pickle.loads(pickle.dumps(message))  # noqa: S301 - what was pickled a moment ago
