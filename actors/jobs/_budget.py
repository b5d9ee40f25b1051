"""Money: what jobs may spend, and what they have spent, by the store's ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from math import fsum

import anyio
import msgspec

from ...supervisors import BudgetExceededError
from ._checks import check_number, check_store, check_whole
from ._records import Job, Spending
from ._store import Store

DAY = 86400.0
"""Seconds. Days are those of UTC."""
_FRESH = 1.0
"""Seconds for which a sum of the ledger is taken for true."""


class JobBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What jobs may spend, in US dollars; None: no limit.

    Asked before each step. Over its own budget a job is dead: waiting earns nothing. Over a day's it waits
    for the next day, without a worker's slot and without spending an attempt, unless its deadline comes
    first. A step is not begun when the money is gone; one that has begun is not broken off, so what runs in
    parallel may go over by that much.

    Raises:
        JobSpecError: A budget is negative, or no number.
    """

    per_job: float | None = None
    """Of each job, in all its attempts; a job's own ``budget_usd`` counts instead where it has one."""
    per_user_day: float | None = None
    """Of all jobs of one user in this store, in a day."""
    per_queue_day: float | None = None
    """Of all jobs of the queue, in a day."""
    per_day: float | None = None
    """Of all jobs of the store, in a day."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value: float | None = getattr(self, name)
            if value is not None:
                check_number(f"JobBudget.{name}", value, of="US dollars")

    def judge(self, job: Job, spent: float, today: Spent, now: float) -> BudgetExceededError | None:
        """Decide whether a job may begin another step; returns the refusal, or None.

        Args:
            job: The job.
            spent: What it has spent so far.
            today: What was spent today, and by whom.
            now: The moment.
        """
        own = self.per_job if job.budget_usd is None else job.budget_usd
        if own is not None and spent >= own:
            who = f"job {job.id}"
            return BudgetExceededError(who, _says(spent, own), scope=who, limit_usd=own, spent_usd=spent)
        rest_of_day = DAY - now % DAY
        for who, used, budget in (
            (f"user {job.user}", today.user, self.per_user_day),
            (f"queue {job.queue}", today.queue, self.per_queue_day),
            ("all jobs", today.everybody, self.per_day),
        ):
            if budget is not None and used >= budget:
                return BudgetExceededError(
                    who,
                    f"{_says(used, budget)} a day",
                    retry_after=rest_of_day,
                    scope=who,
                    window="day",
                    limit_usd=budget,
                    spent_usd=used,
                )
        return None

    @property
    def is_by_day(self) -> bool:
        """Tell whether the ledger has to be asked."""
        return (self.per_user_day, self.per_queue_day, self.per_day) != (None, None, None)


_NONE = JobBudget()


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars of a day so far."""

    user: float = 0.0
    """Of the user whose job it is; 0 where it is nobody's."""
    queue: float = 0.0
    everybody: float = 0.0


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What one day has cost."""

    day: date
    """Of UTC."""
    usd: float
    spendings: tuple[Spending, ...]
    """By queue and user, the dearest first."""


class Ledger:
    """Ask what jobs have cost.

    Args:
        store: Whose ledger; open.
        clock: Seconds since 1970.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        check_store("Ledger.store", store)
        self._store = store
        self._clock = clock
        self._read_at = -1.0
        self._sums: tuple[Spending, ...] = ()
        self._read: anyio.Event | None = None
        """Set when the read in hand is over; None: there is none."""

    async def days(self, count: int = 7) -> list[Day]:
        """Sum up the last days, today first; what was pruned or never charged is not in it.

        Args:
            count: So many days.

        Raises:
            JobSpecError: Less than one.
            StoreError: The ledger can't be read now.
        """
        check_whole("Ledger.days", count, 1)
        midnight = self._clock() // DAY * DAY
        return [await self._day(midnight - back * DAY) for back in range(count)]

    async def _day(self, begins: float) -> Day:
        sums = await self._store.sums(since=begins, until=begins + DAY)
        return Day(
            day=datetime.fromtimestamp(begins, UTC).date(),
            usd=fsum(each.usd for each in sums),
            spendings=tuple(sums),
        )

    async def spent(self, *, since: float, user: str | None = None, queue: str | None = None) -> float:
        """Return the US dollars spent since a moment, by everybody or by one."""
        return await self._store.spent(since=since, user=user, queue=queue)

    async def today(self, *, user: str | None, queue: str) -> Spent:
        """Return what this day has cost so far. It may be a second old.

        Raises:
            StoreError: The ledger can't be read now.
        """
        now = self._clock()
        while not self._is_fresh(now):
            if self._read is None:
                await self._read_day(now)
            else:
                await self._read.wait()
        return Spent(
            user=0.0 if user is None else sum(each.usd for each in self._sums if each.user == user),
            queue=sum(each.usd for each in self._sums if each.queue == queue),
            everybody=sum(each.usd for each in self._sums),
        )

    def _is_fresh(self, now: float) -> bool:
        # Of the same day, too: by yesterday's sums a job would wait until tomorrow.
        return self._read_at <= now < self._read_at + _FRESH and self._read_at // DAY == now // DAY

    async def _read_day(self, now: float) -> None:
        """Read, for whoever comes meanwhile, too."""
        read = self._read = anyio.Event()
        try:
            midnight = now // DAY * DAY
            self._sums = tuple(await self._store.sums(since=midnight, until=midnight + DAY))
            self._read_at = now
        finally:
            self._read = None
            read.set()


class Purse:
    """Hold a budget against the ledger, for the jobs of one queue.

    Args:
        budget: What may be spent.
        store: Whose ledger.
        clock: Seconds since 1970.
    """

    def __init__(self, budget: JobBudget, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._budget = budget
        self._ledger = Ledger(store, clock=clock)
        self._clock = clock

    def is_asked_by(self, job: Job) -> bool:
        """Tell whether there is anything to check: without a budget a step costs nothing more."""
        return job.budget_usd is not None or self._budget != _NONE

    async def check(self, job: Job, spent: float, unstored: float) -> None:
        """Refuse another step of *job* when the money is gone.

        Args:
            job: The job.
            spent: What it has spent.
            unstored: What of it is not in the ledger yet.

        Raises:
            BudgetExceededError: It is; ``retry_after`` says when there is more.
            StoreError: The ledger can't be read now.
        """
        today = Spent()
        if self._budget.is_by_day:
            stored = await self._ledger.today(user=job.user, queue=job.queue)
            today = Spent(
                user=stored.user + unstored,
                queue=stored.queue + unstored,
                everybody=stored.everybody + unstored,
            )
        refusal = self._budget.judge(job, spent, today, self._clock())
        if refusal is not None:
            raise refusal


def _says(used: float, budget: float) -> str:
    return f"has spent {_amount(used)} of {_amount(budget)} US dollars"


def _amount(usd: float) -> str:
    return f"{usd:.4g}" if usd < 1000.0 else f"{usd:.2f}"
