"""Errors of the actors' room."""

from ..runtime import RelightError


class MissingExtraError(RelightError, ImportError):
    """A library that only some services need is not installed. The text names what to install."""

    def __init__(self, user: str, extra: str) -> None:
        super().__init__(f'{user} needs an optional library: pip install "relight[{extra}]"')
        self.extra = extra
        """The extra that brings the library."""
