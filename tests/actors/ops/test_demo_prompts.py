from base64 import b64encode

import pytest

from relight.actors.ops.demo import read_image, read_panels

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
