"""Hold an API key so that it does not leak by accident."""

import os
from collections.abc import Mapping
from typing import NoReturn, Self, final

from ..runtime import SettingsError

_MASK = "***"
_SHORTEST = 8
"""Characters of the shortest text that is looked for in others. A placeholder, as servers of one's own take
(``x``, ``none``, ``EMPTY``), is no secret, and masking it would make every other word unreadable."""


@final
class Secret:
    """Hold a text that must not be printed, logged, pickled or compared by accident.

    ``repr`` and ``str`` show a mask; :meth:`reveal` is the one way out, so every use can be searched for.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def from_env(cls, name: str, *, env: Mapping[str, str] | None = None) -> Self:
        """Read the environment variable *name*.

        Raises:
            SettingsError: It is missing or empty.
        """
        text = (os.environ if env is None else env).get(name, "").strip()
        if not text:
            raise SettingsError(name, "is not set: put the API key into this environment variable")
        return cls(text)

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def hide_in(self, text: str) -> str:
        """Return *text* with the secret masked wherever it occurs.

        A secret of fewer than eight characters is taken for a placeholder and left where it is.
        """
        return text.replace(self._text, _MASK) if len(self._text) >= _SHORTEST else text

    @property
    def fits_header(self) -> bool:
        """Whether an HTTP header can carry it: ASCII, printable, no blank before or after it."""
        return self._text.isascii() and self._text.isprintable() and self._text == self._text.strip()

    def __repr__(self) -> str:
        return f"Secret({_MASK!r})"

    def __str__(self) -> str:
        return _MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: read it from the environment where it is used")
