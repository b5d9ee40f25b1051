"""CircuitBreaker: the guard's breaker for code that is no actor yet."""

import threading
from collections import Counter
from collections.abc import AsyncGenerator

import anyio
import pytest

from relight import CircuitBreaker, CircuitBreakerOpenError, FailureKind, ProviderError, RateLimitedError
from relight.actors import PlainCalls
from relight.supervisors.policies import CircuitState

CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


class Clock:
    """Stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A breaker with a clock of its own, and a function that fails as it is told to."""

    def __init__(self, **options: object) -> None:
        self.clock = Clock()
        self.calls = PlainCalls()
        self.events: list[dict[str, object]] = []
        self.calls.listen(lambda event, fields: self.events.append({"event": event, **fields}))
        options = {"name": "weather", "clock": self.clock, "calls": self.calls, **options}
        self.breaker = CircuitBreaker(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def fail(self, error: Exception | None = None, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(type(error or OSError())):
                self.breaker.call(self.raising, error or OSError())

    def raising(self, error: Exception) -> None:
        raise error

    def refusal(self) -> CircuitBreakerOpenError:
        with pytest.raises(CircuitBreakerOpenError) as caught:
            self.breaker.call(pytest.fail, "it was called")
        return caught.value


def test_the_defaults_are_five_failures_and_a_minute() -> None:
    bench = Bench()
    bench.fail(times=4)
    assert bench.breaker.call(lambda: "fine") == "fine"
    bench.fail(times=5)
    refusal = bench.refusal()
    assert (refusal.provider, refusal.retry_after) == ("weather", 60.0)
    bench.clock.now += 59.9
    assert bench.refusal().retry_after == pytest.approx(0.1)
    bench.clock.now += 0.2
    assert bench.breaker.call(lambda: "again") == "again"
    assert bench.breaker.state is CLOSED


def test_a_trial_call_that_fails_opens_it_for_the_same_time() -> None:
    bench = Bench(failure_threshold=1, timeout=10.0)
    bench.fail()
    for _ in range(3):
        bench.clock.now += 10.0
        bench.fail()
        assert bench.refusal().retry_after == 10.0


def test_it_stays_open_for_longer_each_time_where_that_is_wished() -> None:
    bench = Bench(failure_threshold=1, timeout=10.0, max_timeout=30.0)
    waits: list[float | None] = []
    for _ in range(4):
        bench.fail()
        waits.append(bench.refusal().retry_after)
        bench.clock.now += 30.0
    assert waits == [10.0, 20.0, 30.0, 30.0]


def test_a_server_that_asks_for_a_longer_pause_gets_it() -> None:
    bench = Bench(failure_threshold=1, timeout=10.0)
    bench.fail(ProviderError("p", FailureKind.OVERLOADED, retry_after=45.0))
    assert bench.refusal().retry_after == 45.0


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("p", retry_after=1.0),
        ProviderError("p", FailureKind.BAD_REQUEST),
        ProviderError("p", FailureKind.RATE_LIMIT),
    ],
)
def test_refusals_and_the_caller_s_faults_do_not_count(error: Exception) -> None:
    bench = Bench(failure_threshold=1)
    bench.fail(error, times=10)
    assert bench.breaker.state is CLOSED


def test_only_what_is_expected_counts() -> None:
    bench = Bench(failure_threshold=2, expected=(OSError, KeyError))
    bench.fail(ValueError(), times=5)
    assert bench.breaker.state is CLOSED
    bench.fail(KeyError())
    bench.fail(ValueError())  # neither counts nor resets
    bench.fail(ConnectionError())
    assert bench.breaker.state is OPEN


def test_it_opens_when_half_of_the_calls_fail() -> None:
    bench = Bench()
    for _ in range(9):
        bench.fail()
        bench.breaker.call(lambda: None)
    bench.fail()
    assert bench.breaker.state is CLOSED
    bench.fail()
    assert bench.breaker.state is OPEN


@pytest.mark.anyio
async def test_half_open_lets_exactly_one_of_fifty_through() -> None:
    bench, outcomes = Bench(failure_threshold=1), Counter[str]()
    bench.fail()
    bench.clock.now += 60.0
    gate = anyio.Event()

    async def service() -> str:
        await gate.wait()
        return "answered"

    async def caller() -> None:
        try:
            outcomes[await bench.breaker.call(service)] += 1
        except CircuitBreakerOpenError as refusal:
            outcomes[refusal.reason] += 1

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(caller)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert outcomes == {"answered": 1, "the circuit breaker is half-open and its probe is out": 49}
    assert bench.breaker.state is CLOSED


@pytest.mark.anyio
async def test_cancellations_never_count_and_give_a_probe_back() -> None:
    bench = Bench(failure_threshold=1, expected=BaseException)

    async def cancelled() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(bench.breaker.call, anyio.sleep_forever)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    for _ in range(6):
        await cancelled()
    assert bench.breaker.state is CLOSED
    bench.fail()
    bench.clock.now += 60.0
    await cancelled()
    assert bench.breaker.call(lambda: "probe") == "probe"


@pytest.mark.anyio
async def test_an_asynchronous_function_trips_it() -> None:
    bench = Bench(failure_threshold=2)

    async def fails(text: str, *, twice: bool) -> int:
        raise ConnectionError(text * (1 + twice))

    for _ in range(2):
        with pytest.raises(ConnectionError, match="oh oh"):
            await bench.breaker.call(fails, "oh ", twice=True)
    with pytest.raises(CircuitBreakerOpenError):
        await bench.breaker.call(fails, "oh", twice=False)


@pytest.mark.anyio
async def test_a_function_that_returns_a_coroutine_is_judged_by_what_becomes_of_it() -> None:
    bench = Bench(failure_threshold=2)

    async def fails() -> None:
        raise ConnectionError

    for _ in range(2):
        with pytest.raises(ConnectionError):
            await bench.breaker.call(lambda: fails())
    assert bench.breaker.state is OPEN
    bench.clock.now += 60.0
    coroutine = bench.breaker.call(lambda: fails())
    with pytest.raises(ConnectionError):
        await coroutine
    assert bench.breaker.state is OPEN


@pytest.mark.anyio
async def test_a_coroutine_that_is_refused_when_it_is_awaited_is_closed() -> None:
    bench = Bench(failure_threshold=1)

    async def never() -> None:
        pytest.fail("it was run")

    coroutine = bench.breaker.call(lambda: never())
    bench.fail()
    with pytest.raises(CircuitBreakerOpenError):
        await coroutine


@pytest.mark.anyio
async def test_it_is_a_decorator_and_guards_blocks() -> None:
    bench = Bench(failure_threshold=2)
    breaker = bench.breaker

    @breaker
    def double(number: int) -> int:
        """Double it."""
        return 2 * number

    @breaker
    async def halve(number: int) -> float:
        await anyio.lowlevel.checkpoint()
        return number / 2

    assert (double(4), await halve(4), double.__doc__) == (8, 2.0, "Double it.")
    with pytest.raises(ZeroDivisionError), breaker.attempt():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), breaker.attempt():
        raise ZeroDivisionError
    with pytest.raises(CircuitBreakerOpenError), breaker.attempt():
        pytest.fail("the block was run")
    with pytest.raises(CircuitBreakerOpenError):
        await halve(1)


def test_a_generator_function_is_refused() -> None:
    async def chunks() -> AsyncGenerator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"CircuitBreaker: .*chunks is a generator function"):
        Bench().breaker(chunks)


def test_threads_may_use_it_at_once() -> None:
    bench = Bench(failure_threshold=1_000, failure_rate=None)

    def work() -> None:
        bench.fail(times=200)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.breaker.state is OPEN
    assert bench.breaker.statistics().opened == 1


def test_its_transitions_are_said_and_counted() -> None:
    bench = Bench(failure_threshold=2, timeout=10.0)
    bench.fail(times=2)
    bench.clock.now += 10.0
    bench.breaker.call(lambda: None)
    assert bench.events[0] == {
        "event": "breaker.transition",
        "provider": "weather",
        "breaker": "weather",
        "from": "closed",
        "to": "open",
        "cause": "auto",
        "reason": "failures",
        "failures": 2,
        "next_probe_in": 10.0,
    }
    assert [event["to"] for event in bench.events] == ["open", "half_open", "closed"]
    assert bench.calls.breaker_transitions() == {
        ("weather", CLOSED, OPEN): 1,
        ("weather", OPEN, HALF_OPEN): 1,
        ("weather", HALF_OPEN, CLOSED): 1,
    }


def test_a_listener_may_look_at_the_breaker_it_hears_of() -> None:
    bench, states = Bench(failure_threshold=1), list[CircuitState]()
    bench.calls.listen(lambda _event, _fields: states.append(bench.breaker.state))
    bench.fail()
    assert states == [OPEN]


def test_it_is_shown_as_long_as_it_lives() -> None:
    calls = PlainCalls()
    breaker = CircuitBreaker(name="weather", calls=calls)
    assert repr(breaker) == "<CircuitBreaker weather closed>"
    assert len(calls.breakers()) == 1
    del breaker
    assert calls.breakers() == []


def test_a_wrong_number_is_refused_when_it_is_built() -> None:
    with pytest.raises(ValueError, match=r"CircuitBreaker 'w': Breaker\.failures must be 1 or more"):
        CircuitBreaker(0, name="w")
    with pytest.raises(ValueError, match="open_cap must be 60 or more"):
        CircuitBreaker(max_timeout=30.0, name="w")
