"""Turns, pictures and tools: one form here, and what each provider is sent."""

from base64 import b64encode

import msgspec
import pytest

from relight.actors.providers import (
    Anthropic,
    ChatCompletion,
    ChatMessage,
    CreateMessage,
    ImagePart,
    OpenAI,
    TextPart,
    Tool,
    ToolCall,
)
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import http_json, serve

PNG = b"\x89PNG"
LOOK = Tool("look", "Look at something.", {"type": "object", "properties": {"at": {"type": "integer"}}})
CALL = ToolCall("c1", "look", '{"at":1}')
TURNS = (
    ChatMessage("system", "Be brief."),
    ChatMessage(
        "user", (TextPart("What is this?"), ImagePart.of(PNG, detail="low"), ImagePart("https://x/a.png"))
    ),
    ChatMessage("assistant", tool_calls=(CALL,)),
    ChatMessage("tool", "a cat", tool_call_id="c1"),
    ChatMessage("assistant", "A cat.", tool_calls=(CALL,)),
    ChatMessage("tool", (TextPart("a dog"), TextPart("")), tool_call_id="c1"),
)
DATA = b64encode(PNG).decode()


async def openai_is_sent(message: ChatCompletion) -> dict[str, object]:
    choice = {"message": {"content": None, "tool_calls": [{"id": "c1", "function": {"name": "look"}}]}}
    async with serve(http_json(200, {"choices": [choice]})) as server:
        openai = OpenAI("k", base_url=server.url)
        async with openai.lifespan():
            await openai.complete(message)
    return msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2], type=dict[str, object])


async def anthropic_is_sent(message: CreateMessage) -> dict[str, object]:
    async with serve(http_json(200, {"content": [], "usage": {}})) as server:
        anthropic = Anthropic("k", base_url=server.url)
        async with anthropic.lifespan():
            await anthropic.create(message)
    return msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2], type=dict[str, object])


@pytest.mark.anyio
async def test_a_conversation_is_written_as_openai_wants_it() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    assert (await openai_is_sent(ChatCompletion(model="m", messages=TURNS)))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:image/png;base64,{DATA}", "detail": "low"},
                },
                {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
        {"role": "assistant", "content": "A cat.", "tool_calls": [call]},
        {
            "role": "tool",
            "content": [{"type": "text", "text": "a dog"}, {"type": "text", "text": ""}],
            "tool_call_id": "c1",
        },
    ]


@pytest.mark.anyio
async def test_a_conversation_is_written_as_anthropic_wants_it() -> None:
    sent = await anthropic_is_sent(CreateMessage(model="m", messages=TURNS, system="Speak French."))
    call = {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}
    assert sent["system"] == "Speak French.\n\nBe brief."
    assert sent["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": DATA},
                },
                {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}},
            ],
        },
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "a cat"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}, call]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a dog"}]}
            ],
        },
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("choice", "openai", "anthropic"),
    [
        ("auto", "auto", {"type": "auto"}),
        ("none", "none", {"type": "none"}),
        ("required", "required", {"type": "any"}),
        ("look", {"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
async def test_tools_are_offered_in_each_providers_words(
    choice: str, openai: object, anthropic: object
) -> None:
    ask = (ChatMessage("user", "Look!"),)
    sent = await openai_is_sent(ChatCompletion(model="m", messages=ask, tools=(LOOK,), tool_choice=choice))
    function = {"name": "look", "description": "Look at something.", "parameters": LOOK.parameters}
    assert (sent["tools"], sent["tool_choice"]) == ([{"type": "function", "function": function}], openai)
    sent = await anthropic_is_sent(CreateMessage(model="m", messages=ask, tools=(LOOK,), tool_choice=choice))
    offered = {"name": "look", "description": "Look at something.", "input_schema": LOOK.parameters}
    assert (sent["tools"], sent["tool_choice"]) == ([offered], anthropic)


@pytest.mark.anyio
async def test_what_a_model_wants_called_is_read() -> None:
    wanted = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}]
    answer = {
        "choices": [{"message": {"content": None, "tool_calls": wanted}, "finish_reason": "tool_calls"}]
    }
    async with serve(http_json(200, answer)) as server:
        openai = OpenAI("k", base_url=server.url)
        async with openai.lifespan():
            chat = await openai.complete(ChatCompletion(model="m", messages=()))
    block = {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
    async with serve(http_json(200, {"content": [thought, block], "usage": {}})) as server:
        anthropic = Anthropic("k", base_url=server.url)
        async with anthropic.lifespan():
            message = await anthropic.create(CreateMessage(model="m", messages=()))
    assert chat.tool_calls == message.tool_calls == (CALL,)
    assert (chat.text, message.text, message.thinking) == ("", "", "hm")
    assert CALL.decoded() == {"at": 1}
    assert ToolCall("c", "now", "").decoded() == {}


@pytest.mark.anyio
async def test_a_tool_call_that_is_no_json_is_the_callers_mistake_where_json_is_wanted() -> None:
    turn = ChatMessage("assistant", tool_calls=(ToolCall("c1", "look", '{"at'),))
    with pytest.raises(ProviderError, match="tool call") as caught:
        await anthropic_is_sent(CreateMessage(model="m", messages=(turn,)))
    assert caught.value.kind is FailureKind.BAD_REQUEST


def test_a_conversation_can_be_stored() -> None:
    stored = msgspec.json.encode(ChatCompletion(model="m", messages=TURNS, tools=(LOOK,)))
    assert msgspec.json.decode(stored, type=ChatCompletion).messages == TURNS


def test_pictures_and_tools_count_in_the_estimate() -> None:
    plain = ChatCompletion(model="m", messages=(ChatMessage("user", "x"),))
    shown = ChatCompletion(model="m", messages=(ChatMessage("user", (TextPart("x"), ImagePart("u"))),))
    offered = msgspec.structs.replace(plain, tools=(LOOK,))
    assert plain.input_tokens < offered.input_tokens < shown.input_tokens
