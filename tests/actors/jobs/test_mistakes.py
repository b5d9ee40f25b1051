"""What is written wrong is refused where it is written: one line with the field, the value and the remedy."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf, nan
from typing import Any

import anyio
import pytest

from relight import RelightError, SettingsError
from relight.actors.jobs import (
    Cron,
    DeadLetterOffice,
    Every,
    Feed,
    JobBudget,
    JobContext,
    JobSpecError,
    JobState,
    Ledger,
    LiveServer,
    MemoryStore,
    PostgresStore,
    Query,
    Queue,
    Retention,
    Retry,
    SqliteStore,
    UnknownJobError,
    Worker,
    make_token,
    read_token,
    store_from_url,
)
from relight.supervisors import open_system

pytestmark = pytest.mark.anyio

SECRET = "sixteen characters or more"
A_URL = "postgresql://me:hush@host/jobs"


def wrong(function: Any, *arguments: Any, **options: Any) -> Callable[[], Any]:
    """Return a call that type checkers would refuse."""
    return partial(function, *arguments, **options)


async def draw(job: JobContext, what: int = 1) -> None: ...


async def letter() -> str:
    return "a"


def a_sync_function() -> str:
    return "a"


def queue(**options: Any) -> Queue:
    return Queue(MemoryStore(), **options)


def declare(function: Any = draw, **options: Any) -> object:
    return queue().job(**options)(function)


def declare_twice() -> None:
    one = queue()
    one.job()(draw)
    one.job()(draw)


def enqueue(*arguments: Any, **options: Any) -> Callable[[], Awaitable[object]]:
    one = queue()
    return partial(one.enqueue, one.job()(draw), *arguments, **options)


def enqueue_many(arguments: Any) -> Callable[[], Awaitable[object]]:
    one = queue()
    return partial(one.enqueue_many, one.job()(draw), arguments)


def office(method: str, *arguments: Any, **options: Any) -> Callable[[], Awaitable[object]]:
    made: Callable[..., Awaitable[object]] = getattr(DeadLetterOffice(MemoryStore()), method)
    return partial(made, *arguments, **options)


def live(**options: Any) -> LiveServer:
    made: LiveServer = wrong(LiveServer, **{"feed": Feed(MemoryStore()), "secret": SECRET, **options})()
    return made


Case = tuple[Callable[[], Any], str]
SOME = Query(kind="draw")

MADE: list[Case] = [
    (wrong(JobBudget, per_job="1"), "JobBudget.per_job must be a number, 0 or more US dollars, .* got '1'"),
    (wrong(JobBudget, per_user_day=-1.0), "JobBudget.per_user_day must be 0 or more US dollars"),
    (wrong(JobBudget, per_queue_day=nan), "JobBudget.per_queue_day .* got nan"),
    (wrong(JobBudget, per_day=True), "JobBudget.per_day must be a number"),
    (wrong(Retention, jobs=0), "Retention.jobs must be more than 0 seconds"),
    (wrong(Retention, ledger="1d"), "Retention.ledger must be a number"),
    (wrong(Every, "10"), "Every.seconds must be a number, 1 or more, and finite, got '10'"),
    (wrong(Every, 10.0, offset=None), "Every.offset must be a number, and finite, got None"),
    (wrong(Cron, 5), "Cron.text must be of five fields, as in '.*', got 5"),
    (wrong(Cron, "61 * * * *"), "Cron.text '61 \\* \\* \\* \\*': minute: '61' must be within 0-59"),
    (wrong(Cron, "* * 30 2 *"), "Cron.text .* never comes"),
    *(
        (wrong(Cron, "* * * * *", timezone=zone), "Cron.timezone .* 'Europe/Berlin', got .*tzdata")
        for zone in ("Mars/Base", "", "../etc/passwd", "Europe", 5, None)
    ),
    (wrong(queue().cron, "* * * * *", timezone="Mars/Base"), "Cron.timezone"),
    (wrong(queue().every, "10"), "Every.seconds"),
    (wrong(Queue, A_URL), "Queue.store must be a store, got a str: write SqliteStore"),
    (wrong(Queue, SqliteStore), "Queue.store must be a store, got the class SqliteStore"),
    (wrong(queue, name=5), "Queue.name must be a text, got 5"),
    (wrong(queue, name=""), "Queue.name must be 1 character or more"),
    (wrong(queue, blobs=5), "Queue.blobs must be the path of a folder, got 5"),
    (wrong(queue, max_inline="1"), "Queue.max_inline must be a whole number, 0 or more, got '1'"),
    (wrong(queue, max_result=-1), "Queue.max_result must be 0 or more"),
    (wrong(queue, budget=5.0), "Queue.budget must be a budget, got a float: write JobBudget"),
    (wrong(queue, feed="x"), "Queue.feed must be a feed"),
    (wrong(queue, clock=5), "Queue.clock must be a function"),
    (wrong(queue().job, draw), "job: takes options by name only: write @queue.job\\(\\)"),
    (wrong(declare, attempts=True), "job: attempts must be a whole number, 1..100, got True"),
    (wrong(declare, backoff_by_error=5), "job: backoff_by_error must be backoffs by errors, got a int"),
    (wrong(declare, timeout=True), "job: timeout must be a number, more than 0"),
    (wrong(declare, priority=True), "job: priority must be a whole number of 32 bits, got True"),
    (wrong(declare, user="ann"), "job: user must be a function of the job's arguments, got 'ann'"),
    (wrong(declare, name=5), "job: name must be a text, got 5"),
    (wrong(declare, a_sync_function), "job a_sync_function: a job function is an `async def`"),
    (wrong(declare, 5), "a job function is an `async def`, got 5"),
    (wrong(declare, letter), "it takes the JobContext first"),
    (declare_twice, "job: name is 'draw', which queue 'default' has already"),
    (wrong(Worker, None), "Worker.queues must be queues, got a NoneType: write Worker\\(queue\\)"),
    (wrong(Worker, [5]), "Worker.queues must be queues, got a int"),
    (wrong(Worker, queue(), concurrency="9"), "Worker.concurrency must be a whole number"),
    (wrong(Worker, queue(), lease=inf), "Worker.lease must be 1 or more seconds, and finite, got inf"),
    (wrong(Worker, queue(), id="a/b"), "Worker.id must be a printable name without '/', got 'a/b'"),
    (wrong(SqliteStore, 5), "SqliteStore.path must be a file's, got a int"),
    (wrong(SqliteStore, A_URL), "SqliteStore.path must be a file's, got a URL: write store_from_url"),
    (wrong(SqliteStore, "a.db", busy_timeout="1"), "SqliteStore.busy_timeout must be 0 to 3600 s, got '1'"),
    (wrong(SqliteStore, "a.db", max_bytes="1"), "SqliteStore.max_bytes must be a whole number"),
    (wrong(SqliteStore, "a.db", clock=5), "SqliteStore.clock must be a function"),
    (wrong(MemoryStore, 5), "MemoryStore.clock must be a function"),
    (wrong(Ledger, A_URL), "Ledger.store must be a store, got a str"),
    (wrong(Feed, A_URL), "Feed.store must be a store, got a str"),
    (wrong(Feed, MemoryStore(), page=0), "Feed.page must be 1..1000, got 0: no more than buffer="),
    (wrong(queue().events, after="x"), "events: after must be a cursor, as events have one, got 'x'"),
    (wrong(queue().events, after="9" * 19), "events: after must be a cursor"),
    (wrong(queue().events, job=5), "subscribe: job must be a text, got 5"),
    (wrong(DeadLetterOffice, A_URL), "DeadLetterOffice.store must be a store, got a str"),
    (
        wrong(DeadLetterOffice, MemoryStore(), queues=queue()),
        "DeadLetterOffice.queues .* write queues=\\[queue\\]",
    ),
    (
        wrong(DeadLetterOffice, MemoryStore(), queues=[5]),
        "DeadLetterOffice.queues must be queues, got a int",
    ),
    (wrong(DeadLetterOffice, MemoryStore(), system="x"), "DeadLetterOffice.system must be a system"),
    (wrong(Query, states="dead"), "Query.states must be several, got 'dead'"),
    (wrong(Query, states=["died"]), "Query.states must be of JobState, got 'died'"),
    (wrong(Query, ids="job-1"), "Query.ids must be several, got 'job-1'"),
    (wrong(Query, kind=5), "Query.kind must be a text, got 5"),
    (wrong(live, feed=MemoryStore()), "LiveServer.feed must be a Feed, got a MemoryStore"),
    (wrong(live, port=70_000), "LiveServer.port must be 0..65535, got 70000"),
    (wrong(live, host=5), "LiveServer.host must be a text, got 5"),
    (wrong(live, origins="https://a"), "LiveServer.origins must be several"),
    (wrong(live, on_ready=5), "LiveServer.on_ready must be a function of the URL, got 5"),
    (wrong(live, secret=5), "the secret of tokens must be a text, got a int"),
    (wrong(make_token, "short", "ann", 5.0), "the secret of tokens must have 16 bytes or more, got 5"),
    (wrong(make_token, SECRET, 5, 5.0), "make_token: user must be a text, got 5"),
    (wrong(make_token, SECRET, "ann", "5"), "make_token: ttl must be a number, and finite, got '5'"),
    (wrong(Retry, 60.0), "Retry.reason must be a text, got 60.0: write Retry\\(after=...\\)"),
    (wrong(Retry, "again", after="1"), "Retry.after must be 0 or more seconds, and finite, got '1'"),
]

ASKED: list[Case] = [
    (enqueue(delay="1"), "enqueue: delay must be a number, and finite, got '1'"),
    (enqueue(delay=inf), "enqueue: delay must be finite, got inf"),
    (enqueue(priority=True), "enqueue: priority must be a whole number of 32 bits, got True"),
    (enqueue(id=""), "enqueue: id must be 1 character or more"),
    (enqueue(unique_key=5), "enqueue: unique_key must be a text, got 5"),
    (enqueue_many(5), "enqueue_many: arguments must be several, got 5: give a tuple"),
    (enqueue_many("ab"), "enqueue_many: arguments must be several, got 'ab'"),
    (wrong(queue().wait, 5), "Queue.wait: id must be ids, which are texts, got 5"),
    (wrong(queue().wait, "a", "5"), "Queue.wait: timeout must be a number of seconds, got '5'"),
    (wrong(queue().result, "a", nan), "Queue.wait: timeout must be a number of seconds, got nan"),
    (wrong(queue().cancel, ["a", "b"]), "Queue.cancel must be ids, .* write cancel\\(\\*ids\\)"),
    (wrong(queue().limit, "x"), "Queue.limit must be a whole number, 1 or more, got 'x'"),
    (wrong(queue().limit, 0), "Queue.limit must be 1 or more, got 0: pause\\(\\) lets no job begin"),
    (wrong(Ledger(MemoryStore()).days, 0), "Ledger.days must be 1 or more, got 0"),
    (office("retry", 5), "selection must be several, got 5: name an id, ids, or a Query"),
    (office("retry", [5]), "selection must be ids, which are texts, got 5"),
    (office("retry", ""), "nothing is selected"),
    (office("discard", SOME, batch="9"), "batch must be a whole number, 1 or more, got '9'"),
    (office("cancel", SOME, most=-1), "most must be 0 or more, got -1"),
    (office("replay", SOME, should_stop=5), "should_stop must be a function"),
    (office("edit", SOME, "a cat"), "edit: arguments must be a list of values, .* got 'a cat'"),
    (office("edit", SOME, 5), "edit: arguments must be a list of values"),
    (office("letters", most="9"), "letters: most must be a whole number"),
    (office("letters", "draw"), "query must be a query, got a str: write Query"),
    (office("letters", sources=["jobs"]), "letters: sources must be of LetterSource, got 'jobs'"),
    (office("letters", after=5), "letters: after must be ids"),
    (office("groups", "draw"), "query must be a query"),
    (office("show", 5), "show: id must be ids, which are texts, got 5"),
]


def is_one_line(error: RelightError, complaint: str) -> None:
    assert "\n" not in str(error)
    assert "hush" not in str(error)
    if isinstance(error, JobSpecError):
        assert str(error) == f"{error.field} {error.problem}"
        assert isinstance(error, ValueError)
        assert isinstance(error, TypeError)


@pytest.mark.parametrize(("make", "complaint"), MADE, ids=[complaint for _, complaint in MADE])
def test_what_is_made_wrong_is_refused_in_a_line(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(JobSpecError, match=complaint) as caught:
        make()
    is_one_line(caught.value, complaint)


@pytest.mark.parametrize(("ask", "complaint"), ASKED, ids=[complaint for _, complaint in ASKED])
async def test_what_is_asked_wrong_is_refused_in_a_line(
    ask: Callable[[], Awaitable[object]], complaint: str
) -> None:
    with pytest.raises(RelightError, match=complaint) as caught:
        await ask()
    is_one_line(caught.value, complaint)


@pytest.mark.parametrize("url", [5, None, ""])
def test_a_store_is_named_by_a_text(url: Any) -> None:
    with pytest.raises(SettingsError, match="must be a text, got"):
        store_from_url(url)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dsn": 5}, "PostgresStore.dsn must be a text, got a int"),
        ({"dsn": "host=x password='hush"}, "PostgresStore.dsn: the DSN can't be read"),
        ({"statement_timeout": "1"}, "PostgresStore.statement_timeout must be a number, more than 0 seconds"),
        ({"statement_timeout": 0}, "PostgresStore.statement_timeout must be more than 0 seconds"),
    ],
)
def test_a_wrong_postgres_store_is_refused(options: dict[str, Any], complaint: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(JobSpecError, match=complaint) as caught:
        wrong(PostgresStore, **{"dsn": A_URL, **options})()
    is_one_line(caught.value, complaint)


def test_what_a_client_calls_a_token_is_none() -> None:
    with pytest.raises(RelightError, match="the token is no text"):
        wrong(read_token, SECRET, 5)()


InJob = Callable[[Any], object]
IN_A_JOB: list[tuple[InJob, str]] = [
    (lambda job: job.step(5, letter), "step: name must be a text, got 5"),
    (lambda job: job.step("", letter), "step: name must be 1 character or more"),
    (lambda job: job.step("a", "letter"), "step 'a': f must be a function, which is called with"),
    (lambda job: job.step("a", a_sync_function), "step 'a': f must be an `async def`: it returned a str"),
    (
        lambda job: job.step("a", letter, timeout="5"),
        "step 'a': timeout must be a number, more than 0 seconds",
    ),
    (lambda job: job.step("a", letter, timeout=0), "step 'a': timeout must be more than 0 seconds"),
    (lambda job: job.step("a", letter, version=2), "step 'a': version must be a text, got 2"),
    (lambda job: job.step("a", letter, returns="str"), "results of type 'str' can't be stored"),
    (lambda job: job.ask(5, 6), "ask: to must be a ref, or an actor's path or name, got a int"),
    (lambda job: job.ask("painter", "a cat"), "ask: message must be a request, got a str"),
    (lambda job: job.enqueue(letter), "'letter' is no job: declare it with @queue.job"),
    (lambda job: job.enqueue("letter"), "'letter' is no job: declare it with @queue.job"),
    (lambda job: job.enqueue(letter, queue="comics"), "enqueue: queue must be a queue, got a str"),
    (lambda job: job.sleep("5"), "sleep: seconds must be a number, and finite, got '5'"),
    (lambda job: job.sleep(5.0, name=5), "step: name must be a text, got 5"),
    (lambda job: job.log(5), "log: text must be a text, got 5"),
    (lambda job: job.progress("half"), "progress: value must be a number 0 to 1, got 'half'"),
    (lambda job: job.progress(nan), "progress: value must be a number 0 to 1, got nan"),
    (lambda job: job.progress(0.5, 5), "progress: message must be a text, got 5"),
    (lambda job: job.charge("1"), "charge: usd must be a number, 0 or more, and finite, got '1'"),
    (lambda job: job.charge(True), "charge: usd must be a number"),
    (lambda job: job.idempotency_key(5), "step: name must be a text, got 5"),
]


@pytest.mark.parametrize(("act", "complaint"), IN_A_JOB, ids=[complaint for _, complaint in IN_A_JOB])
async def test_what_a_job_function_writes_wrong_is_said_in_its_record(act: InJob, complaint: str) -> None:
    store = MemoryStore()
    one = Queue(store)
    caught: list[Exception] = []

    @one.job(attempts=1)
    async def work(job: JobContext) -> None:
        try:
            done = act(job)
            if inspect.isawaitable(done):
                await done
        except Exception as error:
            caught.append(error)
            raise

    with anyio.fail_after(30.0):
        async with open_system() as system:
            await Worker(one).start(system)
            ended = await one.wait(await one.enqueue(work))
    (error,) = caught
    assert isinstance(error, JobSpecError | UnknownJobError)
    assert complaint in str(error)
    assert ended.state is JobState.DEAD
    assert complaint in str(ended.error)
