"""Let public names carry the module users import them from."""

import inspect
from collections.abc import MutableMapping
from types import FunctionType
from typing import cast, get_type_hints

import msgspec


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
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                _resolve_annotations(value)
            value.__module__ = face


def _resolve_annotations(struct: type[msgspec.Struct]) -> None:
    """Replace annotations that are text: msgspec looks their names up where the class says it lives."""
    own = inspect.get_annotations(struct)
    if any(isinstance(annotation, str) for annotation in own.values()):
        hints = get_type_hints(struct, include_extras=True)
        struct.__annotations__ = {name: hints[name] for name in own}


def _is_private_to(package: str, module: str) -> bool:
    first, *rest = module.split(".")
    return first == package and any(part.startswith("_") for part in rest)
