"""Schedules: when something is due, and that it is enqueued once, however many workers there are."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors.jobs import (
    Cron,
    Every,
    JobArgumentsError,
    JobContext,
    JobSpecError,
    JobState,
    MemoryStore,
    Query,
    Queue,
    UnknownJobError,
    Worker,
)
from tests.actors.jobs.stage import Stage

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2090, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC).timestamp()
)


def after(text: str, moment: str, timezone: str = "UTC") -> str:
    zone = ZoneInfo(timezone)
    at = datetime.fromisoformat(moment).replace(tzinfo=zone)
    due = Cron(text, timezone=timezone).after(at.timestamp())
    return datetime.fromtimestamp(due, zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "moment", "due"),
    [
        ("* * * * *", "2026-05-01 10:00:30", "2026-05-01 10:01"),
        ("* * * * *", "2026-05-01 10:00", "2026-05-01 10:01"),
        ("30 3 * * *", "2026-05-01 03:30", "2026-05-02 03:30"),
        ("30 3 * * *", "2026-05-01 03:29:59", "2026-05-01 03:30"),
        ("*/15 * * * *", "2026-05-01 10:46", "2026-05-01 11:00"),
        ("5/20 * * * *", "2026-05-01 10:46", "2026-05-01 11:05"),
        ("0 9-17/4 * * *", "2026-05-01 13:01", "2026-05-01 17:00"),
        ("0 0 1 jan *", "2026-05-01 13:01", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2026-05-01 13:01", "2028-02-29 00:00"),
        ("0 8 * * mon-fri", "2026-05-01 13:01", "2026-05-04 08:00"),
        ("0 8 * * 7", "2026-05-01 13:01", "2026-05-03 08:00"),
        ("0 8 * * 0", "2026-05-01 13:01", "2026-05-03 08:00"),
        ("0 8 13 * fri", "2026-05-02 13:01", "2026-05-08 08:00"),
        ("0 8 13 * fri", "2026-05-08 13:01", "2026-05-13 08:00"),
        ("0,30 8 * * *", "2026-05-01 08:10", "2026-05-01 08:30"),
        ("0 23 31 * *", "2026-05-31 23:30", "2026-07-31 23:00"),
    ],
)
def test_a_cron_schedule_is_due_as_cron_would(text: str, moment: str, due: str) -> None:
    assert after(text, moment) == due


def test_a_schedule_goes_by_the_clock_of_its_place() -> None:
    assert after("30 2 * * *", "2026-03-28 12:00", "Europe/Berlin") == "2026-03-30 02:30"  # 29th: skipped
    assert after("0 12 * * *", "2026-03-28 12:00", "Europe/Berlin") == "2026-03-29 12:00"
    twice = Cron("30 2 * * *", timezone="Europe/Berlin")
    first = twice.after(datetime(2026, 10, 24, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    assert twice.after(first) == first + 3600.0


@given(
    moment=MOMENTS,
    minutes=st.sets(st.integers(0, 59), min_size=1),
    hours=st.sets(st.integers(0, 23), min_size=1),
)
def test_no_moment_is_left_out(moment: float, minutes: set[int], hours: set[int]) -> None:
    text = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    due = Cron(text).after(moment)
    expected = datetime.fromtimestamp(moment, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while expected.minute not in minutes or expected.hour not in hours:
        expected += timedelta(minutes=1)
    assert due == expected.timestamp()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("* * * *", "five fields"),
        ("60 * * * *", r"'60 \* \* \* \*': minute: '60' must be within 0-59"),
        ("* 5-3 * * *", "hour: '5-3' must be"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of week"),
        ("*/0 * * * *", "minute: "),
        ("*/ * * * *", "minute: "),
        ("a * * * *", "minute: 'a' is no number"),
        ("-1 * * * *", "minute: "),
        ("1,,2 * * * *", "minute: '' is no number"),
        ("0 0 31 feb *", "never comes"),
    ],
)
def test_a_wrong_schedule_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Cron(text)


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(JobSpecError, match="such as 'Europe/Berlin', got 'Mars/Olympus'"):
        Cron("* * * * *", timezone="Mars/Olympus")
    assert repr(Cron("0 3 * * *")) == "Cron('0 3 * * *', timezone='UTC')"


@given(moment=MOMENTS, seconds=st.floats(1.0, 1e6), offset=st.floats(0.0, 1e6))
def test_every_so_many_seconds_is_due_after_each_moment(moment: float, seconds: float, offset: float) -> None:
    due = Every(seconds, offset).after(moment)
    assert moment < due <= moment + 2 * seconds


def test_every_is_refused_below_a_second() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Every(0.5)
    assert Every(60.0, 5.0).after(5.0) == 65.0
    with pytest.raises(ValueError, match="offset must be finite"):
        Every(60.0, float("nan"))


@pytest.mark.anyio
@pytest.mark.virtual_time
async def test_a_job_is_enqueued_once_at_each_moment_over_all_workers() -> None:
    stage = Stage()
    ran: list[float] = []

    @stage.queue.every(600.0)
    @stage.queue.job()
    async def sweep(job: JobContext) -> None:
        ran.append(anyio.current_time())

    @stage.queue.cron("30 1 * * *")
    @stage.queue.job()
    async def nightly(job: JobContext) -> float:
        return anyio.current_time()

    async with stage.working() as system:
        await Worker(stage.queue, id="second").start(system)
        await anyio.sleep(7205.0)
    assert len(ran) == 12
    assert all(later - earlier == pytest.approx(600.0, abs=0.1) for earlier, later in pairwise(ran))
    (job,) = await stage.store.jobs(Query(kind="nightly"))
    assert (job.state, job.created_at) == (JobState.SUCCEEDED, 5400.0)


def test_a_job_with_arguments_can_not_be_scheduled() -> None:
    queue = Stage().queue

    @queue.job()
    async def greet(job: JobContext, name: str) -> None: ...

    with pytest.raises(JobArgumentsError, match="not 0; a schedule gives none: give them defaults"):
        queue.every(60.0)(greet)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_job_that_can_not_be_enqueued_can_not_be_scheduled() -> None:
    """At its moment it would end the scheduler, and after some moments the worker."""
    queue, other = Stage().queue, Queue(MemoryStore(), "other")

    @queue.job(user=lambda: "x" * 1001)
    async def tick(job: JobContext) -> None: ...

    with pytest.raises(ValueError, match="user must be 1000 bytes at most"):
        queue.every(60.0)(tick)
    with pytest.raises(UnknownJobError, match="it is of 'default'"):
        other.every(60.0)(tick)
    assert (queue.schedules, other.schedules) == ([], [])
