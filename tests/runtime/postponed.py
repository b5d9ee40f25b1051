"""Actor classes whose annotations are text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from relight import Actor, Request, handles

Maker: TypeAlias = "Callable[[], tuple[type[Actor], Request[int]]]"


class Seven(Request[int], frozen=True):
    """Ask for a seven."""


class Counter(Actor):
    @handles
    async def seven(self, message: Seven) -> int:
        return 7


def module_level() -> tuple[type[Actor], Request[int]]:
    return Counter, Seven()


def local_to_a_function() -> tuple[type[Actor], Request[int]]:
    class Local(Request[int], frozen=True):
        pass

    class Host(Actor):
        @handles
        async def local(self, message: Local) -> int:
            return 7

    return Host, Local()


def nested() -> tuple[type[Actor], Request[int]]:
    class Host(Actor):
        class Inner(Request[int], frozen=True):
            pass

        @handles
        async def inner(self, message: Inner) -> int:
            return 7

    return Host, Host.Inner()
