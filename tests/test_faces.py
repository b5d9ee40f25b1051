"""A face lists what it offers, and what it offers says that it lives there."""

import inspect
import pickle
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import NewType

import msgspec
import pytest

from tests.support.tree import pyproject

FACES = [
    package
    for package in pyproject().tool.setuptools.packages
    if not any(part.startswith("_") for part in package.split("."))
]


def public(face: types.ModuleType) -> dict[str, object]:
    """The names *face* offers, with what they stand for."""
    names: list[str] = getattr(face, "__all__", [])
    return {name: getattr(face, name) for name in names}


def homes() -> dict[int, set[str]]:
    """The faces that offer an object, by the object's id."""
    found: dict[int, set[str]] = {}
    for face in FACES:
        for value in public(import_module(face)).values():
            found.setdefault(id(value), set()).add(face)
    return found


def definitions(face: types.ModuleType) -> Iterator[tuple[str, type | types.FunctionType]]:
    """Yield relight's own classes and functions among the public names of *face*."""
    for name, value in public(face).items():
        if isinstance(value, type | types.FunctionType) and value.__module__.split(".")[0] == "relight":
            yield name, value


def members(cls: type) -> Iterator[str]:
    """Yield the public methods and properties that *cls* itself defines."""
    for name, value in vars(cls).items():
        is_code = isinstance(value, types.FunctionType | property | classmethod | staticmethod)
        if is_code and not name.startswith("_"):
            yield name


def order(name: str) -> tuple[int, str]:
    """Sort as ruff does: constants, classes, functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> types.ModuleType:
    return import_module(request.param)


def test_a_face_tells_its_story(face: types.ModuleType) -> None:
    assert face.__doc__


def test_a_face_lists_its_names_in_order(face: types.ModuleType) -> None:
    names = list(public(face))
    assert names == sorted(names, key=order)
    assert not [name for name in names if name.startswith("_") and name != "__version__"]


def test_a_face_lists_every_name_it_binds(face: types.ModuleType) -> None:
    """Apart from ``claim``, with which a face marks its names."""
    bound = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    listed = {name for name in public(face) if not name.startswith("_")}
    assert bound - ({"claim"} - listed) == listed


def test_public_names_carry_a_face_as_their_module(face: types.ModuleType) -> None:
    offered_by = homes()
    strangers = [
        f"{name} is in {value.__module__}"
        for name, value in public(face).items()
        if isinstance(value, type | types.FunctionType | NewType)
        and value.__module__.split(".")[0] == "relight"
        and value.__module__ not in offered_by[id(value)]
    ]
    assert strangers == []


def test_public_classes_and_functions_can_be_pickled_by_name(face: types.ModuleType) -> None:
    lost = [name for name, value in definitions(face) if pickle.loads(pickle.dumps(value)) is not value]
    assert lost == []


def test_annotations_still_resolve_after_the_move(face: types.ModuleType) -> None:
    """They are looked up in the module a class says it lives in; msgspec needs those of messages."""
    for _, value in definitions(face):
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__struct_config__.frozen:
            typing.get_type_hints(value)


def test_every_public_name_has_a_docstring(face: types.ModuleType) -> None:
    bare = [
        name
        for name, value in definitions(face)
        # A dataclass without a docstring gets its signature for one.
        if not (value.__doc__ or "").removeprefix(f"{value.__name__}(")
        or (value.__doc__ or "").startswith(f"{value.__name__}(")
    ]
    assert bare == []


def test_every_public_method_has_a_docstring(face: types.ModuleType) -> None:
    bare = [
        f"{name}.{member}"
        for name, value in definitions(face)
        if isinstance(value, type)
        for member in members(value)
        if not inspect.getdoc(getattr(value, member))
    ]
    assert bare == []
