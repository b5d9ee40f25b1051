"""The actor that a conformance check looks at, and how a check runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from ..runtime import (
    Actor,
    ActorCrashedError,
    AskError,
    DeliveryError,
    Message,
    Ref,
    RefusalError,
    Request,
)
from ..supervisors import Child, Settings, System, open_system
from ..supervisors.policies import Policy
from ._idle import wait_until_idle

ID = "subject"
_LOST = ("unhandled", "stopped", "overflow")
"""Reasons of dead letters that no handler has seen."""


@dataclass(frozen=True)
class Subject:
    """An actor under check."""

    factory: Callable[[], Actor]
    messages: tuple[Message, ...]
    stop_within: float
    step_within: float
    timeout: float
    rounds: int
    shares: frozenset[str]
    policy: Policy | None

    @property
    def name(self) -> str:
        """What reports call it."""
        made: object = self.factory
        while (inner := getattr(made, "func", None)) is not None:
            made = inner
        return getattr(made, "__qualname__", None) or type(made).__name__

    @property
    def requests(self) -> list[Request[object]]:
        """The messages that can be asked."""
        return [cast("Request[object]", message) for message in self.messages if isinstance(message, Request)]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[tuple[System, Ref], None]:
        """Open a system with the actor in it. What it logs is of no interest: reports say what is wrong."""
        async with open_system(settings=Settings(log_level="error")) as system:
            yield system, await self.start(system)

    async def start(self, system: System) -> Ref:
        """Start the actor."""
        spec = Child(
            ID, self.factory, shutdown=self.stop_within, start_timeout=self.timeout, policy=self.policy
        )
        return await system.spawn(spec)

    async def send(self, system: System, ref: Ref, message: Message) -> None:
        """Send *message*, asked if it can be, and wait until it has been handled.

        Raises:
            AssertionError: The actor crashed on it, or did not handle it.
        """
        name = type(message).__name__
        if not isinstance(message, Request):
            await self._tell(system, ref, message)
            return
        try:
            await ref.ask(cast("Request[object]", message), timeout=self.timeout)
        except ActorCrashedError as error:
            raise AssertionError(f"it crashed on {name}: {error.__cause__!r}") from error
        except (DeliveryError, AskError, RefusalError) as error:
            raise AssertionError(f"it did not handle {name}: {error}") from error
        except Exception:  # noqa: BLE001, S110 - an answer of the actor's own
            pass

    async def _tell(self, system: System, ref: Ref, message: Message) -> None:
        before = ref.statistics()
        await ref.tell(message)
        await wait_until_idle(system, timeout=self.timeout)
        after, name = ref.statistics(), type(message).__name__
        if after.crashed > before.crashed:
            raise AssertionError(f"it crashed on {name}; the log says how")
        # An answer by exception makes a dead letter too; of those the actor's counters tell nothing.
        if any(letter.message is message and letter.reason in _LOST for letter in system.dead_letters.read()):
            raise AssertionError(f"it did not handle {name}: it became a dead letter")

    async def send_all(self, system: System, ref: Ref) -> None:
        """Send every message once."""
        for message in self.messages:
            await self.send(system, ref, message)
