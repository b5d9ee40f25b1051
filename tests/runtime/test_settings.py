from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from relight.runtime import Loaded, RelightError, SettingsError, load_settings

Attempts = Annotated[int, Meta(ge=1, le=10)]
Seconds = Annotated[float, Meta(gt=0)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    attempts: Attempts = 3
    delay: Seconds | None = None
    longest: Annotated[float, Meta(lt=100)] = 50.0

    def __post_init__(self) -> None:
        if self.delay is not None and self.delay > self.longest:
            raise ValueError(f"delay ({self.delay:g} s) is longer than longest ({self.longest:g} s)")


class Table(msgspec.Struct, frozen=True, kw_only=True):
    level: Literal["info", "debug"] = "info"
    color: bool = False
    title: str = "relight"
    api_token: Annotated[str, Meta(min_length=4)] = "none"
    limits: Limits = Limits(attempts=4)
    spare: Limits | None = None
    services: dict[str, Limits] = {}
    weights: dict[str, Annotated[int, Meta(ge=0)]] = msgspec.field(default_factory=lambda: {"a": 1})


class Color(Enum):
    RED = "red"


class Needs(msgspec.Struct, frozen=True):
    name: str
    color: Color | int = Color.RED


def load(tmp_path: Path, toml: str = "", **environ: str) -> Loaded[Table]:
    file = tmp_path / "relight.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(Table, file=file, environ=environ)


def refusal(tmp_path: Path, toml: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, toml, **environ)
    return str(caught.value).replace(str(tmp_path), "").replace("/relight.toml", "relight.toml")


def test_defaults_are_in_force_where_nothing_is_set() -> None:
    loaded = load_settings(Table, file=None, environ={})
    assert loaded.settings == Table()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.set_paths() == []


def test_every_value_has_its_origin(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "[limits]\nlongest = 70\n[services.OpenAI]\nattempts = 5",
        RELIGHT_LEVEL="debug",
        RELIGHT_SERVICES__OPENAI__DELAY="2.5",
        PATH="/bin",
    )
    file = str(tmp_path / "relight.toml")
    assert loaded.settings == Table(
        level="debug",
        limits=Limits(attempts=4, longest=70.0),
        services={"OpenAI": Limits(attempts=5, delay=2.5)},
    )
    assert loaded.origins == {
        "level": "RELIGHT_LEVEL",
        "color": "default",
        "title": "default",
        "api_token": "default",
        "limits.attempts": "default",
        "limits.delay": "default",
        "limits.longest": file,
        "spare": "default",
        "services.OpenAI.attempts": file,
        "services.OpenAI.delay": "RELIGHT_SERVICES__OPENAI__DELAY",
        "services.OpenAI.longest": "default",
        "weights.a": "default",
    }
    assert loaded.set_paths("services.OpenAI") == ["services.OpenAI.attempts", "services.OpenAI.delay"]
    assert loaded.origin("limits.longest") == file
    assert loaded.origin("limits.unheard_of") == "default"


LEAVES = ["limits.attempts", "services.one.attempts", "services.two.attempts", "weights.a", "weights.b"]


@given(
    in_file=st.dictionaries(st.sampled_from(LEAVES), st.integers(1, 10)),
    in_environ=st.dictionaries(st.sampled_from(LEAVES), st.integers(1, 10)),
    shout=st.booleans(),
)
def test_the_environment_wins_over_the_file_and_the_file_over_defaults(
    tmp_path: Path, in_file: dict[str, int], in_environ: dict[str, int], shout: bool
) -> None:
    toml = "\n".join(f"{path} = {value}" for path, value in in_file.items())
    variables = {"RELIGHT_" + path.replace(".", "__"): str(value) for path, value in in_environ.items()}
    if shout:
        variables = {name.upper(): value for name, value in variables.items()}
    loaded = load(tmp_path, toml, **variables)

    defaults = {"limits.attempts": 4, "weights.a": 1}
    expected = {**defaults, **in_file, **in_environ}
    assert {path: found for path in LEAVES if (found := value_at(loaded.settings, path))} == expected
    for path in expected:
        origin = loaded.origin(path)
        assert origin.startswith("RELIGHT_") == (path in in_environ)
        assert origin.endswith(".toml") == (path in in_file and path not in in_environ)


def value_at(table: Table, path: str) -> int | None:
    match path.split("."):
        case ["limits", _]:
            return table.limits.attempts
        case ["services", name, _]:
            return table.services[name].attempts if name in table.services else None
        case [_, name]:
            return table.weights.get(name)
        case _:
            raise AssertionError(path)


@given(
    toml=st.text(alphabet="limts.atep[]='\"\n 05x{},é\\"),
    environ=st.dictionaries(
        st.text(alphabet="LIMTSATEP_").map("RELIGHT_".__add__), st.text(st.characters(codec="utf-8"))
    ),
)
def test_whatever_is_in_the_sources_the_error_is_one_line(
    tmp_path: Path, toml: str, environ: dict[str, str]
) -> None:
    with suppress(SettingsError):
        load(tmp_path, toml, **environ)
        return
    assert "\n" not in refusal(tmp_path, toml, **environ)


@given(st.integers().filter(lambda value: not 1 <= value <= 10), st.booleans())
def test_a_value_out_of_range_is_refused_with_its_path_value_range_and_source(
    tmp_path: Path, value: int, in_file: bool
) -> None:
    if in_file:
        message = refusal(tmp_path, f"limits.attempts = {value}")
        assert message == f"limits.attempts: must be a whole number 1..10 (got {value}), set in relight.toml"
    else:
        message = refusal(tmp_path, RELIGHT_LIMITS__ATTEMPTS=str(value))
        assert (
            message == f"limits.attempts: must be a whole number 1..10 (got '{value}'),"
            " set in RELIGHT_LIMITS__ATTEMPTS"
        )


def test_a_wrong_value_in_the_file_is_refused_though_a_variable_overrides_it(tmp_path: Path) -> None:
    message = refusal(tmp_path, "limits.attempts = 0", RELIGHT_LIMITS__ATTEMPTS="5")
    assert message.endswith("(got 0), set in relight.toml")


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("level = 'loud'", "level: must be one of debug, info (got 'loud')"),
        ("color = 1", "color: must be true or false (got 1)"),
        ("title = 5", "title: must be text (got 5)"),
        ("limits.delay = 0", "limits.delay: must be a number above 0 (got 0)"),
        ("limits.delay = nan", "limits.delay: must be a number above 0 (got nan)"),
        ("limits.longest = 100.5", "limits.longest: must be a number below 100 (got 100.5)"),
        ("limits.attempts = 3.5", "limits.attempts: must be a whole number 1..10 (got 3.5)"),
        ("limits.attempts = true", "limits.attempts: must be a whole number 1..10 (got True)"),
        ("limits.attempts = [3]", "limits.attempts: must be a whole number 1..10 (got '[3]')"),
        ("weights.a = -1", "weights.a: must be a whole number from 0 (got -1)"),
        ("limits.attempts.x = 3", "limits.attempts: must be a whole number 1..10 (got 'a table')"),
        ("services = 3", "services: must be a table (got 3)"),
        ("services.one = 'fast'", "services.one: must be a table (got 'fast')"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, toml: str, problem: str) -> None:
    assert refusal(tmp_path, toml) == f"{problem}, set in relight.toml"


def test_a_long_value_is_shown_in_part(tmp_path: Path) -> None:
    message = refusal(tmp_path, RELIGHT_LEVEL="loud " * 100)
    assert len(message) < 200


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("limits.atempts = 3", "limits.atempts: is not a setting (did you mean attempts?)"),
        ("[service.one]\nattempts = 3", "service: is not a setting (did you mean services?)"),
        (
            "limits.zzz = 3",
            "limits.zzz: is not a setting (there are attempts, delay, longest)",
        ),
        ("limits.api_key = 'hunter2'", "limits.api_key: is not a setting: each service reads its own key"),
        ('"a\\nb" = 3', r"'a\nb': is not a setting (did you mean"),
    ],
)
def test_a_name_that_is_no_setting_is_refused_with_the_nearest_one(
    tmp_path: Path, toml: str, problem: str
) -> None:
    message = refusal(tmp_path, toml)
    assert message.startswith(problem.removesuffix(" (did you mean"))
    assert message.endswith(", set in relight.toml")
    assert "hunter2" not in message


def test_a_variable_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, RELIGHT_LIMITS__ATEMPTS="3")
    assert message == (
        "limits.atempts: is not a setting (did you mean attempts?), set in RELIGHT_LIMITS__ATEMPTS"
    )


@pytest.mark.parametrize("name", ["RELIGHT_", "RELIGHT___LEVEL", "RELIGHT_LIMITS____ATTEMPTS"])
def test_a_variable_with_an_empty_level_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, **{name: "3"}).startswith(f"{name}: names no setting")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELIGHT_PORT", "tcp://10.0.0.1:80"),
        ("RELIGHT_SERVICE_HOST", "10.0.0.1"),
        ("RELIGHT_SERVICE_PORT_HTTP", "80"),
        ("RELIGHT_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("RELIGHT_DASHBOARD_SERVICE_PORT", "80"),
    ],
)
def test_what_kubernetes_sets_for_a_service_named_relight_is_no_setting(name: str, value: str) -> None:
    loaded = load_settings(Table, file=None, environ={name: value})
    assert loaded.set_paths() == []


def test_a_port_of_the_users_own_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, RELIGHT_PORT="80").startswith("port: is not a setting")


def test_names_are_the_same_whatever_their_case_and_dashes(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "[services.OpenAI-EU]\nattempts = 5",
        RELIGHT_SERVICES__OPENAI_EU__DELAY="2",
        relight_services__openai_eu__longest="3",
    )
    assert loaded.settings.services == {"OpenAI-EU": Limits(attempts=5, delay=2.0, longest=3.0)}


def test_a_setting_spelled_in_two_ways_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, "limits.attempts = 3\nlimits.Attempts = 4")
    assert message == "limits.Attempts: is also there as attempts, set in relight.toml"


def test_two_variables_that_differ_in_case_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, RELIGHT_LEVEL="info", RELIGHT_level="debug")
    assert message == "RELIGHT_level: differs only in case from another variable, set in RELIGHT_LEVEL"


def test_null_in_a_variable_unsets_what_the_file_has_set(tmp_path: Path) -> None:
    loaded = load(tmp_path, "limits.delay = 5", RELIGHT_LIMITS__DELAY="null")
    assert loaded.settings.limits.delay is None
    assert loaded.origin("limits.delay") == "RELIGHT_LIMITS__DELAY"


def test_an_optional_table_takes_its_own_defaults_once_something_is_set_in_it(tmp_path: Path) -> None:
    loaded = load(tmp_path, RELIGHT_SPARE__DELAY="5")
    assert loaded.settings.spare == Limits(delay=5.0)


def test_values_that_do_not_fit_together_are_refused_with_their_sources(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[services.one]\nlongest = 2\nattempts = 5", RELIGHT_SERVICES__ONE__DELAY="3")
    assert message == (
        "services.one: delay (3 s) is longer than longest (2 s),"
        " set in RELIGHT_SERVICES__ONE__DELAY and relight.toml"
    )


def test_a_misfit_found_by_the_caller_names_the_sources_too(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[services.one]\nattempts = 5")
    assert str(loaded.error("services.one", "attempts are too many")).endswith("relight.toml")
    assert str(loaded.error("services.one", "wrong as a whole")).endswith("relight.toml")
    assert str(loaded.error("", "wrong")).startswith("settings: wrong, set in")
    assert str(loaded.error("limits", "wrong")) == "limits: wrong"


def test_a_setting_without_a_default_has_to_be_set() -> None:
    with pytest.raises(SettingsError, match=r"^name: has no default and has to be set$"):
        load_settings(Needs, file=None, environ={})
    loaded = load_settings(Needs, file=None, environ={"APP_NAME": "x"}, prefix="APP_")
    assert loaded.settings == Needs("x")


def test_a_type_without_words_of_its_own_is_refused_all_the_same() -> None:
    with pytest.raises(SettingsError, match=r"^color: must be of another type or a whole number"):
        load_settings(Needs, file=None, environ={"RELIGHT_NAME": "x", "RELIGHT_COLOR": "green"})


def test_a_secret_value_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, RELIGHT_API_TOKEN="abc")
    assert caught.value.value == "***"
    assert str(caught.value) == "api_token: must be text (got '***'), set in RELIGHT_API_TOKEN"


def test_a_key_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    assert "sk-" not in refusal(tmp_path, RELIGHT_LEVEL="sk-proj-abcdef123456")


def test_an_error_is_caught_as_a_value_error_and_as_relights_own(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, "limits.attempts = 50")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, RelightError)
    assert caught.value.path == "limits.attempts"
    assert caught.value.value == 50
    assert caught.value.source == str(tmp_path / "relight.toml")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.toml: there is no such file$"):
        load_settings(Table, file=tmp_path / "nothing.toml", environ={})


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read: "):
        load_settings(Table, file=tmp_path, environ={})


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"level = 'info'\nlimits = ?", "line 2, column 10"), (b"title = '\xff'", "position 9")],
)
def test_a_file_that_is_not_toml_is_an_error_with_the_place(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "relight.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"relight.toml: is not TOML: .*{problem}"):
        load_settings(Table, file=file, environ={})


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "relight.toml"
    file.write_bytes(b"\xef\xbb\xbflevel = 'debug'")
    assert load_settings(Table, file=file, environ={}).settings.level == "debug"
