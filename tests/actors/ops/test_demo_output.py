import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from relight.actors.ops.demo import Comic, OutputError, Panel, Shelf, check_writable

NOW = datetime(2026, 11, 22, 7, 30, 5, tzinfo=UTC)


def test_a_run_gets_a_new_folder_named_by_date_and_seed(tmp_path: Path) -> None:
    shelf = Shelf.make(tmp_path / "comics", seed=7, now=NOW)
    assert shelf.folder == tmp_path / "comics" / "run-20261122-073005-seed7"
    assert shelf.folder.is_dir()


def test_a_run_never_writes_into_the_folder_of_another(tmp_path: Path) -> None:
    first = Shelf.make(tmp_path, seed=7, now=NOW)
    (first.folder / "mine.txt").write_text("keep")
    second = Shelf.make(tmp_path, seed=7, now=NOW)
    assert second.folder != first.folder
    assert list(second.folder.iterdir()) == []


def test_a_comic_is_stored_with_its_pictures(tmp_path: Path) -> None:
    shelf = Shelf.make(tmp_path, seed=7, now=NOW)
    comic = Comic(
        "comic-001", "from far above", "Four went out.", "1. A light.", [Panel("A light", "panel-1.png")]
    )
    shelf.put(comic, {"panel-1.png": b"\x89PNG"})
    folder = shelf.folder / "comic-001"
    assert (folder / "panel-1.png").read_bytes() == b"\x89PNG"
    assert msgspec.json.decode((folder / "comic.json").read_bytes(), type=Comic) == comic


def test_a_comic_may_be_stored_twice(tmp_path: Path) -> None:
    shelf = Shelf.make(tmp_path, seed=7, now=NOW)
    comic = Comic("comic-001", "", "", "", [])
    shelf.put(comic, {})
    shelf.put(comic, {})
    assert (shelf.folder / "comic-001" / "comic.json").exists()


def test_a_file_where_the_folder_should_be_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "comics").write_text("not a folder")
    with pytest.raises(OutputError, match=r"--out .*comics: can't write there") as caught:
        Shelf.make(tmp_path / "comics", seed=7, now=NOW)
    assert "\n" not in str(caught.value)


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--json"):
        check_writable("--json", tmp_path / "missing" / "out.json")


def test_checking_changes_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    check_writable("--json", kept)
    check_writable("--json", tmp_path / "new.json")
    check_writable("--json", Path(os.devnull))
    assert kept.read_text() == "{}"
    assert os.listdir(tmp_path) == ["kept.json"]
