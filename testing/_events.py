"""Capture what a system says happened."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from ..supervisors import System
from ._looking import Patience


class CapturedEvent(NamedTuple):
    """One event: unpacks as its name and its fields."""

    name: str
    """``noun.verb``, as docs/reference/events.md lists them."""
    fields: Mapping[str, object]
    """What it says."""

    def says(self, **fields: object) -> bool:
        """Tell whether it has these fields with these values, among others."""
        return all(name in self.fields and self.fields[name] == value for name, value in fields.items())


class CapturedEvents(list[CapturedEvent]):
    """The events since the capture began, in the order they were emitted."""

    def named(self, name: str, /, **fields: object) -> list[CapturedEvent]:
        """List the events of this name, and with these fields where any are given."""
        return [event for event in self if event.name == name and event.says(**fields)]

    @property
    def names(self) -> list[str]:
        """The names of all events, in order."""
        return [event.name for event in self]

    async def wait_for(
        self, name: str, /, *, times: int = 1, timeout: float = 5.0, **fields: object
    ) -> CapturedEvent:
        """Wait until an event of this name, with these fields, has been captured; return it.

        One that was captured before counts, so nothing is missed between an action and the wait.

        Args:
            name: The event.
            times: Wait for this many of them, and return the last of these.
            timeout: Seconds.
            **fields: Fields it must have, with their values.

        Raises:
            AssertionError: Not in time. The text lists the events of this name that there were, or
                the names of all.
        """
        patience = Patience(timeout)
        while len(found := self.named(name, **fields)) < times:
            if patience.is_over:
                raise AssertionError(self._missing(name, times, timeout, fields))
            await patience.wait()
        return found[times - 1]

    def _missing(self, name: str, times: int, timeout: float, fields: Mapping[str, object]) -> str:
        wanted = name + "".join(f" {field}={value!r}" for field, value in fields.items())
        number = "no" if times == 1 else f"fewer than {times}"
        same = [dict(event.fields) for event in self.named(name)]
        seen = f"of this name: {same}" if same else f"there were: {', '.join(self.names) or 'none'}"
        return f"{number} event {wanted} within {timeout:g} s; {seen}"


@contextmanager
def capture_events(system: System) -> Generator[CapturedEvents, None, None]:
    """Collect what *system* says while the block runs.

    What was collected stays readable after the block. Logging goes on as before.
    """
    events = CapturedEvents()
    end = system.events.listen(lambda name, fields: events.append(CapturedEvent(name, dict(fields))))
    try:
        yield events
    finally:
        end()
