"""A PostgreSQL of one's own, from Debian's binaries, in a temporary folder. For tests, too."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TypedDict

PASSWORD = "a-password-nobody-may-see"
HOW = "no PostgreSQL here: apt install postgresql (no server needs to run), or set RELIGHT_PG_BIN to its bin"
_READY = 30.0
"""Seconds it may take to start, on a busy machine."""


def find_binaries() -> Path | None:
    """Return the folder of initdb and postgres; None: they are not installed."""
    named = os.environ.get("RELIGHT_PG_BIN")
    places = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("postgres")
    if found is not None:
        places.append(Path(found).parent)
    return next((place for place in places if (place / "initdb").exists()), None)


class PostgresServer:
    """A server that can be stopped and started.

    Args:
        binaries: Where initdb and postgres are.
        is_durable: Commits wait for the disk, as they should outside tests.
    """

    def __init__(self, binaries: Path, *, is_durable: bool = False) -> None:
        self._binaries = binaries
        self._settings = [] if is_durable else ["fsync=off"]
        # A short path: a socket's is 107 bytes at most. Readable for the user the server runs as.
        self.folder = Path(tempfile.mkdtemp(prefix="relight-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        try:
            self._initialize()
            self.start()
        except BaseException:
            self.remove()
            raise

    def _initialize(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            user = _user()
            for path in (self.folder, self.folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        command: list[str | Path] = [
            self._binaries / "initdb", "--pgdata", self._data, "--username", "relight", "--encoding", "UTF8",
            "--locale", "C.UTF-8", "--auth-local", "trust", "--auth-host", "scram-sha-256",
            "--pwfile", self.folder / "password", "--no-sync",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, cwd=self.folder, check=False, **unprivileged())
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr.decode()}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [
            *self._settings, f"port={self.port}", "listen_addresses=127.0.0.1", "max_connections=60",
            f"unix_socket_directories={self.folder}", "shared_buffers=64MB", "autovacuum_naptime=5s",
        ]  # fmt: skip
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._data]
        for setting in settings:
            command += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **unprivileged()
            )
        give_up = time.monotonic() + _READY
        while not self._answers():
            if time.monotonic() > give_up or self._process.poll() is not None:
                raise RuntimeError(f"postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        command: list[str | Path] = [
            self._binaries / "pg_isready",
            "-q",
            "-h",
            self.folder,
            "-p",
            str(self.port),
        ]
        return subprocess.run(command, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; by default it breaks off what is going on (SIGQUIT: as if the machine had crashed)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=_READY)
            self._process = None

    def remove(self) -> None:
        """Stop it, and remove its folder."""
        self.stop(signal.SIGQUIT)  # what it would still write is removed with the rest
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str = "postgres") -> str:
        """Return how to reach a database by the socket."""
        return f"postgresql://relight@/{database}?host={self.folder}&port={self.port}"

    def tcp_dsn(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """Return how to reach a database by TCP, with a password."""
        return f"postgresql://relight:{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement beside everything else; returns what psql prints."""
        command: list[str | Path] = [
            self._binaries / "psql",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
            self.dsn(database),
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def new_database(self) -> str:
        """Make an empty database; returns its name."""
        self._databases += 1
        name = f"jobs_{os.getpid()}_{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        return name


def _free_port() -> int:
    """Find one that no client is given while the server is stopped: those are from 32768 on."""
    while True:
        port = random.SystemRandom().randrange(16_384, 32_768)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


class Identity(TypedDict, total=False):
    """Whose process it is, as `subprocess` has it."""

    user: int
    group: int
    extra_groups: list[int]


def unprivileged() -> Identity:
    """Return as whom to start what refuses to run as root: PostgreSQL, and poolers."""
    if os.getuid() != 0:
        return {}
    user = _user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
