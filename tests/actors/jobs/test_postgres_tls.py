"""PostgreSQL with TLS and a certificate that is checked, or is the wrong one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import psycopg
import pytest

from relight.actors.jobs import PostgresStore, StoreError
from relight.bench.postgres import PASSWORD, PostgresServer, unprivileged

from .faults import said, until, works

pytestmark = pytest.mark.anyio
SETTINGS = ("ssl", "ssl_cert_file", "ssl_key_file")


@dataclass(frozen=True)
class Tls:
    """A server for ``localhost``, and certificates to check it by."""

    server: PostgresServer
    right: Path
    wrong: Path

    def dsn(self, database: str, mode: str, root: Path | str = "", host: str = "localhost") -> str:
        """Return how to reach a database in an ``sslmode``."""
        where = f"{host}:{self.server.port}/{database}"
        return f"postgresql://relight:{PASSWORD}@{where}?sslmode={mode}&sslrootcert={root}"


@pytest.fixture(scope="module")
def tls(postgres: PostgresServer) -> Iterator[Tls]:
    """Give the tests' server a certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here, to make certificates with")
    right, wrong = postgres.folder / "right.pem", postgres.folder / "wrong.pem"
    for certificate in (right, wrong):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", certificate.with_suffix(".key"), "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        certificate.with_suffix(".key").chmod(0o600)
    os.chown(right.with_suffix(".key"), unprivileged().get("user", -1), -1)
    for name, value in zip(SETTINGS, ("on", right, right.with_suffix(".key")), strict=True):
        postgres.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.sql("SELECT pg_reload_conf()")
    yield Tls(postgres, right, wrong)
    for name in SETTINGS:
        postgres.sql(f"ALTER SYSTEM RESET {name}")
    postgres.sql("SELECT pg_reload_conf()")


async def refusal(dsn: str) -> pytest.ExceptionInfo[StoreError]:
    """Open a store that can't be opened; what is said is one line, without the password."""
    with pytest.raises(StoreError) as caught:
        async with PostgresStore(dsn).opened():
            pass
    assert len(str(caught.value).splitlines()) == 1
    assert PASSWORD not in str(caught.value)
    return caught


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_all_its_connections_are_encrypted(tls: Tls, mode: str) -> None:
    database = tls.server.new_database()
    store = PostgresStore(tls.dsn(database, mode, "" if mode == "require" else tls.right))
    async with store.opened():
        await works(store, 1)
        seen = (
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            f"WHERE ssl AND datname = '{database}'"
        )
        await until(lambda: int(tls.server.sql(seen)) == 3)  # the one that listens comes a moment later


async def test_what_another_process_stores_is_heard_of_through_tls(tls: Tls) -> None:
    """Who hears of nothing looks once a second."""
    dsn = tls.dsn(tls.server.new_database(), "require")
    store = PostgresStore(dsn)
    async with store.opened():
        with psycopg.connect(dsn, autocommit=True) as other, anyio.fail_after(30):
            for _ in range(40):
                async with anyio.create_task_group() as group:
                    group.start_soon(store.wait_change, 60.0)
                    await anyio.sleep(0.01)
                    other.execute("NOTIFY relight_jobs")


async def test_a_certificate_of_somebody_else_is_refused(tls: Tls) -> None:
    dsn = tls.dsn(tls.server.new_database(), "verify-full", tls.wrong)
    caught = await refusal(dsn)
    said(caught, "the server's certificate is not signed by any in sslrootcert", is_passing=False)


async def test_a_certificate_for_another_name_is_refused(tls: Tls) -> None:
    dsn = tls.dsn(tls.server.new_database(), "verify-full", tls.right, host="127.0.0.1")
    caught = await refusal(dsn)
    said(caught, "the server's certificate is for another name: is this the right host?", is_passing=False)


async def test_a_file_of_certificates_that_is_not_there_is_named(tls: Tls, tmp_path: Path) -> None:
    caught = await refusal(tls.dsn("postgres", "verify-full", tmp_path / "none.pem"))
    said(caught, "it has no certificates to check the server's by", is_passing=False)
    assert "none.pem" in str(caught.value)
