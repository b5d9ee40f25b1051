"""The fake of Supabase keeps rows and files, and says no as PostgREST and Storage do."""

from collections.abc import Callable, Coroutine, Iterator

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from relight.actors.fakes import FakeOptions, Fakes, FaultKind, Step, open_fakes

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio

ROWS = [
    {"id": 1, "title": "One", "drawn": True, "pages": 3},
    {"id": 2, "title": "Two, or more", "drawn": False, "pages": None},
    {"id": 3, "title": "three", "drawn": None, "pages": 10},
]


@pytest.fixture(scope="module")
def served() -> Iterator[Fakes]:
    options = FakeOptions(latency=(0.0, 0.0), tables={"panels": ("comic", "number")})
    opening = open_fakes(["supabase"], options=options)
    with start_blocking_portal("trio") as portal, portal.wrap_async_context_manager(opening) as fakes:
        yield fakes


@pytest.fixture
def ask(fakes: Fakes, client: httpx2.AsyncClient) -> Ask:
    async def send(
        method: str, path: str, body: object = None, *, prefer: str = "return=representation", **more: object
    ) -> httpx2.Response:
        key = fakes.key("supabase")
        headers = {"apikey": key, "authorization": f"Bearer {key}", "prefer": prefer}
        url = f"{fakes.url('supabase')}{path}"
        return await client.request(method, url, headers=headers, json=body, **more)  # type: ignore[arg-type]

    return send


@pytest.fixture
async def comics(ask: Ask) -> Ask:
    assert (await ask("POST", "/rest/v1/comics", ROWS)).status_code == 201
    return ask


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [1, 2, 3]),
        ("id=eq.2", [2]),
        ("id=neq.2", [1, 3]),
        ("id=gt.1&id=lt.3", [2]),
        ("id=gte.2", [2, 3]),
        ("id=lte.1.5", [1]),
        ("id=in.(1,3,9)", [1, 3]),
        ('title=in.("Two, or more",One)', [1, 2]),
        ('title=in.("t\\hree")', [3]),
        ("id=not.in.(1,3)", [2]),
        ("drawn=eq.true", [1]),
        ("drawn=is.false", [2]),
        ("drawn=is.null", [3]),
        ("drawn=not.is.null", [1, 2]),
        ("pages=gt.0", [1, 3]),
        ("pages=in.(10)", [3]),
        ("title=like.T*", [2]),
        ("title=ilike.t*", [2, 3]),
        ("pages=like.*", [1, 3]),
        ("order=id.desc", [3, 2, 1]),
        ("order=pages", [1, 3, 2]),
        ("order=pages.desc", [2, 3, 1]),
        ("order=pages.asc.nullsfirst", [2, 1, 3]),
        ("order=pages.desc.nullslast", [3, 1, 2]),
        ("order=id.desc&limit=1&offset=1", [2]),
    ],
)
async def test_filters_and_order_are_postgrests(comics: Ask, query: str, ids: list[int]) -> None:
    reply = await comics("GET", f"/rest/v1/comics?{query}")
    assert (reply.status_code, [row["id"] for row in reply.json()]) == (200, ids)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("id=near.2", "PGRST100"),
        ("id=eq.two", "22P02"),
        ("drawn=eq.perhaps", "22P02"),
        ("select=id,pages(*)", "PGRST200"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(comics: Ask, query: str, code: str) -> None:
    reply = await comics("GET", f"/rest/v1/comics?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, code)


async def test_columns_and_the_count_come_as_they_are_asked_for(comics: Ask) -> None:
    reply = await comics("GET", "/rest/v1/comics?select=id,title&limit=2", prefer="count=exact")
    assert reply.status_code == 206
    assert reply.headers["content-range"] == "0-1/3"
    assert reply.json()[0] == {"id": 1, "title": "One"}
    none = await comics("GET", "/rest/v1/comics?id=eq.9")
    assert none.headers["content-range"] == "*/*"


async def test_a_duplicate_stores_none_of_the_rows(comics: Ask) -> None:
    reply = await comics("POST", "/rest/v1/comics", [{"id": 4}, {"id": 1}])
    assert (reply.status_code, reply.json()["code"]) == (409, "23505")
    assert reply.json()["details"] == "Key (id)=(1) already exists."
    assert len((await comics("GET", "/rest/v1/comics")).json()) == 3


async def test_an_upsert_merges_or_ignores(comics: Ask) -> None:
    prefer = "return=representation,resolution="
    merged = await comics(
        "POST", "/rest/v1/comics?on_conflict=id", {"id": 1, "pages": 4}, prefer=f"{prefer}merge-duplicates"
    )
    ignored = await comics(
        "POST", "/rest/v1/comics", {"id": 1, "pages": 5}, prefer=f"{prefer}ignore-duplicates"
    )
    assert merged.json() == [{"id": 1, "title": "One", "drawn": True, "pages": 4}]
    assert ignored.json() == []
    other = await comics(
        "POST", "/rest/v1/comics?on_conflict=title", {"id": 1}, prefer=f"{prefer}merge-duplicates"
    )
    assert (other.status_code, other.json()["code"]) == (400, "42P10")


async def test_a_row_without_an_id_gets_one_but_no_longer_key_is_made_up(ask: Ask) -> None:
    assert [row["id"] for row in (await ask("POST", "/rest/v1/t", [{"a": 1}, {"a": 2}])).json()] == [1, 2]
    assert (await ask("POST", "/rest/v1/panels", {"comic": 1, "number": 1})).status_code == 201
    assert (await ask("POST", "/rest/v1/panels", {"comic": 1, "number": 2})).status_code == 201
    assert (await ask("POST", "/rest/v1/panels", {"comic": 1, "number": 2})).status_code == 409
    assert (await ask("POST", "/rest/v1/panels", {"comic": 1})).json()["code"] == "23502"


async def test_rows_are_changed_and_deleted_by_filter(comics: Ask) -> None:
    changed = await comics("PATCH", "/rest/v1/comics?id=lt.3", {"drawn": True})
    assert [row["drawn"] for row in changed.json()] == [True, True]
    assert (await comics("PATCH", "/rest/v1/comics?id=eq.1", {"id": 2})).json()["code"] == "23505"
    assert (await comics("PATCH", "/rest/v1/comics?id=eq.1", {"id": 9}, prefer="")).status_code == 204
    gone = await comics("DELETE", "/rest/v1/comics?id=gt.2")
    assert {row["id"] for row in gone.json()} == {3, 9}
    assert [row["id"] for row in (await comics("GET", "/rest/v1/comics")).json()] == [2]


async def test_what_is_no_json_is_refused(ask: Ask) -> None:
    reply = await ask("POST", "/rest/v1/comics", 7)
    assert (reply.status_code, reply.json()["code"]) == (400, "PGRST102")


async def test_a_function_echoes_and_others_are_unknown(ask: Ask) -> None:
    assert (await ask("POST", "/rest/v1/rpc/echo", {"a": 1})).json() == {"a": 1}
    assert (await ask("GET", "/rest/v1/rpc/echo?a=1")).json() == {"a": "1"}
    assert (await ask("POST", "/rest/v1/rpc/nobody", {})).json()["code"] == "PGRST202"


async def test_both_keys_are_needed(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    key = fakes.key("supabase")
    for headers in ({"apikey": key}, {"authorization": f"Bearer {key}"}, {}):
        reply = await client.get(f"{fakes.url('supabase')}/rest/v1/comics", headers=headers)
        assert (reply.status_code, reply.json()) == (401, {"message": "Invalid API key"})
    assert {entry.headers.get("apikey", "***") for entry in await fakes.log("supabase")} == {"***"}


@pytest.mark.parametrize(
    ("fault", "rows", "files"),
    [
        (FaultKind.RATE_LIMIT, (429, None), (429, "SlowDown")),
        (FaultKind.UNAVAILABLE, (503, "PGRST002"), (500, "DatabaseConnectionLimit")),
        (FaultKind.OVERLOADED, (504, "PGRST003"), (544, "DatabaseTimeout")),
        (FaultKind.SERVER_ERROR, (500, "PGRSTX00"), (500, "InternalError")),
        (FaultKind.QUOTA, (402, None), (402, "QuotaExceeded")),
        (FaultKind.NOT_FOUND, (404, "PGRST205"), (400, "NoSuchKey")),
        (FaultKind.CONTENT_POLICY, (503, "PGRST002"), (500, "InternalError")),
    ],
)
async def test_a_fault_is_said_in_the_words_of_whoever_was_asked(
    fakes: Fakes, ask: Ask, fault: FaultKind, rows: tuple[int, str | None], files: tuple[int, str]
) -> None:
    await fakes.script("supabase", [Step(fault=fault, times=2)])
    replies = [await ask("GET", "/rest/v1/t"), await ask("GET", "/storage/v1/object/b/f")]
    assert [(reply.status_code, reply.json().get("code")) for reply in replies] == [rows, files]


async def test_a_file_comes_as_a_body_or_in_a_form(ask: Ask) -> None:
    form = {"file": ("a.png", b"\x89PNG\r\n", "image/png"), "cacheControl": (None, b"3600")}
    assert (await ask("POST", "/storage/v1/object/b/a.png", files=form)).json()["Key"] == "b/a.png"
    reply = await ask("GET", "/storage/v1/object/b/a.png")
    assert (reply.content, reply.headers["content-type"]) == (b"\x89PNG\r\n", "image/png")
    nothing = {"cacheControl": (None, b"3600")}
    assert (await ask("PUT", "/storage/v1/object/b/a.png", files=nothing)).status_code == 200
    assert (await ask("GET", "/storage/v1/object/b/a.png")).content == b""


async def test_a_missing_file_is_a_400_that_says_404(ask: Ask) -> None:
    reply = await ask("GET", "/storage/v1/object/b/nothing")
    assert (reply.status_code, reply.json()["statusCode"]) == (400, "404")


@pytest.mark.parametrize("path", ["list/b", "sign/b/f"])
async def test_an_order_that_makes_no_sense_is_refused(ask: Ask, path: str) -> None:
    assert (await ask("POST", f"/storage/v1/object/{path}", 7)).json()["code"] == "InvalidRequest"


def test_a_table_has_a_key() -> None:
    with pytest.raises(ValueError, match=r"FakeOptions\.tables\['t'\]"):
        FakeOptions(tables={"t": ()})
