"""Queues: what a job function is, and what may be enqueued."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight import Fixed
from relight.actors.jobs import (
    BlobError,
    JobArgumentsError,
    JobContext,
    JobState,
    MemoryStore,
    Query,
    Queue,
    Retry,
    SqliteStore,
    UnknownJobError,
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
    with pytest.raises(JobArgumentsError, match=r"Expected `str`, got `int` - at `order\.text`"):
        await queue.enqueue(work, Order(1), 4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(JobArgumentsError, match=r"takes 1 to 2 arguments \(order, number\), not 0"):
        await queue.enqueue(work)  # type: ignore[misc]  # pyright: ignore[reportCallIssue]
    with pytest.raises(JobArgumentsError, match="unsupported"):
        await queue.enqueue(work, object(), 4)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_what_a_key_can_not_be_told_from_is_a_bad_argument(queue: Queue) -> None:
    def key(order: Order) -> str:
        raise KeyError(order.text)

    @queue.job(unique=key)
    async def work(job: JobContext, order: Order) -> None: ...

    with pytest.raises(JobArgumentsError, match="unique= can't be told from them: KeyError: 'a'"):
        await queue.enqueue(work, Order("a"))
    with pytest.raises(JobArgumentsError, match="Expected `str`"):  # the arguments come first
        await queue.enqueue(work, Order(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_only_what_was_declared_is_enqueued(queue: Queue) -> None:
    async def work(job: JobContext) -> None: ...

    with pytest.raises(UnknownJobError, match=r"'work' is no job: declare it with @queue.job\(\)"):
        await queue.enqueue(work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownJobError, match="'work' is no job"):
        queue.every(60.0)(work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_many_jobs_have_a_tuple_of_arguments_each(queue: Queue) -> None:
    @queue.job()
    async def work(job: JobContext, name: str) -> None: ...

    with pytest.raises(JobArgumentsError, match=r"as a tuple, such as \(x,\), got a str"):
        await queue.enqueue_many(work, ["ann"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def test_a_queue_is_of_a_store_and_has_a_name() -> None:
    with pytest.raises(TypeError, match="must be a store, got a str: write SqliteStore") as caught:
        Queue("postgresql://me:hush@host/jobs")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert "hush" not in str(caught.value)
    with pytest.raises(ValueError, match=r"Queue\.name must be 1 character or more"):
        Queue(MemoryStore(), "")


def test_parentheses_left_out_are_named(queue: Queue) -> None:
    async def work(job: JobContext) -> None: ...

    with pytest.raises(TypeError, match=r"write @queue.job\(\), with the parentheses"):
        queue.job(work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_job_takes_its_context_first(queue: Queue) -> None:
    async def work(name: str) -> None: ...

    with pytest.raises(TypeError, match=r"JobContext first: .*async def work\(job: JobContext, name, ...\)"):
        queue.job()(work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    class Stage(Protocol):
        """What a job needs of its context."""

        @property
        def attempt(self) -> int: ...

    async def other(job: Stage, name: str) -> None: ...

    queue.job()(other)


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
    with pytest.raises(ValueError, match="'work', which queue 'default' has already: give this one a name="):
        queue.job()(work)
    queue.job(name="other")(work)
    assert repr(queue).startswith("<Queue default in <MemoryStore")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"attempts": 0}, "attempts must be 1..100, got 0"),
        ({"attempts": "3"}, "attempts must be a whole number, 1..100, got"),
        ({"timeout": 0.0}, "timeout must be more than 0"),
        ({"attempt_timeout": -1.0}, "attempt_timeout must be more than 0"),
        ({"budget_usd": float("inf")}, "budget_usd must be more than 0, and finite"),
        ({"limit": 0}, "limit must be 1..2147483647"),
        ({"limit": 3}, "a limit_key=, which is missing, got 3"),
        ({"timeout": "60"}, "timeout must be a number, more than 0"),
        ({"unique": "a"}, "unique must be a function of the job's arguments, got 'a'"),
        ({"version": 2}, "version must be a text, got 2"),
        ({"name": ""}, "name must be 1 character or more"),
        ({"backoff_by_error": {ValueError: 3.0}}, "must be one such as"),
        ({"backoff_by_error": {"overloaded": Fixed(1.0)}}, "FailureKind.OVERLOADED, got 'overloaded'"),
        ({"priority": 2**31}, "priority must be a whole number of 32 bits"),
        ({"backoff": 3.0}, "backoff must be one such as"),
    ],
)
def test_options_out_of_range_are_refused(queue: Queue, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        queue.job(**options)  # type: ignore[arg-type]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"priority": "high"}, "priority must be a whole number of 32 bits, got 'high'"),
        ({"priority": 1.5}, "priority must be a whole number"),
        ({"priority": -(2**31) - 1}, "priority must be a whole number"),
        ({"delay": float("inf")}, "delay must be finite"),
        ({"delay": float("nan")}, "delay must be finite"),
        ({"unique_key": "\ud83d"}, r"unique_key holds what can't be stored: '\\\\ud83d'"),
        ({"user": "a\0"}, "user holds what can't be stored"),
        ({"user": 5}, "user must be a text, got 5"),
        ({"id": "\U0001f600" * 251}, "id must be 1000 bytes at most, got 1004: shorten it"),
    ],
)
async def test_a_job_that_some_store_would_refuse_is_refused_by_all(
    queue: Queue, options: dict[str, object], complaint: str
) -> None:
    """One in the store that can't be sorted or read would keep workers from all others."""
    with pytest.raises(ValueError, match=complaint):
        await queue.enqueue(queue.job()(_nothing), **options)  # type: ignore[arg-type]
    assert await queue.store.jobs(Query()) == []


@pytest.mark.anyio
async def test_a_key_of_a_function_is_looked_at_too(queue: Queue) -> None:
    function = queue.job(limit_key=lambda: "k" * 1001)(_nothing)
    for refused in (queue.enqueue(function), queue.enqueue_many(function, [()])):
        with pytest.raises(ValueError, match="limit_key must be 1000 bytes at most"):
            await refused


@pytest.mark.anyio
async def test_a_queue_is_not_limited_to_nothing(queue: Queue) -> None:
    for most in (0, -1):
        with pytest.raises(ValueError, match=r"pause\(\) lets no job begin"):
            await queue.limit(most)


async def _nothing(job: JobContext) -> None:
    pass


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
        (Reply(Usage(float("nan"))), 0.0),
        (Reply(Usage(float("inf"))), 0.0),
        (Reply(Usage(-1.0)), 0.0),
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


@pytest.mark.parametrize("after", [-1.0, "60", float("inf")])
def test_a_wait_that_is_none_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match=r"Retry\.after must be 0 or more seconds, and finite, got"):
        Retry("later", after=after)


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("", "must be a file's, got ''"),
        (":memory:", r"write MemoryStore\(\)"),
        ("postgresql://me:hush@host/jobs", r"got a URL: write store_from_url\(\.\.\.\)"),
    ],
)
def test_a_sqlite_store_is_a_file(path: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy) as caught:
        SqliteStore(path)
    assert "hush" not in str(caught.value)
