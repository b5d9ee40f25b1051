"""What the fields of specs may be. Each check refuses a value with its field and the remedy."""

from __future__ import annotations

from ._errors import ChildSpecError
from .policies import Policy, flaw_of

_RESTARTS = frozenset({"permanent", "transient", "temporary"})
_NUMBER = (int, float)


def check_id(field: str, value: object) -> None:
    """Refuse what can't be a part of a path."""
    if not (isinstance(value, str) and value and "/" not in value and value.isprintable()):
        raise ChildSpecError(field, value, "must be a printable name without '/'")


def check_restart(spec: str, restart: object, significant: object) -> None:
    """Refuse an unknown restart type, and a significant child that always comes back."""
    if not (isinstance(restart, str) and restart in _RESTARTS):
        raise ChildSpecError(f"{spec}.restart", restart, "must be 'permanent', 'transient' or 'temporary'")
    if significant is False:
        return
    if significant is not True:
        raise ChildSpecError(f"{spec}.significant", significant, "must be True or False")
    if restart == "permanent":
        remedy = "needs restart='transient' or 'temporary': a permanent child never ends by itself"
        raise ChildSpecError(f"{spec}.significant", significant, remedy)


def check_least(field: str, value: object, remedy: str) -> None:
    """Refuse what is no number, or below zero."""
    if not (isinstance(value, _NUMBER) and value >= 0):
        raise ChildSpecError(field, value, remedy)


def check_positive(field: str, value: object, remedy: str = "must be seconds > 0") -> None:
    """Refuse what is no number above zero."""
    if not (isinstance(value, _NUMBER) and value > 0):
        raise ChildSpecError(field, value, remedy)


def check_whole(field: str, value: object, least: int = 0) -> None:
    """Refuse what is no whole number of at least *least*."""
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        raise ChildSpecError(field, value, f"must be a whole number >= {least}")


def check_backoff(field: str, value: object) -> None:
    """Refuse what can't choose a wait."""
    if value is not None and (flaw := flaw_of(value)):
        raise ChildSpecError(field, value, flaw)


def check_policy(field: str, value: object) -> None:
    """Refuse what is no policy."""
    if value is not None and not isinstance(value, Policy):
        raise ChildSpecError(field, value, "must be a Policy, or None")


def check_word(field: str, value: object, words: frozenset[str]) -> None:
    """Refuse a word that is none of *words*."""
    if not (isinstance(value, str) and value in words):
        listed = ", ".join(repr(word) for word in sorted(words))
        raise ChildSpecError(field, value, f"must be one of {listed}")
