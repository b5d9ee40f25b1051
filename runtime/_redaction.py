"""Keep keys out of error texts, dead letters and logs.

A second net: code should not put a secret into a text at all, but a provider's error body, a URL in an
exception or a header dump may carry one. It catches values whose *name* says secret (``api_key=...``,
``"x-api-key": "..."``, URL queries) and values whose *shape* says it (``sk-...``, JSON web tokens, user
and password in a URL). In doubt a text loses a word rather than a key its secrecy.
"""

import re
import string
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import date
from typing import cast

MASK = "***"
"""What stands where a secret stood."""

TEXT_LIMIT = 2048
"""Characters kept of one text."""

_TRACEBACK_LIMIT = 8 * TEXT_LIMIT
_TRACEBACKS = frozenset({"exception", "stack", "traceback"})
_DEPTH_LIMIT = 8

_SECRET_NAME = re.compile(
    r"key|token|secret|passw|passphrase|pwd|authorization|cookie|dsn|credential", re.IGNORECASE
)
_RATE_NAME = re.compile(r"tokens_per_[a-z]+", re.IGNORECASE)
_COUNT_NAME = re.compile(r"tokens|token_?(?:count|limit|usage)", re.IGNORECASE)

# Every match of _SECRET contains one of these in lower case. Most texts contain none, and never meet it.
_HINTS = (
    *("key", "token", "secret", "pass", "pwd", "auth", "cookie", "dsn", "credential", "sig"),
    *("bearer", "basic", "://", "eyj", "sk-", "sk_", "rk_", "r8_", "hf_", "rpa_", "sbp_", "pat_"),
    *("ghp_", "gho_", "ghs_", "ghu_", "ghr_", "xai-", "pplx-", "aiza", "akia", "asia", "xox"),
)

# Between name and value: `=`, `: `, `": `, `\": ` (JSON in JSON), `%3D` (in a query), `', ` (a pair).
_TO_VALUE = r"""\\*["']?[ \t]*(?:[:=]|%3D|,(?=[ \t]*b?["']))[ \t]*"""

# A quoted value ends at its own kind of quote, or with the line where the text was cut.
_QUOTE = r"""(?:b?(?P<{0}>\\*["']))?"""
_QUOTED = r"""(?:(?!(?P={0}))(?:\\.|[^\r\n]))+"""

# `token: Bearer abc` and `secret: password: abc` end after abc.
_BARE = r"""(?:(?:bearer|basic|[^\s"'&,;]*[:=])[ \t]+)*[^\s"'&,;]+"""

_SECRET = re.compile(
    rf"""
    (?P<header> (?:authorization | cookie) {_TO_VALUE} {_QUOTE.format("q")})
        (?(q) {_QUOTED.format("q")} | [^\r\n"']+)
  | (?P<name> (?: api[-_ ]?key | [-_]key | secret | token(?!s|_count|_limit|_usage) | passw(?:or)?d
            | passphrase | pwd | \bdsn | credential | signature | (?<=[?&])(?:key|sig|auth|pass))
        [\w-]{{0,40}} {_TO_VALUE} {_QUOTE.format("r")} (?!-----BEGIN))
        (?(r) {_QUOTED.format("r")} | {_BARE})
  | (?P<scheme> \b(?:bearer|basic)[ \t]+) [^\s"',;\\]+
  | (?P<url> ://) [^\s/"'<>]+ (?=@)
  | -----BEGIN[A-Z ]*PRIVATE[ ]KEY----- (?:(?!-----END).)* (?:-----END[A-Z ]*-----)?
  | (?-i: eyJ [A-Za-z0-9_-]{{6,}} (?:\.[A-Za-z0-9_-]*){{0,4}}
        | sk-(?:ant|proj|svcacct|or)-[A-Za-z0-9_-]{{8,}} | sk-[A-Za-z0-9]{{40,}}
        | (?<![A-Za-z0-9]) (?: sk[-_][A-Za-z0-9_-]{{8,}}
            | (?:rpa_ | rk_ | r8_ | hf_ | sbp_ | gh[oprsu]_ | github_pat_ | xai- | pplx-) [A-Za-z0-9_-]{{8,}}
            | AIza[A-Za-z0-9_-]{{20,}} | A[KS]IA[A-Z0-9]{{12,}} | xox[a-z]-[A-Za-z0-9-]{{8,}}))
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)

# A text is never cut between two of these: half a key is not recognised, and still half a secret.
_KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.~+/=:@%$!#*?|^\\`")


def redact(text: str) -> str:
    """Return *text* without the secrets it shows, cut to 2,048 characters.

    A text that was cut ends with the length it had.
    """
    return _bounded(text, TEXT_LIMIT)


def redact_end(text: str) -> str:
    """Do as `redact`, but keep the end of a long text: there a traceback says what happened."""
    if len(text) > _TRACEBACK_LIMIT:
        # From the start of a line, so that no value is parted from its name.
        text = text[-_TRACEBACK_LIMIT:].partition("\n")[2]
    text = _without_secrets(text)
    return text if len(text) <= TEXT_LIMIT else f"...{text[3 - TEXT_LIMIT :]}"


def redact_mapping(mapping: Mapping[str, object]) -> dict[str, object]:
    """Copy *mapping* without secrets: by name (``api_key``, ``Authorization``) and within its texts.

    Nested mappings and lists are copied as well. Numbers, dates and flags stay what they are; what
    else there is becomes its redacted ``repr``. Counts such as ``max_tokens`` are no secrets.
    """
    return {name: _named(name, value, 0) for name, value in mapping.items()}


def redact_event(
    logger: object, method_name: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Redact a structlog event: a processor for the end of the chain, right before the renderer.

    It comes after ``format_exc_info``, so that it sees a traceback as text, and keeps more of it than
    of other texts. What structlog keeps for itself (``exc_info``, ``_record``) passes untouched.
    """
    for name, value in event.items():
        if name in _TRACEBACKS and isinstance(value, str):
            event[name] = _bounded(value, _TRACEBACK_LIMIT)
        elif name != "exc_info" and not name.startswith("_"):
            event[name] = _named(name, value, 0)
    return event


def is_secret_name(name: str) -> bool:
    """Whether the value of this name must not be shown. A rate, as of tokens a minute, is none."""
    return _SECRET_NAME.search(_RATE_NAME.sub("", name)) is not None


def _bounded(text: str, limit: int) -> str:
    if len(text) <= limit:
        return _without_secrets(text)
    note = f"... ({len(text)} characters)"
    end = limit - len(note)
    whole = _without_secrets(text[: _end_of_word(text, end)])
    # Cut again: a mask can be longer than the secret was.
    return whole[:end] + note


def _end_of_word(text: str, end: int) -> int:
    while end > 0 and text[end - 1] in _KEY_CHARACTERS:
        end -= 1
    return end


def _without_secrets(text: str) -> str:
    lowered = text.lower()
    for hint in _HINTS:
        if hint in lowered:
            return _SECRET.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    kept = match.lastgroup
    return MASK if kept is None else match[kept] + MASK


def _named(name: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_NAME.search(name) and not (isinstance(value, int | float) and _COUNT_NAME.search(name)):
        return MASK
    return _clean(value, depth)


def _clean(value: object, depth: int) -> object:
    match value:
        case None | bool() | int() | float() | date():
            return value
        case str():
            return redact(value)
        case bytes():
            return redact(value.decode(errors="replace"))
        case Mapping() | list() | tuple() if depth == _DEPTH_LIMIT:
            return "..."
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {str(name): _named(str(name), inner, depth + 1) for name, inner in items}
        case list() | tuple():
            return _items(cast("Sequence[object]", value), depth + 1)
        case _:
            return redact(repr(value))


def _items(items: Sequence[object], depth: int) -> list[object]:
    # Raw headers come as pairs, in bytes.
    match items:
        case [str() as name, value]:
            return [redact(name), _named(name, value, depth)]
        case [bytes() as name, value]:
            return [redact(name.decode("latin-1")), _named(name.decode("latin-1"), value, depth)]
        case _:
            return [_clean(item, depth) for item in items]
