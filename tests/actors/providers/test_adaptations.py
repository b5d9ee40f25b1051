"""Adaptations: what one provider is asked, put to the other, and its reply put back."""

import pytest

from relight import Child, FailureKind, FallbackRef, open_system
from relight.actors import Usage
from relight.actors.providers import (
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    ChatReply,
    CreateMessage,
    MessageChunk,
    MessageReply,
    StreamChat,
    StreamMessage,
    Tool,
    ToolCall,
    ToolCallDelta,
    anthropic_as_chat,
    anthropic_stream_as_chat,
    chat_as_anthropic,
    chat_stream_as_anthropic,
)
from relight.supervisors.policies import Policy, Retry
from relight.testing import Fail, FlakyService, Ok
from tests.support.clocks import virtual_time

USAGE = Usage(input_tokens=4, output_tokens=2, usd=0.1)
TURNS = (ChatMessage("user", "Hello"), ChatMessage("assistant", "Hi"), ChatMessage("user", "Bye"))


def test_openai_s_chat_becomes_anthropic_s_messages() -> None:
    adaptation = chat_as_anthropic("claude-a", models={"gpt-mini": "claude-mini"})
    asked = ChatCompletion(
        model="gpt-big",
        messages=(ChatMessage("system", "Be brief."), *TURNS, ChatMessage("system", "Be kind.")),
        temperature=1.7,
        max_tokens=64,
    )
    assert adaptation.request(asked) == CreateMessage(
        model="claude-a", messages=asked.messages, max_tokens=64, temperature=1.0
    )
    plain = adaptation.request(ChatCompletion(model="gpt-mini", messages=TURNS))
    assert plain == CreateMessage(model="claude-mini", messages=TURNS, max_tokens=1024)


def test_anthropic_s_messages_become_openai_s_chat() -> None:
    adaptation = anthropic_as_chat("gpt-a", models={"claude-mini": "gpt-mini"})
    asked = CreateMessage(model="claude", messages=TURNS, max_tokens=64, system="Be brief.", temperature=0.5)
    assert adaptation.request(asked) == ChatCompletion(
        model="gpt-a", messages=(ChatMessage("system", "Be brief."), *TURNS), temperature=0.5, max_tokens=64
    )
    mini = adaptation.request(CreateMessage(model="claude-mini", messages=TURNS))
    assert mini == ChatCompletion(model="gpt-mini", messages=TURNS, max_tokens=1024)


@pytest.mark.parametrize(
    ("anthropic", "openai"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("new", "new"),
        (None, None),
    ],
)
def test_replies_are_put_into_the_words_of_the_one_that_was_asked(
    anthropic: str | None, openai: str | None
) -> None:
    message = MessageReply(id="1", model="m", text="Bye", stop_reason=anthropic, usage=USAGE)
    chat = ChatReply(id="1", model="m", text="Bye", finish_reason=openai, usage=USAGE)
    assert chat_as_anthropic("a").reply(message) == chat
    assert anthropic_as_chat("a").reply(chat) == message


def test_tools_go_along() -> None:
    tools, calls = (Tool("look"),), (ToolCall("1", "look", "{}"),)
    chat = ChatCompletion(model="m", messages=TURNS, tools=tools, tool_choice="look", max_tokens=1024)
    message = CreateMessage(model="m", messages=TURNS, tools=tools, tool_choice="look")
    assert chat_as_anthropic("m").request(chat) == message
    assert anthropic_as_chat("m").request(message) == chat
    said = MessageReply(id="1", model="m", text="", stop_reason="tool_use", tool_calls=calls, usage=USAGE)
    asked = ChatReply(id="1", model="m", text="", finish_reason="tool_calls", tool_calls=calls, usage=USAGE)
    assert chat_as_anthropic("m").reply(said) == asked
    assert anthropic_as_chat("m").reply(asked) == said


def test_streams_are_put_to_the_other_and_back_chunk_by_chunk() -> None:
    chat = StreamChat(model="m", messages=TURNS, max_tokens=1024)
    message = StreamMessage(model="m", messages=TURNS)
    assert chat_stream_as_anthropic("m").request(chat) == message
    assert anthropic_stream_as_chat("m").request(message) == chat
    parts = (ToolCallDelta(0, "1", "look"),)
    messages = [MessageChunk(text="Bye"), MessageChunk(tool_calls=parts, stop_reason="tool_use", usage=USAGE)]
    chats = [ChatChunk(text="Bye"), ChatChunk(tool_calls=parts, finish_reason="tool_calls", usage=USAGE)]
    assert chat_stream_as_anthropic("m").reply(messages) == chats
    assert anthropic_stream_as_chat("m").reply(chats) == messages


@pytest.mark.anyio
@virtual_time
async def test_a_fallback_from_one_to_the_other_returns_the_reply_that_was_asked_for() -> None:
    answer = MessageReply(id="1", model="claude-a", text="Bye", stop_reason="end_turn", usage=USAGE)
    once = Policy(retry=Retry(attempts=1))
    async with open_system() as system:
        down = FlakyService.script(then=Fail(FailureKind.OVERLOADED))
        openai = await system.spawn(Child("openai", down, policy=once))
        anthropic = await system.spawn(Child("anthropic", FlakyService.script(then=Ok(answer))))
        chat = FallbackRef(openai, anthropic, adapt={anthropic: chat_as_anthropic("claude-a")})
        reply = await chat.ask(ChatCompletion(model="gpt-big", messages=TURNS))
    assert reply == ChatReply(id="1", model="claude-a", text="Bye", finish_reason="stop", usage=USAGE)
