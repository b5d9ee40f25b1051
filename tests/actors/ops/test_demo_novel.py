from pathlib import Path

import pytest

from relight.actors.ops.demo import MAX_NOVEL_BYTES, NovelError, read_novel


@pytest.mark.parametrize(
    "data",
    [b"One lamp.\nTwo.", b"\xef\xbb\xbfOne lamp.", b"One lamp.\r\n\r\nTwo.\r\n", "灯".encode(), b"7"],
)
def test_a_text_is_read_with_or_without_a_mark_and_with_any_line_ends(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "novel.txt"
    file.write_bytes(data)
    assert read_novel(file) == data.decode("utf-8-sig")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\n***\n - \n", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("One lamp.".encode("utf-16"), "binary"),
        (b"caf\xe9 au lait", "not UTF-8"),
        (b"x" * (MAX_NOVEL_BYTES + 1), "larger than 8 MB"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line_that_names_the_file(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    file = tmp_path / "novel.txt"
    file.write_bytes(data)
    with pytest.raises(NovelError, match=problem) as caught:
        read_novel(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_the_largest_text_allowed_is_read(tmp_path: Path) -> None:
    file = tmp_path / "novel.txt"
    file.write_bytes(b"x" * MAX_NOVEL_BYTES)
    assert len(read_novel(file)) == MAX_NOVEL_BYTES


@pytest.mark.parametrize(
    ("path", "problem"), [("missing.txt", "no such file"), (".", "is a directory"), ("/dev/zero", "regular")]
)
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, path: str, problem: str) -> None:
    with pytest.raises(NovelError, match=problem) as caught:
        read_novel(tmp_path / path)
    assert str(caught.value).count("--novel /") == 1


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "novel.txt"
    file.write_text("One lamp.")
    with pytest.raises(NovelError, match="can't be read"):
        read_novel(file / "chapter.txt")
