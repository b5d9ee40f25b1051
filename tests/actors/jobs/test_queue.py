"""Queues: what a job function is, and what may be enqueued."""

from datetime import date
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors.jobs import (
    BlobError,
    JobArgumentsError,
    JobContext,
    JobState,
    MemoryStore,
    Queue,
)
from relight.actors.jobs._blobs import Blobs
from relight.actors.jobs._ids import IdMaker, id_of_moment
from relight.actors.jobs._signature import Codecs
from relight.actors.jobs._tally import Tally, cost_of
from relight.runtime import Request


class Order(msgspec.Struct, frozen=True):
    text: str
    due: date | None = None


@pytest.fixture
def queue() -> Queue:
    return Queue(MemoryStore())


@pytest.mark.anyio
async def test_arguments_are_checked_when_a_job_is_enqueued(queue: Queue) -> None:
    @queue.job()
    async def work(job: JobContext, order: Order, number: int = 3) -> None: ...

    store = queue.store
    id_ = await queue.enqueue(work, Order("a", date(2026, 5, 1)), 4)
    detail = await store.job(id_)
    assert detail is not None
    assert detail.job.args == b'[{"text":"a","due":"2026-05-01"},4]'
    await queue.enqueue(work, Order("a"))  # type: ignore[misc]  # pyright: ignore[reportCallIssue]
    with pytest.raises(JobArgumentsError, match=r"job work: bad arguments: Expected `str`, got `int`"):
        await queue.enqueue(work, Order(1), 4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(JobArgumentsError, match="takes 1 to 2 arguments, not 0"):
        await queue.enqueue(work)  # type: ignore[misc]  # pyright: ignore[reportCallIssue]
    with pytest.raises(JobArgumentsError, match="unsupported"):
        await queue.enqueue(work, object(), 4)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_many_jobs_are_stored_or_none(queue: Queue) -> None:
    @queue.job()
    async def work(job: JobContext, number: int) -> None: ...

    with pytest.raises(JobArgumentsError):
        await queue.enqueue_many(work, [(1,), ("two",)])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    ids = await queue.enqueue_many(work, [(1,), (2,)], user="ann", delay=5.0, priority=3)
    assert ids == sorted(ids)
    (state,) = await queue.store.queues()
    assert state.counts[JobState.WAITING] == 2


def test_what_can_not_be_a_job_is_refused(queue: Queue) -> None:
    declare = queue.job()
    with pytest.raises(TypeError, match="a job function is an `async def`"):
        declare(lambda job: None)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType, reportCallIssue]

    async def no_context() -> None: ...

    with pytest.raises(TypeError, match="takes the JobContext first"):
        declare(no_context)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

    async def keyword(job: JobContext, *, name: str) -> None: ...

    with pytest.raises(TypeError, match="only positional arguments"):
        declare(keyword)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

    async def odd(job: JobContext, text: str | bytes) -> None: ...

    with pytest.raises(TypeError, match="arguments can't be stored"):
        declare(odd)

    async def undefined(job: JobContext, order: str) -> None: ...

    undefined.__annotations__["order"] = "Nothing"

    with pytest.raises(TypeError, match="'Nothing' is not defined: import it"):
        declare(undefined)


def test_two_jobs_of_one_name_are_refused(queue: Queue) -> None:
    async def work(job: JobContext) -> None:
        """Do it."""

    declared = queue.job()(work)
    assert (declared.kind, declared.__doc__, repr(declared)) == (
        "work",
        "Do it.",
        "<JobFunction default/work>",
    )
    with pytest.raises(ValueError, match="has a job 'work' already: give this one a name="):
        queue.job()(work)
    queue.job(name="other")(work)
    assert repr(queue).startswith("<Queue default in <MemoryStore")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"attempts": 0}, "attempts must be 1..100"),
        ({"timeout": 0.0}, "timeout must be more than 0"),
        ({"attempt_timeout": -1.0}, "attempt_timeout must be more than 0"),
        ({"budget_usd": float("inf")}, "budget_usd must be more than 0, and finite"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"backoff": 3.0}, "the backoff of backoff must be one such as"),
    ],
)
def test_options_out_of_range_are_refused(queue: Queue, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        queue.job(**options)  # type: ignore[arg-type]


# --- ids -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0, 4e9), min_size=2, max_size=30))
def test_ids_grow_also_when_the_clock_does_not(moments: list[float]) -> None:
    times = iter(moments)
    maker = IdMaker(lambda: next(times))
    ids = [maker.new() for _ in moments]
    assert ids == sorted(set(ids))
    assert {len(id_) for id_ in ids} == {26}


def test_ids_sort_by_their_moment_over_all_processes() -> None:
    early, late = IdMaker(lambda: 1000.0), IdMaker(lambda: 1000.002)
    assert early.new() < late.new()
    assert early.new() < id_of_moment(1000.1, "queue", "kind")


def test_everybody_makes_the_same_id_of_a_moment() -> None:
    assert id_of_moment(60.0, "a", "b") == id_of_moment(60.0, "a", "b")
    different = {id_of_moment(60.0, "a", "b"), id_of_moment(60.0, "ab", ""), id_of_moment(120.0, "a", "b")}
    assert len(different) == 3


# --- what steps return -----------------------------------------------------------------------------------


class Add(Request[int], frozen=True):
    number: int


def test_a_type_is_found_once_for_functions_made_anew() -> None:
    codecs = Codecs()

    def make(returned: type):  # type: ignore[no-untyped-def]
        async def step() -> object: ...

        step.__annotations__["return"] = returned
        return step

    assert codecs.find(make(int), ()) is codecs.find(make(int), ())
    with pytest.raises(msgspec.ValidationError):
        codecs.find(make(int), ()).decode(b'"text"')
    assert codecs.find(make(str), ()).decode(b'"text"') == "text"
    assert codecs.find(partial(make(str)), ()).decode(b'"text"') == "text"


def test_a_callable_object_says_what_it_returns() -> None:
    class Step:
        async def __call__(self) -> Order: ...  # type: ignore[empty-body]

    assert Codecs().find(Step(), ()).decode(b'{"text":"a"}') == Order("a")


def test_a_type_that_can_not_be_stored_is_refused() -> None:
    async def step() -> str | bytes: ...  # type: ignore[empty-body]

    with pytest.raises(TypeError, match="can't be stored"):
        Codecs().find(step, ())


# --- what calls cost -------------------------------------------------------------------------------------


class Usage(msgspec.Struct):
    usd: float | None


class Reply(msgspec.Struct):
    usage: Usage | None


@pytest.mark.parametrize(
    ("reply", "usd"),
    [
        (Reply(Usage(0.5)), 0.5),
        (Reply(Usage(None)), 0.0),
        (Reply(None), 0.0),
        (None, 0.0),
        ("text", 0.0),
        ([Reply(None), Reply(Usage(0.5)), Reply(Usage(0.25))], 0.75),
    ],
)
def test_a_reply_says_what_it_cost(reply: object, usd: float) -> None:
    assert cost_of(reply) == usd


def test_a_tally_counts_calls_and_takes_over_another() -> None:
    tally, other = Tally("job:step"), Tally("other")
    assert [tally.next_key() for _ in range(3)] == ["job:step", "job:step:2", "job:step:3"]
    other.call_ended(3, Reply(Usage(0.5)))
    other.call_ended(1, None)
    tally.absorb(other)
    assert (tally.retries, tally.cost_usd) == (2, 0.5)


# --- files -----------------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.anyio
async def test_the_same_content_is_one_file(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "a" / "b")
    name = await blobs.put(b"content")
    assert await blobs.put(b"content") == name
    assert await blobs.get(name) == b"content"
    assert files(tmp_path) == [name]


@pytest.mark.anyio
async def test_a_file_that_can_not_be_written_or_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobError, match="can't be written"):
        await Blobs(tmp_path / "file").put(b"content")
    with pytest.raises(BlobError, match="can't be read: No such file or directory; restore it"):
        await Blobs(tmp_path).get("0" * 64)
    with pytest.raises(BlobError, match="give the queue blobs="):
        await Queue(MemoryStore()).large_results.get("0" * 64)


@pytest.mark.anyio
async def test_a_write_that_fails_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (tmp_path / "ed").mkdir()
    with pytest.raises(BlobError, match="No space left on device"):
        await Blobs(tmp_path).put(b"content")
    assert files(tmp_path) == []
