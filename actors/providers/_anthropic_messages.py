"""Anthropic's messages, and how the API wants them written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import msgspec

from ...runtime import Request, StreamRequest
from .._usage import Usage
from ._chat import ChatMessage, ImagePart, TextPart, estimate_input
from ._tools import Tool, ToolCall, ToolCallDelta, join_calls

_SYSTEM = frozenset({"system", "developer"})


class MessageReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the model's answer."""

    id: str
    model: str
    text: str
    """The text blocks of the answer, joined."""
    stop_reason: str | None
    """``end_turn``, ``tool_use``, or ``max_tokens`` and ``model_context_window_exceeded`` when the answer
    was cut; None: not reached."""
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
    """What the model shows of its thinking."""
    usage: Usage

    @classmethod
    def of(cls, chunks: Sequence[MessageChunk]) -> Self:
        """Put the chunks of a stream together, whole or not."""
        return cls(
            id=next((chunk.id for chunk in chunks if chunk.id), ""),
            model=next((chunk.model for chunk in chunks if chunk.model), ""),
            text="".join(chunk.text for chunk in chunks),
            stop_reason=next((chunk.stop_reason for chunk in chunks if chunk.stop_reason), None),
            tool_calls=join_calls(part for chunk in chunks for part in chunk.tool_calls),
            thinking="".join(chunk.thinking for chunk in chunks),
            usage=next((chunk.usage for chunk in chunks if chunk.usage), Usage()),
        )


class MessageChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a part of the model's answer. The last one says why it ended, and what it used."""

    text: str = ""
    """To be appended to what came before."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    thinking: str = ""
    stop_reason: str | None = None
    """As in :class:`MessageReply`; in the last chunk only."""
    usage: Usage | None = None
    """In the last chunk only."""
    id: str = ""
    """In the last chunk only, as the model."""
    model: str = ""

    @property
    def written(self) -> str:
        """All that the model wrote of it, arguments of tools included."""
        return self.text + self.thinking + "".join(part.arguments for part in self.tool_calls)


class _Conversation(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    messages: tuple[ChatMessage, ...]
    """What the system says among them goes to the front, where the API wants it."""
    max_tokens: int = 1024
    """The longest answer; the API insists on a number."""
    system: str | None = None
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    """What the model may ask the caller to do."""
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of the tool it has to use."""
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""

    @property
    def input_tokens(self) -> int:
        """A guess at what the model has to read."""
        return estimate_input(self.messages, self.tools, self.system)


class CreateMessage(_Conversation, Request[MessageReply], frozen=True, kw_only=True):
    """Ask a model to continue a conversation."""


class StreamMessage(_Conversation, StreamRequest[MessageChunk], frozen=True, kw_only=True):
    """Ask a model to continue a conversation, and read the answer while it is written."""


def message_payload(message: CreateMessage | StreamMessage) -> dict[str, object]:
    """Write the body of a request.

    Raises:
        msgspec.DecodeError: The arguments of a tool call are no JSON.
    """
    system = [message.system, *(turn.text for turn in message.messages if turn.role in _SYSTEM)]
    fields: dict[str, object] = {
        "model": message.model,
        "messages": [_written(turn) for turn in message.messages if turn.role not in _SYSTEM],
        "max_tokens": message.max_tokens,
        "system": "\n\n".join(text for text in system if text) or None,
        "temperature": message.temperature,
        "tools": [_tool(tool) for tool in message.tools] or None,
        "tool_choice": _choice(message.tool_choice),
        "stream": True if isinstance(message, StreamMessage) else None,
    }
    return {name: value for name, value in fields.items() if value is not None} | dict(message.extra)


def _written(turn: ChatMessage) -> dict[str, object]:
    if turn.role == "tool":
        result = {"type": "tool_result", "tool_use_id": turn.tool_call_id, "content": _content(turn.content)}
        return {"role": "user", "content": [result]}
    if turn.tool_calls:
        said = _blocks([TextPart(turn.content)] if isinstance(turn.content, str) else turn.content)
        return {"role": turn.role, "content": [*said, *(_call(call) for call in turn.tool_calls)]}
    return {"role": turn.role, "content": _content(turn.content)}


def _content(content: str | Iterable[TextPart | ImagePart]) -> object:
    return content if isinstance(content, str) else _blocks(content)


def _blocks(parts: Iterable[TextPart | ImagePart]) -> list[dict[str, object]]:
    # The API refuses a text block without a text.
    return [_block(part) for part in parts if not isinstance(part, TextPart) or part.text]


def _block(part: TextPart | ImagePart) -> dict[str, object]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    head, comma, data = part.url.partition(";base64,")
    if not comma or not head.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    media_type = head.removeprefix("data:")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _call(call: ToolCall) -> dict[str, object]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": call.decoded()}


def _tool(tool: Tool) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}


def _choice(choice: str | None) -> object:
    if choice is None:
        return None
    if choice in {"auto", "none"}:
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}
