"""Retention: for how long a store keeps what is over, and how it is deleted, a part at a time."""

from __future__ import annotations

import time

import msgspec

from ._budget import DAY
from ._checks import check_number
from ._store import Store

BATCH = 1000
"""Jobs deleted at a time: others wait for the store meanwhile."""
LEAST_LEDGER = 2.0 * DAY
"""Seconds that the ledger is kept at the least: budgets go by the sums of the day, and clocks differ."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that things are kept; None: for ever.

    Raises:
        JobSpecError: Not more than 0, or less than two days of the ledger.
    """

    jobs: float | None = None
    """Ended jobs, dead ones too, with their events; and undeliverable messages."""
    ledger: float | None = None
    """What was spent; two days at the least, which budgets of the day need."""

    def __post_init__(self) -> None:
        check_retention("Retention.jobs", self.jobs)
        check_ledger_retention("Retention.ledger", self.ledger)

    @property
    def is_for_ever(self) -> bool:
        """Tell whether nothing is ever deleted."""
        return self.jobs is None and self.ledger is None


def check_retention(field: str, seconds: float | None) -> None:
    """Refuse a time that jobs can't be kept for.

    Raises:
        JobSpecError: It is none.
    """
    if seconds is not None:
        check_number(field, seconds, is_open=True, of="seconds")


def check_ledger_retention(field: str, seconds: float | None) -> None:
    """Refuse a time that the ledger can't be kept for.

    Raises:
        JobSpecError: It is none, or too short for budgets.
    """
    if seconds is not None:
        check_number(field, seconds, least=LEAST_LEDGER, of="seconds, for budgets need the day")


async def forget(store: Store, retention: Retention, now: float) -> None:
    """Delete what is older than it should be, a part at a time. Cancelled, the parts before are done.

    Args:
        store: Open.
        retention: How old things may become.
        now: Seconds since 1970.

    Raises:
        StoreError: The store can't be used now.
    """
    if retention.jobs is not None:
        while await store.prune(ended_before=now - retention.jobs, most=BATCH) == BATCH:
            pass
    if retention.ledger is not None:
        while await store.prune_ledger(before=now - retention.ledger, most=BATCH) == BATCH:
            pass


async def prune_store(store: Store, retention: Retention, *, now: float | None = None) -> None:
    """Delete all that is older than it should be, as a worker with a retention does, in parts.

    Args:
        store: Open.
        retention: How old things may become.
        now: Seconds since 1970; None: those of this machine.

    Raises:
        StoreError: The store can't be used now; the parts before are done.
    """
    now = time.time() if now is None else now
    await forget(store, retention, now)
    if retention.jobs is not None:
        # Some jobs have more events than the ten that go with each.
        ended_before = now - retention.jobs
        while (await store.prunable(ended_before=ended_before, ledger_before=0.0)).events:
            await store.prune(ended_before=ended_before, most=BATCH)
