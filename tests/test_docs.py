"""What the documents show is so, and the examples run.

Every fenced block of README.md and docs/ names its language.

python
    is run, offline, with warnings as errors. Each block is a program of its own; one with
    ``<!-- continued -->`` right before it goes on where the last one stopped. What it prints is
    compared with the ``text`` block after it (blank lines and one line of prose ending in a colon
    may stand between) or with its own ``# prints: 42`` comments. In both, ``...`` stands for anything.
console
    Lines ``$ python ...`` and ``$ relight ...`` are run in order, with environment assignments before
    them, and must end with status 0; what they print is not compared. Of ``$ make ...`` only the
    targets are looked up.
toml, json
    must be well-formed.
text, mermaid
    are only read.

A comment right before a block changes that:

``<!-- not run: needs an API key -->``
    The block is not run; a text block is not the output of the block before. The reason is required.
``<!-- file: relight.toml -->``
    The block is written to the document's folder, where its programs and commands run.
``<!-- from: examples/bank.py -->``
    The block stands in that file, word for word, and is run there; a text block after it is what the
    file prints.
"""

from pathlib import Path

import pytest

from tests.support.documents import Checker
from tests.support.tree import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
"""Those in folders are applications: tests/examples runs them."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_a_document_shows_what_is_so(document: Path, tmp_path: Path) -> None:
    assert "\n\n".join(Checker(document, tmp_path, timeout=300.0).problems()) == ""


def test_every_example_is_run_where_a_document_says_what_it_prints(tmp_path: Path) -> None:
    run: set[Path] = set()
    for number, document in enumerate(DOCUMENTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        run.update(Checker(document, folder).shown_files())
    assert sorted(set(EXAMPLES) - run) == []


def problems(tmp_path: Path, text: str, *, timeout: float = 30.0) -> list[str]:
    """Check a sample document in a repository that holds one example and one Makefile target."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "one.py").write_text("total = 1\nprint(total)\n")
    (tmp_path / "Makefile").write_text(".PHONY: demo\nVENV := x\ndemo: x\n\tfalse\n")
    (tmp_path / "sample.md").write_text(text)
    (tmp_path / "work").mkdir()
    return list(Checker(tmp_path / "sample.md", tmp_path / "work", root=tmp_path, timeout=timeout).problems())


GOOD = {
    "output in a text block": "```python\nprint(6 * 7)\n```\n\nIt prints:\n\n```text\n42\n```\n",
    "output in comments": "```python\nprint(1)  # prints: 1\nprint(2)  # prints: 2\n```\n",
    "output with a gap": "```python\nprint('took 3 s')\nprint('b')\n```\n```text\ntook ... s\nb\n```\n",
    "text that is no output": "```python\nprint(1)\n```\nMore prose.\n\n```text\n2\n```\n",
    "text marked as no output": "```python\nprint(1)\n```\n<!-- not run: a drawing -->\n```text\n2\n```\n",
    "a continued block": "```python\na = 1\n```\nand\n<!-- continued -->\n```python\nassert a == 1\n```\n",
    "a class found by name": "```python\nimport pickle as p\nclass A: ...\np.dumps(A)\n```\n",
    "a main guard": "```python\nif __name__ == '__main__':\n    print(1)  # prints: 1\n```\n",
    "a block not run": "<!-- not run: it fails -->\n```python\n1 / 0\n```\n",
    "a shown file": "<!-- from: examples/one.py -->\n```python\nprint(total)\n```\n",
    "what a shown file prints": (
        "<!-- from: examples/one.py -->\n```python\nprint(total)\n```\n```text\n1\n```\n"
    ),
    "a file that is used": "<!-- file: a.py -->\n```python\n1\n```\n```console\n$ python a.py\n```\n",
    "commands": "```console\n$ make demo ARGS=-k\n$ python examples/one.py  # so\n1\n```\n",
    "a setting for a command": "```console\n$ A=1 python -c 'import os; os.environ[\"A\"]'\n```\n",
    "a nested fence": "````text\n```python\n1 / 0\n```\n````\n",
    "an indented block": "- item\n\n  ```python\n  if True:\n      print(1)  # prints: 1\n  ```\n",
}

BAD = {
    "wrong output": ("```python\nprint(41)\n```\n```text\n42\n```\n", "promises"),
    "wrong comment": ("```python\nprint(41)  # prints: 42\n```\n", "promises"),
    "an exception": ("# Title\n\n```python\nx = 1\n1 / 0\n```\n", 'sample.md", line 5'),
    "a name of another block": ("```python\na = 1\n```\n\n```python\na\n```\n", "NameError"),
    "an exit": ("```python\nimport sys\nsys.exit(1)\n```\n", "SystemExit"),
    "a hard exit": ("```python\nimport os\nos._exit(3)\n```\n", "status 3"),
    "an endless block": ("```python\nwhile True: ...\n```\n", "timed out"),
    "a warning": ("```python\nimport warnings\nwarnings.warn('old')\n```\n", "UserWarning"),
    "the network": (
        "```python\nimport socket\nsocket.create_connection(('192.0.2.1', 80))\n```\n",
        "offline",
    ),
    "no language": ("```\nmake\n```\n", "language"),
    "another language": ("```bash\nmake\n```\n", "language"),
    "no reason": ("<!-- not run -->\n```python\n1 / 0\n```\n", "say why"),
    "nothing to continue": ("<!-- continued -->\n```python\na = 1\n```\n", "no block before"),
    "a comment too far away": ("<!-- not run: x -->\nProse.\n\n```python\n1 / 0\n```\n", "ZeroDivisionError"),
    "drifted text": ("<!-- from: examples/one.py -->\n```python\nprint(all)\n```\n", "examples/one.py"),
    "wrong output of a shown file": (
        "<!-- from: examples/one.py -->\n```python\nprint(total)\n```\n```text\n2\n```\n",
        "promises",
    ),
    "bad settings": ("```toml\na = \n```\n", "Invalid value"),
    "bad json": ("```json\n{a: 1}\n```\n", "property name"),
    "a failing command": ("```console\n$ python -c 'raise SystemExit(4)'\n```\n", "status 4"),
    "an unknown target": ("```console\n$ make coffee\n```\n", "no target coffee"),
    "an unknown command": ("```console\n$ pip install relight\n```\n", "can't be checked"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_a_good_document_has_no_problems(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize(("text", "complaint"), BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_found_out(text: str, complaint: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, text, timeout=2.0 if complaint == "timed out" else 60.0)
    assert complaint in problem


def test_an_open_fence_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not closed"):
        problems(tmp_path, "```python\n1\n")
