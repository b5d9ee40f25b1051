"""What the services did for one step, or for what a job does outside its steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import cast

from ...runtime import Sponsor


class Tally(Sponsor):
    """Count what the calls of a step cost, and give each its idempotency key.

    Args:
        key: Of the first call; those after it have it with a number.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._calls = 0
        self.cost_usd = 0.0
        self.retries = 0
        """Retries that the services' guards made."""

    def next_key(self) -> str:
        """Return the key of the next call."""
        self._calls += 1
        return self._key if self._calls == 1 else f"{self._key}:{self._calls}"

    def call_ended(self, attempts: int, reply: object) -> None:
        """Note what a call took, and what its reply, or a stream's last part, says it cost."""
        self.retries += max(0, attempts - 1)
        self.cost_usd += cost_of(reply)

    def absorb(self, other: Tally) -> None:
        """Take over what *other* counted."""
        self.cost_usd += other.cost_usd
        self.retries += other.retries


def cost_of(reply: object) -> float:
    """Return the US dollars a reply says it cost (``reply.usage.usd``); those of a list's items together."""
    if isinstance(reply, list | tuple):
        return sum(cost_of(item) for item in cast("Sequence[object]", reply))
    usd = getattr(getattr(reply, "usage", None), "usd", None)
    # What is no sum would make none of all it is added to, a budget's too.
    return float(usd) if isinstance(usd, int | float) and 0.0 <= usd < inf else 0.0
