"""The official SDKs take the fakes for the providers: same errors, codes, retries and number of requests.

What is expected here was measured with the SDKs or read in their source. Where a step gives the header
``retry-after-ms: 1``, that only shortens the SDK's own retries.
"""

import gc
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from itertools import pairwise

import anthropic
import anyio
import httpx2
import openai
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import TextBlock
from openai import AsyncOpenAI

from relight.actors.fakes import Fakes, FaultKind, Outage, RetryAfterForm, Step

CLAUDE, GPT = "claude-haiku-4-5", "gpt-4o-mini"
QUESTION = "Anna crosses the flooded square at night. Where does she go?"
SOON: Mapping[str, str] = {"retry-after-ms": "1"}

LEFT_BEHIND = r"ignore:Async generator '(openai|anthropic|httpx2|httpcore2)\.:ResourceWarning"
"""Both SDKs leave the generators inside a stream to the garbage collector, and trio says so."""

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(LEFT_BEHIND)]

Attributes = Mapping[str, object]
Call = Callable[[AsyncOpenAI, AsyncAnthropic], Coroutine[None, None, object]]


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
async def collected(anyio_backend: str) -> AsyncIterator[None]:
    yield
    gc.collect()  # what an SDK leaves behind is found in its own test, not in some other


def local() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, verify=False)


@pytest.fixture
async def gpt(fakes: Fakes, anyio_backend: str) -> AsyncIterator[AsyncOpenAI]:
    url, key = f"{fakes.url('openai')}/v1", fakes.key("openai")
    async with AsyncOpenAI(base_url=url, api_key=key, http_client=local(), timeout=60.0) as sdk:
        yield sdk


@pytest.fixture
async def claude(fakes: Fakes, anyio_backend: str) -> AsyncIterator[AsyncAnthropic]:
    url, key = fakes.url("anthropic"), fakes.key("anthropic")
    async with AsyncAnthropic(base_url=url, api_key=key, http_client=local(), timeout=60.0) as sdk:
        yield sdk


async def chat(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> object:
    completion = await gpt.chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": QUESTION}]
    )
    return completion.choices[0].finish_reason


async def chat_stream(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> object:
    finish_reason: str | None = None
    async for chunk in await gpt.chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": QUESTION}], stream=True
    ):
        finish_reason = chunk.choices[0].finish_reason
    return finish_reason


async def respond(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> object:
    return (await gpt.responses.create(model=GPT, input=QUESTION)).status


async def respond_stream(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> object:
    events = await gpt.responses.create(model=GPT, input=QUESTION, stream=True)
    return [event.type async for event in events][-1]


async def message(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> object:
    reply = await claude.messages.create(
        model=CLAUDE, max_tokens=1000, messages=[{"role": "user", "content": QUESTION}]
    )
    return reply.stop_reason


async def message_stream(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> object:
    events = await claude.messages.create(
        model=CLAUDE, max_tokens=1000, messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    return [event.type async for event in events][-1]


PROVIDERS: Mapping[Call, str] = {
    chat: "openai",
    chat_stream: "openai",
    respond: "openai",
    respond_stream: "openai",
    message: "anthropic",
    message_stream: "anthropic",
}

OPENAI_REFUSALS: list[tuple[str, type[Exception], Attributes, int]] = [
    ("rate_limit", openai.RateLimitError, {"code": "rate_limit_exceeded", "type": "requests"}, 3),
    ("rate_limit_tokens", openai.RateLimitError, {"code": "rate_limit_exceeded", "type": "tokens"}, 3),
    ("too_large", openai.RateLimitError, {"code": "rate_limit_exceeded", "type": "tokens"}, 3),
    ("slow_down", openai.RateLimitError, {"code": "slow_down", "type": "rate_limit_error"}, 3),
    ("quota", openai.RateLimitError, {"code": "insufficient_quota", "type": "insufficient_quota"}, 3),
    ("credit_balance_exhausted", openai.RateLimitError, {"type": "insufficient_quota"}, 3),
    ("auth", openai.AuthenticationError, {"status_code": 401, "code": "invalid_api_key"}, 1),
    ("unsupported_country_region_territory", openai.PermissionDeniedError, {"status_code": 403}, 1),
    ("bad_request", openai.BadRequestError, {"code": None, "type": "invalid_request_error"}, 1),
    ("context_length", openai.BadRequestError, {"code": "context_length_exceeded"}, 1),
    ("content_policy", openai.BadRequestError, {"code": "content_policy_violation"}, 1),
    ("azure_content_filter", openai.BadRequestError, {"code": "content_filter", "param": "prompt"}, 1),
    ("compatible_flat", openai.BadRequestError, {"code": "400", "type": "BadRequestError"}, 1),
    ("not_found", openai.NotFoundError, {"status_code": 404, "code": "model_not_found"}, 1),
    ("timeout", openai.APIStatusError, {"status_code": 408}, 3),
    ("conflict", openai.ConflictError, {"status_code": 409, "code": "conflict"}, 3),
    ("unprocessable", openai.UnprocessableEntityError, {"status_code": 422}, 1),
    ("server_error", openai.InternalServerError, {"status_code": 500, "type": "server_error"}, 3),
    ("unavailable", openai.InternalServerError, {"status_code": 503, "code": "server_is_overloaded"}, 3),
    ("html_error", openai.InternalServerError, {"status_code": 502, "code": None, "type": None}, 3),
]

ANTHROPIC_REFUSALS: list[tuple[str, type[Exception], Attributes, int]] = [
    ("rate_limit", anthropic.RateLimitError, {"type": "rate_limit_error", "error_code": None}, 3),
    ("slow_down", anthropic.RampLimitExceededError, {"type": "rate_limit_error"}, 3),
    ("enforced_spend_limit_reached", anthropic.EnforcedSpendLimitReachedError, {"status_code": 429}, 3),
    ("quota", anthropic.BadRequestError, {"type": "invalid_request_error"}, 1),
    ("usage_limits_reached", anthropic.BadRequestError, {"type": "invalid_request_error"}, 1),
    (
        "linked_organization_spend_limit_reached",
        anthropic.LinkedOrganizationSpendLimitReachedError,
        {"type": "billing_error"},
        1,
    ),
    ("auth", anthropic.AuthenticationError, {"status_code": 401, "type": "authentication_error"}, 1),
    ("permission_error", anthropic.PermissionDeniedError, {"type": "permission_error"}, 1),
    ("bad_request", anthropic.BadRequestError, {"type": "invalid_request_error"}, 1),
    ("context_length", anthropic.BadRequestError, {"type": "invalid_request_error"}, 1),
    ("not_found", anthropic.NotFoundError, {"type": "not_found_error"}, 1),
    ("too_large", anthropic.RequestTooLargeError, {"type": "request_too_large"}, 1),
    ("request_too_large_html", anthropic.RequestTooLargeError, {"type": None}, 1),
    ("server_error", anthropic.InternalServerError, {"status_code": 500, "type": "api_error"}, 3),
    ("unavailable", anthropic.ServiceUnavailableError, {"status_code": 503, "type": "api_error"}, 3),
    ("timeout_error", anthropic.DeadlineExceededError, {"status_code": 504, "type": "timeout_error"}, 3),
    ("overloaded", anthropic.OverloadedError, {"status_code": 529, "type": "overloaded_error"}, 3),
    ("html_error", anthropic.InternalServerError, {"status_code": 502, "type": None}, 3),
]


def step_of(name: str) -> Step:
    if name in set(FaultKind):
        return Step(fault=FaultKind(name), headers=SOON, times=5)
    return Step(error=name, headers=SOON, times=5)


async def failure(call: Call, gpt: AsyncOpenAI, claude: AsyncAnthropic) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the tests are about
        await call(gpt, claude)
    return caught.value


async def requests(fakes: Fakes, call: Call) -> int:
    return len(await fakes.log(PROVIDERS[call]))


@pytest.mark.parametrize(
    ("call", "name", "class_", "attributes", "sent"),
    [
        *((chat, *row) for row in OPENAI_REFUSALS),
        *((message, *row) for row in ANTHROPIC_REFUSALS),
        (chat_stream, *OPENAI_REFUSALS[0]),
        (message_stream, *ANTHROPIC_REFUSALS[0]),
    ],
)
async def test_a_refusal_is_raised_and_retried_by_its_status(
    fakes: Fakes,
    gpt: AsyncOpenAI,
    claude: AsyncAnthropic,
    call: Call,
    name: str,
    class_: type[Exception],
    attributes: Attributes,
    sent: int,
) -> None:
    """Also spent money is asked for three times: the status is that of a rate limit."""
    await fakes.script(PROVIDERS[call], [step_of(name)])
    error = await failure(call, gpt, claude)
    assert type(error) is class_
    assert {key: getattr(error, key) for key in attributes} == attributes
    assert await requests(fakes, call) == sent


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (chat, "stop"),
        (chat_stream, "stop"),
        (respond, "completed"),
        (respond_stream, "response.completed"),
        (message, "end_turn"),
        (message_stream, "message_stop"),
    ],
)
async def test_an_answer_is_understood(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call, answer: str
) -> None:
    assert await call(gpt, claude) == answer
    assert await requests(fakes, call) == 1


@pytest.mark.parametrize("call", [chat, message])
async def test_an_overload_that_passes_is_outlived(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=FaultKind.OVERLOADED, headers=SOON, times=2)])
    assert await call(gpt, claude) in {"stop", "end_turn"}
    assert await requests(fakes, call) == 3


@pytest.mark.parametrize("call", [chat, message])
async def test_an_outage_is_an_overload_until_it_ends(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call
) -> None:
    await fakes.start_outage(Outage(PROVIDERS[call], 1.0))
    error = await failure(call, gpt.with_options(max_retries=0), claude.with_options(max_retries=0))
    assert getattr(error, "status_code", None) == 503
    await anyio.sleep(1.0)
    assert await call(gpt, claude) in {"stop", "end_turn"}


@pytest.mark.parametrize(
    ("call", "class_"), [(chat, openai.APIConnectionError), (message, anthropic.APIConnectionError)]
)
async def test_a_reset_before_the_answer_is_retried(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call, class_: type[Exception]
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=FaultKind.RESET, times=3)])
    gpt, claude = gpt.with_options(max_retries=1), claude.with_options(max_retries=1)
    assert type(await failure(call, gpt, claude)) is class_
    assert await requests(fakes, call) == 2


@pytest.mark.parametrize(
    ("call", "class_"), [(chat, openai.APITimeoutError), (message, anthropic.APITimeoutError)]
)
@pytest.mark.slow
async def test_a_hang_is_a_timeout(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call, class_: type[Exception]
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=FaultKind.HANG, delay=5.0)])
    gpt = gpt.with_options(timeout=0.3, max_retries=0)
    claude = claude.with_options(timeout=0.3, max_retries=0)
    assert type(await failure(call, gpt, claude)) is class_
    assert await requests(fakes, call) == 1


@pytest.mark.parametrize("call", [chat, respond, message])
@pytest.mark.parametrize("fault", [FaultKind.BROKEN_JSON, FaultKind.WRONG_LENGTH])
async def test_half_a_json_is_neither_translated_nor_retried(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call, fault: FaultKind
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=fault)])
    assert type(await failure(call, gpt, claude)) is json.JSONDecodeError
    assert await requests(fakes, call) == 1


BROKEN_STREAMS: list[tuple[Call, FaultKind, type[Exception]]] = [
    (chat_stream, FaultKind.STREAM_RESET, openai.APIConnectionError),
    (chat_stream, FaultKind.TRUNCATED, openai.APIConnectionError),
    (chat_stream, FaultKind.STREAM_STALL, openai.APITimeoutError),
    (chat_stream, FaultKind.BROKEN_JSON, json.JSONDecodeError),
    (respond_stream, FaultKind.STREAM_RESET, openai.APIConnectionError),
    # Anthropic's SDK does not translate what the transport raises in the middle of a stream.
    (message_stream, FaultKind.STREAM_RESET, httpx2.ReadError),
    (message_stream, FaultKind.TRUNCATED, httpx2.RemoteProtocolError),
    (message_stream, FaultKind.STREAM_STALL, httpx2.ReadTimeout),
    (message_stream, FaultKind.BROKEN_JSON, json.JSONDecodeError),
]


@pytest.mark.parametrize(("call", "fault", "class_"), BROKEN_STREAMS)
@pytest.mark.slow
async def test_a_stream_that_breaks_is_not_retried(
    fakes: Fakes,
    gpt: AsyncOpenAI,
    claude: AsyncAnthropic,
    call: Call,
    fault: FaultKind,
    class_: type[Exception],
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=fault)])
    error = await failure(call, gpt.with_options(timeout=1.5), claude.with_options(timeout=1.5))
    assert type(error) is class_
    assert await requests(fakes, call) == 1


@pytest.mark.parametrize("after", [0, 5])
async def test_an_error_in_openais_stream_has_no_status(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, after: int
) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.STREAM_ERROR, after=after)])
    error = await failure(chat_stream, gpt, claude)
    assert type(error) is openai.APIError
    assert error.code == "server_is_overloaded"
    (entry,) = await fakes.log("openai")
    assert (entry.status, entry.chunks) == (200, after + 1)


@pytest.mark.parametrize("after", [0, 5])
async def test_an_error_in_anthropics_stream_has_the_status_200(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, after: int
) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.STREAM_ERROR, after=after)])
    error = await failure(message_stream, gpt, claude)
    assert type(error) is anthropic.APIStatusError
    assert (error.status_code, error.type) == (200, "overloaded_error")
    (entry,) = await fakes.log("anthropic")
    assert (entry.status, entry.chunks) == (200, after + 1)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [(chat_stream, "rate_limit", "rate_limit_exceeded"), (message_stream, "timeout_error", "timeout_error")],
)
async def test_the_error_in_a_stream_can_be_chosen(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call, error: str, told: str
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=FaultKind.STREAM_ERROR, error=error)])
    raised = await failure(call, gpt, claude)
    assert told in {getattr(raised, "code", None), getattr(raised, "type", None)}


@pytest.mark.parametrize(
    ("call", "last"),
    [
        (chat_stream, None),
        (respond_stream, "response.output_text.delta"),
        (message_stream, "content_block_delta"),
    ],
)
async def test_a_stream_that_ends_early_and_cleanly_raises_nothing(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call, last: str | None
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=FaultKind.STREAM_ENDS)])
    assert await call(gpt, claude) == last
    assert await requests(fakes, call) == 1


async def test_nor_do_the_helpers_notice_an_early_end(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic
) -> None:
    for provider in ("openai", "anthropic"):
        await fakes.script(provider, [Step(fault=FaultKind.STREAM_ENDS)])
    async with gpt.chat.completions.stream(
        model=GPT, messages=[{"role": "user", "content": QUESTION}]
    ) as chunks:
        assert (await chunks.get_final_completion()).choices[0].finish_reason is None
    async with claude.messages.stream(
        model=CLAUDE, max_tokens=1000, messages=[{"role": "user", "content": QUESTION}]
    ) as events:
        assert (await events.get_final_message()).stop_reason is None


@pytest.mark.parametrize("call", [chat_stream, message_stream])
@pytest.mark.slow
async def test_pings_keep_a_dead_stream_from_timing_out(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call
) -> None:
    await fakes.script(PROVIDERS[call], [Step(fault=FaultKind.STREAM_PINGS, chunk_delay=0.02)])
    with anyio.move_on_after(1.6) as waiting:
        await call(gpt.with_options(timeout=1.0), claude.with_options(timeout=1.0))
    assert waiting.cancelled_caught


async def test_the_usage_of_a_stream_comes_with_its_last_chunk(gpt: AsyncOpenAI) -> None:
    chunks = [
        chunk
        async for chunk in await gpt.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
    ]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    usage = chunks[-1].usage
    assert chunks[-1].choices == []
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(QUESTION.split()), len(text.split()))
    assert not any(chunk.usage for chunk in chunks[:-1])


async def test_a_stream_says_what_the_plain_answer_says(gpt: AsyncOpenAI, claude: AsyncAnthropic) -> None:
    async with claude.messages.stream(
        model=CLAUDE, max_tokens=1000, messages=[{"role": "user", "content": QUESTION}]
    ) as events:
        streamed = await events.get_final_message()
    plain = await claude.messages.create(
        model=CLAUDE, max_tokens=1000, messages=[{"role": "user", "content": QUESTION}]
    )
    assert isinstance(plain.content[0], TextBlock)
    assert streamed.content[0].to_dict() == plain.content[0].to_dict()
    assert streamed.usage.output_tokens == plain.usage.output_tokens
    async with gpt.responses.stream(model=GPT, input=QUESTION) as responses:
        response = await responses.get_final_response()
    assert response.output_text == (await gpt.responses.create(model=GPT, input=QUESTION)).output_text


async def test_a_response_can_fail_inside_a_good_reply(fakes: Fakes, gpt: AsyncOpenAI) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.RESPONSE_FAILED, error="rate_limit", times=2)])
    response = await gpt.responses.create(model=GPT, input=QUESTION)
    events = [event async for event in await gpt.responses.create(model=GPT, input=QUESTION, stream=True)]
    assert response.status == "failed"
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "rate_limit_exceeded"


async def test_a_response_that_hits_its_limit_is_incomplete(gpt: AsyncOpenAI) -> None:
    response = await gpt.responses.create(model=GPT, input=QUESTION, max_output_tokens=3)
    events = [
        event.type
        async for event in await gpt.responses.create(
            model=GPT, input=QUESTION, max_output_tokens=3, stream=True
        )
    ]
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert events[-1] == "response.incomplete"


async def test_embeddings_are_the_same_in_either_encoding(gpt: AsyncOpenAI) -> None:
    packed = await gpt.embeddings.create(model="text-embedding-3-small", input=["a cat", "a dog"])
    plain = await gpt.embeddings.create(
        model="text-embedding-3-small", input=["a cat", "a dog"], encoding_format="float"
    )
    assert [len(item.embedding) for item in packed.data] == [1536, 1536]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


async def test_images_come_in_the_reply_or_from_an_address(
    gpt: AsyncOpenAI, client: httpx2.AsyncClient
) -> None:
    drawn = await gpt.images.generate(model="gpt-image-1", prompt="a cat")
    linked = await gpt.images.generate(model="dall-e-3", prompt="a cat")
    assert drawn.data is not None
    assert drawn.data[0].b64_json
    assert drawn.usage is not None
    assert linked.data is not None
    assert linked.data[0].url is not None
    assert (await client.get(linked.data[0].url)).content.startswith(b"\x89PNG")


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.slow
async def test_openai_waits_half_a_second_and_then_a_whole_one_for_spent_money(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic
) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.QUOTA, times=3)])
    assert type(await failure(chat, gpt, claude)) is openai.RateLimitError
    first, second = (later.at - entry.at for entry, later in pairwise(await fakes.log("openai")))
    assert first >= 0.37
    assert second >= 0.74


async def test_openai_does_not_wait_for_more_than_two_minutes(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic
) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.RATE_LIMIT, retry_after=121.0)])
    assert type(await failure(chat, gpt, claude)) is openai.RateLimitError
    assert await requests(fakes, chat) == 1


@pytest.mark.slow
async def test_anthropic_sleeps_as_long_as_it_is_told(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic
) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.RATE_LIMIT, retry_after=121.0)])
    async with anyio.create_task_group() as group:
        group.start_soon(message, gpt, claude)
        with anyio.fail_after(30.0):
            while not await requests(fakes, message):  # noqa: ASYNC110 - another process
                await anyio.sleep(0.01)
        await anyio.sleep(0.4)
        group.cancel_scope.cancel()
    assert await requests(fakes, message) == 1


@pytest.mark.parametrize("form", list(RetryAfterForm))
async def test_every_form_of_a_hint_is_survived(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, form: RetryAfterForm
) -> None:
    step = Step(fault=FaultKind.RATE_LIMIT, retry_after=0.001, retry_after_form=form)
    await fakes.script("anthropic", [step])
    await fakes.script("openai", [step])
    gpt, claude = gpt.with_options(max_retries=0), claude.with_options(max_retries=0)
    assert type(await failure(chat, gpt, claude)) is openai.RateLimitError
    assert type(await failure(message, gpt, claude)) is anthropic.RateLimitError


@pytest.mark.parametrize("call", [chat, message])
@pytest.mark.parametrize(
    ("fault", "advice", "sent"), [("bad_request", "true", 3), ("unavailable", "false", 1)]
)
async def test_the_server_can_say_whether_to_retry(
    fakes: Fakes,
    gpt: AsyncOpenAI,
    claude: AsyncAnthropic,
    call: Call,
    fault: str,
    advice: str,
    sent: int,
) -> None:
    step = Step(fault=FaultKind(fault), headers={**SOON, "x-should-retry": advice}, times=5)
    await fakes.script(PROVIDERS[call], [step])
    await failure(call, gpt, claude)
    assert await requests(fakes, call) == sent


@pytest.mark.parametrize("call", [chat_stream, message_stream])
@pytest.mark.slow
async def test_leaving_a_stream_closes_it(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic, call: Call
) -> None:
    await fakes.script(PROVIDERS[call], [Step(chunk_delay=0.5)])
    with anyio.fail_after(30.0):
        async with anyio.create_task_group() as group:
            group.start_soon(call, gpt, claude)
            while not (await fakes.statistics(PROVIDERS[call])).in_flight:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        while (await fakes.statistics(PROVIDERS[call])).in_flight:  # noqa: ASYNC110 - another process
            await anyio.sleep(0.01)
    (entry,) = await fakes.log(PROVIDERS[call])
    assert entry.is_abandoned
    assert entry.chunks < 10


async def test_neither_sends_an_idempotency_key(
    fakes: Fakes, gpt: AsyncOpenAI, claude: AsyncAnthropic
) -> None:
    await chat(gpt, claude)
    await message(gpt, claude)
    for provider in ("openai", "anthropic"):
        (entry,) = await fakes.log(provider)
        assert not [name for name in entry.headers if "idempotency" in name]
