"""Find an actor by its path or name, as its senders know it."""

from __future__ import annotations

from ..runtime import Cell, Kernel, Ref


def find_actor(kernel: Kernel, name: str) -> Ref | None:
    """Return the live actor at this path or with this name, or None.

    Of a service it is the service itself, not the supervisor whose path it has.
    """
    found = kernel.registry.find(name)
    if isinstance(found, Cell):
        front: Ref | None = getattr(found.actor, "front", None)
        return front or found
    return found
