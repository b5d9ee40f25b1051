"""The Responses API: the messages, and how OpenAI wants them written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import msgspec

from ...runtime import Request, StreamRequest
from .._usage import Usage
from ._chat import ChatMessage, TextPart, estimate_input
from ._tools import Tool, ToolCall, ToolCallDelta, join_calls


class ResponseReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the model's answer."""

    id: str
    """Goes into the ``previous_response_id`` of the next turn."""
    model: str
    text: str
    status: str
    """``completed``, or ``incomplete`` when *max_output_tokens* cut the answer; others while it is made."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage

    @classmethod
    def of(cls, chunks: Sequence[ResponseChunk]) -> Self:
        """Put the chunks of a stream together, whole or not."""
        return cls(
            id=next((chunk.id for chunk in chunks if chunk.id), ""),
            model=next((chunk.model for chunk in chunks if chunk.model), ""),
            text="".join(chunk.text for chunk in chunks),
            status=next((chunk.status for chunk in chunks if chunk.status), "in_progress"),
            tool_calls=join_calls(part for chunk in chunks for part in chunk.tool_calls),
            usage=next((chunk.usage for chunk in chunks if chunk.usage), Usage()),
        )


class ResponseChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a part of the model's answer. The last one says how it ended, and what it used."""

    text: str = ""
    """To be appended to what came before."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    status: str | None = None
    """As in :class:`ResponseReply`; in the last chunk only."""
    usage: Usage | None = None
    """In the last chunk only."""
    id: str = ""
    """In the last chunk only, as the model."""
    model: str = ""

    @property
    def written(self) -> str:
        """All that the model wrote of it, arguments of tools included."""
        return self.text + "".join(part.arguments for part in self.tool_calls)


class _Task(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    input: str | tuple[ChatMessage, ...]
    instructions: str | None = None
    """What the system says."""
    previous_response_id: str | None = None
    """Go on from that answer, which OpenAI has kept."""
    temperature: float | None = None
    max_output_tokens: int | None = None
    """The longest answer, reasoning included."""
    tools: tuple[Tool, ...] = ()
    """What the model may ask the caller to do."""
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of the tool it has to use."""
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""

    @property
    def input_tokens(self) -> int:
        """A guess at what the model has to read."""
        turns = (ChatMessage("user", self.input),) if isinstance(self.input, str) else self.input
        return estimate_input(turns, self.tools, self.instructions)


class CreateResponse(_Task, Request[ResponseReply], frozen=True, kw_only=True):
    """Have a model respond."""


class StreamResponse(_Task, StreamRequest[ResponseChunk], frozen=True, kw_only=True):
    """Have a model respond, and read the answer while it is written."""


def response_payload(message: CreateResponse | StreamResponse) -> dict[str, object]:
    """Write the body of a request."""
    fields: dict[str, object] = {
        "model": message.model,
        "input": message.input
        if isinstance(message.input, str)
        else [item for turn in message.input for item in _items(turn)],
        "instructions": message.instructions,
        "previous_response_id": message.previous_response_id,
        "temperature": message.temperature,
        "max_output_tokens": message.max_output_tokens,
        "tools": [_tool(tool) for tool in message.tools] or None,
        "tool_choice": _choice(message.tool_choice),
        "stream": True if isinstance(message, StreamResponse) else None,
    }
    return {name: value for name, value in fields.items() if value is not None} | dict(message.extra)


def _items(turn: ChatMessage) -> Iterator[dict[str, object]]:
    """Write one turn: tools are called, and answer, in items of their own."""
    if turn.tool_call_id is not None:
        yield {"type": "function_call_output", "call_id": turn.tool_call_id, "output": turn.text}
        return
    if turn.content:
        yield {"role": turn.role, "content": _content(turn)}
    for call in turn.tool_calls:
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _content(turn: ChatMessage) -> object:
    if isinstance(turn.content, str):
        return turn.content
    text_type: Literal["output_text", "input_text"] = (
        "output_text" if turn.role == "assistant" else "input_text"
    )
    return [
        {"type": text_type, "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
        for part in turn.content
    ]


def _tool(tool: Tool) -> dict[str, object]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        # The API's own default is a strict schema, which few are.
        "strict": False,
    }


def _choice(choice: str | None) -> object:
    if choice is None or choice in {"auto", "none", "required"}:
        return choice
    return {"type": "function", "name": choice}
