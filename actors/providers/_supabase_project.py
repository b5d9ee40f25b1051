"""What the services of a Supabase project have in common: its key, and when a write is made again."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Self

from ...runtime import SettingsError
from ...supervisors import ProviderError
from .._http import MEBIBYTE, HttpService
from .._secret import Secret
from ._supabase_errors import NOT_CARRIED_OUT, may_be_done

MOST_BYTES = 128 * MEBIBYTE


class SupabaseProject(HttpService):
    """Stand for a part of a Supabase project: what its services have in common.

    Args:
        url: Of the project: ``https://PROJECT.supabase.co``.
        key: A key of the project. One with the service role passes all row policies.
        most_bytes: A longer answer is refused.
    """

    def __init__(self, url: str, key: Secret | str | None, *, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(url.rstrip("/"), key=key, most_bytes=most_bytes)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Build it from ``SUPABASE_URL`` and ``SUPABASE_KEY``, or else ``SUPABASE_SERVICE_ROLE_KEY``."""
        env = os.environ if env is None else env
        url = env.get("SUPABASE_URL", "").strip()
        if not url:
            raise SettingsError("SUPABASE_URL", "is not set: put the project's address into it")
        is_other = not env.get("SUPABASE_KEY", "").strip() and env.get("SUPABASE_SERVICE_ROLE_KEY")
        name = "SUPABASE_SERVICE_ROLE_KEY" if is_other else "SUPABASE_KEY"
        return cls(url, Secret.from_env(name, env=env))

    def secret_headers(self) -> dict[str, Secret]:
        """Return the headers that carry the key: the gateway reads one, the service behind it the other."""
        return {} if self._key is None else {"apikey": self._key, **super().secret_headers()}


@contextmanager
def judged(*, is_repeatable: bool) -> Generator[None, None, None]:
    """Say of a failed write whether it is made again. The request itself says that it is not idempotent."""
    try:
        yield
    except ProviderError as error:
        if not is_repeatable:
            is_refused = error.status is None and not may_be_done(error)
            error.retryable = None if is_refused or error.code in NOT_CARRIED_OUT else False
        elif error.status is None:
            error.retryable = None  # the transport only meant that it was sent
        raise
