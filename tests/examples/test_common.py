"""What the two applications share."""

from pathlib import Path

import anyio
import msgspec
import pytest

from examples.comic_maker.painter import PaintPanel
from examples.common.answers import list_of
from examples.common.checkpoints import Checkpoints
from examples.common.options import Options
from examples.common.report import reason
from examples.common.together import both, together
from relight import ActorCrashedError
from relight.testing import Recorder
from tests.examples.agents import chat

pytestmark = pytest.mark.anyio


class Made(msgspec.Struct, frozen=True):
    text: str
    usd: float


class Maker:
    """Makes things, and remembers which."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def make(self, text: str) -> Made:
        self.made.append(text)
        if text == "bad":
            raise ConnectionError("no")
        return Made(text, 0.5)


async def test_a_finished_step_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    maker, said = Maker(), list[str]()
    for _ in range(2):
        done = Checkpoints(tmp_path / "job", say=said.append)
        assert await done.step("video/picture-1", Made, maker.make, "goose") == Made("goose", 0.5)
        assert done.usd == 0.5
    assert maker.made == ["goose"]
    assert said == ["video/picture-1", "video/picture-1: kept"]


async def test_a_step_that_failed_is_done_again() -> None:
    maker, done = Maker(), Checkpoints()
    with pytest.raises(ConnectionError):
        await done.step("one", Made, maker.make, "bad")
    assert await done.step("one", Made, maker.make, "good") == Made("good", 0.5)


async def test_half_a_checkpoint_is_none(tmp_path: Path) -> None:
    """As a process leaves it that dies while it writes."""
    (tmp_path / "one.half").write_bytes(b"\x82")
    assert await Checkpoints(tmp_path).step("one", Made, Maker().make, "goose") == Made("goose", 0.5)


async def test_what_is_paid_for_is_kept_also_when_the_run_ends_in_that_moment(tmp_path: Path) -> None:
    async def make() -> Made:
        scope.cancel()
        return Made("goose", 0.5)

    with anyio.CancelScope() as scope:
        await Checkpoints(tmp_path).step("one", Made, make)
    assert (await Checkpoints(tmp_path).step("one", Made, Maker().make, "swan")).text == "goose"


async def test_of_several_things_the_others_are_finished_when_one_fails() -> None:
    maker = Maker()
    with pytest.raises(ConnectionError):
        await together(maker.make(text) for text in ("a", "bad", "b"))
    assert sorted(maker.made) == ["a", "b", "bad"]


async def test_things_that_differ_in_kind_come_back_in_order() -> None:
    async def count() -> int:
        return 1

    assert await both(Maker().make("a"), count()) == (Made("a", 0.5), 1)


@pytest.mark.parametrize("text", ["", "Sure!", '{"a": 1}', '["only one"]', '["a", "b"]', "[1, 2]"])
async def test_an_answer_that_is_no_such_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON list of 2 strings"):
        list_of(2)(chat(text))


async def test_an_answer_may_stand_in_a_fence() -> None:
    assert list_of(2)(chat('Here:\n```json\n["a tower", "a goose"]\n```')) == ["a tower", "a goose"]


async def test_another_text_or_count_has_checkpoints_of_its_own(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one")
    first = Options(count=2, text=text, work=tmp_path).folder()
    other = Options(count=3, text=text, work=tmp_path).folder()
    text.write_text("two")
    assert len({first, other, Options(count=2, text=text, work=tmp_path).folder()}) == 3
    assert Options(count=2).folder() is None


async def test_the_reason_is_what_made_the_first_of_them_crash() -> None:
    painter, order = Recorder("painter"), PaintPanel("a goose")
    crash = ActorCrashedError(painter, order, ConnectionError("no\n GPU"))
    assert reason(ActorCrashedError(painter, order, crash)) == "no GPU"
