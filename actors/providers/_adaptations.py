"""Adaptations between OpenAI's chat and Anthropic's messages, for a fallback from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ...supervisors import Adaptation
from ._anthropic_messages import CreateMessage, MessageChunk, MessageReply, StreamMessage
from ._chat import DEFAULT_OUTPUT_TOKENS, ChatMessage
from ._openai_chat import ChatChunk, ChatCompletion, ChatReply, StreamChat

_STOPS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_Models = Mapping[str, str]
# Asked for whole or as a stream: the same fields in another class.
_ChatT = TypeVar("_ChatT", ChatCompletion, StreamChat)
_MessageT = TypeVar("_MessageT", CreateMessage, StreamMessage)


def chat_as_anthropic(
    model: str, *, models: _Models | None = None
) -> Adaptation[ChatCompletion, MessageReply, ChatReply]:
    """Have Anthropic answer what is asked of OpenAI; the asker gets a `ChatReply`.

    What only OpenAI knows is left out: ``response_format`` and ``extra``.

    Args:
        model: Who answers.
        models: Who answers for one of OpenAI's models, where that is somebody else.
    """

    def request(asked: ChatCompletion) -> CreateMessage:
        return _message(CreateMessage, asked, (models or {}).get(asked.model, model))

    def reply(answer: MessageReply) -> ChatReply:
        return ChatReply(
            id=answer.id,
            model=answer.model,
            text=answer.text,
            finish_reason=_reason(answer.stop_reason, _STOPS),
            tool_calls=answer.tool_calls,
            usage=answer.usage,
        )

    return Adaptation(ChatCompletion, request, reply)


def chat_stream_as_anthropic(
    model: str, *, models: _Models | None = None
) -> Adaptation[StreamChat, list[MessageChunk], list[ChatChunk]]:
    """Have Anthropic stream what is asked of OpenAI; see `chat_as_anthropic`."""

    def request(asked: StreamChat) -> StreamMessage:
        return _message(StreamMessage, asked, (models or {}).get(asked.model, model))

    def reply(chunks: list[MessageChunk]) -> list[ChatChunk]:
        return [
            ChatChunk(
                text=chunk.text,
                tool_calls=chunk.tool_calls,
                finish_reason=_reason(chunk.stop_reason, _STOPS),
                usage=chunk.usage,
                id=chunk.id,
                model=chunk.model,
            )
            for chunk in chunks
        ]

    return Adaptation(StreamChat, request, reply)


def anthropic_as_chat(
    model: str, *, models: _Models | None = None
) -> Adaptation[CreateMessage, ChatReply, MessageReply]:
    """Have OpenAI answer what is asked of Anthropic; the asker gets a `MessageReply`.

    What only Anthropic knows is left out: ``extra``.

    Args:
        model: Who answers.
        models: Who answers for one of Anthropic's models, where that is somebody else.
    """

    def request(asked: CreateMessage) -> ChatCompletion:
        return _chat(ChatCompletion, asked, (models or {}).get(asked.model, model))

    def reply(answer: ChatReply) -> MessageReply:
        return MessageReply(
            id=answer.id,
            model=answer.model,
            text=answer.text,
            stop_reason=_reason(answer.finish_reason, _REASONS),
            tool_calls=answer.tool_calls,
            usage=answer.usage,
        )

    return Adaptation(CreateMessage, request, reply)


def anthropic_stream_as_chat(
    model: str, *, models: _Models | None = None
) -> Adaptation[StreamMessage, list[ChatChunk], list[MessageChunk]]:
    """Have OpenAI stream what is asked of Anthropic; see `anthropic_as_chat`."""

    def request(asked: StreamMessage) -> StreamChat:
        return _chat(StreamChat, asked, (models or {}).get(asked.model, model))

    def reply(chunks: list[ChatChunk]) -> list[MessageChunk]:
        return [
            MessageChunk(
                text=chunk.text,
                tool_calls=chunk.tool_calls,
                stop_reason=_reason(chunk.finish_reason, _REASONS),
                usage=chunk.usage,
                id=chunk.id,
                model=chunk.model,
            )
            for chunk in chunks
        ]

    return Adaptation(StreamMessage, request, reply)


def _message(kind: type[_MessageT], asked: ChatCompletion | StreamChat, model: str) -> _MessageT:
    return kind(
        model=model,
        messages=asked.messages,
        max_tokens=asked.max_tokens or DEFAULT_OUTPUT_TOKENS,
        temperature=_cooled(asked.temperature),
        tools=asked.tools,
        tool_choice=asked.tool_choice,
    )


def _chat(kind: type[_ChatT], asked: CreateMessage | StreamMessage, model: str) -> _ChatT:
    return kind(
        model=model,
        messages=_with_system(asked),
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
        tools=asked.tools,
        tool_choice=asked.tool_choice,
    )


def _with_system(asked: CreateMessage | StreamMessage) -> tuple[ChatMessage, ...]:
    system = () if asked.system is None else (ChatMessage("system", asked.system),)
    return (*system, *asked.messages)


def _cooled(temperature: float | None) -> float | None:
    """Anthropic's scale ends at 1, OpenAI's at 2."""
    return None if temperature is None else min(temperature, 1.0)


def _reason(reason: str | None, words: Mapping[str, str]) -> str | None:
    return None if reason is None else words.get(reason, reason)
