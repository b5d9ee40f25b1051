"""Let public names carry the module users import them from."""

from collections.abc import MutableMapping
from types import FunctionType
from typing import cast


def claim(namespace: MutableMapping[str, object]) -> None:
    """Make the public classes and functions of a face say that they live there.

    Tracebacks, pickles and stored jobs show ``__module__``: ``relight.runtime.Ref`` survives a
    move of its private file, ``relight.runtime._ref.Ref`` would not.
    """
    face = str(namespace["__name__"])
    room = face.split(".")[0]
    for name in cast("list[str]", namespace["__all__"]):
        value = namespace[name]
        if isinstance(value, type | FunctionType) and _is_private_to(room, value.__module__):
            value.__module__ = face


def _is_private_to(package: str, module: str) -> bool:
    first, *rest = module.split(".")
    return first == package and any(part.startswith("_") for part in rest)
