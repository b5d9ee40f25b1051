"""Supabase's database behind its guard: what is sent, what comes back, and what is sent again."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight.actors import HttpRequest
from relight.actors.fakes import FaultKind, Step
from relight.actors.providers import (
    CallFunction,
    DeleteRows,
    Filter,
    InsertRows,
    Rows,
    SelectRows,
    Supabase,
    UpdateRows,
    UpsertRows,
)
from relight.runtime import Ref, Request, SettingsError
from relight.supervisors import FailureKind, ProviderError
from tests.actors.providers.servers import Servers, opened_servers, running_service
from tests.actors.raw_http import HANG, RawServer, free_port, http, http_json, serve

pytestmark = pytest.mark.anyio


class Page(msgspec.Struct):
    id: str
    number: int
    title: str = ""


A, B = Page("a", 1, "One"), Page("b", 2, "Two")
ONE_A = (Filter("id", "eq", "a"),)


@pytest.fixture(scope="module")
def opened() -> Iterator[Servers]:
    with opened_servers(["supabase"]) as servers:
        yield servers


@asynccontextmanager
async def running(url: str, key: str = "k", *, attempt_timeout: float = 30.0) -> AsyncGenerator[Ref, None]:
    start = partial(Supabase, url, key)
    async with running_service(start, Supabase.policy, attempt_timeout=attempt_timeout) as ref:
        yield ref


@asynccontextmanager
async def database(servers: Servers) -> AsyncGenerator[Ref, None]:
    async with running(servers.fakes.url("supabase"), servers.fakes.key("supabase")) as ref:
        yield ref


# --- rows -----------------------------------------------------------------------------------------


async def test_rows_are_stored_read_changed_and_deleted(servers: Servers) -> None:
    async with database(servers) as ref:
        stored = await ref.ask(InsertRows(table="pages", rows=(A, msgspec.structs.asdict(B))))
        assert stored.to(Page) == [A, B]
        changed = await ref.ask(UpdateRows(table="pages", values={"number": 7}, where=ONE_A))
        assert changed.first(Page) == Page("a", 7, "One")
        gone = await ref.ask(DeleteRows(table="pages", where=ONE_A))
        assert len(gone) == 1
        left = await ref.ask(SelectRows(table="pages"))
        assert left.to(Page) == [B]


async def test_rows_are_found_ordered_and_counted(servers: Servers) -> None:
    pages = tuple(Page(f"p{number}", number) for number in range(10))
    question = SelectRows(
        table="pages",
        where=(Filter("number", "gte", 2), Filter("number", "lt", 8), Filter("id", "neq", "p5")),
        columns="id,number",
        order="number.desc",
        limit=2,
        offset=1,
        is_counted=True,
    )
    async with database(servers) as ref:
        await ref.ask(InsertRows(table="pages", rows=pages, is_returned=False))
        found = await ref.ask(question)
    assert [page["id"] for page in found.to(dict[str, object])] == ["p6", "p4"]
    assert found.total == 5


async def test_an_upsert_changes_what_is_there(servers: Servers) -> None:
    async with database(servers) as ref:
        await ref.ask(InsertRows(table="pages", rows=(A,)))
        await ref.ask(UpsertRows(table="pages", rows=(Page("a", 5, "New"), B)))
        await ref.ask(UpsertRows(table="pages", rows=(Page("a", 6, "Newer"),), is_ignored=True))
        rows = await ref.ask(SelectRows(table="pages", order="id"))
    assert rows.to(Page) == [Page("a", 5, "New"), B]


async def test_nothing_comes_back_where_nothing_is_wanted(servers: Servers) -> None:
    async with database(servers) as ref:
        assert len(await ref.ask(InsertRows(table="pages", rows=(A,), is_returned=False))) == 0
        assert (await ref.ask(SelectRows(table="nothing"))).first(Page) is None


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_an_answer_without_a_body_is_one_where_nothing_is_wanted(status: int) -> None:
    message = UpsertRows(table="t", rows=({"id": 1},), is_returned=False)
    async with serve(http(status)) as server, running(server.url) as ref:
        assert await ref.ask(message) == Rows(rows=())
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"[7]", b'["a"]', b"{}", b"null"])
async def test_what_is_no_rows_is_an_invalid_response(body: bytes) -> None:
    async with serve(http(201, body)) as server, running(server.url) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(InsertRows(table="t", rows=({"id": 1},)))
    assert caught.value.kind is FailureKind.INVALID_RESPONSE
    assert len(server.requests) == 1


async def test_a_function_is_called(servers: Servers) -> None:
    async with database(servers) as ref:
        result = await ref.ask(CallFunction(function="echo", arguments={"numbers": [1, 2]}))
        assert result.to(dict[str, list[int]]) == {"numbers": [1, 2]}
        with pytest.raises(ProviderError) as caught:
            await ref.ask(CallFunction(function="nobody"))
    assert caught.value.kind is FailureKind.NOT_FOUND


async def test_a_function_that_returns_nothing_returns_null() -> None:
    async with serve(http(204)) as server, running(server.url) as ref:
        assert (await ref.ask(CallFunction(function="f"))).to(type(None)) is None


async def test_a_row_of_another_shape_is_an_error_and_no_retry(servers: Servers) -> None:
    async with database(servers) as ref:
        rows = await ref.ask(InsertRows(table="pages", rows=({"id": "a", "number": "one"},)))
    with pytest.raises(ProviderError, match="this is no Page") as caught:
        rows.to(Page)
    assert (caught.value.kind, caught.value.retryable) == (FailureKind.INVALID_RESPONSE, False)


async def test_a_duplicate_is_the_callers_business(servers: Servers) -> None:
    async with database(servers) as ref:
        await ref.ask(InsertRows(table="pages", rows=(A,), key=("id",)))
        with pytest.raises(ProviderError) as caught:
            await ref.ask(InsertRows(table="pages", rows=(A,), key=("id",)))
    assert (caught.value.kind, caught.value.code) == (FailureKind.BAD_REQUEST, "23505")
    assert len(servers.requests("supabase")) == 2


async def test_a_request_carries_both_keys_and_says_what_it_wants() -> None:
    async with serve(http_json(200, [])) as server, running(f"{server.url}/", "secret-key") as ref:
        await ref.ask(UpsertRows(table="my pages", rows=({"a": 1, "b": 2},), key=("a", "b")))
        await ref.ask(SelectRows(table="t", query={"or": "(a.eq.1,b.eq.2)"}))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /rest/v1/my%20pages?on_conflict=a,b HTTP/1.1")
    lines = set(head.lower().split(b"\r\n"))
    assert {b"apikey: secret-key", b"authorization: bearer secret-key"} <= lines
    assert b"prefer: resolution=merge-duplicates,return=representation" in lines
    assert body == b'[{"a":1,"b":2}]'
    target = urlsplit(server.requests[1].split(b" ")[1].decode())
    assert dict(parse_qsl(target.query)) == {"select": "*", "or": "(a.eq.1,b.eq.2)"}


# --- what is sent again ---------------------------------------------------------------------------

READ = SelectRows(table="t")
UPSERT = UpsertRows(table="t", rows=({"id": 1},))
KEYED = InsertRows(table="t", rows=({"id": 1},), key=("id",))
INSERT = InsertRows(table="t", rows=({"id": 1},))
UPDATE = UpdateRows(table="t", values={"a": 1}, where=ONE_A)
DELETE = DeleteRows(table="t", where=ONE_A)
CALL = CallFunction(function="f")
SAFE: list[Request[object]] = [
    READ,
    UPSERT,
    KEYED,
    msgspec.structs.replace(UPDATE, is_repeatable=True),
    msgspec.structs.replace(DELETE, is_repeatable=True),
    msgspec.structs.replace(CALL, is_repeatable=True),
    HttpRequest("GET", "/rest/v1/t"),
]
ONCE: list[Request[object]] = [INSERT, UPDATE, DELETE, CALL, HttpRequest("POST", "/rest/v1/t", json={})]

GATEWAY = [http(408), http(429), http(502, b"<html>"), http(503), http(504), http(520)]
UNREADABLE = [http(200, b"[{"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{}", b"HTTP/1.1 2"]
DEADLOCK = http_json(500, {"code": "40P01", "message": "deadlock detected"})
NO_DATABASE = [http_json(503, {"code": f"PGRST00{number}"}, "retry-after-ms: 50") for number in range(3)]


async def sent(message: Request[object], *replies: bytes) -> tuple[RawServer, ProviderError | None]:
    """Ask, and see how often it was sent."""
    error: ProviderError | None = None
    async with serve(*replies, http_json(200, [])) as server, running(server.url) as ref:
        try:
            await ref.ask(message)
        except ProviderError as caught:
            error = caught
    return server, error


TROUBLE = [*GATEWAY, *UNREADABLE, DEADLOCK]
BAD_GATEWAY, CUT = GATEWAY[2], UNREADABLE[-1]


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        *((message, reply) for message in (READ, KEYED) for reply in (*TROUBLE, *NO_DATABASE)),
        *((message, reply) for message in SAFE[1:] for reply in (BAD_GATEWAY, CUT)),
    ],
)
async def test_what_does_no_harm_is_sent_again_after_trouble_that_passes(
    message: Request[object], reply: bytes
) -> None:
    server, error = await sent(message, reply)
    assert (len(server.requests), error) == (2, None)


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        *((INSERT, reply) for reply in (*TROUBLE, http_json(504, {"code": "PGRST003"}))),
        *((message, reply) for message in ONCE[1:] for reply in (BAD_GATEWAY, CUT)),
        (CALL, UNREADABLE[0]),
    ],
)
async def test_a_write_that_may_have_been_done_is_sent_once(message: Request[object], reply: bytes) -> None:
    server, error = await sent(message, reply)
    assert len(server.requests) == 1
    assert error is not None


@pytest.mark.parametrize("reply", NO_DATABASE)
@pytest.mark.parametrize("message", ONCE[:-1], ids=lambda message: type(message).__name__)
async def test_a_write_is_sent_again_where_there_was_no_database(
    message: Request[object], reply: bytes
) -> None:
    server, error = await sent(message, reply)
    assert (len(server.requests), error) == (2, None)


@pytest.mark.slow
@pytest.mark.parametrize("message", [INSERT, KEYED, CALL], ids=["insert", "keyed", "call"])
async def test_a_write_that_could_not_be_sent_is_tried_again(message: Request[object]) -> None:
    async with running(f"http://127.0.0.1:{await free_port()}") as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(message)
    assert caught.value.attempts == 3


@pytest.mark.parametrize(
    "code", ["23505", "23503", "42501", "57014", "XX000", "PGRST100", "PGRST205", "PGRST301"]
)
@pytest.mark.parametrize("message", [READ, KEYED], ids=lambda message: type(message).__name__)
async def test_what_would_fail_again_is_sent_once(message: Request[object], code: str) -> None:
    status = {"PGRST205": 404, "PGRST301": 401, "57014": 500, "XX000": 500}.get(code, 400)
    server, error = await sent(message, http_json(status, {"code": code, "message": "no"}))
    assert len(server.requests) == 1
    assert error is not None
    assert error.code == code


@pytest.mark.parametrize(("message", "times"), [(READ, 2), (UPSERT, 2), (KEYED, 2), (INSERT, 1), (CALL, 1)])
async def test_silence_is_waited_out_and_asked_again_where_that_does_no_harm(
    message: Request[object], times: int
) -> None:
    async with serve(HANG, http_json(200, [])) as server, running(server.url, attempt_timeout=1.0) as ref:
        with pytest.raises(ProviderError, match="timeout") if times == 1 else nullcontext():
            await ref.ask(message)
    assert len(server.requests) == times


# --- the duplicate that is our own ----------------------------------------------------------------

LOST = [FaultKind.TRUNCATED, FaultKind.BROKEN_JSON]


@pytest.mark.parametrize("fault", LOST)
async def test_a_duplicate_after_a_lost_answer_is_the_calls_own(servers: Servers, fault: FaultKind) -> None:
    servers.script("supabase", Step(fault=fault))
    async with database(servers) as ref:
        rows = await ref.ask(InsertRows(table="pages", rows=(A,), key=("id",)))
        assert (rows.to(Page), rows.is_echo) == ([A], True)
        assert (await ref.ask(SelectRows(table="pages"))).to(Page) == [A]
    assert len(servers.requests("supabase", "insert")) == 2


async def test_a_duplicate_after_silence_is_the_calls_own_too() -> None:
    duplicate = http_json(409, {"code": "23505", "message": "duplicate key"})
    async with serve(HANG, duplicate) as server, running(server.url, attempt_timeout=1.0) as ref:
        message = msgspec.structs.replace(KEYED, is_returned=False)
        assert await ref.ask(message) == Rows(rows=(), is_echo=True)


@pytest.mark.parametrize("refusal", [*NO_DATABASE, DEADLOCK, http(429, b"", "retry-after-ms: 50")])
async def test_a_duplicate_after_a_refusal_is_somebody_elses(refusal: bytes) -> None:
    duplicate = http_json(409, {"code": "23505", "message": "duplicate key"})
    server, error = await sent(KEYED, refusal, duplicate)
    assert len(server.requests) == 2
    assert error is not None
    assert error.code == "23505"


async def test_an_insert_without_a_key_of_its_own_does_not_guess(servers: Servers) -> None:
    servers.script("supabase", Step(fault=FaultKind.TRUNCATED))
    async with database(servers) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(InsertRows(table="pages", rows=(A,)))
        assert (caught.value.kind, caught.value.retryable) == (FailureKind.NETWORK, False)
        with pytest.raises(ProviderError, match="23505"):
            await ref.ask(InsertRows(table="pages", rows=(A,)))


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "parameter"),
    [
        (Filter("a", "eq", "x,y"), ("a", "eq.x,y")),
        (Filter("a", "gt", 1.5), ("a", "gt.1.5")),
        (Filter("a", "is", None), ("a", "is.null")),
        (Filter("a", "is", value=True), ("a", "is.true")),
        (Filter("a", "is", None, negated=True), ("a", "not.is.null")),
        (Filter("a", "in", (1, "b", "c,d", 'e"f', "g\\", "")), ("a", 'in.(1,b,"c,d","e\\"f","g\\\\","")')),
        (Filter("a", "in", (True, False)), ("a", "in.(true,false)")),
    ],
)
def test_a_filter_is_written_as_postgrest_reads_it(item: Filter, parameter: tuple[str, str]) -> None:
    assert item.parameter() == parameter


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=5))
@pytest.mark.parametrize("anyio_backend", ["trio"])
def test_whatever_is_listed_is_quoted_so_that_it_can_be_read_back(
    anyio_backend: str, values: list[str]
) -> None:
    _, text = Filter("a", "in", tuple(values)).parameter()
    assert read_list(text.removeprefix("in.(").removesuffix(")")) == values


def read_list(text: str) -> list[str]:
    """Read PostgREST's list, character by character, by its grammar."""
    items: list[str] = []
    at = 0
    while at <= len(text):
        item = ""
        if text[at : at + 1] == '"':
            at += 1
            while text[at] != '"':
                at += text[at] == "\\"
                item += text[at]
                at += 1
            at += 1
        else:
            while at < len(text) and text[at] != ",":
                item += text[at]
                at += 1
        assert text[at : at + 1] in {"", ","}
        items.append(item)
        at += 1
    return items


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Filter("a", "eq", None), 'null by "is" only'),
        (lambda: Filter("a", "in", "b"), 'tuple with "in"'),
        (lambda: Filter("a", "eq", ("b",)), 'tuple with "in"'),
        (lambda: InsertRows(table="t", rows=()), "InsertRows.rows"),
        (lambda: InsertRows(table="t", rows=({"a": 1},), key=("id",)), "key column 'id'"),
        (lambda: UpsertRows(table="t", rows=({"id": None},)), "key column 'id'"),
        (lambda: UpsertRows(table="t", rows=({"id": 1},), key=()), "UpsertRows.key"),
        (lambda: UpdateRows(table="t", values={}, where=()), "UpdateRows.where"),
        (lambda: DeleteRows(table="t", where=()), "DeleteRows.where"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_built(make: type, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("message", [*SAFE[:-1], *ONCE[:-1]], ids=lambda message: type(message).__name__)
def test_messages_are_data(message: Request[object]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(message), type=type(message)) == message


@pytest.mark.parametrize("name", ["SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
def test_it_is_built_from_the_environment(name: str) -> None:
    service = Supabase.from_env({"SUPABASE_URL": "https://p.supabase.co/", name: "k"})
    assert service.base_url == "https://p.supabase.co"
    assert {header: key.reveal() for header, key in service.secret_headers().items()} == {
        "apikey": "k",
        "authorization": "Bearer k",
    }


@pytest.mark.parametrize(("env", "name"), [({}, "SUPABASE_URL"), ({"SUPABASE_URL": "u"}, "SUPABASE_KEY")])
def test_without_address_or_key_the_error_names_the_variable(env: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Supabase.from_env(env)
