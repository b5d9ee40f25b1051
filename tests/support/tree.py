"""Where the repository is, and which modules of relight it holds."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "supervisors", "actors", "testing", "bench")


class Setuptools(msgspec.Struct, rename="kebab"):
    """What goes into the wheel."""

    packages: list[str]
    package_data: dict[str, list[str]]


class Tools(msgspec.Struct):
    """The tools' settings the tests ask for."""

    setuptools: Setuptools


class Project(msgspec.Struct):
    """The parts of ``pyproject.toml`` the tests ask for."""

    project: dict[str, object]
    tool: Tools


def pyproject() -> Project:
    """Read ``pyproject.toml``."""
    return msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes(), type=Project)


def package_files(root: Path) -> Iterator[Path]:
    """Yield every file of the package, relative to *root*: what lies at the root and in its rooms."""
    for top in sorted(root.iterdir()):
        if top.suffix == ".py" or top.name == "py.typed":
            yield top.relative_to(root)
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                yield path.relative_to(root)


def modules(root: Path) -> Iterator[Path]:
    """Yield the package's Python files, relative to *root*."""
    return (path for path in package_files(root) if path.suffix == ".py")


def module_name(path: Path) -> str:
    """Name the module that *path*, relative to the root, holds: ``relight.runtime._ref``."""
    parts = path.with_suffix("").parts
    return ".".join(("relight", *(parts[:-1] if parts[-1] == "__init__" else parts)))
