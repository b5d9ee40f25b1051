"""The errors that steps and scenarios can ask for by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ._anthropic_errors import ANTHROPIC_ERRORS, anthropic_error
from ._openai_errors import OPENAI_ERRORS, openai_error
from ._plan import STREAM_KINDS, FaultKind
from ._replies import Reply

_NO_REFUSALS = STREAM_KINDS | {
    FaultKind.HANG,
    FaultKind.RESET,
    FaultKind.BROKEN_JSON,
    FaultKind.TRUNCATED,
    FaultKind.WRONG_LENGTH,
    FaultKind.JOB_FAILED,
    FaultKind.COLD_START,
}
KINDS = frozenset(FaultKind) - _NO_REFUSALS
"""The faults that are refusals: an error can be named after each."""

ERRORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"openai": tuple(OPENAI_ERRORS), "anthropic": tuple(ANTHROPIC_ERRORS)}
)
"""Names of each provider's errors beside those of ``FaultKind``: for ``Step(error=...)``."""


def error_names(provider: str) -> frozenset[str]:
    """Return what *provider* can be asked for."""
    return KINDS | frozenset(ERRORS.get(provider, ()))


def check_error(provider: str, name: str | None) -> None:
    """Refuse the name of an error that *provider* does not have.

    Raises:
        ValueError: The text lists those it has.
    """
    if name is not None and name not in error_names(provider):
        names = ", ".join(sorted(error_names(provider)))
        raise ValueError(f"the fake of {provider} has no error {name!r}: choose among {names}")


def error_row(provider: str, name: str, request_id: str) -> Reply:
    """Build the error *name* of *provider*."""
    if provider == "anthropic":
        return anthropic_error(ANTHROPIC_ERRORS[name], request_id)
    return openai_error(OPENAI_ERRORS[name])
