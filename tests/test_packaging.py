"""The wheel holds what the repository holds, and its core runs without the extras."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import relight
from tests.support.tree import ROOT, module_name, modules, package_files, pyproject

INSTALLED = Path(relight.__file__).parent
"""Where the package under test lies: in the repository, or in site-packages."""

EXTRAS = ("httpx2", "starlette", "hypercorn", "rich", "uvloop", "pytest")

BLOCK_EXTRAS = f"""
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
importlib.import_module(sys.argv[1])
"""


def _package_of(path: Path) -> str:
    return module_name(path.parent / "__init__.py")


def test_every_package_of_the_tree_is_listed() -> None:
    assert pyproject().tool.setuptools.packages == sorted({_package_of(path) for path in modules(ROOT)})


def test_every_folder_with_modules_has_a_face() -> None:
    folders = {path.parent for path in modules(ROOT)}
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_every_data_file_is_listed() -> None:
    globs = pyproject().tool.setuptools.package_data
    data = [path for path in package_files(ROOT) if path.suffix != ".py"]
    assert [
        str(path) for path in data if not any(path.match(glob) for glob in globs.get(_package_of(path), ()))
    ] == []


def test_every_listed_data_file_exists() -> None:
    data = [path for path in package_files(ROOT) if path.suffix != ".py"]
    assert [
        f"{package}: {glob}"
        for package, globs in pyproject().tool.setuptools.package_data.items()
        for glob in globs
        if not any(_package_of(path) == package and path.match(glob) for path in data)
    ] == []


def test_the_package_under_test_holds_every_file_of_the_tree() -> None:
    assert sorted(set(package_files(INSTALLED)) ^ set(package_files(ROOT))) == []


def test_types_are_marked_as_shipped() -> None:
    assert (INSTALLED / "py.typed").is_file()


def test_versions_agree() -> None:
    version = pyproject().project["version"]
    assert metadata.version("relight") == version
    assert getattr(relight, "__version__", version) == version


def test_the_command_line_has_an_entry_point() -> None:
    (entry,) = metadata.entry_points(group="console_scripts", name="relight")
    assert callable(entry.load())


@pytest.mark.parametrize(
    "face", ["relight", "relight.runtime", "relight.supervisors", "relight.actors", "relight.testing"]
)
def test_the_core_is_imported_without_the_extras(face: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", BLOCK_EXTRAS, face]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
