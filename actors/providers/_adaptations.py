"""Adaptations between OpenAI's chat and Anthropic's messages, for a fallback from one to the other."""

from __future__ import annotations

from collections.abc import Mapping

from ...supervisors import Adaptation
from ._anthropic_messages import CreateMessage, MessageReply
from ._chat import DEFAULT_OUTPUT_TOKENS, ChatMessage
from ._openai_chat import ChatCompletion, ChatReply

_STOPS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def chat_as_anthropic(
    model: str, *, models: Mapping[str, str] | None = None
) -> Adaptation[ChatCompletion, MessageReply, ChatReply]:
    """Have Anthropic answer what is asked of OpenAI; the asker gets a `ChatReply`.

    What only OpenAI knows is left out: ``response_format`` and ``extra``.

    Args:
        model: Who answers.
        models: Who answers for one of OpenAI's models, where that is somebody else.
    """

    def request(asked: ChatCompletion) -> CreateMessage:
        system = "\n\n".join(turn.text for turn in asked.messages if turn.role == "system")
        return CreateMessage(
            model=(models or {}).get(asked.model, model),
            messages=tuple(turn for turn in asked.messages if turn.role != "system"),
            max_tokens=asked.max_tokens or DEFAULT_OUTPUT_TOKENS,
            system=system or None,
            # Anthropic's scale ends at 1, OpenAI's at 2.
            temperature=None if asked.temperature is None else min(asked.temperature, 1.0),
            tools=asked.tools,
            tool_choice=asked.tool_choice,
        )

    def reply(answer: MessageReply) -> ChatReply:
        reason = answer.stop_reason
        return ChatReply(
            id=answer.id,
            model=answer.model,
            text=answer.text,
            finish_reason=None if reason is None else _STOPS.get(reason, reason),
            tool_calls=answer.tool_calls,
            usage=answer.usage,
        )

    return Adaptation(ChatCompletion, request, reply)


def anthropic_as_chat(
    model: str, *, models: Mapping[str, str] | None = None
) -> Adaptation[CreateMessage, ChatReply, MessageReply]:
    """Have OpenAI answer what is asked of Anthropic; the asker gets a `MessageReply`.

    What only Anthropic knows is left out: ``extra``.

    Args:
        model: Who answers.
        models: Who answers for one of Anthropic's models, where that is somebody else.
    """

    def request(asked: CreateMessage) -> ChatCompletion:
        system = () if asked.system is None else (ChatMessage("system", asked.system),)
        return ChatCompletion(
            model=(models or {}).get(asked.model, model),
            messages=(*system, *asked.messages),
            temperature=asked.temperature,
            max_tokens=asked.max_tokens,
            tools=asked.tools,
            tool_choice=asked.tool_choice,
        )

    def reply(answer: ChatReply) -> MessageReply:
        reason = answer.finish_reason
        return MessageReply(
            id=answer.id,
            model=answer.model,
            text=answer.text,
            stop_reason=None if reason is None else _REASONS.get(reason, reason),
            tool_calls=answer.tool_calls,
            usage=answer.usage,
        )

    return Adaptation(CreateMessage, request, reply)
