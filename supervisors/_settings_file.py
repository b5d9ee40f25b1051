"""SettingsFile: an actor that watches the settings' file and applies it when it changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import anyio

from ..runtime import Actor, Request, SettingsError, handles
from ._reload import SettingChange
from ._settings import Settings
from ._system import System

_Stamp = tuple[int, int, int]


class ReloadSettings(Request[list[SettingChange]], frozen=True):
    """Ask a `SettingsFile` to apply its file now, changed or not; the reply is what has changed.

    Its error is an answer: SettingsError where the file is wrong.
    """


class SettingsFile(Actor):
    """Apply a settings file to the running system whenever it changes.

        await system.spawn(Child("settings", partial(SettingsFile, system, Path("relight.toml"), os.environ)))

    A file that is wrong, or gone, changes nothing and is reported (``settings.rejected``).

    Args:
        system: The system that it runs in.
        file: TOML. It is looked at, not listened to, so it may lie anywhere.
        environ: Environment variables; they win over the file, as when the system was opened.
        period: Seconds between two looks.
    """

    declines: ClassVar[tuple[type[Exception], ...]] = (SettingsError,)

    def __init__(
        self, system: System, file: Path, environ: Mapping[str, str], *, period: float = 5.0
    ) -> None:
        self._system = system
        self._file = file
        self._environ = environ
        self._period = period

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Watch the file while the actor lives."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, self._stamp())
            yield
            group.cancel_scope.cancel()

    @handles
    async def reload(self, message: ReloadSettings) -> list[SettingChange]:
        """Apply the file as it is now."""
        return self._apply()

    async def _watch(self, seen: _Stamp | None) -> None:
        while True:
            await anyio.sleep(self._period)
            stamp = self._stamp()
            if stamp != seen:
                seen = stamp
                self._try()

    def _try(self) -> None:
        try:
            self._apply()
        except SettingsError as error:
            self._system.events.warning("settings.rejected", file=str(self._file), error=str(error))

    def _apply(self) -> list[SettingChange]:
        # In the event loop's thread, as at the start of a program: it is a page of text on a local disk.
        loaded = Settings.load(file=self._file, environ=self._environ)
        return self._system.apply_settings(loaded.settings)

    def _stamp(self) -> _Stamp | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
