"""The differential check itself: it makes scenarios again, finds what differs, and makes that small."""

from collections.abc import Sequence
from typing import cast

import pytest

from tests.supervisors.otp import differential
from tests.supervisors.otp.deviations import DEVIATIONS, is_comparable
from tests.supervisors.otp.differential import Mismatch, compare, main, relight_runner, report, shrunk
from tests.supervisors.otp.generator import make_scenario
from tests.supervisors.otp.otp import HOW_TO_GET, is_installed
from tests.supervisors.otp.relight_runner import Backend, run_scenarios
from tests.supervisors.otp.scenarios import Call, Dyn, Exit, Held, Scenario, Start, Sup, Worker, below
from tests.supervisors.otp.shrinker import shrink, smaller
from tests.supervisors.otp.terms import Term, read, read_all, write
from tests.supervisors.otp.traces import in_order

needs_erlang = pytest.mark.skipif(not is_installed(), reason=f"there is no Erlang here; {HOW_TO_GET}")

PAIR = Sup("s", "one_for_all", restart="temporary", children=(Worker("a"), Worker("b")))


# --- with Erlang ---


@needs_erlang
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_relight_does_what_otp_does(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--scenarios", "25", "--seed", "4", "--backend", backend])
    said = capsys.readouterr().out
    assert status == 0, said
    assert f"25 scenarios of seed 4 on {backend} against OTP: 0 mismatches" in said
    assert all(what in said for what in DEVIATIONS)


@needs_erlang
@pytest.mark.slow
def test_a_mistake_in_relight_is_found_made_small_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(differential, "relight_runner", _swapping_runner)
    assert main(["--scenarios", "5", "--seed", "1", "--show", "1"]) == 1
    said = capsys.readouterr().out
    assert "as small as it gets" in said
    assert "OTP     [{stop," in said
    number = said.partition("--- scenario ")[2].partition(",")[0]
    assert f"again: python -m tests.supervisors.otp.differential --seed 1 --only {number}" in said
    assert main(["--seed", "1", "--only", number, "--show", "0"]) == 1


def _swapping_runner(backend: Backend) -> differential.Runner:
    """Run relight, and swap the first two stops that follow one another in a log."""
    real = relight_runner(backend)

    def run(scenarios: Sequence[Scenario]) -> list[Term]:
        return [_with_stops_swapped(trace) for trace in real(scenarios)]

    return run


def _with_stops_swapped(trace: Term) -> Term:
    steps = list(cast("list[tuple[Term, list[Term], Term, Term]]", trace))
    for number, (results, log, ends, snapshot) in enumerate(steps):
        for place in range(len(log) - 1):
            pair = log[place : place + 2]
            if all(isinstance(line, tuple) and line[0] == "stop" for line in pair):
                swapped = [*log[:place], pair[1], pair[0], *log[place + 2 :]]
                steps[number] = (results, swapped, ends, snapshot)
                return list(steps)
    return list(steps)


def test_without_erlang_the_check_says_so_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([]) == 0
    assert capsys.readouterr().out == f"differential check skipped: there is no Erlang here; {HOW_TO_GET}\n"


# --- the comparison ---


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_what_happens_is_seen_in_order(backend: Backend) -> None:
    scenario = Scenario(PAIR, (Exit("a"), Call("terminate_child", "s", "nobody")))
    start, crash, refused, stop = cast("list[Term]", run_scenarios([scenario], backend)[0])
    at_rest: Term = [("s", [("b", "up"), ("a", "up")], [2, 2, 0, 2])]
    assert start == (["ok"], [("start", "a"), ("start", "b")], [], at_rest)
    log: Term = [("stop", "a", "boom"), ("stop", "b", "shutdown"), ("start", "a"), ("start", "b")]
    assert crash == (["ok"], log, [], at_rest)
    assert refused == (["not_found"], [], [], at_rest)
    assert stop == (["ok"], [("stop", "b", "shutdown"), ("stop", "a", "shutdown")], [("s", "normal")], [])


@pytest.mark.slow
def test_a_planted_mistake_is_found_and_made_small() -> None:
    """Two events of one trace are swapped: what is left is a tree of two and nothing that happens."""
    scenarios = [make_scenario(1, number) for number in range(10)]
    right, wrong = relight_runner("trio"), _swapping_runner("trio")
    found = compare(scenarios, right, wrong)
    assert found
    small = shrunk(found[0], right, wrong)
    assert small.scenario.events == ()
    assert len(list(below(small.scenario.tree))) == 3
    assert "first differs in step 1, the stop:" in report(small)


def test_a_report_draws_the_tree_and_shows_both_sides() -> None:
    scenario = Scenario(
        Sup(
            "s",
            children=(
                PAIR,
                Dyn("d", significant=True),
                Worker("c", outcomes=("ok", "fail"), style="factory"),
            ),
        ),
        (
            Held(
                "s",
                (
                    Exit("c", "kill"),
                    Call("start_child", "s", Sup("t", children=(Worker("e", shutdown="brutal"),))),
                ),
            ),
        ),
    )
    same: Term = (["ok"], [], [], [])
    otp: Term = [same, (["ok", "ok"], [("start", "c")], [], []), same]
    ours: Term = [same, (["ok", "ok"], [], [], []), same]
    said = report(Mismatch(0, scenario, otp, ours)).splitlines()
    assert said == [
        "s: one_for_one, intensity 3, permanent",
        "    s: one_for_all, intensity 3, temporary",
        "        a: permanent",
        "        b: permanent",
        "    d: dynamic, intensity 3, permanent, of permanent children, significant",
        "    c: permanent, starts ok,fail, (factory)",
        (
            "  1. while s is suspended: c is killed; "
            "s.start_child(t: one_for_one, intensity 3, permanent [e: permanent, brutal])"
        ),
        "",
        (
            "first differs in step 1, while s is suspended: c is killed; "
            "s.start_child(t: one_for_one, intensity 3, permanent [e: permanent, brutal]):"
        ),
        "  results  [ok,ok]",
        "  log      OTP     [{start,c}]",
        "           relight []",
        "  ended    []",
        "  at rest  []",
    ]


def test_a_run_that_failed_is_told_as_it_is() -> None:
    said = report(Mismatch(0, Scenario(PAIR), ("runner_failed", "timeout"), []))
    assert said.splitlines()[-2:] == ["OTP     {runner_failed,timeout}", "relight []"]


def test_only_the_stops_of_a_dynamic_supervisors_children_have_no_order() -> None:
    first, second, other = (("stop", name, "shutdown") for name in ("d1_1", "d1_2", "a"))
    crash: Term = ("stop", "d1_1", "boom")
    start: Term = ("start", "d1_1")
    log: list[Term] = [second, first, start, other, second, crash, first]
    ordered: list[Term] = [first, second, start, other, second, crash, first]
    assert in_order([([], log, [], [])]) == [([], ordered, [], [])]


# --- the generator and the shrinker ---


def test_a_seed_and_a_number_always_make_the_same_scenario() -> None:
    made = [make_scenario(3, number) for number in range(50)]
    assert made == [make_scenario(3, number) for number in range(50)]
    assert len({scenario.text() for scenario in made}) == 50
    assert made != [make_scenario(4, number) for number in range(50)]


def test_scenarios_keep_clear_of_the_deviations_and_cover_the_rest() -> None:
    made = [make_scenario(1, number) for number in range(400)]
    assert all(is_comparable(scenario) for scenario in made)
    text = "\n".join(write(scenario.term()) for scenario in made)
    words = "one_for_one one_for_all rest_for_one any_significant all_significant dyn brutal ignore fail kill"
    verbs = "start_child terminate_child restart_child delete_child which_children count_children"
    dynamic = "start_dynamic terminate_dynamic count_dynamic permanent transient temporary held normal boom"
    assert [word for word in f"{words} {verbs} {dynamic}".split() if word not in text] == []


CROWD = Dyn("d", restart="temporary")
LATE_IGNORE = Call("start_dynamic", "d", Start("d_1", ("ok", "ignore")))
ASK = Held("t", (Call("which_children", "t"),))


@pytest.mark.parametrize(
    ("tree", "events"),
    [
        (Sup("s"), ()),
        (Sup("s", restart="temporary", children=(Sup("t"),)), (ASK,)),
        (Sup("s", restart="temporary"), (Call("start_child", "s", Sup("t")), ASK)),
        (CROWD, (Held("d", (Call("count_dynamic", "d"),)),)),
        (CROWD, (Held("d", (Exit("d_1"), Call("terminate_dynamic", "d", "d_1"))),)),
        (CROWD, (LATE_IGNORE,)),
        (CROWD, (Held("d", (LATE_IGNORE,)),)),
    ],
)
def test_a_scenario_that_shows_a_deviation_is_not_compared(
    tree: Sup | Dyn, events: tuple[Exit | Call | Held, ...]
) -> None:
    assert not is_comparable(Scenario(tree, events))


def test_a_scenario_shrinks_to_what_its_mismatch_needs() -> None:
    def failing(scenarios: Sequence[Scenario]) -> list[bool]:
        return [
            "{exit,b,normal}" in (text := write(each.term())) and "{worker,b" in text for each in scenarios
        ]

    scenario = Scenario(
        Sup("s", "rest_for_one", 2, restart="temporary", children=(Worker("a"), Worker("b", "transient"))),
        (Exit("a"), Held("s", (Exit("b", "normal"), Exit("a"), Call("which_children", "s"))), Exit("b")),
    )
    small = Sup("s", "one_for_one", 8, restart="temporary", children=(Worker("b"),))
    assert shrink(scenario, failing) == Scenario(small, (Exit("b", "normal"),))


def test_what_cannot_be_made_smaller_stays() -> None:
    scenario = make_scenario(1, 5)
    assert shrink(scenario, lambda scenarios: [False for _ in scenarios]) == scenario


def test_smaller_scenarios_are_different_ones_that_can_be_compared() -> None:
    for number in range(30):
        scenario = make_scenario(2, number)
        made = list(smaller(scenario))
        assert len(set(made)) == len(made)
        assert scenario not in made
        assert all(is_comparable(each) for each in made)


# --- terms ---


@pytest.mark.parametrize("text", ["a", "[]", "{}", "[1,-2,{a,[b]}]", "'end'", "'two words'", "{shutdown,x}"])
def test_terms_are_read_as_they_are_written(text: str) -> None:
    assert write(read(text)) == text


def test_terms_follow_one_another() -> None:
    assert list(read_all("{a,\n 1}.\n[b]. c")) == [("a", 1), ["b"], "c"]


@pytest.mark.parametrize("text", ["", "a b", "A", "[a", "}"])
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"term|unexpected"):
        read(text)
