"""What is done with the figures; never how large they are."""

import pytest

from relight.bench.harness import (
    Figure,
    Measured,
    Stage,
    Target,
    figure,
    in_turns,
    percentile,
    spread,
    summary,
)

STAGE = Stage(backend="trio", seconds=0.0)


def judged(measured: Measured, target: Target | None) -> Figure:
    return figure("question", STAGE, measured, target=target)


def test_the_best_rounds_are_compared() -> None:
    measured = summary([3.0, 2.0, 5.0], [1.0, 2.0, 0.5])
    assert (measured.value, measured.floor, measured.ratio, measured.rounds) == (2.0, 0.5, 4.0, 3)


def test_noise_is_the_width_of_the_middle_half_of_the_ratios() -> None:
    assert spread([1.0, 1.0, 1.0]) == 0.0
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.0 / 3.0)
    assert spread([1.0]) == 0.0


def test_a_percentile_is_one_of_the_samples() -> None:
    samples = [float(number) for number in range(1, 101)]
    assert percentile(samples, 0.99) == 99.0
    assert percentile(samples, 0.5) == 50.0
    assert percentile([7.0], 0.99) == 7.0


def test_scaling_keeps_the_ratio_unless_the_floor_has_another_unit() -> None:
    measured = Measured(value=2.0, floor=1.0, ratio=2.0)
    assert measured.scaled(1e6).ratio == 2.0
    assert measured.scaled(1e6).value == 2e6
    halved = measured.scaled(1.0, 0.5)
    assert (halved.floor, halved.ratio) == (0.5, 4.0)


@pytest.mark.parametrize(
    ("target", "met"),
    [(Target(2.0), True), (Target(1.9), False), (Target(10.0, "value"), True), (None, None)],
)
def test_a_figure_is_held_against_its_target(target: Target | None, met: bool | None) -> None:
    assert judged(Measured(value=10.0, floor=5.0, ratio=2.0), target).met is met


@pytest.mark.anyio
async def test_value_and_floor_take_turns_after_a_warm_up() -> None:
    order: list[str] = []

    async def value() -> float:
        order.append("value")
        return 2.0

    async def floor() -> float:
        order.append("floor")
        return 1.0

    measured = await in_turns(value, floor, 0.0, at_least=3)
    assert order == ["value", "floor"] * 4
    assert (measured.rounds, measured.ratio) == (3, 2.0)
