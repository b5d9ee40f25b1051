"""Imports point one way, and what only some modules may know is known to no other."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.support.imports import Import, imports_of
from tests.support.tree import ROOT, module_name, modules

FLOORS = {"runtime": 0, "supervisors": 1, "actors": 2, "testing": 3, "bench": 4, "": 4}
"""A module may import from its own floor and below. The root's modules ("") are on top, with bench."""

BACKENDS = {
    "asyncio": ("runtime/_parking.py", "testing/_clock*.py", "bench/floors.py"),
    "trio": ("runtime/_parking.py", "testing/_clock*.py", "bench/floors.py", "actors/fakes/*"),
}
"""Who may name a backend. The fakes run hypercorn on trio in a process of their own; a floor is what the
backend itself can do."""

UNITS = {
    "tests/actors/jobs/test_blob_sweep.py": ("relight.actors.jobs._blob_sweep", "relight.actors.jobs._blobs"),
    "tests/actors/jobs/test_plans.py": (
        "relight.actors.jobs._sql_reads",
        "relight.actors.jobs._sql_session",
    ),
    "tests/actors/jobs/test_postgres_session.py": (
        "relight.actors.jobs._postgres_session",
        "relight.actors.jobs._postgres_setup",
    ),
    "tests/actors/jobs/test_queue.py": (
        "relight.actors.jobs._blobs",
        "relight.actors.jobs._ids",
        "relight.actors.jobs._signature",
        "relight.actors.jobs._tally",
    ),
    "tests/actors/jobs/test_worker.py": ("relight.actors.jobs._run",),
    "tests/actors/jobs/test_writer.py": ("relight.actors.jobs._writer",),
    "tests/bench/test_beam.py": (
        "relight.bench._table",
        "relight.bench._vm",
    ),
    "tests/bench/test_markdown.py": ("relight.bench._markdown",),
    "tests/bench/test_peers.py": ("relight.bench._peers",),
    "tests/bench/test_questions.py": ("relight.bench._questions",),
    "tests/actors/test_sse.py": ("relight.actors._sse",),
    "tests/runtime/test_dispatch.py": ("relight.runtime._dispatch",),
    "tests/supervisors/conformance/test_escalation.py": ("relight.supervisors._losses",),
    "tests/supervisors/conformance/test_pool.py": ("relight.supervisors._administration",),
    "tests/supervisors/conformance/test_restart_groups.py": ("relight.supervisors._administration",),
    "tests/supervisors/conformance/trees.py": ("relight.supervisors._supervisor",),
    "tests/supervisors/test_forced_exit.py": ("relight.supervisors._process",),
    "tests/supervisors/test_metering.py": ("relight.supervisors._metering",),
    "tests/supervisors/test_strategy.py": (
        "relight.supervisors._specs",
        "relight.supervisors._strategy",
    ),
}
"""Tests of a part that no face shows."""

EXTRAS = {
    "httpx2": ("actors/_http*.py", "actors/_transport*.py"),
    "starlette": ("actors/fakes/*", "actors/jobs/_web_*", "actors/ops/*"),
    "hypercorn": ("actors/fakes/*", "actors/ops/*"),
    "rich": ("actors/ops/*",),
    "psycopg": (
        "actors/jobs/_postgres_connection.py",
        "actors/jobs/_postgres_errors.py",
        "actors/jobs/_postgres_listener.py",
        "actors/jobs/_postgres_pipeline.py",
        "actors/jobs/_postgres_session.py",
        "actors/jobs/_postgres_setup.py",
    ),
    "uvloop": (),
    "pytest": ("testing/plugin.py",),
}
"""Who may import an optional dependency before it is needed."""


def _room(module: str) -> str:
    room = [*module.split("."), ""][1]
    return room if room in FLOORS else ""


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "relight"


def _is_private(module: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in module.split("."))


def _may(path: Path, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path.as_posix(), pattern) for pattern in patterns)


def upward(path: Path, found: Import) -> str | None:
    """A room knows nothing of the rooms above it."""
    ours, theirs = _room(module_name(path)), _room(found.target)
    if _is_ours(found.module) and FLOORS[theirs] > FLOORS[ours]:
        return f"{ours} must not import {theirs or 'the root'}"
    return None


def past_the_face(path: Path, found: Import) -> str | None:
    """A room uses another one through its face."""
    is_foreign = _is_ours(found.module) and _room(found.module) != _room(module_name(path))
    return (
        "another room's private module; import its face" if is_foreign and _is_private(found.module) else None
    )


def backend(path: Path, found: Import) -> str | None:
    """Only the parking module and the test kit name asyncio or trio."""
    allowed = BACKENDS.get(found.module.split(".")[0])
    return "use anyio here" if allowed is not None and not _may(path, allowed) else None


def extra(path: Path, found: Import) -> str | None:
    """An optional dependency is imported by the one module that needs it, or when it is needed."""
    allowed = EXTRAS.get(found.module.split(".")[0])
    if allowed is None or not found.is_eager or _may(path, allowed):
        return None
    return "an optional dependency; import it in the function that needs it"


def operations(path: Path, found: Import) -> str | None:
    """Operations read events and statistics; nothing reads operations."""
    is_used = f"{found.target}.".startswith("relight.actors.ops.")
    return (
        "nothing imports actors/ops" if is_used and not _may(path, ("actors/ops/*", "__main__.py")) else None
    )


RULES = (upward, past_the_face, backend, extra, operations)


def violations(root: Path, rule: Callable[[Path, Import], str | None]) -> Iterator[str]:
    """Yield what breaks *rule* in the package at *root*, one line each."""
    for path in modules(root):
        for found in _imports(root, path):
            if reason := rule(path, found):
                yield f"{path}:{found.line}: {found.target}: {reason}"


@cache
def _imports(root: Path, path: Path) -> list[Import]:
    """Read a module once for all rules."""
    source = (root / path).read_text()
    return list(imports_of(source, module_name(path), is_package=path.name == "__init__.py"))


@pytest.mark.parametrize("rule", RULES)
def test_no_import_breaks_a_rule(rule: Callable[[Path, Import], str | None]) -> None:
    assert "\n".join(violations(ROOT, rule)) == ""


@pytest.mark.parametrize("folder", ["tests", "examples"])
def test_only_public_modules_are_used_from_outside(folder: str) -> None:
    private = [
        f"{path.relative_to(ROOT)}:{found.line}: {found.module}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for found in imports_of(path.read_text(), "outside", is_package=False)
        if _is_ours(found.module) and _is_private(found.module)
        if found.module not in UNITS.get(path.relative_to(ROOT).as_posix(), ())
    ]
    assert "\n".join(private) == ""


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (upward, "runtime/_ref.py", "from ..supervisors import Child"),
        (upward, "runtime/_ref.py", "from .. import actors"),
        (upward, "runtime/_ref.py", "def f():\n    import relight.actors.providers"),
        (upward, "runtime/_ref.py", "if TYPE_CHECKING:\n    from ..actors import Service"),
        (upward, "supervisors/policies/_retry.py", "from ...actors import Service"),
        (upward, "actors/_service.py", "from relight import Actor"),
        (upward, "actors/_service.py", "from ..bench.harness import measure"),
        (upward, "runtime/_engine.py", "from ..testing import settle"),
        (upward, "actors/fakes/_app.py", "from ...testing import settle"),
        (upward, "testing/_idle.py", "from ..bench.harness import measure"),
        (backend, "testing/_idle.py", "import trio"),
        (extra, "testing/__init__.py", "import pytest"),
        (past_the_face, "actors/_service.py", "from ..runtime._ref import Ref"),
        (past_the_face, "bench/ask.py", "import relight.runtime._ref"),
        (backend, "runtime/_ref.py", "import asyncio"),
        (backend, "runtime/_ref.py", "async def f():\n    from trio.lowlevel import checkpoint"),
        (backend, "actors/fakes/_server.py", "import asyncio"),
        (extra, "actors/providers/_openai.py", "import httpx2"),
        (extra, "actors/ops/_top.py", "import uvloop"),
        (extra, "runtime/_system.py", "try:\n    import uvloop\nexcept ImportError:\n    pass"),
        (operations, "actors/_service.py", "from .ops import serve"),
        (operations, "actors/__init__.py", "from . import ops"),
        (operations, "bench/ask.py", "import relight.actors.ops._metrics"),
    ],
)
def test_a_bad_import_is_found(
    rule: Callable[[Path, Import], str | None], path: str, source: str, tmp_path: Path
) -> None:
    _write(tmp_path, path, source)
    assert [line.split(":")[0] for line in violations(tmp_path, rule)] == [path]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("runtime/__init__.py", "from ._ref import Ref"),
        ("runtime/_parking.py", "import asyncio, trio, anyio"),
        ("testing/_clock.py", "from trio.testing import MockClock"),
        ("testing/_flaky_service.py", "from ..supervisors import GuardedActor"),
        ("testing/plugin.py", "import pytest"),
        ("supervisors/policies/_retry.py", "from .._failures import FailureKind\nfrom ...runtime import Ref"),
        ("actors/_service.py", "from ..runtime import Ref\nfrom ..supervisors.policies import Retry"),
        ("actors/_service.py", "def f():\n    import httpx2"),
        ("actors/_service.py", "if TYPE_CHECKING:\n    import httpx2"),
        ("actors/ops/_top.py", "from ..providers import OpenAI\nfrom . import _tables"),
        ("bench/ask.py", "import relight\nfrom relight.actors.providers import OpenAI"),
        ("__main__.py", "from .actors.ops import main"),
        ("__init__.py", "from .actors import Service\nfrom .runtime import Ref"),
    ],
)
def test_a_good_import_is_left_alone(path: str, source: str, tmp_path: Path) -> None:
    _write(tmp_path, path, source)
    assert [line for rule in RULES for line in violations(tmp_path, rule)] == []


def _write(root: Path, path: str, source: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(source)
