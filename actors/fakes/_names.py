"""The providers there are fakes of."""

from __future__ import annotations

from collections.abc import Iterable

PROVIDERS = ("openai", "anthropic", "runpod", "elevenlabs", "supabase")


def check_provider(provider: str) -> None:
    """Refuse the name of a provider that has no fake.

    Raises:
        ValueError: The text lists those that have one.
    """
    if provider not in PROVIDERS:
        raise ValueError(f"there is no fake of {provider!r}: choose among {', '.join(PROVIDERS)}")


def check_providers(providers: Iterable[str]) -> tuple[str, ...]:
    """Return *providers* as a tuple, refusing none at all, unknown ones and doubles."""
    names = tuple(providers)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"providers must name each fake once and at least one, got {names!r}")
    for name in names:
        check_provider(name)
    return names
