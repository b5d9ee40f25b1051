import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relight.actors.ops.demo import Scene, cut_scenes, cut_text, read_story

COUNTS = st.integers(min_value=1, max_value=130)
WORDS = st.sampled_from(["He", "rowed", "naïve", "O'Neill", "7", "灯塔", "lamp-room", "unforgettable" * 9])
GLUE = st.sampled_from(
    [" ", " ", " ", ". ", "! ", "。", "\n", "\r\n", "\n\n", "\n \n", "\n\n***\n\n", "\n\n\n\n"]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(st.tuples(WORDS, GLUE), min_size=1, max_size=30))
    return "".join(word + glue for word, glue in pieces) * draw(st.integers(1, 12))


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


@pytest.mark.slow
@given(texts(), COUNTS)
@example("one", 100)
@example("word " * 5_000, 100)
@example("x" * 5_000, 7)
def test_there_are_as_many_scenes_as_comics_and_none_is_empty(text: str, count: int) -> None:
    scenes = cut_scenes(text, count)
    assert [scene.number for scene in scenes] == list(range(1, count + 1))
    assert all(letters(scene.text) for scene in scenes)


@pytest.mark.slow
@given(texts(), COUNTS)
@example("\n\n***\n\nA storm.\n\n***\n\n", 3)
@example("x" * 5_000, 7)
def test_cutting_loses_no_letter_and_keeps_the_order(text: str, count: int) -> None:
    assert letters("".join(cut_text(text, count))) == letters(text)


@pytest.mark.slow
@given(texts(), COUNTS)
def test_every_part_of_the_text_becomes_a_scene(text: str, count: int) -> None:
    scenes = [scene.text for scene in cut_scenes(text, count)]
    assert list(dict.fromkeys(scenes)) == list(dict.fromkeys(cut_text(text, count)))


@pytest.mark.slow
@given(texts(), COUNTS)
def test_words_are_cut_only_where_there_is_no_space_nearby(text: str, count: int) -> None:
    parts = cut_text(text, count)
    assert " ".join(parts).split() == [word for word in text.split() if word != "***"] or "。" in text


def test_scenes_that_share_a_part_are_told_from_different_angles() -> None:
    scenes = cut_scenes("The lamp went out. She lit it again.", 5)
    assert len({scene.text for scene in scenes}) == 1
    assert len({scene.angle for scene in scenes}) == 5


def test_a_long_text_is_cut_into_one_part_a_comic() -> None:
    text = "\n\n".join(f"Paragraph {number} has a few words to say. " * 8 for number in range(60))
    assert len({scene.text for scene in cut_scenes(text, 20)}) == 20


def test_cuts_fall_on_scene_breaks_that_are_near() -> None:
    scene = "He rowed and he rowed, and the light went out. " * 10
    first, second = cut_text(f"{scene}\n\nTo be cut here not.\n\n* * *\n\n{scene}", 2)
    assert first.endswith("here not.")
    assert second.startswith("He rowed")


def test_cuts_fall_on_sentence_ends_where_there_are_no_paragraphs() -> None:
    text = "He rowed and he rowed, and then the light went out for good. " * 40
    assert all(part.endswith("good.") for part in cut_text(text, 6))


def test_chinese_is_cut_at_its_own_full_stops() -> None:
    assert all(part.endswith("。") for part in cut_text("风暴中灯塔的灯熄灭了。她又把它点亮。" * 60, 4))


def test_an_excerpt_ends_at_a_word_and_says_that_more_follows() -> None:
    scene = Scene(1, "Nine boats came in. " * 10, "from far above")
    assert scene.excerpt(25) == "Nine boats came in. Nine …"
    assert scene.excerpt() == scene.text


def test_the_story_we_ship_has_scenes_enough() -> None:
    assert 1_800 <= len(read_story().split()) <= 2_500
    assert len(cut_text(read_story(), 100)) >= 30
