"""What official clients meet through a service actor: scenario by scenario, and what their callers see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anthropic
import anyio
import httpx2
import openai

from relight.actors.fakes import FaultKind, RetryAfterForm, Step

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}


@dataclass(frozen=True)
class Scenario:
    """What the server does, and how the client asks."""

    steps: Sequence[Step] = ()
    streams: bool = False
    leaves: bool = False
    """The caller goes away: from the stream after its first part, or while it waits."""
    key: str | None = None
    """The service's key, where it is not the right one."""
    calls: int = 1
    """Made one after the other; the last one's outcome counts."""
    breaker_after: int = 50
    """Failures in a row that open the breaker."""
    patience: float = 5.0
    """Seconds; the client's own read timeout."""


def _fault(kind: FaultKind, times: int = 1) -> list[Step]:
    if kind is FaultKind.RATE_LIMIT:
        form = RetryAfterForm.MILLISECONDS
        return [Step(fault=kind, times=times, retry_after=0.01, retry_after_form=form)]
    return [Step(fault=kind, times=times)]


SCENARIOS: Mapping[str, Scenario] = {
    "an answer": Scenario(),
    "a stream": Scenario(streams=True),
    "a rate limit, then an answer": Scenario(_fault(FaultKind.RATE_LIMIT)),
    "a rate limit, then a stream": Scenario(_fault(FaultKind.RATE_LIMIT), streams=True),
    "a rate limit that does not end": Scenario(_fault(FaultKind.RATE_LIMIT, 99)),
    "a rate limit for an hour": Scenario([Step(fault=FaultKind.RATE_LIMIT, retry_after=3600.0)]),
    "the call after that": Scenario([Step(fault=FaultKind.RATE_LIMIT, retry_after=3600.0)], calls=2),
    "overload, then an answer": Scenario(_fault(FaultKind.OVERLOADED)),
    "overload that does not end": Scenario(_fault(FaultKind.OVERLOADED, 99)),
    "a 500, then an answer": Scenario(_fault(FaultKind.SERVER_ERROR)),
    "a gateway's HTML page, then an answer": Scenario(_fault(FaultKind.HTML_ERROR)),
    "a reset, then an answer": Scenario(_fault(FaultKind.RESET)),
    "resets that do not end": Scenario(_fault(FaultKind.RESET, 99)),
    "JSON cut off, then an answer": Scenario(_fault(FaultKind.BROKEN_JSON)),
    "no quota": Scenario(_fault(FaultKind.QUOTA, 99)),
    "the call after that one": Scenario(_fault(FaultKind.QUOTA, 99), calls=2),
    "a wrong key": Scenario(key="wrong"),
    "a bad request": Scenario(_fault(FaultKind.BAD_REQUEST, 99)),
    "a prompt too long": Scenario(_fault(FaultKind.CONTEXT_LENGTH, 99)),
    "an unknown model": Scenario(_fault(FaultKind.NOT_FOUND, 99)),
    "the breaker is open": Scenario(_fault(FaultKind.SERVER_ERROR, 99), calls=2, breaker_after=3),
    "an error as the stream's first event, then a stream": Scenario(
        [Step(fault=FaultKind.STREAM_ERROR, after=0)], streams=True
    ),
    "an error in mid-stream": Scenario(_fault(FaultKind.STREAM_ERROR), streams=True),
    "a reset in mid-stream": Scenario(_fault(FaultKind.STREAM_RESET), streams=True),
    "a stream that ends early and cleanly": Scenario(_fault(FaultKind.STREAM_ENDS), streams=True),
    "a stream that falls silent": Scenario(_fault(FaultKind.STREAM_STALL), streams=True, patience=0.3),
    "no answer within the client's patience": Scenario(_fault(FaultKind.HANG), patience=0.3),
    "the caller leaves the stream": Scenario(streams=True, leaves=True),
    "the caller leaves while it waits": Scenario(_fault(FaultKind.HANG), leaves=True),
}


class Talk:
    """One way to talk to a client library: what its caller reads, and what it catches."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        raise NotImplementedError

    async def ask(self) -> str:
        raise NotImplementedError

    async def read(self, parts: list[str], *, leaves: bool) -> None:
        raise NotImplementedError


class TalkOpenAI(Talk):
    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._client = openai.AsyncOpenAI(api_key="unused", base_url=url, max_retries=0, http_client=http)

    async def ask(self) -> str:
        reply = await self._client.chat.completions.create(
            model=MODELS["openai"], messages=[{"role": "user", "content": "Who are you?"}]
        )
        return reply.choices[0].message.content or ""

    async def read(self, parts: list[str], *, leaves: bool) -> None:
        stream = await self._client.chat.completions.create(
            model=MODELS["openai"], messages=[{"role": "user", "content": "Who are you?"}], stream=True
        )
        async with stream:
            async for chunk in stream:
                parts.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)
                if leaves and parts:
                    return


class TalkAnthropic(Talk):
    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._client = anthropic.AsyncAnthropic(
            api_key="unused", base_url=url, max_retries=0, http_client=http
        )

    async def ask(self) -> str:
        reply = await self._client.messages.create(
            model=MODELS["anthropic"], max_tokens=100, messages=[{"role": "user", "content": "Who are you?"}]
        )
        return "".join(block.text for block in reply.content if block.type == "text")

    async def read(self, parts: list[str], *, leaves: bool) -> None:
        stream = await self._client.messages.create(
            model=MODELS["anthropic"],
            max_tokens=100,
            messages=[{"role": "user", "content": "Who are you?"}],
            stream=True,
        )
        async with stream:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    parts.append(event.delta.text)
                if leaves and parts:
                    return


def named(error: Exception) -> str:
    """Say in a word what a caller catches."""
    status = getattr(error, "status_code", None)
    code = getattr(error, "code", None) or getattr(error, "type", None)
    facts = " ".join(str(fact) for fact in (status, code) if fact)
    return f"`{type(error).__name__}`" + (f" ({facts})" if facts else "")


async def outcome(talk: Talk, scenario: Scenario) -> str:
    """Make the calls of *scenario*; say how the last one ended, as the table in the docs does."""
    said = ""
    for _ in range(scenario.calls):
        parts: list[str] = []
        try:
            said = await _call(talk, scenario, parts)
        except Exception as error:  # noqa: BLE001 - that is what the table is about
            said = f"a part, then {named(error)}" if parts else named(error)
    return said


async def _call(talk: Talk, scenario: Scenario, parts: list[str]) -> str:
    if scenario.streams:
        await talk.read(parts, leaves=scenario.leaves)
        return "a part" if scenario.leaves else "all of it"
    if scenario.leaves:
        with anyio.move_on_after(0.2):
            await talk.ask()
        return "nothing"
    return "the answer" if await talk.ask() else "an empty answer"
