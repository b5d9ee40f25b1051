"""A watched settings file is applied when it changes, and never when it is wrong."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from relight.runtime import Ref, SettingsError
from relight.supervisors import Child, ReloadSettings, SettingsFile, System, open_system
from tests.supervisors.scripted import PROVIDER, Script, Scripted, listen
from tests.support.clocks import virtual_time

pytestmark = [pytest.mark.anyio, virtual_time]


@asynccontextmanager
async def watched(file: Path, environ: Mapping[str, str] | None = None) -> AsyncGenerator[tuple[System, Ref]]:
    """Run a service, and watch *file* for its settings."""
    async with open_system() as system:
        await system.spawn(Child(PROVIDER, partial(Scripted, Script())))
        watcher = partial(SettingsFile, system, file, environ or {}, period=2.0)
        yield system, await system.spawn(Child("settings", watcher))


def write(file: Path, attempts: int, moment: float = 0.0) -> None:
    file.write_text(f"[providers.{PROVIDER}]\nattempts = {attempts}\n")
    os.utime(file, (moment, moment))


async def test_a_file_that_changes_is_applied_at_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "relight.toml"
    write(file, 4)
    async with watched(file) as (system, _):
        said = listen(system, "settings.changed")
        await anyio.sleep(10.0)
        assert said == [], "what was there at the start is what the system was opened with"
        write(file, 5, moment=1.0)
        await anyio.sleep(2.5)
        assert [(event["old"], event["new"]) for event in said] == [(3, 5)]
        await anyio.sleep(10.0)
        assert len(said) == 1


async def test_a_file_that_is_wrong_changes_nothing_and_is_reported_once(tmp_path: Path) -> None:
    file = tmp_path / "relight.toml"
    async with watched(file) as (system, _):
        said = listen(system, "settings.changed", "settings.rejected")
        write(file, 50)
        await anyio.sleep(10.0)
        assert said == [
            {
                "file": str(file),
                "error": f"providers.svc.attempts: must be a whole number 1..10 (got 50), set in {file}",
            }
        ]
        write(file, 5, moment=1.0)
        await anyio.sleep(2.5)
        assert said[1]["new"] == 5
        file.unlink()
        await anyio.sleep(2.5)
        assert "there is no such file" in str(said[2]["error"])
        assert len(said) == 3


async def test_it_can_be_asked_to_look_at_once(tmp_path: Path) -> None:
    file = tmp_path / "relight.toml"
    write(file, 4)
    variable = f"RELIGHT_PROVIDERS__{PROVIDER.upper()}__MAX_WAIT"
    async with watched(file, {variable: "50"}) as (system, watcher):
        changes = await watcher.ask(ReloadSettings())
        assert [(change.name, change.new) for change in changes] == [("attempts", 4), ("max_wait", 50.0)]
        write(file, 0)
        with pytest.raises(SettingsError, match="attempts: must be a whole number"):
            await watcher.ask(ReloadSettings())
        assert watcher.statistics().crashed == 0
        assert system.find("settings") is watcher
