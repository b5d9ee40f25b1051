"""An example for each provider: how it is started, asked and answers, and what it says to a debtor."""

from collections.abc import Callable
from dataclasses import dataclass

from relight.actors import HttpRequest, HttpService
from relight.actors.providers import (
    PROVIDERS,
    Anthropic,
    ChatCompletion,
    ChatMessage,
    CreateMessage,
    ElevenLabs,
    ListFiles,
    ListVoices,
    OpenAI,
    RunJob,
    RunPod,
    SelectRows,
    Supabase,
    SupabaseStorage,
)
from relight.runtime import Request

KEY = "key-0123456789"
_MOST_BYTES = 32 * 1024 * 1024
_HELLO = (ChatMessage("user", "Hello"),)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One provider."""

    make: Callable[[type[HttpService], str], HttpService]
    """Makes the service, or a subclass of it, for a server at this URL."""
    request: Request[object]
    answer: object
    """A good answer to it, before it is written as JSON."""
    quota: tuple[int, object]
    """Status and body of a refusal for want of money."""


EXAMPLES: dict[type[HttpService], Example] = {
    HttpService: Example(
        make=lambda kind, url: kind(url, key=KEY),
        request=HttpRequest("POST", "/thing", idempotent=True),
        answer={},
        quota=(402, {"error": "payment required"}),
    ),
    OpenAI: Example(
        make=lambda kind, url: _keyed(kind)(KEY, base_url=url),
        request=ChatCompletion(model="m", messages=_HELLO),
        answer={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]},
        quota=(429, {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}),
    ),
    Anthropic: Example(
        make=lambda kind, url: _keyed(kind)(KEY, base_url=url),
        request=CreateMessage(model="m", messages=_HELLO),
        answer={"content": [], "usage": {"input_tokens": 1, "output_tokens": 1}},
        quota=(402, {"type": "error", "error": {"type": "billing_error", "message": "no credit"}}),
    ),
    RunPod: Example(
        make=lambda kind, url: _keyed(kind)("endpoint", KEY, base_url=url),
        request=RunJob(input={}),
        answer={"id": "1", "status": "COMPLETED", "output": 1},
        quota=(402, {"error": "insufficient balance"}),
    ),
    ElevenLabs: Example(
        make=lambda kind, url: _keyed(kind)(KEY, base_url=url),
        request=ListVoices(),
        answer={"voices": []},
        quota=(401, {"detail": {"status": "quota_exceeded", "message": "no credits"}}),
    ),
    Supabase: Example(
        make=lambda kind, url: _keyed(kind)(url, KEY, most_bytes=_MOST_BYTES),
        request=SelectRows(table="t"),
        answer=[],
        quota=(402, {"message": "project restricted"}),
    ),
    SupabaseStorage: Example(
        make=lambda kind, url: _keyed(kind)(url, KEY, most_bytes=_MOST_BYTES),
        request=ListFiles(bucket="b"),
        answer=[],
        quota=(402, {"statusCode": "402", "error": "exceeded", "message": "project restricted"}),
    ),
}


def _keyed(kind: type[HttpService]) -> Callable[..., HttpService]:
    return kind


def http_services() -> list[type[HttpService]]:
    """List every provider of the catalogue that speaks HTTP, and HTTP in general."""
    return [HttpService, *(kind for kind in PROVIDERS if issubclass(kind, HttpService))]
