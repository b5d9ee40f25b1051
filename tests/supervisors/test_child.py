"""Specs: every wrong field is refused when the spec is built, naming field and value."""

from functools import partial
from math import inf, nan

import msgspec
import pytest

from relight.runtime import Actor
from relight.supervisors import Child, ChildSpecError, Restart, SupervisionError, Supervisor
from relight.supervisors.policies import Exponential, Policy


class Plain(Actor):
    pass


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", 7),
        ("id", None),
        ("id", "a/b"),
        ("id", "new\nline"),
        ("start", Plain()),
        ("start", None),
        ("start", "Plain"),
        ("restart", "always"),
        ("restart", None),
        ("restart", True),
        ("shutdown", -0.1),
        ("shutdown", nan),
        ("shutdown", "brutal"),
        ("shutdown", None),
        ("start_timeout", 0.0),
        ("start_timeout", -1),
        ("start_timeout", nan),
        ("start_timeout", None),
        ("backoff", 1.0),
        ("backoff", "exponential"),
        ("name", ""),
        ("name", 7),
        ("name", "a/b"),
        ("policy", "careful"),
        ("policy", Policy),
    ],
)
def test_a_wrong_field_of_a_child_is_refused_by_name_and_value(field: str, value: object) -> None:
    fields: dict[str, object] = {"id": "a", "start": Plain, field: value}
    with pytest.raises(ChildSpecError) as caught:
        msgspec.structs.replace(Child("a", Plain), **fields)
    assert caught.value.field == f"Child.{field}"
    assert caught.value.value is value
    assert str(caught.value) == f"Child.{field} {caught.value.remedy}, got {value!r}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "a/b"),
        ("strategy", "one_for_some"),
        ("strategy", None),
        ("intensity", -1),
        ("intensity", 1.5),
        ("intensity", None),
        ("period", 0),
        ("period", -5.0),
        ("period", nan),
        ("period", "5"),
        ("shutdown", -1.0),
        ("shutdown", nan),
        ("restart", "sometimes"),
        ("backoff", 2),
        ("children", None),
        ("children", Child("a", Plain)),
        ("children", iter([Child("a", Plain)])),
    ],
)
def test_a_wrong_option_of_a_supervisor_is_refused_by_name_and_value(field: str, value: object) -> None:
    with pytest.raises(ChildSpecError) as caught:
        msgspec.structs.replace(Supervisor("s"), **{field: value})
    assert caught.value.field == f"Supervisor.{field}"
    assert caught.value.value is value
    assert repr(value) in str(caught.value)


def test_children_that_are_no_specs_are_refused() -> None:
    with pytest.raises(ChildSpecError, match="must be specs") as caught:
        msgspec.structs.replace(Supervisor("s"), children=[Child("a", Plain), Plain])
    assert caught.value.value is Plain


def test_two_children_of_one_id_are_refused() -> None:
    """V2."""
    with pytest.raises(ChildSpecError, match="unique ids, got 'a'"):
        Supervisor("s", children=[Child("a", Plain), Child("b", Plain), Supervisor("a")])


def test_a_spec_error_is_a_value_error_and_a_supervision_error() -> None:
    error = ChildSpecError("Child.id", "", "must be a name")
    assert isinstance(error, ValueError)
    assert isinstance(error, SupervisionError)
    assert error.remedy == "must be a name"


def test_a_minimal_child_is_permanent_and_has_five_seconds_to_stop() -> None:
    child = Child("a", Plain)
    assert (child.restart, child.shutdown, child.backoff) == ("permanent", 5.0, None)
    assert (child.start_timeout, child.name, child.policy) == (30.0, None, None)


def test_a_minimal_supervisor_waits_for_its_children() -> None:
    supervisor = Supervisor("s")
    assert (supervisor.strategy, supervisor.intensity, supervisor.period) == ("one_for_one", 3, 5.0)
    assert (supervisor.restart, supervisor.shutdown, supervisor.children) == ("permanent", inf, ())


@pytest.mark.parametrize("restart", list(Restart))
def test_a_restart_type_may_be_given_as_enum_or_by_name(restart: Restart) -> None:
    by_enum = Child("a", Plain, restart=restart)
    assert by_enum == msgspec.structs.replace(by_enum, restart=restart.value)


def test_the_extremes_that_mean_something_are_taken() -> None:
    Child("a", partial(Plain), shutdown=0, start_timeout=inf, backoff=Exponential(), policy=Policy())
    Child("a", lambda: Plain(), shutdown=inf, name="the one")
    Supervisor("s", intensity=0, period=0.001, shutdown=0, backoff=Exponential())


def test_specs_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        Child("a", Plain).id = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Supervisor("s").intensity = 5  # type: ignore[misc]
