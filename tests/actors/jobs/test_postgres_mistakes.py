"""A wrong DSN, or a server that does not let us work: one line says what is wrong and what to do."""

import traceback
from collections.abc import Callable, Mapping

import anyio
import pytest

from relight.__main__ import main
from relight.actors.jobs import PostgresStore, Queue, Store, StoreError, Worker, store_from_url
from relight.bench.postgres import PASSWORD, PostgresServer
from relight.runtime import SettingsError, StartError
from relight.supervisors import open_system

from .faults import works

Mistake = tuple[str, str, bool]
"""A DSN, what is said about it, and whether waiting may help."""


def as_poor(postgres: PostgresServer, database: str) -> str:
    """Return a DSN of a user who may connect, and nothing else."""
    exists = postgres.sql("SELECT 1 FROM pg_roles WHERE rolname = 'poor'")
    if not exists:
        postgres.sql("CREATE ROLE poor LOGIN PASSWORD 'poor-and-secret'")
    return postgres.tcp_dsn(database).replace(f"relight:{PASSWORD}", "poor:poor-and-secret")


def unknown_host(_: PostgresServer) -> Mistake:
    return "postgresql://u:s3cret@no-such-host.invalid/db", "its host's name is not known here", True


def refused_port(_: PostgresServer) -> Mistake:
    return "postgresql://u:s3cret@127.0.0.1:1/db", "nobody listens there: is it running", True


def refused_port_in_keywords(_: PostgresServer) -> Mistake:
    return "host=127.0.0.1 port=1 user=u password='s3cret'", "nobody listens there: is it running", True


def no_socket(_: PostgresServer) -> Mistake:
    return "postgresql://u:s3cret@/db?host=/nowhere", "is it running, and the folder of its socket", True


def wrong_password(postgres: PostgresServer) -> Mistake:
    dsn = postgres.tcp_dsn(postgres.new_database(), "s3cret%2F%40")
    return dsn, "it refuses this user or password (FATAL: password authentication failed", False


def no_password(postgres: PostgresServer) -> Mistake:
    dsn = postgres.tcp_dsn(postgres.new_database()).replace(f":{PASSWORD}", "")
    return dsn, "it wants a password", False


def unknown_database(postgres: PostgresServer) -> Mistake:
    return postgres.tcp_dsn("nowhere"), 'create it first, or is the name wrong? (FATAL: database "now', False


def no_tls(postgres: PostgresServer) -> Mistake:
    return f"{postgres.tcp_dsn()}?sslmode=require", "it speaks no TLS: is this the right port?", False


def no_rights(postgres: PostgresServer) -> Mistake:
    return as_poor(postgres, postgres.new_database()), "grant it the rights, or let an owner migrate", False


def no_rights_for_a_schema(postgres: PostgresServer) -> Mistake:
    return f"{as_poor(postgres, postgres.new_database())}?schema=mine", "grant it the rights", False


def read_only_role(postgres: PostgresServer) -> Mistake:
    database = postgres.new_database()
    dsn = as_poor(postgres, database)
    postgres.sql("GRANT CREATE ON SCHEMA public TO poor", database)
    postgres.sql(f"ALTER ROLE poor IN DATABASE {database} SET default_transaction_read_only = on")
    return dsn, "it is read-only: name its primary, with a role that may write", True


def read_only_server(postgres: PostgresServer) -> Mistake:
    database = postgres.new_database()
    postgres.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    return postgres.tcp_dsn(database), "it is read-only: name its primary, with a role that may write", True


MISTAKES = pytest.mark.parametrize(
    "make",
    [
        unknown_host,
        refused_port,
        refused_port_in_keywords,
        no_socket,
        wrong_password,
        no_password,
        unknown_database,
        no_tls,
        no_rights,
        no_rights_for_a_schema,
        read_only_role,
        read_only_server,
    ],
)


@MISTAKES
def test_a_mistake_is_told_in_one_line_by_the_store_and_by_the_command_line(
    postgres: PostgresServer,
    make: Callable[[PostgresServer], Mistake],
    capsys: pytest.CaptureFixture[str],
) -> None:
    dsn, words, is_passing = make(postgres)

    async def use(store: Store) -> None:
        async with store.opened():
            pass

    with pytest.raises(StoreError) as caught:
        anyio.run(use, store_from_url(dsn))
    message = str(caught.value)
    assert words in message
    assert len(message.splitlines()) == 1
    assert caught.value.is_passing is is_passing
    assert main(["jobs", "migrate", "--store", dsn]) == 2
    migrated = capsys.readouterr().err
    assert main(["demo", "--no-dashboard", "--comics", "1", "--store", dsn]) == 2
    demo = capsys.readouterr().err
    assert migrated == f"relight: {message}\n"
    assert demo == f"relight demo: error: {message}\n"
    for secret in ("s3cret", PASSWORD, "poor-and-secret"):
        assert secret not in "".join(traceback.format_exception(caught.value)) + migrated + demo


def test_who_may_not_make_tables_can_work_with_those_an_owner_made(postgres: PostgresServer) -> None:
    database = postgres.new_database()

    async def use(store: PostgresStore, number: int) -> None:
        async with store.opened():
            await works(store, number)

    anyio.run(use, PostgresStore(postgres.dsn(database), schema="jobs"), 1)
    poor = as_poor(postgres, database)
    postgres.sql("GRANT USAGE ON SCHEMA jobs TO poor", database)
    postgres.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO poor", database)
    anyio.run(use, PostgresStore(poor, schema="jobs"), 2)


TORN = [
    "postgresql://u:s3/cret@127.0.0.1:5432/db",
    "postgresql://u:12/s3cret@127.0.0.1:5432/db",
    "postgresql://u:s3@cret@127.0.0.1:5432/db",
    "postgresql://u:s3%zzcret@127.0.0.1:5432/db",
    "postgresql://u:s3cret@127.0.0.1:54x2/db",
    "postgresql:/u:s3cret@127.0.0.1:5432/db",
    "host=127.0.0.1 password=s3 cret",
    "password='s3cret host=127.0.0.1:5432",
]


@pytest.mark.parametrize("dsn", TORN)
def test_a_dsn_whose_password_is_not_encoded_is_refused_before_parts_of_it_are_shown(dsn: str) -> None:
    pytest.importorskip("psycopg")
    for make in (PostgresStore, store_from_url):
        with pytest.raises((ValueError, SettingsError), match="can't be read") as caught:
            make(dsn)
        told = "".join(traceback.format_exception(caught.value)).partition("Error: ")[2]
        for part in ("s3", "cret", "12/"):
            assert part not in told
    assert main(["jobs", "list", "--store", dsn]) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3cret%2F%40x@127.0.0.1:1/db",
        "postgresql://u@127.0.0.1:1/db?password=s3cret%2F%40x",
        "host=127.0.0.1 port=1 user=u password='s3cret/@x' dbname=db",
    ],
)
async def test_a_password_is_in_no_event_and_no_repr(dsn: str) -> None:
    pytest.importorskip("psycopg")
    store = PostgresStore(dsn)
    heard: list[tuple[str, Mapping[str, object]]] = []
    async with open_system() as system:
        system.events.listen(lambda name, facts: heard.append((name, facts)))
        with pytest.raises(StartError) as caught:
            await Worker(Queue(store)).start(system)
    told = repr((store, vars(store), heard)) + "".join(traceback.format_exception(caught.value))
    assert "127.0.0.1:1" in told
    for part in ("s3cret", "%2F%40"):
        assert part not in told


@pytest.mark.parametrize("schema", ["", "Big", "two words", "a-b", "1st", "x" * 64, 'quo"te', "a;b"])
def test_a_schema_that_would_need_quotes_is_refused(schema: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ValueError, match="schema must be a name of small letters"):
        PostgresStore("postgresql://host/db", schema=schema)
