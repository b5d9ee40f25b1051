import json
import string
from datetime import UTC, datetime

import msgspec
import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from relight.runtime import redact, redact_end, redact_event, redact_mapping

ALPHANUMERIC = string.ascii_letters + string.digits

secrets = st.text(alphabet=ALPHANUMERIC, min_size=20, max_size=60)

shapes = st.sampled_from(
    [
        "sk-{}",
        "sk-proj-{}",
        "sk-ant-api03-{}",
        "sk_live_{}",
        "rpa_{}",
        "hf_{}",
        "ghp_{}",
        "github_pat_{}",
        "AIza{}",
        "xoxb-{}",
        "eyJ{}.eyJzdWIiOiJ4In0.c2ln",
        "eyJhbGciOiJIUzI1NiJ9.eyJ{}",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{}",
    ]
)

places = st.sampled_from(
    [
        "Bearer {}",
        "bearer  {}",
        "Authorization: {}",
        "authorization: Basic {}",
        "x-api-key: {}",
        "X-Api-Key={}",
        "api_key={}",
        "api key: {}",
        '{{"api_key": "{}"}}',
        "{{'api_key': '{}', 'model': 'm'}}",
        r"{{\"client_secret\": \"{}\"}}",
        "(b'x-api-key', b'{}')",
        "OPENAI_KEY={} python -m app",
        "OPENAI_API_KEY='{}'",
        'password="correct {} battery"',
        "PASSWD={}",
        "Cookie: theme=dark; session={}; a=b",
        '{{"set-cookie": "session={}; HttpOnly"}}',
        "dsn={}",
        "https://{}@host/path",
        "postgres://user:{}@host:5432/db",
        "https://user:p@ss{}@host/",
        "https://host/path?key={}",
        "https://host/path?a=b&token={}&c=d",
        "https://host/path?X-Amz-Signature={}",
        "https://host/?next=%2Fa%3Fapi_key%3D{}",
        'private_key = "-----BEGIN PRIVATE KEY-----\n{}\nabc\n-----END PRIVATE KEY-----"',
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    ]
)

short_texts = st.text(max_size=80)
# Whatever comes before must not make a pattern end too early or too late.
scraps = st.sampled_from(
    [*"=:\"'\\,&@ \n", "api_key", "Bearer", "token", "cookie", "password", "://", "sk-", "%3D"]
)
texts = st.one_of(
    short_texts, st.lists(scraps, max_size=12).map("".join), st.integers(1900, 2100).map("x y ".__mul__)
)


@given(texts, shapes, secrets, texts)
def test_a_key_of_a_known_shape_never_survives(before: str, shape: str, secret: str, after: str) -> None:
    assume(secret not in before + after)
    assert secret not in redact(f"{before} {shape.format(secret)} {after}")


@given(texts, places, secrets, texts)
def test_a_value_whose_name_says_secret_never_survives(
    before: str, place: str, secret: str, after: str
) -> None:
    assume(secret not in before + after)
    assert secret not in redact(f"{before}\n{place.format(secret)}\n{after}")


@given(st.integers(1900, 2100), shapes | places, secrets, st.sampled_from("x 界"))
def test_no_part_of_a_key_survives_where_a_long_text_is_cut(
    length: int, form: str, secret: str, filler: str
) -> None:
    text = redact(f"{filler * length} {form.format(secret)} {filler * length}")
    assert len(text) <= 2048
    assert not [i for i in range(len(secret) - 5) if secret[i : i + 6] in text]


@given(st.text(max_size=5000))
def test_no_text_is_longer_than_its_bound(text: str) -> None:
    assert len(redact(text)) <= 2048


@given(texts, places, secrets)
def test_redacting_a_short_text_twice_changes_nothing_more(before: str, place: str, secret: str) -> None:
    once = redact(f"{before[:900]}\n{place.format(secret)}")
    assert redact(once) == once


def test_a_text_that_was_cut_ends_with_the_length_it_had() -> None:
    text = redact("a word " * 1000)
    assert text.startswith("a word a word")
    assert text.endswith("... (7000 characters)")


def test_a_text_without_a_place_to_cut_is_left_out() -> None:
    assert redact("x" * 3000) == "... (3000 characters)"


def test_the_end_of_a_long_traceback_is_kept() -> None:
    text = redact_end("a line\n" * 5000 + "KeyError: api_key='abc'")
    assert text.startswith("...")
    assert text.endswith("a line\nKeyError: api_key='***'")
    assert len(text) == 2048
    assert redact_end("KeyError: api_key='abc'") == "KeyError: api_key='***'"


@given(st.integers(0, 2100), st.integers(14_000, 17_000), shapes | places, secrets)
def test_no_part_of_a_key_survives_where_the_end_is_kept(
    after: int, before: int, form: str, secret: str
) -> None:
    assume("PRIVATE KEY" not in form)
    text = redact_end(f"{'x ' * before}\n{form.format(secret)} {'y' * after}")
    assert len(text) <= 2048
    assert not [i for i in range(len(secret) - 5) if secret[i : i + 6] in text]


@pytest.mark.parametrize(
    "text",
    [
        "openai: rate_limit: Rate limit reached for gpt-4o in organization org-abc on requests per min",
        "max_tokens: 4096 is too large, total tokens=8192, token_count: 12",
        "task-550e8400-e29b-41d4-a716-446655440000 failed after 3 attempts",
        "the author passed a significant monkey",
        "cannot connect to http://localhost:8080/v1/chat",
        "KeyError: 'choices'",
        "duplicate key value violates unique constraint (id)=(5)",
        "sherpa_configuration, whisk-management-and-more",
        "",
    ],
)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Incorrect API key provided: sk-proj-abcdef123456. You can find your API key at https://x.y",
            "Incorrect API key provided: ***. You can find your API key at https://x.y",
        ),
        ("GET https://u:p@h/x?key=abc&a=b failed", "GET https://***@h/x?key=***&a=b failed"),
        ('{"api_key": "a\\"b", "model": "m"}', '{"api_key": "***", "model": "m"}'),
        (r"{\"api_key\": \"abc\", \"model\": 1}", r"{\"api_key\": \"***\", \"model\": 1}"),
        ("Authorization: Bearer abc\nAccept: */*", "Authorization: ***\nAccept: */*"),
        ("{'authorization': 'Bearer abc', 'a': 1}", "{'authorization': '***', 'a': 1}"),
        ("Bearer abc was refused", "Bearer *** was refused"),
        ("token: Bearer abc was refused", "token: *** was refused"),
        ("secret: password: abc was refused", "secret: *** was refused"),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


names = st.sampled_from(
    ["key", "api_key", "X-Api-Key", "token", "accessToken", "SECRET", "Authorization", "cookie", "SENTRY_DSN",
     "db_password", "credentials"]
)  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(names, secrets, st.dictionaries(st.text(), values, max_size=3), st.integers(0, 12))
def test_a_value_of_a_secret_name_never_survives_in_a_mapping(
    name: str, secret: str, others: dict[str, object], depth: int
) -> None:
    mapping: dict[str, object] = {**others, name: secret, "headers": [(name.encode(), secret.encode())]}
    for level in range(depth):
        mapping = {"inner": mapping} if level % 2 else {"inner": [mapping, 1, 2]}
    assert secret not in repr(redact_mapping(mapping))


@given(shapes, secrets)
def test_a_key_of_a_known_shape_never_survives_in_a_mapping(shape: str, secret: str) -> None:
    key = shape.format(secret)
    mapping: dict[str, object] = {
        "note": key,
        "list": [key],
        "bytes": key.encode(),
        "error": ValueError(key),
        "headers": [("note", key), (b"note", key.encode())],
        "by_key": {1: key},
    }
    assert secret not in repr(redact_mapping(mapping))


def test_numbers_flags_and_dates_stay_what_they_are() -> None:
    mapping: dict[str, object] = {
        "attempt": 3,
        "max_tokens": 4096,
        "tokens_per_minute": 30_000.0,
        "token_usage": 1.5,
        "has_key": True,
        "token": None,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "nested": {"ok": [1, 2.5, None]},
    }
    assert redact_mapping(mapping) == mapping


def test_a_number_under_a_secret_name_is_a_secret() -> None:
    assert redact_mapping({"pin_token": 1234, "tokens": "abc"}) == {"pin_token": "***", "tokens": "***"}


def test_a_mapping_is_copied_and_not_changed() -> None:
    inner = {"api_key": "abc"}
    assert redact_mapping({"inner": inner, "pair": ("a", "b")}) == {
        "inner": {"api_key": "***"},
        "pair": ["a", "b"],
    }
    assert inner == {"api_key": "abc"}


def test_a_mapping_that_holds_itself_ends() -> None:
    mapping: dict[str, object] = {}
    mapping["self"] = mapping
    assert "..." in repr(redact_mapping(mapping))


def test_a_message_is_shown_without_its_key() -> None:
    class Login(msgspec.Struct):
        user: str
        password: str

    assert redact_mapping({"message": Login("ann", "hunter2")}) == {
        "message": "Login(user='ann', password='***')"
    }


def test_a_log_line_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[structlog.processors.format_exc_info, redact_event, structlog.processors.JSONRenderer()],
    )
    try:
        raise RuntimeError("Authorization: Bearer abcdef")
    except RuntimeError:
        log.exception("call to https://u:hunter2@host failed", api_key="abc", attempt=2)
    line = json.loads(capsys.readouterr().out)
    assert line["event"] == "call to https://***@host failed"
    assert line["api_key"] == "***"
    assert line["attempt"] == 2
    assert "RuntimeError: Authorization: ***" in line["exception"]


def test_an_event_keeps_more_of_a_traceback_than_of_a_text() -> None:
    event = redact_event(None, "info", {"exception": "line\n" * 2000, "body": "line\n" * 2000})
    assert event["exception"] == "line\n" * 2000
    assert len(str(event["body"])) <= 2048


def test_what_structlog_keeps_for_itself_passes_an_event_untouched() -> None:
    error = ValueError("sk-abcdefgh1234")
    record = object()
    assert redact_event(None, "info", {"exc_info": error, "_record": record}) == {
        "exc_info": error,
        "_record": record,
    }
