"""Chat completions: the messages, and how OpenAI wants them written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from ...runtime import Request, StreamRequest
from .._usage import Usage
from ._chat import ChatMessage, ImagePart, TextPart, estimate_input
from ._tools import Tool, ToolCall, ToolCallDelta, join_calls


class ChatReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the model's answer."""

    id: str
    model: str
    """The model that answered, often a dated release of the one asked for."""
    text: str
    finish_reason: str | None
    """``stop``, ``tool_calls``, or ``length`` when *max_tokens* cut the answer; None: not said, or not
    reached."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage

    @classmethod
    def of(cls, chunks: Sequence[ChatChunk]) -> Self:
        """Put the chunks of a stream together, whole or not."""
        return cls(
            id=next((chunk.id for chunk in chunks if chunk.id), ""),
            model=next((chunk.model for chunk in chunks if chunk.model), ""),
            text="".join(chunk.text for chunk in chunks),
            finish_reason=next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None),
            tool_calls=join_calls(part for chunk in chunks for part in chunk.tool_calls),
            usage=next((chunk.usage for chunk in chunks if chunk.usage), Usage()),
        )


class ChatChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a part of the model's answer. The last one says why it ended, and what it used."""

    text: str = ""
    """To be appended to what came before."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    """As in :class:`ChatReply`; in the last chunk only."""
    usage: Usage | None = None
    """In the last chunk only."""
    id: str = ""
    """In the last chunk only, as the model."""
    model: str = ""

    @property
    def written(self) -> str:
        """All that the model wrote of it, arguments of tools included."""
        return self.text + "".join(part.arguments for part in self.tool_calls)


class _Conversation(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    """The longest answer, reasoning included."""
    tools: tuple[Tool, ...] = ()
    """What the model may ask the caller to do."""
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of the tool it has to use."""
    response_format: Mapping[str, object] | None = None
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""

    @property
    def input_tokens(self) -> int:
        """A guess at what the model has to read."""
        return estimate_input(self.messages, self.tools)


class ChatCompletion(_Conversation, Request[ChatReply], frozen=True, kw_only=True):
    """Ask a model to continue a conversation."""


class StreamChat(_Conversation, StreamRequest[ChatChunk], frozen=True, kw_only=True):
    """Ask a model to continue a conversation, and read the answer while it is written."""

    include_usage: bool = True
    """Whether to ask for the usage; switch it off for servers that refuse the wish. Then it is estimated."""


def chat_payload(message: ChatCompletion | StreamChat, *, limit_name: str) -> dict[str, object]:
    """Write the body of a request."""
    fields: dict[str, object] = {
        "model": message.model,
        "messages": [_written(turn) for turn in message.messages],
        "temperature": message.temperature,
        limit_name: message.max_tokens,
        "tools": [{"type": "function", "function": tool} for tool in message.tools] or None,
        "tool_choice": _choice(message.tool_choice),
        "response_format": message.response_format,
    }
    if isinstance(message, StreamChat):
        fields["stream"] = True
        fields["stream_options"] = {"include_usage": True} if message.include_usage else None
    return {name: value for name, value in fields.items() if value is not None} | dict(message.extra)


def _written(turn: ChatMessage) -> dict[str, object]:
    fields: dict[str, object] = {"role": turn.role, "content": _content(turn.content)}
    if turn.tool_calls:
        # The API takes a turn that only calls tools without content, but not with an empty one.
        fields["content"] = fields["content"] or None
        fields["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        fields["tool_call_id"] = turn.tool_call_id
    return fields


def _content(content: str | Sequence[TextPart | ImagePart]) -> object:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: TextPart | ImagePart) -> dict[str, object]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
    return {"type": "image_url", "image_url": image}


def _call(call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _choice(choice: str | None) -> object:
    if choice is None or choice in {"auto", "none", "required"}:
        return choice
    return {"type": "function", "function": {"name": choice}}
