"""A PgBouncer of the tests' own, beside the PostgreSQL they started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time

from relight.bench.postgres import PASSWORD, PostgresServer, unprivileged

HOW = "no PgBouncer here: apt install pgbouncer (it need not run)"
_READY = 30.0


def find_pgbouncer() -> str | None:
    """Return the program; None: it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """A pooler that can be stopped and started.

    Args:
        program: `find_pgbouncer`.
        server: What it stands before.
        mode: "session" or "transaction".
        settings: More of its settings; "behind" is another host and port to stand before.
    """

    def __init__(self, program: str, server: PostgresServer, mode: str, **settings: object) -> None:
        self._program = program
        self._server = server
        self._behind = settings.pop("behind", f"{server.folder} port={server.port}")
        self.settings: dict[str, object] = {"pool_mode": mode, **settings}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._file = server.folder / f"bouncer-{self.port}.ini"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        users = self._server.folder / "users"
        users.write_text(f'"relight" "{PASSWORD}"\n"nobody" "a"\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "default_pool_size": 20,
            "server_login_retry": 1,
            **self.settings,
        }
        lines = [
            "[databases]",
            f"* = host={self._behind}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        self._file.write_text("\n".join(lines))
        with self._file.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, self._file], stdout=log, stderr=log, cwd=self._server.folder, **unprivileged()
            )
        give_up = time.monotonic() + _READY
        while not self._answers():
            if time.monotonic() > give_up or self._process.poll() is not None:
                raise RuntimeError(f"pgbouncer did not start: {self.log()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Stop it at once: all connections break."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=_READY)
            self._process = None

    def log(self) -> str:
        """Return what it has said."""
        return self._file.with_suffix(".log").read_text()

    def dsn(self, database: str, password: str = PASSWORD) -> str:
        """Return how to reach a database through it."""
        return f"postgresql://relight:{password}@127.0.0.1:{self.port}/{database}"
