"""Where a fake is: what the child process prints and its parent reads."""

from __future__ import annotations

import msgspec


class Address(msgspec.Struct, frozen=True):
    """The address of a fake, and the key it accepts."""

    url: str
    key: str
