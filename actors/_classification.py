"""Say what an HTTP error means, by one table per provider.

The status alone does not tell: a 429 may mean "wait a second", "pay your bill" or "your request never
fits". So a rule looks at the status, at the error's type or code, and at its text; the first rule that
matches wins, and the rules all providers share come last.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import datetime
from typing import cast

import msgspec

from ..supervisors import FailureKind, ProviderError
from ._waits import wait_hint

_DETAIL_LIMIT = 400
"""Characters of a server's text that go into an error's."""


class ErrorBody(msgspec.Struct, frozen=True):
    """Hold what an error's body says, whichever of the usual shapes it has."""

    type: str = ""
    code: str = ""
    message: str = ""
    decoded: object = None
    """The whole of it; None where it is no JSON (an HTML page of some proxy)."""


class ErrorRule(msgspec.Struct, frozen=True, kw_only=True):
    """Recognise one kind of failure. Every condition given must hold."""

    kind: FailureKind
    statuses: Container[int] | None = None
    names: frozenset[str] = frozenset()
    """The error's type or its code is one of these."""
    pattern: str = ""
    """All of the error's code fits this regular expression."""
    texts: tuple[str, ...] = ()
    """One of these, in lower case, is part of the error's text."""
    retryable: bool | None = None
    """Override what the kind says about trying again."""

    def matches(self, status: int, error: ErrorBody) -> bool:
        """Tell whether *error*, which came with *status*, is of this kind."""
        return (
            (self.statuses is None or status in self.statuses)
            and (not self.names or not self.names.isdisjoint((error.type, error.code)))
            and (not self.pattern or re.fullmatch(self.pattern, error.code) is not None)
            and (not self.texts or any(text in error.message.lower() for text in self.texts))
        )


class ErrorTable:
    """Classify a provider's HTTP errors: its own rules first, then those every provider shares."""

    def __init__(self, rules: Iterable[ErrorRule] = ()) -> None:
        self.rules = (*rules, *_SHARED)

    def classify(
        self,
        provider: str,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        now: datetime,
        hide: Callable[[str], str] = str,
    ) -> ProviderError:
        """Return what a response means as an error.

        Args:
            provider: Whom the error names.
            status: Of the response. A body may report an error in a 200.
            headers: Of the response, for the server's wait.
            body: Of the response, as it came.
            now: An aware datetime, for dates among the waits.
            hide: Takes the secrets out of the server's text: some servers echo the key.
        """
        error = read_error(body)
        rule = self._rule(_told_status(status, error), error)
        return ProviderError(
            provider,
            rule.kind,
            _detail(status, headers, error, hide),
            status=status,
            code=hide(error.code or error.type)[:_DETAIL_LIMIT] or None,
            retry_after=wait_hint(headers, error.decoded, now=now),
            retryable=rule.retryable,
        )

    def _rule(self, status: int, error: ErrorBody) -> ErrorRule:
        return next(rule for rule in self.rules if rule.matches(status, error))


def read_error(body: bytes) -> ErrorBody:
    """Find type, code and text in an error's body.

    Reads the nested form (``{"error": {...}}``), the flat one of older compatible servers, a plain
    text under ``error``, ``detail`` or ``message``, and the first of a list of flaws under ``detail``.
    Codes may be numbers; a word under ``status`` is one where there is no ``code``.
    """
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorBody()
    outer = _object(decoded)
    inner = next((layer for key in ("error", "detail") if (layer := _object(outer.get(key)))), outer)
    code = inner.get("code") or _object(inner.get("details")).get("error_code") or _named(inner.get("status"))
    texts = (inner.get("message"), outer.get("error"), outer.get("detail"), _first_flaw(outer.get("detail")))
    return ErrorBody(
        type=_word(inner.get("type")),
        code=_word(code),
        message=next((text for text in texts if isinstance(text, str)), ""),
        decoded=decoded,
    )


def _told_status(status: int, error: ErrorBody) -> int:
    """Believe a gateway that wraps an upstream's 429 in a 200 and names it in the body."""
    told = int(error.code) if error.code.isdecimal() and len(error.code) == 3 else 0
    return told if status < 400 <= told < 600 else status


def _detail(status: int, headers: Mapping[str, str], error: ErrorBody, hide: Callable[[str], str]) -> str:
    if error.message:
        # Hide first: a key cut in two is no longer found, but half of it is still a secret.
        return " ".join(hide(error.message).split())[:_DETAIL_LIMIT]
    if 300 <= status < 400:
        return f"HTTP {status}: redirected, and a redirect of such a request is not followed"
    kind = headers.get("content-type", "").split(";")[0]
    return f"HTTP {status} without an error text" + (f" ({hide(kind)})" if kind else "")


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _named(status: object) -> str:
    return status if isinstance(status, str) and not status.isdecimal() else ""


def _first_flaw(detail: object) -> object:
    """Return the text of the first flaw that FastAPI finds in a request."""
    flaws = cast("list[object]", detail) if isinstance(detail, list) else []
    return _object(flaws[0]).get("msg") if flaws else None


def _word(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


_SHARED = (
    ErrorRule(kind=FailureKind.AUTH, statuses={401, 407}),
    ErrorRule(kind=FailureKind.QUOTA, statuses={402}),
    ErrorRule(kind=FailureKind.NOT_FOUND, statuses={404, 410}),
    ErrorRule(kind=FailureKind.TIMEOUT, statuses={408, 504}),
    # Too Early: the server asks for the same request again. It is well, so the breaker must not count it.
    ErrorRule(kind=FailureKind.BAD_REQUEST, statuses={425}, retryable=True),
    ErrorRule(kind=FailureKind.RATE_LIMIT, statuses={429}),
    # The server is well, but will never do this.
    ErrorRule(kind=FailureKind.BAD_REQUEST, statuses={501, 505}),
    ErrorRule(kind=FailureKind.OVERLOADED, statuses={503, 529}),
    ErrorRule(kind=FailureKind.SERVER, statuses=range(500, 600)),
    # 403 too: it may be about this one thing only, which is no reason to block the whole provider.
    ErrorRule(kind=FailureKind.BAD_REQUEST, statuses=range(300, 500)),
    ErrorRule(kind=FailureKind.INVALID_RESPONSE),
)
