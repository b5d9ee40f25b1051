"""The part of chat requests that OpenAI and Anthropic have in common."""

from __future__ import annotations

import msgspec

from ._answers import answer, count_tokens


class _Wish(msgspec.Struct):
    stream: bool | None = None


_wishes = msgspec.json.Decoder(_Wish)


def asks_for_stream(body: bytes) -> bool:
    """Tell whether a request's *body* is JSON that says ``"stream": true``."""
    try:
        return bool(_wishes.decode(body).stream)
    except msgspec.DecodeError:
        return False


class Part(msgspec.Struct):
    """A piece of a message's content."""

    type: str
    text: str = ""


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: str | list[Part] | None = None

    def text(self) -> str:
        """Return the words of the message."""
        return _text(self.content)


class Saying(msgspec.Struct, frozen=True):
    """What the model says, and its price in tokens."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    is_cut: bool
    """The limit of tokens came before the end."""


def say(messages: list[ChatMessage], most: int | None, scripted: str | None, system: str = "") -> Saying:
    """Answer the last message of the user in at most *most* tokens."""
    asked = next((message.text() for message in reversed(messages) if message.role == "user"), "")
    text = answer(asked) if scripted is None else scripted
    tokens = count_tokens(text)
    is_cut = most is not None and tokens > most
    if is_cut:
        text, tokens = " ".join(text.split()[:most]), most or 0
    return Saying(text, prompt_tokens(messages, system), tokens, is_cut)


def prompt_tokens(messages: list[ChatMessage], system: str = "") -> int:
    """Count the tokens of everything the model reads."""
    return count_tokens(system) + sum(count_tokens(message.text()) for message in messages)


def _text(content: str | list[Part] | None) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content or [])
