"""How OpenAI speaks: its paths, its errors and its headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ._dialects import Call, Circumstances, Route, bearer
from ._limits import Level, RateView
from ._openai_chat import complete_chat
from ._openai_embeddings import embed
from ._openai_errors import openai_refusal
from ._openai_images import Gallery
from ._openai_responses import respond
from ._options import FakeSpec
from ._plan import FaultKind
from ._replies import Hint, Reply, go_duration, html_reply

_ORGANIZATION = "org-fake"


class OpenAIDialect:
    """Speak like api.openai.com, and like Azure's deployments of its models."""

    routes: tuple[Route, ...] = (
        Route("POST", "/v1/chat/completions", "chat"),
        Route("POST", "/openai/deployments/{deployment}/chat/completions", "chat"),
        Route("POST", "/v1/responses", "responses"),
        Route("POST", "/v1/embeddings", "embeddings"),
        Route("POST", "/v1/images/generations", "images"),
        Route("GET", "/images/{name}", "image", is_public=True),
    )
    seats: int | None = None

    def __init__(self, spec: FakeSpec) -> None:
        self._key = spec.key
        gallery = Gallery()
        context = spec.options.context_tokens
        self._answers: Mapping[str, Callable[[Call, Circumstances], Reply]] = {
            "chat": lambda call, circumstances: complete_chat(call, circumstances, context),
            "responses": lambda call, circumstances: respond(call, circumstances, context),
            "embeddings": lambda call, circumstances: embed(call),
            "images": lambda call, circumstances: gallery.draw(call),
            "image": lambda call, circumstances: gallery.show(call),
        }

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the bearer is the key, or Azure's ``api-key``."""
        return self._key in {bearer(headers), headers.get("api-key")}

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """Do the work of one of the operations."""
        return self._answers[call.operation](call, circumstances)

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*; what OpenAI has no word for is its nearest."""
        del request_id  # only in the header
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        reply = openai_refusal(kind, hint.wait)
        if kind in {FaultKind.RATE_LIMIT, FaultKind.SLOW_DOWN}:
            return reply.with_headers(hint.headers())
        return reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the request id and the state of the rate limit."""
        del hint  # resets are durations here, not dates
        return {
            "x-request-id": request_id,
            "openai-organization": _ORGANIZATION,
            "openai-processing-ms": str(round(seconds * 1000)),
            "openai-version": "2020-10-01",
            **_levels("requests", rate.requests),
            **_levels("tokens", rate.tokens),
        }

    def jobs(self, now: float) -> dict[str, int]:
        """Return nothing: there are no jobs."""
        del now
        return {}


def _levels(name: str, level: Level) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{name}": str(level.limit),
        f"x-ratelimit-remaining-{name}": str(level.remaining),
        f"x-ratelimit-reset-{name}": go_duration(level.reset),
    }
