"""The optional dependencies of the fakes, looked for before they are needed."""

from importlib.util import find_spec

from .._errors import MissingExtraError


def require_web() -> None:
    """Check that the web server can be imported.

    Raises:
        MissingExtraError: The extra ``web`` is not installed.
    """
    _require("relight.actors.fakes", "web", "starlette", "hypercorn")


def require_http() -> None:
    """Check that the HTTP client can be imported.

    Raises:
        MissingExtraError: The extra ``http`` is not installed.
    """
    _require("steering the fakes", "http", "httpx2")


def _require(user: str, extra: str, *modules: str) -> None:
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(user, extra)
