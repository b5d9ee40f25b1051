"""Specs: what is wrong is refused when it is built, naming field and value (V1 to V5)."""

from collections.abc import Callable
from functools import partial
from math import inf, nan

import msgspec
import pytest

from relight.runtime import Actor, StartError
from relight.supervisors import (
    AutoShutdownName,
    Child,
    ChildSpecError,
    DynamicSupervisor,
    MaxChildrenError,
    Pool,
    Restart,
    StrategyName,
    SupervisionError,
    Supervisor,
    open_system,
)
from relight.supervisors.policies import Exponential, Policy
from tests.supervisors.conformance.trees import counts_of, spawn_tree, states_of
from tests.supervisors.recorded import Diary


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
def test_v1_a_wrong_field_of_a_child_is_refused_by_name_and_value(field: str, value: object) -> None:
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
def test_v1_v3_a_wrong_option_of_a_supervisor_is_refused_by_name_and_value(field: str, value: object) -> None:
    with pytest.raises(ChildSpecError) as caught:
        msgspec.structs.replace(Supervisor("s"), **{field: value})
    assert caught.value.field == f"Supervisor.{field}"
    assert caught.value.value is value
    assert repr(value) in str(caught.value)


def test_v1_children_that_are_no_specs_are_refused() -> None:
    with pytest.raises(ChildSpecError, match="must be specs") as caught:
        msgspec.structs.replace(Supervisor("s"), children=[Child("a", Plain), Plain])
    assert caught.value.value is Plain


def test_v2_two_children_of_one_id_are_refused() -> None:
    with pytest.raises(ChildSpecError, match="unique ids, got 'a'"):
        Supervisor("s", children=[Child("a", Plain), Child("b", Plain), Supervisor("a")])


def test_v1_a_spec_error_is_a_value_error_and_a_supervision_error() -> None:
    error = ChildSpecError("Child.id", "", "must be a name")
    assert isinstance(error, ValueError)
    assert isinstance(error, SupervisionError)
    assert error.remedy == "must be a name"


def test_v1_a_minimal_child_is_permanent_and_has_five_seconds_to_stop() -> None:
    child = Child("a", Plain)
    assert (child.restart, child.shutdown, child.backoff) == ("permanent", 5.0, None)
    assert (child.start_timeout, child.name, child.policy) == (30.0, None, None)


def test_v1_a_minimal_supervisor_waits_for_its_children() -> None:
    supervisor = Supervisor("s")
    assert (supervisor.strategy, supervisor.intensity, supervisor.period) == ("one_for_one", 3, 5.0)
    assert (supervisor.restart, supervisor.shutdown, supervisor.children) == ("permanent", inf, ())


@pytest.mark.parametrize("restart", list(Restart))
def test_v1_a_restart_type_may_be_given_as_enum_or_by_name(restart: Restart) -> None:
    by_enum = Child("a", Plain, restart=restart)
    assert by_enum == msgspec.structs.replace(by_enum, restart=restart.value)


def test_v3_the_extremes_that_mean_something_are_taken() -> None:
    Child("a", partial(Plain), shutdown=0, start_timeout=inf, backoff=Exponential(), policy=Policy())
    Child("a", lambda: Plain(), shutdown=inf, name="the one")
    Supervisor("s", intensity=0, period=0.001, shutdown=0, backoff=Exponential())


def test_v1_specs_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        Child("a", Plain).id = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Supervisor("s").intensity = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "build", [Child, partial(Child, "a"), Supervisor, DynamicSupervisor, Pool, partial(Pool, "p")]
)
def test_v1_what_is_mandatory_can_not_be_left_out(build: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="Missing required argument"):
        build()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "a/b"),
        ("intensity", -1),
        ("intensity", True),
        ("period", 0),
        ("restart", "sometimes"),
        ("significant", 1),
        ("shutdown", -1),
        ("backoff", 1.0),
        ("template", Plain),
        ("max_children", -1),
        ("max_children", 1.5),
    ],
)
def test_v1_v5_a_wrong_option_of_a_dynamic_supervisor_is_refused(field: str, value: object) -> None:
    with pytest.raises(ChildSpecError) as caught:
        msgspec.structs.replace(DynamicSupervisor("d"), **{field: value})
    assert caught.value.field == f"DynamicSupervisor.{field}"
    assert caught.value.value is value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("size", 0),
        ("size", "two"),
        ("route", "random"),
        ("route", None),
        ("member", Plain),
        ("period", nan),
        ("intensity", 0.5),
    ],
)
def test_v1_a_wrong_option_of_a_pool_is_refused(field: str, value: object) -> None:
    with pytest.raises(ChildSpecError) as caught:
        msgspec.structs.replace(Pool("p", Child("m", Plain), size=1), **{field: value})
    assert caught.value.field == f"Pool.{field}"
    assert caught.value.value is value


def test_v1_a_template_with_a_name_of_its_own_is_refused() -> None:
    """Two children can't have the same one."""
    named = Child("m", Plain, name="alias")
    with pytest.raises(ChildSpecError, match=r"DynamicSupervisor.template.name must be None"):
        DynamicSupervisor("d", template=named)
    with pytest.raises(ChildSpecError, match=r"Pool.member.name must be None"):
        Pool("p", named, size=2)


@pytest.mark.anyio
async def test_v2_nothing_is_started_of_a_list_with_a_duplicate() -> None:
    """The list comes from a function here: it is looked at before the first child of it is started."""
    diary = Diary()
    async with open_system() as system:
        doubled = Supervisor("tree", children=lambda: [diary.child("a"), diary.child("b"), diary.child("a")])
        with pytest.raises(StartError, match="unique ids") as caught:
            await system.spawn(doubled)
        assert isinstance(caught.value.__cause__, ChildSpecError)
        assert diary.take() == []
        assert system.actors() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "simple_one_for_one"),
        ("intensity", -1),
        ("period", 0.0),
        ("auto_shutdown", "some_significant"),
        ("auto_shutdown", True),
    ],
)
def test_v3_what_is_no_strategy_and_no_number_is_refused(field: str, value: object) -> None:
    with pytest.raises(ChildSpecError) as caught:
        msgspec.structs.replace(Supervisor("s"), **{field: value})
    assert (caught.value.field, caught.value.value) == (f"Supervisor.{field}", value)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("auto_shutdown", ["never", "any_significant", "all_significant"])
def test_v3_each_strategy_goes_with_each_auto_shutdown(
    strategy: StrategyName, auto_shutdown: AutoShutdownName
) -> None:
    spec = Supervisor("s", strategy=strategy, auto_shutdown=auto_shutdown)
    assert (spec.strategy, spec.auto_shutdown) == (strategy, auto_shutdown)


def test_v4_a_significant_permanent_child_is_refused() -> None:
    for build in (
        partial(Child, "a", Plain),
        partial(Supervisor, "a"),
        partial(DynamicSupervisor, "a"),
        partial(Pool, "a", Child("m", Plain), size=1),
    ):
        with pytest.raises(ChildSpecError, match="a permanent child never ends by itself"):
            build(significant=True)
        assert build(significant=True, restart="transient").significant


def test_v4_a_significant_child_that_counts_for_nothing_is_refused_at_construction() -> None:
    for child in (
        Child("a", Plain, restart="transient", significant=True),
        Supervisor("a", restart="temporary", significant=True),
    ):
        with pytest.raises(ChildSpecError, match=r"significant needs a supervisor with auto_shutdown="):
            Supervisor("s", children=[child])
        Supervisor("s", auto_shutdown="any_significant", children=[child])


def test_v4_a_significant_template_is_refused() -> None:
    """A dynamic supervisor and a pool never end by themselves."""
    significant = Child("m", Plain, restart="transient", significant=True)
    with pytest.raises(ChildSpecError):
        DynamicSupervisor("d", template=significant)
    with pytest.raises(ChildSpecError):
        Pool("p", significant, size=1)


@pytest.mark.anyio
async def test_v4_a_significant_child_that_counts_for_nothing_is_refused_at_its_start() -> None:
    diary = Diary()
    child = diary.child("a", "transient", significant=True)
    plain = Child("p", Plain, restart="transient", significant=True)
    async with open_system() as system:
        tree = await spawn_tree(system)
        crowd = await tree.start_child(DynamicSupervisor("crowd"))
        for supervisor in (tree, crowd, system.root):
            for spec in (child, plain, Supervisor("s", restart="transient", significant=True)):
                with pytest.raises(ChildSpecError, match="auto_shutdown"):
                    await supervisor.start_child(spec)
            assert spec.id not in await states_of(supervisor)
        assert diary.take() == []


@pytest.mark.anyio
async def test_v5_a_dynamic_supervisor_has_a_template_or_takes_full_specs() -> None:
    diary = Diary()
    async with open_system() as system:
        made = await system.spawn(DynamicSupervisor("made", template=diary.child("a")))
        assert (await made.start()).path == "made/a-1"
        full = await system.spawn(DynamicSupervisor("full"))
        assert (await full.start_child(diary.child("b"))).path == "full/b"
        with pytest.raises(ChildSpecError, match=r"DynamicSupervisor.template must be a Child"):
            await full.start()
        assert await counts_of(full) == (1, 1, 0, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("most", [0, 2])
async def test_v5_a_dynamic_supervisor_has_at_most_max_children(most: int) -> None:
    diary = Diary()
    async with open_system() as system:
        spec = DynamicSupervisor("crowd", template=diary.child("a"), max_children=most)
        crowd = await system.spawn(spec)
        refs = [await crowd.start() for _ in range(most)]
        with pytest.raises(MaxChildrenError, match="one too many") as caught:
            await crowd.start()
        assert caught.value.max_children == most
        with pytest.raises(MaxChildrenError):
            await crowd.start_child(diary.child("b"))
        for ref in refs:
            await crowd.terminate_child(ref)
            assert (await crowd.start()).is_alive
