"""Money: budgets of jobs, users, queues and days, and what the ledger says."""

from contextlib import suppress
from datetime import date

import anyio
import pytest

from relight.actors.jobs import (
    Job,
    JobBudget,
    JobContext,
    JobState,
    Ledger,
    MemoryStore,
    Queue,
    Spending,
    Spent,
    Store,
    StoreError,
    Worker,
)
from relight.supervisors import open_system
from tests.actors.jobs.desk_help import kill, new
from tests.support.clocks import virtual_time

DAY = 86400.0


async def a_job(**fields: object) -> Job:
    store = MemoryStore()
    await store.enqueue([new(1, user="ann", **fields)])
    detail = await store.job("job-0001")
    assert detail is not None
    return detail.job


@pytest.mark.anyio
async def test_a_spent_budget_says_whose_how_much_and_until_when() -> None:
    today = Spent(user=12_345.678)
    refusal = JobBudget(per_user_day=10_000.0).judge(await a_job(), 0.0, today, 5 * DAY + 100.0)
    assert refusal is not None
    assert str(refusal) == "user ann: has spent 12345.68 of 10000.00 US dollars a day; try again in 86300 s"
    facts = (refusal.scope, refusal.window, refusal.limit_usd, refusal.spent_usd)
    assert facts == ("user ann", "day", 10_000.0, 12_345.678)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("budget", "own", "spent", "today", "who", "retry_after"),
    [
        (JobBudget(), None, 99.0, Spent(user=99.0, queue=99.0, everybody=99.0), None, None),
        (JobBudget(per_job=1.0), None, 0.99, Spent(), None, None),
        (JobBudget(per_job=1.0), None, 1.0, Spent(), "job job-0001", None),
        (JobBudget(per_job=1.0), 2.0, 1.5, Spent(), None, None),
        (JobBudget(per_job=9.0), 2.0, 2.0, Spent(), "job job-0001", None),
        (JobBudget(per_user_day=1.0), None, 0.0, Spent(user=1.0), "user ann", DAY - 100.0),
        (JobBudget(per_queue_day=1.0), None, 0.0, Spent(user=1.0, queue=1.5), "queue q", DAY - 100.0),
        (JobBudget(per_day=1.0), None, 0.0, Spent(queue=0.5, everybody=1.0), "all jobs", DAY - 100.0),
        (JobBudget(per_day=0.0), None, 0.0, Spent(), "all jobs", DAY - 100.0),
    ],
)
async def test_a_budget_refuses_what_is_beyond_it(
    budget: JobBudget,
    own: float | None,
    spent: float,
    today: Spent,
    who: str | None,
    retry_after: float | None,
) -> None:
    refusal = budget.judge(await a_job(budget_usd=own), spent, today, 5 * DAY + 100.0)
    if who is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert (refusal.provider, refusal.retry_after) == (who, retry_after)


@pytest.mark.parametrize("field", ["per_job", "per_user_day", "per_queue_day", "per_day"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_negative_budget_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"JobBudget.{field}"):
        JobBudget(**{field: value})


@pytest.mark.anyio
async def test_the_ledger_sums_up_by_day_queue_and_user(store: Store) -> None:
    await store.enqueue([new(1, user="ann"), new(2, user="ben")])
    await kill(store, 1, 2, steps=1)
    detail = await store.job("job-0001")
    assert detail is not None
    now = detail.job.created_at
    ledger = Ledger(store, clock=lambda: now)
    today, yesterday = await ledger.days(2)
    assert (today.usd, yesterday.usd, yesterday.spendings) == (1.5, 0.0, ())
    assert [(each.queue, each.user, each.usd) for each in today.spendings] == [
        ("q", "ann", 0.75),
        ("q", "ben", 0.75),
    ]
    assert isinstance(today.day, date)
    assert await ledger.spent(since=0.0, user="ben") == 0.75
    assert await ledger.today(user="ann", queue="q") == Spent(user=0.75, queue=1.5, everybody=1.5)
    assert await ledger.today(user=None, queue="other") == Spent(everybody=1.5)


@pytest.mark.anyio
@virtual_time
async def test_over_a_days_budget_a_job_waits_for_the_next_day() -> None:
    store = MemoryStore(anyio.current_time)
    queue = Queue(store, "q", budget=JobBudget(per_user_day=1.0), clock=anyio.current_time)
    begun: list[float] = []

    @queue.job(user=lambda: "ann")
    async def draw(job: JobContext) -> None:
        for panel in ("one", "two", "three"):
            await job.step(panel, pay, job)

    async def pay(job: JobContext) -> None:
        begun.append(anyio.current_time())
        job.charge(0.6)
        await anyio.sleep(2.0)

    await anyio.sleep(DAY - 600.0)  # who waits looks every second
    async with open_system() as system:
        await Worker(queue).start(system)
        id_ = await queue.enqueue(draw)
        job = await queue.wait(id_, timeout=2 * DAY)
    assert job.state is JobState.SUCCEEDED
    assert job.attempt == 1
    assert job.cost_usd == pytest.approx(1.8)
    assert len(begun) == 3
    assert [at // DAY for at in begun] == [0, 0, 1]
    assert begun[2] < DAY + 61.0


class SlowStore(MemoryStore):
    """A store that takes its time to add up, and may be away."""

    fails = 0

    async def sums(self, *, since: float, until: float) -> list[Spending]:
        await anyio.sleep(0.1)
        if self.fails:
            self.fails -= 1
            raise StoreError("a store", "it is away", is_passing=True)
        return await super().sums(since=since, until=until)


async def _spend(store: MemoryStore, usd: float) -> None:
    await store.enqueue([new(1, user="ann")])
    await store.register("w", 60.0, {})
    (claimed,) = await store.claim("w", ["q"], 1)
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=usd, retries=0)


@pytest.mark.anyio
@virtual_time
@pytest.mark.parametrize("fails", [0, 1])
async def test_who_asks_while_the_ledger_is_being_read_waits_for_it(fails: int) -> None:
    """By sums of before, or none, steps would be begun though the money is gone."""
    store = SlowStore(anyio.current_time)
    await _spend(store, 2.0)
    store.fails = fails
    ledger, spent = Ledger(store, clock=anyio.current_time), list[float]()

    async def ask() -> None:
        with suppress(StoreError):
            spent.append((await ledger.today(user="ann", queue="q")).user)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask)
    assert spent == [2.0] * (5 - fails)


@pytest.mark.anyio
@virtual_time
async def test_no_sum_of_yesterday_counts_for_today() -> None:
    """A job would wait until tomorrow."""
    store = SlowStore(anyio.current_time)
    await anyio.sleep(DAY - 5.0)
    await _spend(store, 2.0)
    ledger, spent = Ledger(store, clock=anyio.current_time), list[float]()

    async def ask() -> None:
        spent.append((await ledger.today(user="ann", queue="q")).user)

    await anyio.sleep(4.5)
    await ask()
    await anyio.sleep(0.5)
    await ask()
    await anyio.sleep(3600.0)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    assert spent == [2.0, 0.0, 0.0, 0.0, 0.0]
