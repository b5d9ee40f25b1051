"""Tools: what a model may ask for, and what it asked for."""

from collections.abc import Iterable, Mapping

import msgspec


class Tool(msgspec.Struct, frozen=True):
    """Offer a function to the model. It is the caller who calls it."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    """JSON schema of its arguments."""


class ToolCall(msgspec.Struct, frozen=True):
    """Hold the model's wish to have a tool called."""

    id: str
    """Goes into the ``tool_call_id`` of the answer."""
    name: str
    arguments: str
    """As the model wrote them: JSON as a rule, but models err."""

    def decoded(self) -> object:
        """Decode the arguments; none are an empty object.

        Raises:
            msgspec.DecodeError: They are no JSON.
        """
        return msgspec.json.decode(self.arguments or "{}")


class ToolCallDelta(msgspec.Struct, frozen=True):
    """Hold a part of a tool call, as a stream brings it."""

    index: int
    """Which call of the answer it belongs to."""
    id: str = ""
    """In the first part only, as the name."""
    name: str = ""
    arguments: str = ""
    """To be appended to what came before."""


def join_calls(parts: Iterable[ToolCallDelta]) -> tuple[ToolCall, ...]:
    """Put tool calls together from the parts a stream brought, in the order of the answer."""
    by_index: dict[int, list[ToolCallDelta]] = {}
    for part in parts:
        by_index.setdefault(part.index, []).append(part)
    return tuple(_joined(by_index[index]) for index in sorted(by_index))


def _joined(parts: list[ToolCallDelta]) -> ToolCall:
    return ToolCall(
        next((part.id for part in parts if part.id), ""),
        next((part.name for part in parts if part.name), ""),
        "".join(part.arguments for part in parts),
    )
