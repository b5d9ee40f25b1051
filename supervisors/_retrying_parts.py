"""Find what retries on its own inside a service: an SDK's client, a decorated method.

By its looks alone: none of those libraries is imported, and nothing of theirs is called. Clients of openai
and anthropic and LangChain's models have ``max_retries``; what tenacity has wrapped has ``retry``. Layers of
our own say so themselves when they are called: `retry_layer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

_COUNTS = ("max_retries", "num_retries")
# Things that can be called over the network, not an application's own settings that say `max_retries`.
_CLIENT_MARKS = ("with_options", "request", "post", "invoke", "ainvoke", "completion", "acompletion")


def retrying_parts(actor: object) -> Iterator[str]:
    """Name what an actor holds, or is made of, that retries on its own, with what to do about it."""
    for name, value in _members(actor):
        if remedy := how_it_retries(value):
            yield f"{type(actor).__name__}.{name}: {remedy}"


def how_it_retries(value: object) -> str:
    """Say how *value* retries, and the remedy; empty where it does not, as far as one can see."""
    while isinstance(value, partial):
        value = cast("partial[object]", value).func
    # Looked up where it is stored: a mock has whatever one asks it for.
    held = _attribute(_attribute(value, "retry"), "__dict__")
    if callable(value) and isinstance(held, dict) and "stop" in held and "wait" in held:
        return "it is wrapped by tenacity; leave out that decorator"
    for client in (value, *_behind(value)):
        for name in _COUNTS:
            count = _attribute(client, name)
            if _is_count(count) and _is_client(client):
                return f"{type(client).__name__} retries on its own; give it {name}=0, it has {count}"
    return ""


def _members(actor: object) -> Iterator[tuple[str, object]]:
    yield from tuple(vars(actor).items())
    for cls in type(actor).__mro__[:-1]:
        if not cls.__module__.startswith("relight."):
            yield from tuple(vars(cls).items())


def _behind(value: object) -> Iterator[object]:
    """Yield the client a bound method or a resource belongs to: ``client.chat.completions.create``."""
    owner = _attribute(value, "__self__")
    for thing in (value, owner):
        client = _attribute(thing, "_client")
        if client is not None:
            yield client
    if owner is not None:
        yield owner


def _attribute(value: object, name: str) -> object:
    try:
        return cast("object", getattr(value, name, None))
    except Exception:  # noqa: BLE001 - somebody else's property
        return None


def _is_count(count: object) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and count > 0


def _is_client(value: object) -> bool:
    return any(hasattr(type(value), mark) for mark in _CLIENT_MARKS)
