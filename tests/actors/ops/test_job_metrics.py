"""Metrics of jobs, as Prometheus reads them."""

import anyio
import pytest

from relight.actors.jobs import Fail, JobContext, MemoryStore, Queue, Store, Worker
from relight.actors.ops import scrape_jobs
from relight.supervisors import open_system
from tests.actors.jobs import conftest
from tests.actors.jobs.desk_help import kill, new
from tests.support.clocks import virtual_time

pytestmark = pytest.mark.anyio

store, closed_store = conftest.store, conftest.closed_store


async def test_a_scrape_says_what_the_store_holds(store: Store) -> None:
    await store.enqueue([new(number) for number in range(1, 5)])
    await kill(store, 1, 2)
    await store.set_queue("q", paused=True)
    for worker in ("w1", "w2"):
        await store.register(worker, 3600.0, {}, ["q"])
    detail = await store.job("job-0003")
    assert detail is not None
    now = detail.job.created_at + 30.0
    text = await scrape_jobs(store, clock=lambda: now)
    for line in (
        'jobs{queue="q",state="queued"} 2.0',
        'jobs{queue="q",state="dead"} 2.0',
        'job_queue_paused{queue="q"} 1.0',
        'job_queue_workers{queue="q"} 2.0',
        'jobs_dead{job="draw"} 2.0',
        'job_cost_today_usd{queue="q"} 0.5',
    ):
        assert line in text
    (oldest,) = [line for line in text.splitlines() if line.startswith("job_oldest_queued_seconds{")]
    assert 20.0 < float(oldest.split()[1]) <= 40.0


@virtual_time
async def test_a_scrape_says_what_the_workers_here_have_done() -> None:
    held = MemoryStore(anyio.current_time)
    queue = Queue(held, clock=anyio.current_time)

    @queue.job(attempts=2)
    async def draw(job: JobContext, name: str) -> None:
        await job.step("ink", anyio.sleep, 3.0)
        if name == "bad":
            raise Fail("no ink left")
        if job.attempt == 1:
            raise ValueError("again")

    async with open_system() as system:
        await Worker(queue).start(system)
        for name in ("good", "bad"):
            await queue.wait(await queue.enqueue(draw, name))
    text = await scrape_jobs(held, [queue], clock=anyio.current_time)
    for line in (
        'job_runs_total{job="draw",outcome="retrying",queue="default"} 1.0',
        'job_runs_total{job="draw",outcome="succeeded",queue="default"} 1.0',
        'job_runs_total{job="draw",outcome="dead",queue="default"} 1.0',
        'job_step_duration_seconds_count{job="draw",queue="default"} 2.0',
        'job_step_duration_seconds_sum{job="draw",queue="default"} 6.0',
    ):
        assert line in text
