"""Find what retries on its own inside a service: an SDK's client, a decorated method.

By its looks alone: none of those libraries is imported, and nothing of theirs is called. Clients of openai
and anthropic and LangChain's models have ``max_retries``; what tenacity has wrapped has ``retry``. Layers of
our own say so themselves when they are called: `retry_layer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

_COUNTS = {"max_retries": 0, "num_retries": 0, "max_attempt_number": 1}
"""What says how often a client tries again, and what it should be. The last is of LangChain's
``with_retry``."""
_HOLDERS = ("_client", "root_async_client", "async_client", "client")
"""Where a client hides: in a resource of openai's and anthropic's, in a model of LangChain's."""
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
    for client in _clients(value):
        for name, most in _COUNTS.items():
            count = _attribute(client, name)
            if isinstance(count, int) and not isinstance(count, bool) and count > most and _is_client(client):
                return f"{type(client).__name__} retries on its own; give it {name}={most}, it has {count}"
    return ""


def _members(actor: object) -> Iterator[tuple[str, object]]:
    yield from tuple(vars(actor).items())
    for cls in type(actor).__mro__[:-1]:
        if not cls.__module__.startswith("relight."):
            yield from tuple(vars(cls).items())


def _clients(value: object) -> Iterator[object]:
    """Yield what may be a client: the value, whose method it is, and what either of them works with."""
    for thing in (value, _attribute(value, "__self__")):
        if thing is not None:
            yield thing
            for holder in _HOLDERS:
                held = _attribute(thing, holder)
                yield held
                yield _attribute(held, "_client")


def _attribute(value: object, name: str) -> object:
    try:
        return cast("object", getattr(value, name, None))
    except Exception:  # noqa: BLE001 - somebody else's property
        return None


def _is_client(value: object) -> bool:
    return any(hasattr(type(value), mark) for mark in _CLIENT_MARKS)
