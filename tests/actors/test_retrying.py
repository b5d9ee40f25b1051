"""retry_with_backoff: which calls are made again, when, and what is left of them."""

import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from random import Random
from typing import cast

import anyio
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from relight import (
    Child,
    CircuitBreakerOpenError,
    DeadlineExceededError,
    FailureKind,
    ProviderBlockedError,
    ProviderError,
    RateLimitedError,
    Request,
    RetriesExhaustedError,
    RetryConfig,
    current_attempt,
    handles,
    open_system,
    retry_with_backoff,
)
from relight.actors import PlainCalls, Service
from tests.support.clocks import virtual_time

STEADY = RetryConfig(jitter=False)
"""Waits 1, 2, 4 ... seconds."""


class Function:
    """Raises what it is given, one a call, then returns the number of the call."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


class Patience(list[float]):
    """Keeps the waits instead of waiting."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


class Heard(list[tuple[str, dict[str, object]]]):
    """Keeps what is said."""

    def __init__(self, calls: PlainCalls) -> None:
        super().__init__()
        calls.listen(lambda event, fields: self.append((event, dict(fields))))

    def named(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self if name == event]


def run(
    errors: Iterable[Exception], config: RetryConfig = STEADY
) -> tuple[int | Exception, int, Patience, Heard]:
    """Call a function that fails so; returns how it ended, its calls, the waits and what was said."""
    function, waits, calls = Function(*errors), Patience(), PlainCalls()
    heard = Heard(calls)
    retried = retry_with_backoff(config, operation_name="load", sleep=waits, calls=calls)(function)
    try:
        return retried(), function.calls, waits, heard
    except Exception as error:  # noqa: BLE001 - it is what the test is about
        return error, function.calls, waits, heard


def test_three_attempts_are_made_in_all_with_doubled_waits_between() -> None:
    errors = [
        ConnectionError("first"),
        TimeoutError("second"),
        ConnectionError("third"),
        OSError("never seen"),
    ]
    last, calls, waits, _ = run(errors)
    assert last is errors[2]
    assert (calls, waits) == (3, [1.0, 2.0])


def test_the_last_error_says_how_many_attempts_there_were() -> None:
    error, *_ = run([ConnectionError()] * 3)
    assert isinstance(error, ConnectionError)
    assert error.__notes__ == ["load: failed in attempt 3 of 3: no attempt is left"]


def test_an_error_that_is_raised_again_and_again_is_noted_once() -> None:
    error = ConnectionError()
    run([error] * 3)
    run([error] * 3)
    assert len(error.__notes__) == 1


def test_a_call_that_goes_well_after_a_retry_returns_its_result() -> None:
    assert run([ConnectionResetError()])[:3] == (2, 2, [1.0])


@pytest.mark.parametrize("error", [ValueError(), KeyError(), OSError(), Exception()])
def test_what_is_not_named_is_not_retried(error: Exception) -> None:
    assert run([error])[:3] == (error, 1, [])
    assert not hasattr(error, "__notes__")


def test_a_value_error_is_retried_where_it_is_named() -> None:
    config = RetryConfig(jitter=False, retryable_exceptions=(ValueError,))
    assert run([UnicodeError()], config)[:2] == (2, 2)
    assert isinstance(run([ConnectionError()], config)[0], ConnectionError)


def test_one_attempt_never_retries() -> None:
    assert run([ConnectionError()], RetryConfig(max_retries=1))[1:] == (1, [], [])


def test_an_error_that_is_not_retried_ends_the_retries() -> None:
    error, calls, waits, heard = run([ConnectionError(), ValueError("no")])
    assert isinstance(error, ValueError)
    assert (calls, waits) == (2, [1.0])
    assert error.__notes__ == ["load: failed in attempt 2 of 3: such an error is not retried"]
    assert heard.named("retry.exhausted")[0]["cause"] == "kind"


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (FailureKind.SERVER, 3),
        (FailureKind.RATE_LIMIT, 3),
        (FailureKind.QUOTA, 1),
        (FailureKind.AUTH, 1),
        (FailureKind.BAD_REQUEST, 1),
    ],
)
def test_what_a_provider_did_is_retried_by_its_kind(kind: FailureKind, calls: int) -> None:
    config = RetryConfig(jitter=False, retryable_exceptions=(ProviderError,))
    assert run([ProviderError("p", kind) for _ in range(3)], config)[1] == calls


def test_a_call_whose_guard_has_retried_is_not_retried_once_more() -> None:
    exhausted = RetriesExhaustedError.after(ProviderError("p", FailureKind.SERVER), 3)
    assert run([exhausted])[1] == 1


@pytest.mark.parametrize("seconds", [1.5, 70.0, 119.0])
def test_a_provider_s_hint_is_waited_for_and_never_less(seconds: float) -> None:
    _, calls, waits, _ = run([ProviderError("p", FailureKind.RATE_LIMIT, retry_after=seconds)])
    assert calls == 2
    assert seconds <= waits[0] <= min(seconds * 1.1, 120.0)


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    error, calls, waits, heard = run([ProviderError("p", FailureKind.RATE_LIMIT, retry_after=121.0)])
    assert isinstance(error, ProviderError)
    assert (calls, waits) == (1, [])
    assert "longer than max_wait" in error.__notes__[0]
    assert heard.named("retry.exhausted")[0]["cause"] == "wait_too_long"


def test_a_refusal_is_waited_out_where_it_says_how_long() -> None:
    _, calls, waits, _ = run([CircuitBreakerOpenError("p", retry_after=20.0), RateLimitedError("p")])
    assert calls == 2
    assert 20.0 <= waits[0] <= 22.0


def test_a_blocked_provider_is_left_to_a_person() -> None:
    assert run([ProviderBlockedError("p", retry_after=10.0)])[1] == 1


def test_a_call_that_came_too_late_is_made_again_as_every_timeout_is() -> None:
    assert run([DeadlineExceededError("p", "too late")])[1] == 2


class SdkError(Exception):
    """As the official SDKs raise it."""

    def __init__(
        self, *, headers: object = None, code: str | None = None, retry_after: object = None
    ) -> None:
        super().__init__("rate limited")
        self.response = type("Response", (), {"headers": headers})()
        self.code = code
        self.retry_after = retry_after


NAMED = RetryConfig(jitter=False, retryable_exceptions=(SdkError,))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (SdkError(headers={"Retry-After": "7"}), 7.0),
        (SdkError(headers={"retry-after-ms": "2500", "retry-after": "3"}), 2.5),
        (SdkError(retry_after=4), 4.0),
    ],
)
def test_the_hint_of_an_sdk_s_error_is_obeyed(error: SdkError, seconds: float) -> None:
    (wait,) = run([error], NAMED)[2]
    assert seconds <= wait <= seconds * 1.1


@pytest.mark.parametrize("headers", [None, 3, {"retry-after": "soon"}])
def test_an_sdk_s_error_without_a_hint_waits_as_usual(headers: object) -> None:
    assert run([SdkError(headers=headers, retry_after=True)], NAMED)[2] == [1.0]


def test_an_sdk_s_quota_error_is_not_retried() -> None:
    assert run([SdkError(code="insufficient_quota")], NAMED)[1] == 1


@given(
    st.integers(1, 10),
    st.floats(0.0, 10.0),
    st.floats(1.1, 10.0),
    st.floats(0.0, 100.0),
    st.sampled_from(["full", "equal", "none", True, False]),
    st.integers(0, 12),
)
def test_attempts_and_waits_stay_within_their_bounds(
    most: int, initial: float, base: float, more: float, jitter: str | bool, failures: int
) -> None:
    config = RetryConfig(
        max_retries=most,
        initial_delay=initial,
        exponential_base=base,
        max_delay=initial + more,
        jitter=jitter,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )
    result, calls, waits, _ = run([ConnectionError() for _ in range(failures)], config)
    assert calls == min(failures + 1, most)
    assert isinstance(result, ConnectionError) == (failures >= most)
    assert len(waits) == calls - 1
    for number, wait in enumerate(waits):
        whole = min(initial * base**number, initial + more)
        least = {"equal": whole / 2, "none": whole, False: whole}.get(jitter, 0.0)
        assert least <= wait + 1e-9
        assert wait <= whole + 1e-9


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"max_retries": 0}, "RetryConfig.max_retries must be 1..10, got 0"),
        ({"max_retries": 11}, "RetryConfig.max_retries must be 1..10, got 11"),
        ({"initial_delay": -1.0}, "RetryConfig.initial_delay must be 0 or more"),
        ({"initial_delay": 2.0, "max_delay": 1.0}, "RetryConfig.max_delay must be 2 or more"),
        ({"exponential_base": 0.5}, "RetryConfig.exponential_base must be 1 or more"),
        ({"max_wait": float("inf")}, "RetryConfig.max_wait must be 0 or more, and finite"),
        ({"jitter": "some"}, "RetryConfig.jitter"),
        ({"retryable_exceptions": (BaseException,)}, "a cancellation is never"),
        ({"retryable_exceptions": ("ValueError",)}, "exception classes"),
    ],
)
def test_a_wrong_configuration_is_refused_when_it_is_built(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        RetryConfig(**fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
@virtual_time
async def test_an_asynchronous_function_waits_on_the_loop_s_clock() -> None:
    function = Function(ConnectionError(), ConnectionError())

    @retry_with_backoff(STEADY, calls=PlainCalls())
    async def load(more: int) -> int:
        return function() + more

    began = anyio.current_time()
    assert await load(10) == 13
    assert anyio.current_time() - began == 3.0


@pytest.mark.anyio
async def test_it_works_on_both_backends() -> None:
    function = Function(ConnectionError())

    @retry_with_backoff(RetryConfig(initial_delay=0.0), calls=PlainCalls())
    async def load() -> int:
        return function()

    assert await load() == 2


@pytest.mark.anyio
@virtual_time
async def test_a_cancelled_call_is_not_made_again() -> None:
    calls, begun = PlainCalls(), 0

    @retry_with_backoff(RetryConfig(retryable_exceptions=(Exception,)), operation_name="hang", calls=calls)
    async def hang() -> None:
        nonlocal begun
        begun += 1
        await anyio.sleep_forever()

    with anyio.move_on_after(1.0):
        await hang()
    assert begun == 1
    (counted,) = calls.statistics()
    assert (dict(counted.calls), counted.attempts, counted.failures) == ({"cancelled": 1}, 1, {})


@pytest.mark.anyio
@virtual_time
async def test_a_call_is_cancelled_while_it_waits() -> None:
    calls, function = PlainCalls(), Function(ConnectionError())

    @retry_with_backoff(STEADY, operation_name="load", calls=calls)
    async def load() -> int:
        return function()

    async with anyio.create_task_group() as group:
        group.start_soon(load)
        await anyio.sleep(0.5)
        group.cancel_scope.cancel()
    assert function.calls == 1
    assert dict(calls.statistics()[0].retries) == {("network", "cancelled"): 1}


@pytest.mark.anyio
@virtual_time
async def test_a_wait_that_outlasts_the_scope_around_the_call_is_not_begun() -> None:
    function = Function(*[ConnectionError() for _ in range(3)])

    @retry_with_backoff(STEADY, calls=PlainCalls())
    async def load() -> int:
        return function()

    began = anyio.current_time()
    with anyio.fail_after(2.5), pytest.raises(ConnectionError) as caught:
        await load()
    assert function.calls == 2
    assert anyio.current_time() - began == 1.0
    assert "after the deadline" in caught.value.__notes__[0]


@pytest.mark.anyio
@virtual_time
async def test_calls_at_the_same_time_share_no_state() -> None:
    ends: list[float] = []

    @retry_with_backoff(STEADY, calls=PlainCalls())
    async def load(function: Function) -> int:
        return function()

    async def caller(failures: int) -> None:
        await load(Function(*[ConnectionError() for _ in range(failures)]))
        ends.append(anyio.current_time() - began)

    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for failures in (2, 0, 1, 2):
            group.start_soon(caller, failures)
    assert sorted(ends) == [0.0, 1.0, 3.0, 3.0]


def test_every_line_of_a_call_has_its_correlation_id() -> None:
    seen: list[object] = []
    calls = PlainCalls()
    heard = Heard(calls)

    @retry_with_backoff(STEADY, operation_name="load", sleep=lambda _: None, calls=calls)
    def load() -> None:
        seen.append(structlog.contextvars.get_contextvars()["correlation_id"])
        raise ConnectionError("no route, api_key=hidden-from-all")

    for _ in range(2):
        with pytest.raises(ConnectionError):
            load()
    first, second = seen[:3], seen[3:]
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]
    assert [fields["correlation_id"] for _, fields in heard] == seen
    assert [event for event, _ in heard[:3]] == ["retry.scheduled", "retry.scheduled", "retry.exhausted"]
    assert heard[0][1] == {
        "operation": "load",
        "attempt": 1,
        "correlation_id": first[0],
        "reason": "network",
        "error_type": "ConnectionError",
        "error": "no route, api_key=***",
        "delay_s": 1.0,
    }
    assert "correlation_id" not in structlog.contextvars.get_contextvars()


def test_the_application_s_correlation_id_is_used_where_there_is_one() -> None:
    with structlog.contextvars.bound_contextvars(correlation_id="job-7"):
        heard = run([ConnectionError()])[3]
    assert [(event, fields["correlation_id"]) for event, fields in heard] == [
        ("retry.scheduled", "job-7"),
        ("retry.succeeded", "job-7"),
    ]


def test_events_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    run([ConnectionError()])
    assert "retry.scheduled" in capsys.readouterr().err


def test_calls_are_counted_by_operation() -> None:
    calls = PlainCalls()
    for errors in ([], [ConnectionError()], [TimeoutError(), ValueError()]):
        function = Function(*errors)
        retried = retry_with_backoff(
            STEADY, operation_name="load", provider="site", sleep=lambda _: None, calls=calls
        )(function)
        with suppress(ValueError):
            retried()
    (counted,) = calls.statistics()
    assert (counted.provider, counted.operation, counted.attempts) == ("site", "load", 5)
    assert counted.calls == {"ok": 1, "retried_ok": 1, "failed": 1}
    assert counted.retries == {("network", "success"): 1, ("timeout", "failed"): 1}
    assert counted.failures == {"network": 1, "timeout": 1, "ValueError": 1}
    assert counted.wait_seconds == 2.0


def test_operations_beyond_the_cap_are_counted_together() -> None:
    calls = PlainCalls()
    for number in range(300):
        calls.counts("", f"operation {number}").call_ended("ok")
    counted = calls.statistics()
    assert len(counted) == 257
    assert counted[-1].operation == "other"
    assert counted[-1].calls == {"ok": 44}


def test_a_listener_that_raises_ends_no_call(capsys: pytest.CaptureFixture[str]) -> None:
    calls, heard = PlainCalls(), list[str]()

    def bad(event: str, fields: object) -> None:
        raise RuntimeError("no")

    calls.listen(bad)
    end = calls.listen(lambda event, _: heard.append(event))
    retried = retry_with_backoff(STEADY, sleep=lambda _: None, calls=calls)
    assert retried(Function(ConnectionError()))() == 2
    end()
    assert retried(Function(ConnectionError()))() == 2
    assert heard == ["retry.scheduled", "retry.succeeded"]
    assert capsys.readouterr().err.count("event_name=") == 1


class Client:
    """Has methods to decorate."""

    def __init__(self) -> None:
        self.function = Function(ConnectionError())

    @retry_with_backoff(RetryConfig(initial_delay=0.0), calls=PlainCalls())
    def get(self, path: str) -> str:
        return f"{path} {self.function()}"

    @staticmethod
    @retry_with_backoff(calls=PlainCalls())
    def double(number: int) -> int:
        """Double it."""
        return 2 * number


def test_methods_are_retried_and_keep_their_names() -> None:
    assert Client().get("/a") == "/a 2"
    assert Client.double(4) == 8
    assert (Client.double.__name__, Client.double.__doc__) == ("double", "Double it.")


def test_it_works_without_a_configuration_and_without_parentheses() -> None:
    calls = 0

    @retry_with_backoff
    def load() -> int:
        nonlocal calls
        calls += 1
        return calls

    assert load() == 1
    assert retry_with_backoff()(load)() == 2


@pytest.mark.anyio
async def test_an_object_with_an_asynchronous_call_and_a_partial_are_retried() -> None:
    class Loader:
        function = Function(ConnectionError(), ConnectionError())

        async def __call__(self, more: int) -> int:
            return self.function() + more

    retried = retry_with_backoff(RetryConfig(initial_delay=0.0), calls=PlainCalls())
    assert await retried(partial(Loader(), 10))() == 13


async def _chunks() -> AsyncGenerator[int]:
    yield 1


def _lines() -> Generator[int]:
    yield 1


def _made(cls: type) -> None:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("thing", "complaint"),
    [
        (_chunks, "_chunks is a generator function"),
        (_lines, "a function that consumes the generator"),
        (staticmethod(_lines), "put it under @staticmethod"),
        (cast("object", classmethod(_made)), "put it under @classmethod"),
        (Client, "needs a function"),
        (3, "needs a function"),
    ],
)
def test_what_cannot_be_called_again_is_refused(thing: object, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        retry_with_backoff()(cast("Callable[[], object]", thing))


@pytest.mark.anyio
async def test_a_function_that_returns_a_coroutine_is_refused() -> None:
    async def load() -> int:
        return 1

    with pytest.raises(TypeError, match="decorate an `async def`"):
        await retry_with_backoff(calls=PlainCalls())(lambda: load())()


def test_a_layer_in_a_layer_is_warned_of_once() -> None:
    calls = PlainCalls()
    heard = Heard(calls)
    inner = retry_with_backoff(STEADY, operation_name="inner", sleep=lambda _: None, calls=calls)(Function())
    outer = retry_with_backoff(STEADY, operation_name="outer", sleep=lambda _: None, calls=calls)(inner)
    outer()
    outer()
    inner()
    (warning,) = heard.named("retry.nested")
    assert warning["outer"] == "retry_with_backoff(outer)"
    assert warning["inner"] == "retry_with_backoff(inner)"
    assert "one of them only" in str(warning["remedy"])


def test_jitter_comes_from_the_source_that_is_given() -> None:
    def waits(seed: int) -> Patience:
        patience = Patience()
        retried = retry_with_backoff(sleep=patience, rng=Random(seed), calls=PlainCalls())
        retried(Function(ConnectionError(), ConnectionError()))()
        return patience

    assert waits(1) == waits(1) != waits(2)


def test_blocking_functions_sleep_for_real_by_default() -> None:
    calls = retry_with_backoff(RetryConfig(initial_delay=0.001, jitter=False), calls=PlainCalls())
    began = time.monotonic()
    calls(Function(ConnectionError()))()
    assert time.monotonic() - began >= 0.001


@pytest.mark.anyio
@virtual_time
async def test_a_decorator_in_a_handler_of_a_service_is_warned_of_and_has_the_call_s_correlation_id() -> None:
    calls, function = PlainCalls(), Function(ConnectionError(), ConnectionError())
    heard = Heard(calls)

    class Ask(Request[str], frozen=True):
        pass

    class Llm(Service):
        @handles
        async def answer(self, message: Ask) -> str:
            await self.load()
            return current_attempt().correlation_id

        @retry_with_backoff(STEADY, operation_name="load", calls=calls)
        async def load(self) -> None:
            function()

    async with open_system() as system:
        llm = await system.spawn(Child("llm", Llm))
        identity = await llm.ask(Ask())
        await llm.ask(Ask())
    (warning,) = heard.named("retry.nested")
    assert (warning["outer"], warning["inner"]) == ("the guard of llm", "retry_with_backoff(load)")
    assert {fields["correlation_id"] for fields in heard.named("retry.scheduled")} == {identity}


def test_a_decorator_around_what_retries_on_its_own_is_warned_of_once() -> None:
    calls = PlainCalls()
    heard = Heard(calls)

    class Model:
        max_retries = 2

        def invoke(self, text: str) -> str:
            return text

    retried = retry_with_backoff(operation_name="ask", calls=calls)(Model().invoke)
    assert (retried("a"), retried("b")) == ("a", "b")
    (warning,) = heard.named("retry.nested")
    assert warning["outer"] == "retry_with_backoff(ask)"
    assert warning["inner"] == "Model retries on its own; give it max_retries=0, it has 2"


def test_a_call_that_is_interrupted_counts_as_cancelled() -> None:
    calls = PlainCalls()

    @retry_with_backoff(operation_name="load", calls=calls)
    def load() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load()
    assert calls.statistics()[0].calls == {"cancelled": 1}
