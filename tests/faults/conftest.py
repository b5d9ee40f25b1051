"""Fault tests run in virtual time on both backends, as the runtime's do."""

from tests.runtime.conftest import anyio_backend

__all__ = ["anyio_backend"]
