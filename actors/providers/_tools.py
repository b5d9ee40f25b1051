"""Tools: what a model may ask for, and what it asked for."""

from collections.abc import Mapping

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


class ToolCalls:
    """Put tool calls together from their parts."""

    def __init__(self) -> None:
        self._parts: dict[int, list[ToolCallDelta]] = {}

    def add(self, part: ToolCallDelta) -> ToolCallDelta:
        """Take one more part, and return it."""
        self._parts.setdefault(part.index, []).append(part)
        return part

    def whole(self) -> tuple[ToolCall, ...]:
        """Return the calls as far as they have come, in their order."""
        return tuple(
            ToolCall(
                next((part.id for part in parts if part.id), ""),
                next((part.name for part in parts if part.name), ""),
                "".join(part.arguments for part in parts),
            )
            for _, parts in sorted(self._parts.items())
        )
