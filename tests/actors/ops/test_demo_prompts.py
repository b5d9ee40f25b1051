from base64 import b64encode

import anyio
import pytest

from relight.actors.ops.demo import read_image, read_panels, together
from relight.runtime import RefusalError
from relight.supervisors import FailureKind, ProviderError

FOUR = '["a lamp", "a boat", "a bell", "a tin"]'


@pytest.mark.parametrize("answer", [FOUR, f"Here you are:\n```json\n{FOUR}\n```", f"  {FOUR} "])
def test_four_panels_are_found_also_among_other_words(answer: str) -> None:
    assert read_panels(answer) == ["a lamp", "a boat", "a bell", "a tin"]


@pytest.mark.parametrize(
    "answer", ["", "I can't do that.", '["one"]', "[1, 2, 3, 4]", '["a", "b", "c", " "]', "]["]
)
def test_an_answer_without_four_panels_is_an_error(answer: str) -> None:
    with pytest.raises(ValueError, match="4 panels"):
        read_panels(answer)


def test_a_picture_is_read_from_base64_and_from_a_data_url() -> None:
    text = b64encode(b"\x89PNG").decode()
    assert read_image({"images": [text]}) == b"\x89PNG"
    assert read_image({"images": [f"data:image/png;base64,{text}"]}) == b"\x89PNG"


@pytest.mark.parametrize("output", [None, "x", {}, {"images": []}, {"images": [7]}, {"images": ["%%"]}])
def test_an_output_without_a_picture_is_an_error(output: object) -> None:
    with pytest.raises(ValueError, match="picture"):
        read_image(output)


async def number(value: int) -> int:
    # The later ones end first.
    for _ in range(5 - value):
        await anyio.lowlevel.checkpoint()
    return value


@pytest.mark.anyio
async def test_results_come_in_the_order_asked_for() -> None:
    assert await together([lambda: number(1), lambda: number(2), lambda: number(3)]) == [1, 2, 3]
    assert await together([]) == []


@pytest.mark.anyio
async def test_a_failure_lets_the_others_finish() -> None:
    finished: list[int] = []

    async def fail() -> None:
        raise ProviderError("runpod", FailureKind.SERVER)

    async def finish() -> None:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        finished.append(1)

    with pytest.raises(ExceptionGroup) as caught:
        await together([fail, finish, finish])
    assert [type(error) for error in caught.value.exceptions] == [ProviderError]
    assert finished == [1, 1]


@pytest.mark.anyio
async def test_all_that_failed_is_told() -> None:
    async def fail(error: Exception) -> None:
        raise error

    refusal = RefusalError("runpod", "open", retry_after=1.0)
    failure = ProviderError("runpod", FailureKind.SERVER)
    with pytest.raises(ExceptionGroup, match="2 of 2 failed") as caught:
        await together([lambda: fail(refusal), lambda: fail(failure)])
    assert set(caught.value.exceptions) == {refusal, failure}
