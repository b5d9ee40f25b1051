"""What every store does, whatever it keeps its jobs in."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from relight.actors.jobs import (
    Claimed,
    CursorExpiredError,
    Failure,
    JobDetail,
    JobState,
    LeaseLostError,
    MemoryStore,
    NewJob,
    Prunable,
    Query,
    Retention,
    Step,
    Store,
    prune_store,
)
from tests.actors.jobs.conftest import make_store

pytestmark = pytest.mark.anyio

QUEUE = "q"
LEASE = 60.0
FAILURE = Failure(error="ValueError: no", error_type="ValueError", cause="ValueError: no", cost_usd=0.25)


@pytest.fixture(params=["memory", "sqlite", "postgres", "session pooler", "transaction pooler"])
def closed_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Make an empty store: through poolers too, where other tests do with a direct connection."""
    return make_store(request, tmp_path)


def new(number: int, **fields: object) -> NewJob:
    return msgspec.structs.replace(
        NewJob(id=f"job-{number:04}", queue=QUEUE, kind="draw", args=b"{}"), **fields
    )


async def claim(store: Store, most: int = 10, worker: str = "w1", lease: float = LEASE) -> list[Claimed]:
    await store.register(worker, lease, {"host": "here"})
    return await store.claim(worker, [QUEUE], most)


async def begin(store: Store, job: NewJob) -> Claimed:
    await store.enqueue([job])
    (claimed,) = await claim(store)
    return claimed


async def lose(store: Store, worker: str) -> None:
    """Let a worker's lease end."""
    await store.beat(worker, 0.01)
    await anyio.sleep(0.02)


async def state(store: Store, number: int = 1) -> JobState:
    detail = await store.job(f"job-{number:04}")
    assert detail is not None
    return detail.job.state


async def detail_of(store: Store, number: int = 1) -> JobDetail:
    detail = await store.job(f"job-{number:04}")
    assert detail is not None
    return detail


def names(claimed: Sequence[Claimed]) -> list[str]:
    return [one.job.id for one in claimed]


async def kinds(store: Store, after: str = "0") -> list[str]:
    return [event.kind for event in await store.events(after)]


async def test_jobs_are_claimed_by_priority_and_then_by_age(store: Store) -> None:
    await store.enqueue([new(1), new(2), new(3, priority=5)])
    assert names(await claim(store, most=2)) == ["job-0003", "job-0001"]
    assert names(await claim(store, most=2)) == ["job-0002"]
    assert await claim(store) == []


async def test_enqueuing_a_job_twice_is_enqueuing_it_once(store: Store) -> None:
    assert await store.enqueue([new(1), new(1)]) == ["job-0001", "job-0001"]
    assert len(await claim(store)) == 1


async def test_a_unique_key_is_held_by_one_unfinished_job(store: Store) -> None:
    assert await store.enqueue([new(1, unique_key="k")]) == ["job-0001"]
    assert await store.enqueue([new(2, unique_key="k")]) == ["job-0001"]
    (claimed,) = await claim(store)
    assert await store.enqueue([new(3, unique_key="k")]) == ["job-0001"]
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=0.0, retries=0)
    assert await store.enqueue([new(4, unique_key="k")]) == ["job-0004"]


async def test_a_delayed_job_waits_for_its_moment(store: Store) -> None:
    await store.enqueue([new(1, delay=0.4), new(2, delay=100.0)])
    assert await claim(store) == []
    due = await store.next_due([QUEUE])
    assert due is not None
    assert 0.0 < due <= 0.4
    await anyio.sleep(due)
    assert names(await claim(store)) == ["job-0001"]


async def test_a_job_past_its_deadline_dies_unbegun(store: Store) -> None:
    await store.enqueue([new(1, timeout=0.01)])
    await anyio.sleep(0.02)
    assert await claim(store) == []
    assert await state(store) is JobState.DEAD
    (group,) = await store.dead_groups(Query())
    assert group.cause == "its deadline passed"


async def test_finished_steps_come_back_with_the_next_run(store: Store) -> None:
    first = await begin(store, new(1))
    await store.save_step("job-0001", first.job.fence, Step(name="a", result=b"1", seconds=2.0))
    await store.save_step(
        "job-0001", first.job.fence, Step(name="b", result=b"2", cost_usd=0.5, version="v2")
    )
    await store.fail("job-0001", first.job.fence, FAILURE, retry_in=0.0, spends=True)
    (again,) = await claim(store)
    assert [(step.name, step.result, step.version) for step in again.steps] == [
        ("a", b"1", ""),
        ("b", b"2", "v2"),
    ]
    assert (again.job.attempt, again.job.runs) == (2, 2)
    assert again.job.cost_usd == 0.75
    assert again.job.fence > first.job.fence


async def test_an_old_fence_is_refused_for_every_write(store: Store) -> None:
    claimed = await begin(store, new(1))
    old = claimed.job.fence - 1
    for write in (
        store.save_step("job-0001", old, Step(name="a")),
        store.note("job-0001", old, "log", {"text": "x"}),
        store.succeed("job-0001", old, b"1", cost_usd=0.0, retries=0),
        store.fail("job-0001", old, FAILURE, retry_in=None, spends=True),
        store.release("job-0001", old, cost_usd=0.0, retries=0),
        store.end_cancelled("job-0001", old, cost_usd=0.0, retries=0),
    ):
        with pytest.raises(LeaseLostError):
            await write
    assert await kinds(store) == ["enqueued", "started"]
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=0.0, retries=0)
    with pytest.raises(LeaseLostError):
        await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=0.0, retries=0)


async def test_a_failed_run_is_kept_with_all_it_told(store: Store) -> None:
    claimed = await begin(store, new(1))
    fence = claimed.job.fence
    assert await store.fail("job-0001", fence, FAILURE, retry_in=30.0, spends=True) is JobState.WAITING
    detail = await store.job("job-0001")
    assert detail is not None
    assert (detail.job.error, detail.job.worker) == ("ValueError: no", None)
    (attempt,) = detail.attempts
    assert (attempt.number, attempt.error_type, attempt.retry_in, attempt.is_spent) == (
        1,
        "ValueError",
        30.0,
        True,
    )
    due = await store.next_due([QUEUE])
    assert due is not None
    assert 29.0 < due <= 30.0


async def test_a_wait_that_spends_no_attempt_gives_its_number_back(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=0.0, spends=False)
    (again,) = await claim(store)
    assert (again.job.attempt, again.job.runs) == (1, 2)


async def test_of_waits_that_spend_nothing_the_last_hundred_are_kept(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=0.0, spends=True)
    for _ in range(103):
        (again,) = await claim(store)
        await store.fail("job-0001", again.job.fence, FAILURE, retry_in=0.0, spends=False)
    detail = await store.job("job-0001")
    assert detail is not None
    assert [(each.number, each.is_spent) for each in detail.attempts] == [
        (1, True),
        *((number, False) for number in range(5, 105)),
    ]


async def test_a_released_job_begins_again_at_once(store: Store) -> None:
    claimed = await begin(store, new(1))
    released = await store.release("job-0001", claimed.job.fence, cost_usd=0.5, retries=2)
    assert released is JobState.QUEUED
    (again,) = await claim(store)
    assert again.job.attempt == 1
    assert (again.job.cost_usd, again.job.service_retries) == (0.5, 2)
    assert await store.spent(since=0.0) == 0.5


async def test_a_released_job_that_was_asked_to_end_has_ended(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.cancel(["job-0001"])
    released = await store.release("job-0001", claimed.job.fence, cost_usd=0.0, retries=0)
    assert released is await state(store) is JobState.CANCELLED
    assert await claim(store) == []
    assert (await kinds(store))[-1] == "cancelled"


async def test_a_step_that_is_stored_twice_is_the_first_and_charged_once(store: Store) -> None:
    claimed = await begin(store, new(1))
    for result in (b"1", b"2"):
        step = Step(name="a", result=result, cost_usd=0.5, service_retries=2)
        await store.save_step("job-0001", claimed.job.fence, step)
    detail = await store.job("job-0001")
    assert detail is not None
    assert [step.result for step in detail.steps] == [b"1"]
    assert (detail.job.cost_usd, detail.job.service_retries) == (0.5, 2)
    assert await store.spent(since=0.0) == 0.5
    assert (await kinds(store)).count("step") == 1
    with pytest.raises(LeaseLostError):
        await store.save_step("job-0001", claimed.job.fence - 1, Step(name="a"))


async def test_a_step_that_is_stored_twice_at_once_is_charged_once(store: Store) -> None:
    claimed = await begin(store, new(1))
    step = Step(name="a", result=b"1", cost_usd=0.5, service_retries=2)
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(store.save_step, "job-0001", claimed.job.fence, step)
    detail = await store.job("job-0001")
    assert detail is not None
    assert (detail.job.cost_usd, detail.job.service_retries) == (0.5, 2)
    assert await store.spent(since=0.0) == 0.5
    assert (await kinds(store)).count("step") == 1


async def test_a_step_that_is_saved_twice_at_once_is_stored_and_charged_once(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.save_step("job-0001", claimed.job.fence, Step(name="old", cost_usd=0.25))
    refused: list[LeaseLostError] = []

    async def save(name: str, fence: int) -> None:
        step = Step(name=name, result=name.encode(), cost_usd=0.5, service_retries=2)
        try:
            await store.save_step("job-0001", fence, step)
        except LeaseLostError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for name in ("a", "b", "a", "old", "a", "b"):
            group.start_soon(save, name, claimed.job.fence)
            group.start_soon(save, name, claimed.job.fence - 1)
    assert len(refused) == 6
    detail = await store.job("job-0001")
    assert detail is not None
    assert {step.name: (step.result, step.cost_usd) for step in detail.steps} == {
        "old": (b"", 0.25),
        "a": (b"a", 0.5),
        "b": (b"b", 0.5),
    }
    assert (detail.job.cost_usd, detail.job.service_retries) == (1.25, 4)
    assert await store.spent(since=0.0) == 1.25
    assert (await kinds(store)).count("step") == 3


async def test_a_dead_job_is_retried_with_its_steps_and_all_its_attempts(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.save_step("job-0001", claimed.job.fence, Step(name="a", result=b"1"))
    assert (
        await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=None, spends=True) is JobState.DEAD
    )
    assert await store.retry(["job-0001", "unknown"]) == ["job-0001"]
    assert await store.retry(["job-0001"]) == []
    (again,) = await claim(store)
    assert (again.job.attempt, [step.name for step in again.steps]) == (1, ["a"])


async def test_a_job_whose_unique_key_another_holds_is_not_retried(store: Store) -> None:
    claimed = await begin(store, new(1, unique_key="k"))
    await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=None, spends=True)
    await store.enqueue([new(2, unique_key="k")])
    assert await store.retry(["job-0001"]) == []


async def test_only_dead_jobs_are_discarded(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=None, spends=True)
    await store.enqueue([new(2)])
    assert await store.discard(["job-0001", "job-0002"]) == ["job-0001"]
    assert await state(store) is JobState.DISCARDED
    assert await store.dead_groups(Query()) == []


async def test_a_job_not_begun_is_cancelled_at_once_and_a_running_one_is_asked(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.enqueue([new(2), new(3, delay=60.0)])
    assert await store.cancel(["job-0001", "job-0002", "job-0003", "unknown"]) == {
        "job-0001": JobState.RUNNING,
        "job-0002": JobState.CANCELLED,
        "job-0003": JobState.CANCELLED,
    }
    assert await store.beat("w1", LEASE) == frozenset({"job-0001"})
    await store.end_cancelled("job-0001", claimed.job.fence, cost_usd=0.5, retries=2)
    detail = await store.job("job-0001")
    assert detail is not None
    assert (detail.job.state, detail.job.cost_usd, detail.job.service_retries) == (JobState.CANCELLED, 0.5, 2)
    assert await store.cancel(["job-0001"]) == {"job-0001": JobState.CANCELLED}


async def test_one_that_fails_after_it_was_asked_to_end_is_cancelled(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.cancel(["job-0001"])
    assert (
        await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=1.0, spends=True)
        is JobState.CANCELLED
    )


async def test_the_jobs_of_a_lost_worker_are_rescued_with_a_new_fence(store: Store) -> None:
    await store.enqueue([new(1), new(2)])
    (first,) = await claim(store, most=1)
    (other,) = await claim(store, most=1, worker="w2")
    assert await store.reap() == []
    await lose(store, "w1")
    assert await store.reap() == [first.job.id]
    assert await store.beat("w1", LEASE) is None
    assert await store.beat("w2", LEASE) == frozenset()
    with pytest.raises(LeaseLostError):
        await store.save_step(first.job.id, first.job.fence, Step(name="late"))
    await store.save_step(other.job.id, other.job.fence, Step(name="in time"))
    (again,) = await claim(store, worker="w2")
    assert again.job.id == first.job.id
    assert again.job.attempt == 2


async def test_a_lease_that_has_ended_is_extended_while_nobody_has_taken_its_jobs(store: Store) -> None:
    claimed = await begin(store, new(1))
    await lose(store, "w1")
    assert list(await store.overdue()) == ["w1"]
    assert await store.claim("w1", [QUEUE], 1) == []
    assert await store.beat("w1", LEASE) == frozenset()
    assert await store.overdue() == {}
    assert await store.reap() == []
    await store.save_step(claimed.job.id, claimed.job.fence, Step(name="a"))


async def test_a_worker_that_gives_a_sign_of_life_between_two_looks_is_not_reaped(store: Store) -> None:
    await store.enqueue([new(1), new(2)])
    (first,) = await claim(store, most=1)
    await claim(store, most=1, worker="w2")
    await lose(store, "w1")
    await lose(store, "w2")
    overdue = await store.overdue()
    assert sorted(overdue) == ["w1", "w2"]
    await store.beat("w2", LEASE)
    await lose(store, "w2")
    assert await store.reap({}) == []
    assert await store.reap(overdue) == [first.job.id]
    assert list(await store.overdue()) == ["w2"]
    await store.retire("w2")
    assert len(await store.reap({})) == 1


PAID = Step(name="paid", result=b"[1]", cost_usd=0.5, seconds=1.5, service_retries=2)


@pytest.mark.parametrize("end", ["queued", "dead", "cancelled", "waiting"])
async def test_a_step_of_a_lost_run_is_stored_late_if_no_other_run_has_begun(store: Store, end: str) -> None:
    claimed = await begin(store, new(1, max_attempts=1 if end == "dead" else 5, user="ann"))
    id_, run = claimed.job.id, claimed.job.runs
    if end == "waiting":
        await store.fail(id_, claimed.job.fence, FAILURE, retry_in=60.0, spends=True)
    else:
        if end == "cancelled":
            await store.cancel([id_])
        await lose(store, "w1")
        await store.reap()
    before = (await detail_of(store)).job
    for _ in range(2):  # the answer to the first may have been lost
        assert await store.save_late(id_, run, PAID)
    detail = await detail_of(store)
    assert (detail.job.state, [step.name for step in detail.steps]) == (JobState(end), ["paid"])
    assert (detail.job.fence, detail.job.runs) == (before.fence, run)
    assert detail.job.cost_usd == before.cost_usd + 0.5
    assert detail.job.service_retries == before.service_retries + 2
    assert await store.spent(since=0.0, user="ann") == before.cost_usd + 0.5
    told = [event.data for event in await store.events("0") if event.kind == "step"]
    assert told == [{"name": "paid", "seconds": 1.5, "cost_usd": 0.5}]
    if end == "queued":
        (again,) = await claim(store, worker="w2")
        assert [(step.name, step.result) for step in again.steps] == [("paid", b"[1]")]


@pytest.mark.parametrize("is_done_there", [False, True])
async def test_a_step_of_a_lost_run_is_dropped_and_paid_if_another_run_has_begun(
    store: Store, is_done_there: bool
) -> None:
    claimed = await begin(store, new(1, user="ann"))
    id_, run = claimed.job.id, claimed.job.runs
    await lose(store, "w1")
    await store.reap()
    (other,) = await claim(store, worker="w2")
    if is_done_there:
        await store.save_step(id_, other.job.fence, Step(name="paid", result=b"[2]", cost_usd=0.25))
    for _ in range(2):
        assert not await store.save_late(id_, run, PAID)
    detail = await detail_of(store)
    there = 0.25 if is_done_there else 0.0
    assert [step.result for step in detail.steps] == ([b"[2]"] if is_done_there else [])
    assert (detail.job.state, detail.job.fence, detail.job.worker) == (
        JobState.RUNNING,
        other.job.fence,
        "w2",
    )
    assert detail.job.cost_usd == there + 0.5
    assert await store.spent(since=0.0, user="ann") == there + 0.5
    told = [event.data for event in await store.events("0") if event.kind == "step_dropped"]
    assert told == [{"name": "paid", "seconds": 1.5, "cost_usd": 0.5, "run": run}]
    await store.succeed(id_, other.job.fence, b"1", cost_usd=0.0, retries=0)


async def test_a_step_stored_before_its_answer_was_lost_is_recognised_and_charged_once(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.save_step(claimed.job.id, claimed.job.fence, PAID)
    await lose(store, "w1")
    await store.reap()
    await claim(store, worker="w2")
    assert await store.save_late(claimed.job.id, claimed.job.runs, PAID)
    assert (await detail_of(store)).job.cost_usd == 0.5
    assert not await store.save_late("nobody", 1, PAID)


async def test_a_worker_without_a_lease_gets_nothing(store: Store) -> None:
    await store.enqueue([new(1)])
    assert await store.claim("nobody", [QUEUE], 10) == []
    await store.register("w1", LEASE, {})
    await store.retire("w1")
    assert await store.claim("w1", [QUEUE], 10) == []


async def test_a_lost_job_that_has_no_attempt_left_is_dead(store: Store) -> None:
    await store.enqueue([new(1, max_attempts=1)])
    await claim(store)
    await lose(store, "w1")
    await store.reap()
    assert await state(store) is JobState.DEAD


async def test_a_lost_job_that_came_further_is_given_its_attempt_back(store: Store) -> None:
    """Killed again and again it dies only when it does nothing else any more."""
    await store.enqueue([new(1, max_attempts=1)])
    for number in range(3):
        (claimed,) = await claim(store)
        assert (claimed.job.attempt, claimed.job.runs, len(claimed.steps)) == (1, number + 1, number)
        await store.save_step(claimed.job.id, claimed.job.fence, Step(name=f"step-{number}"))
        await lose(store, "w1")
        assert await store.reap() == [claimed.job.id]
        assert await state(store) is JobState.QUEUED
        await anyio.sleep(0.002)
    await claim(store)
    await lose(store, "w1")
    await store.reap()
    assert await state(store) is JobState.DEAD


async def test_keys_are_limited_together_and_others_pass_them(store: Store) -> None:
    await store.enqueue([new(n, limit_key="ann", limit=2) for n in range(1, 5)] + [new(9)])
    begun = [*await claim(store, most=4), *await claim(store, most=4), *await claim(store, most=4)]
    assert names(begun) == ["job-0001", "job-0002", "job-0009"]
    detail = await store.job("job-0001")
    assert detail is not None
    await store.succeed("job-0001", detail.job.fence, b"1", cost_usd=0.0, retries=0)
    assert names(await claim(store)) == ["job-0003"]


async def test_one_claim_looks_past_jobs_whose_key_has_no_room(store: Store) -> None:
    await store.enqueue([new(n, limit_key="ann", limit=1) for n in range(1, 9)] + [new(9), new(10)])
    assert names(await claim(store, most=3)) == ["job-0001", "job-0009", "job-0010"]


async def test_parallel_writes_of_one_job_are_all_made(store: Store) -> None:
    claimed = await begin(store, new(1))
    fence = claimed.job.fence
    async with anyio.create_task_group() as group:
        for number in range(10):
            step = Step(name=f"s{number}", cost_usd=0.5, service_retries=1)
            group.start_soon(store.save_step, "job-0001", fence, step)
            group.start_soon(store.note, "job-0001", fence, "log", {"text": "x"})
    detail = await store.job("job-0001")
    assert detail is not None
    assert len(detail.steps) == 10
    assert (detail.job.cost_usd, detail.job.service_retries) == (5.0, 10)
    assert await store.spent(since=0.0) == 5.0
    assert len(await store.events("0")) == 22


async def test_a_job_ends_once_however_many_say_so_at_the_same_time(store: Store) -> None:
    claimed = await begin(store, new(1))
    refused: list[LeaseLostError] = []

    async def succeed() -> None:
        try:
            await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=1.0, retries=0)
        except LeaseLostError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(succeed)
    assert len(refused) == 2
    assert await store.spent(since=0.0) == 1.0
    assert await kinds(store) == ["enqueued", "started", "succeeded"]


async def test_a_queue_is_paused_and_limited(store: Store) -> None:
    await store.enqueue([new(1), new(2), new(3)])
    await store.set_queue(QUEUE, paused=True)
    assert await claim(store) == []
    await store.set_queue(QUEUE, paused=False, max_running=2)
    assert len(await claim(store)) == 2
    assert await claim(store) == []
    (queue,) = await store.queues()
    assert (queue.name, queue.is_paused, queue.max_running) == (QUEUE, False, 2)
    assert (queue.counts[JobState.RUNNING], queue.counts[JobState.QUEUED]) == (2, 1)
    await store.set_queue(QUEUE, max_running=0)
    assert len(await claim(store)) == 1


async def test_jobs_are_listed_newest_first_page_by_page(store: Store) -> None:
    await store.enqueue([new(n, user="ann" if n % 2 else "bob") for n in range(1, 8)])
    ann = Query(user="ann", states=frozenset({JobState.QUEUED}))
    page = await store.jobs(ann, most=2)
    assert [job.id for job in page] == ["job-0007", "job-0005"]
    page = await store.jobs(ann, after=page[-1].id, most=9)
    assert [job.id for job in page] == ["job-0003", "job-0001"]
    assert [job.id for job in await store.jobs(Query(ids=frozenset({"job-0002"})))] == ["job-0002"]
    assert await store.jobs(Query(kind="other")) == []


async def test_the_dead_are_grouped_by_their_cause(store: Store) -> None:
    await store.enqueue([new(n) for n in range(1, 5)])
    for claimed in await claim(store):
        cause = "a" if claimed.job.id < "job-0004" else "b"
        failure = msgspec.structs.replace(FAILURE, cause=cause)
        await store.fail(claimed.job.id, claimed.job.fence, failure, retry_in=None, spends=True)
    first, second = await store.dead_groups(Query())
    assert (first.cause, first.count, first.sample, first.cost_usd) == ("a", 3, "job-0003", 0.75)
    assert (second.cause, second.count) == ("b", 1)
    assert [group.cause for group in await store.dead_groups(Query(cause="b"))] == ["b"]


async def test_the_sample_of_a_group_is_one_of_those_asked_for(store: Store) -> None:
    await store.enqueue([new(1, user="ann", max_attempts=1), new(2, user="bob", max_attempts=1)])
    await claim(store)
    await lose(store, "w1")
    await store.reap()  # both at one moment, of one cause
    for user, sample in (("ann", "job-0001"), ("bob", "job-0002")):
        (group,) = await store.dead_groups(Query(user=user))
        assert (group.count, group.sample) == (1, sample)


async def test_the_ledger_adds_up_what_was_spent(store: Store) -> None:
    first = await begin(store, new(1, user="ann"))
    await store.save_step("job-0001", first.job.fence, Step(name="a", cost_usd=1.5))
    await store.succeed("job-0001", first.job.fence, b"1", cost_usd=0.5, retries=0)
    second = await begin(store, new(2, user="bob"))
    await store.fail("job-0002", second.job.fence, FAILURE, retry_in=None, spends=True)
    assert await store.spent(since=0.0) == 2.25
    assert await store.spent(since=0.0, user="ann") == 2.0
    assert await store.spent(since=0.0, queue="other") == 0.0
    detail = await store.job("job-0002")
    assert detail is not None
    assert detail.job.finished_at is not None
    assert await store.spent(since=detail.job.finished_at + 60.0) == 0.0


async def test_events_tell_a_jobs_life_in_order_and_are_read_on_from_a_cursor(store: Store) -> None:
    claimed = await begin(store, new(1, user="ann"))
    fence = claimed.job.fence
    await store.note("job-0001", fence, "progress", {"value": 0.5, "message": "half"})
    await store.save_step("job-0001", fence, Step(name="a"))
    some = await store.events("0", most=3)
    assert [event.kind for event in some] == ["enqueued", "started", "progress"]
    assert (some[2].data, some[2].user) == ({"value": 0.5, "message": "half"}, "ann")
    await store.succeed("job-0001", fence, b"1", cost_usd=0.0, retries=0)
    assert await kinds(store, some[-1].cursor) == ["step", "succeeded"]
    assert await store.events(await store.last_cursor()) == []
    assert await store.events("0", user="bob") == []
    assert len(await store.events("0", job="job-0001")) == 5
    detail = await store.job("job-0001")
    assert detail is not None
    assert (detail.job.progress, detail.job.result) == (1.0, b"1")


async def test_who_waits_for_a_change_hears_of_it(store: Store) -> None:
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            with anyio.fail_after(30):
                await store.wait_change(60.0)

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await store.enqueue([new(1)])
    with anyio.fail_after(30):
        await store.wait_change(0.01)


async def test_what_was_stored_since_the_last_look_ends_the_wait_at_once(store: Store) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("it answers at once, so nothing can come between look and wait")
    assert await claim(store) == []
    await store.enqueue([new(1)])
    with anyio.fail_after(30):
        await store.wait_change(60.0)
    assert names(await claim(store)) == ["job-0001"]


async def test_old_jobs_and_events_are_pruned_and_old_cursors_say_so(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=0.0, retries=0)
    await store.enqueue([new(2)])
    assert await store.prune(ended_before=0.0) == 0
    assert len(await store.events(await store.first_cursor())) == len(await store.events("0")) == 4
    last = await store.last_cursor()
    assert await store.prune(ended_before=4e9) == 1
    assert await store.job("job-0001") is None
    assert await store.job("job-0002") is not None
    with pytest.raises(CursorExpiredError):
        await store.events("0")
    assert await store.events(last) == []
    await store.enqueue([new(3)])
    assert await kinds(store, last) == ["enqueued"]
    assert await kinds(store, await store.first_cursor()) == ["enqueued"]


async def test_old_events_are_pruned_a_part_at_a_time(store: Store) -> None:
    """A million at once would keep who else writes waiting, and a worker from extending its lease."""
    claimed = await begin(store, new(1))
    for number in range(23):
        await store.note("job-0001", claimed.job.fence, "log", {"text": str(number)})
    left: list[list[object]] = []
    for _ in range(3):
        assert await store.prune(ended_before=4e9, most=1) == 0
        left.append([event.data.get("text") for event in await store.events(await store.first_cursor())])
    assert left == [[str(number) for number in range(8, 23)], [str(number) for number in range(18, 23)], []]


async def test_an_error_inside_an_open_store_comes_out_as_itself(closed_store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with closed_store.opened():
            raise ZeroDivisionError
    async with closed_store.opened():
        assert await closed_store.queues() == []


async def test_a_cancelled_write_leaves_the_store_as_good_as_before(store: Store) -> None:
    async with anyio.create_task_group() as group:
        for number in range(1, 20):
            group.start_soon(store.enqueue, [new(number)])
        group.cancel_scope.cancel()
    await store.enqueue([new(20)])
    assert await state(store, 20) is JobState.QUEUED


async def test_what_was_spent_is_summed_by_queue_and_user(store: Store) -> None:
    await store.enqueue([new(1, user="ann"), new(2, user="ben"), new(3, user="ann"), new(4)])
    for claimed, usd in zip(await claim(store), (0.5, 0.25, 1.0, 0.125), strict=True):
        await store.succeed(claimed.job.id, claimed.job.fence, b"1", cost_usd=usd, retries=0)
    found = await store.sums(since=0.0, until=1e12)
    assert [(each.queue, each.user, each.usd) for each in found] == [
        (QUEUE, "ann", 1.5),
        (QUEUE, "ben", 0.25),
        (QUEUE, None, 0.125),
    ]
    assert await store.sums(since=1e12, until=2e12) == []
    assert await store.sums(since=0.0, until=1.0) == []


async def test_what_a_pruned_job_spent_still_counts_for_its_user_and_its_queue(store: Store) -> None:
    claimed = await begin(store, new(1, user="ann"))
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=0.5, retries=0)
    assert await store.prune(ended_before=4e9) == 1
    assert await store.spent(since=0.0, user="ann", queue=QUEUE) == 0.5
    assert [(each.user, each.usd) for each in await store.sums(since=0.0, until=1e12)] == [("ann", 0.5)]


async def test_a_queue_says_since_when_its_oldest_job_could_begin(store: Store) -> None:
    await store.enqueue([new(1), new(2, delay=60.0)])
    (queue,) = await store.queues()
    detail = await store.job("job-0001")
    assert detail is not None
    assert queue.oldest_at == detail.job.run_at
    await claim(store)
    (queue,) = await store.queues()
    assert queue.oldest_at is None


async def test_a_queue_says_how_many_workers_serve_it(store: Store) -> None:
    await store.enqueue([new(1)])
    (queue,) = await store.queues()
    assert (queue.workers, queue.is_unserved) == (0, True)
    await store.register("w1", LEASE, {}, [QUEUE, "other"])
    await store.register("w2", LEASE, {}, [QUEUE])
    await store.register("w3", 0.01, {}, [QUEUE])
    await anyio.sleep(0.02)  # the third one's lease has ended, though nobody has said so yet
    other, queue = await store.queues()
    assert (queue.name, queue.workers, queue.is_unserved) == (QUEUE, 2, False)
    assert (other.name, other.workers, other.is_unserved) == ("other", 1, False)
    await store.register("w1", LEASE, {}, ["other"])
    await store.retire("w2")
    other, queue = await store.queues()
    assert (queue.workers, queue.is_unserved, other.workers) == (0, True, 1)
    await store.cancel(["job-0001"])
    assert [each.is_unserved for each in await store.queues()] == [False, False]


async def test_a_queue_counts_what_has_ended_only_where_it_is_asked_for(store: Store) -> None:
    await store.enqueue([new(1), new(2), new(3, queue="idle")])
    first, second = await claim(store)
    await store.succeed(first.job.id, first.job.fence, b"1", cost_usd=0.0, retries=0)
    await store.fail(second.job.id, second.job.fence, FAILURE, retry_in=None, spends=True)
    await store.cancel(["job-0003"])
    (queue,) = await store.queues()
    counted = {JobState.QUEUED, JobState.WAITING, JobState.RUNNING, JobState.DEAD}
    assert (queue.name, set(queue.counts), queue.counts[JobState.DEAD]) == (QUEUE, counted, 1)
    idle, queue = await store.queues(ended=True)
    assert (idle.name, idle.counts[JobState.CANCELLED]) == ("idle", 1)
    assert (queue.counts[JobState.SUCCEEDED], sum(queue.counts.values())) == (1, 2)


async def test_a_queue_that_had_a_worker_is_known_whatever_becomes_of_its_jobs(store: Store) -> None:
    await store.register("w1", LEASE, {}, [QUEUE])
    await store.retire("w1")
    (queue,) = await store.queues()
    assert (queue.name, queue.is_paused, queue.max_running, queue.workers) == (QUEUE, False, None, 0)
    await store.set_queue(QUEUE, paused=True)
    await store.register("w1", LEASE, {}, [QUEUE])
    assert [each.is_paused for each in await store.queues()] == [True]


@pytest.mark.parametrize("timeout", [3600.0, None])
async def test_a_retried_job_keeps_a_deadline_that_lies_ahead(store: Store, timeout: float | None) -> None:
    claimed = await begin(store, new(1, timeout=timeout))
    await store.fail("job-0001", claimed.job.fence, FAILURE, retry_in=None, spends=True)
    assert await store.retry(["job-0001"]) == ["job-0001"]
    (again,) = await claim(store)
    assert again.job.deadline == claimed.job.deadline
    assert [event.data for event in await store.events("0") if event.kind == "retried"] == [{}]


async def test_a_retried_job_has_no_deadline_where_it_has_passed(store: Store) -> None:
    await store.enqueue([new(1, timeout=-1.0)])
    assert await claim(store) == []
    assert await state(store) is JobState.DEAD
    await store.retry(["job-0001"])
    (again,) = await claim(store)
    assert again.job.deadline is None
    told = [event.data for event in await store.events("0") if event.kind == "retried"]
    assert told == [{"is_deadline_removed": True}]


async def test_the_ledger_is_pruned_apart_the_oldest_first(store: Store) -> None:
    await store.enqueue([new(number, user=f"user {number}") for number in range(1, 6)])
    for claimed in await claim(store):
        await store.succeed(claimed.job.id, claimed.job.fence, b"1", cost_usd=1.0, retries=0)
        await anyio.sleep(0.005)
    assert await store.prune(ended_before=4e9) == 5
    assert await store.prune_ledger(before=0.0) == 0
    assert await store.prune_ledger(before=4e9, most=2) == 2
    found = {each.user: each.usd for each in await store.sums(since=0.0, until=1e12)}
    assert found == {"user 3": 1.0, "user 4": 1.0, "user 5": 1.0}
    assert await store.prune_ledger(before=4e9) == 3
    assert await store.spent(since=0.0) == 0.0


async def test_what_could_be_pruned_is_counted(store: Store) -> None:
    claimed = await begin(store, new(1))
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=1.0, retries=0)
    await store.enqueue([new(2)])
    found = await store.prunable(ended_before=4e9, ledger_before=4e9)
    assert (found.jobs, found.events, found.messages, found.ledger) == (1, 4, 0, 1)
    assert await store.prunable(ended_before=0.0, ledger_before=0.0) == Prunable()
    await store.prune(ended_before=4e9)
    assert await store.prunable(ended_before=4e9, ledger_before=0.0) == Prunable()


async def test_a_whole_store_is_pruned_however_many_events_its_jobs_have(store: Store) -> None:
    claimed = await begin(store, new(1))
    for number in range(30):
        await store.note("job-0001", claimed.job.fence, "log", {"text": str(number)})
    await store.succeed("job-0001", claimed.job.fence, b"1", cost_usd=1.0, retries=0)
    now = 4e9
    await prune_store(store, Retention(ledger=2 * 86_400.0), now=now)
    assert await store.job("job-0001") is not None
    assert await store.spent(since=0.0) == 0.0
    await prune_store(store, Retention(jobs=60.0), now=now)
    assert await store.prunable(ended_before=now, ledger_before=now) == Prunable()
    assert await store.job("job-0001") is None
