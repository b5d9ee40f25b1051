"""Restart intensity: too many restarts within a period, and the supervisor gives up."""

from hypothesis import given
from hypothesis import strategies as st

from relight.supervisors import RestartWindow

moments = st.lists(st.floats(0.0, 1000.0), max_size=50).map(sorted)


# --- the window, a pure machine ---


def test_a_window_allows_as_many_restarts_as_its_intensity() -> None:
    window = RestartWindow(2, 5.0)
    assert [window.add(0.0), window.add(1.0), window.add(2.0)] == [True, True, False]


def test_a_window_of_intensity_zero_allows_none() -> None:
    assert not RestartWindow(0, 5.0).add(0.0)


def test_a_cleared_window_has_forgotten_all() -> None:
    window = RestartWindow(1, 5.0)
    window.add(0.0)
    window.clear()
    assert window.count(0.0) == 0
    assert window.add(0.0)


@given(
    intensity=st.integers(0, 5),
    period=st.floats(0.001, 100.0),
    moments=moments,
)
def test_a_window_agrees_with_counting_everything(
    intensity: int, period: float, moments: list[float]
) -> None:
    window = RestartWindow(intensity, period)
    seen: list[float] = []
    for moment in moments:
        seen.append(moment)
        recent = sum(1 for earlier in seen if earlier >= moment - period)
        assert window.add(moment) == (recent <= intensity)
        assert window.count(moment) == recent


@given(moments=moments)
def test_a_window_forgets_what_has_left_it(moments: list[float]) -> None:
    window = RestartWindow(3, 10.0)
    for moment in moments:
        window.add(moment)
        assert window.count(moment + 10.1) == 0
