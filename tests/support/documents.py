"""Check that what a document shows is so. The rules are written down in ``tests/test_docs.py``."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.support.markdown import Block, blocks_of
from tests.support.tree import ROOT

LANGUAGES: Final = frozenset({"python", "text", "toml", "console", "json", "mermaid"})
RUNNER: Final = Path(__file__).with_name("offline.py")
PRINTS: Final = re.compile(r"# prints: ?(.*)$", re.MULTILINE)


class Outcome(msgspec.Struct):
    """How running one block went."""

    output: str
    error: str


class Checker:
    """Checks one document, with *folder* as its working directory."""

    def __init__(self, document: Path, folder: Path, *, root: Path = ROOT, timeout: float = 60.0) -> None:
        self.document = document
        self.folder = folder
        self.root = root
        self.timeout = timeout
        self.blocks = list(blocks_of(document.read_text()))
        for name in ("examples", "docs", "README.md"):
            if (root / name).exists():
                (folder / name).symlink_to(root / name)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the document, one text each, naming the line."""
        for index, block in enumerate(self.blocks):
            problem = self._misplaced(block, index) or self._wrong_text(block)
            if problem:
                yield self._at(block, problem)
        yield from self._wrong_python()
        yield from self._wrong_examples()
        for block in self.blocks:
            if block.language == "console" and "not run" not in block.notes:
                yield from self._wrong_commands(block)

    def shown_files(self) -> Iterator[Path]:
        """Yield the files that are run because the document says what they print."""
        for index, block in enumerate(self.blocks):
            if _is_shown(block) and self._promised_output(index) is not None:
                yield self.root / block.notes["from"]

    def _at(self, block: Block, problem: str) -> str:
        return f"{self.document.name}:{block.line}: {problem}"

    def _misplaced(self, block: Block, index: int) -> str | None:
        if block.language not in LANGUAGES:
            return f"say which language it is: one of {', '.join(sorted(LANGUAGES))}"
        if block.notes.get("not run") == "":
            return "say why: <!-- not run: reason -->"
        if "continued" in block.notes and not any(_is_run(before) for before in self.blocks[:index]):
            return "there is no block before it to continue"
        return None

    def _wrong_text(self, block: Block) -> str | None:
        """Check what needs no running: settings, shown files and files to be made."""
        if source := block.notes.get("from"):
            shown = self.root / source
            if not shown.is_file() or block.text not in shown.read_text():
                return f"{source} does not hold this text"
        if name := block.notes.get("file"):
            (self.folder / name).write_text(block.text)
        try:
            if block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "json" and "not run" not in block.notes:
                json.loads(block.text)
        except ValueError as error:
            return str(error)
        return None

    def _wrong_python(self) -> Iterator[str]:
        programs = [
            (block, self._promised_output(index)) for index, block in enumerate(self.blocks) if _is_run(block)
        ]
        if not programs:
            return
        try:
            outcomes = self._run([block for block, _ in programs])
        except (subprocess.SubprocessError, ValueError) as error:
            yield f"{self.document.name}: {error}"
            return
        for (block, promised), outcome in zip(programs, outcomes, strict=False):
            if outcome.error:
                yield self._at(block, outcome.error)
            elif promised is not None and not _matches(promised, outcome.output):
                yield self._at(block, _difference(promised, outcome.output))

    def _wrong_examples(self) -> Iterator[str]:
        """Run the shown files of which the document says what they print."""
        for index, block in enumerate(self.blocks):
            promised = self._promised_output(index) if _is_shown(block) else None
            if promised is None:
                continue
            try:
                done = self._execute([sys.executable, "-W", "error", str(RUNNER), block.notes["from"]])
            except subprocess.SubprocessError as error:
                yield self._at(block, str(error))
                continue
            if done.returncode:
                yield self._at(block, f"ended with status {done.returncode}\n{done.stdout}{done.stderr}")
            elif not _matches(promised, done.stdout):
                yield self._at(block, _difference(promised, done.stdout))

    def _promised_output(self, index: int) -> str | None:
        """Return what the document says that block *index* prints, or None when it says nothing."""
        comments = PRINTS.findall(self.blocks[index].text)
        after = self.blocks[index + 1] if index + 1 < len(self.blocks) else None
        if after and after.follows and after.language == "text" and "not run" not in after.notes:
            return after.text
        return "\n".join(comments) if comments else None

    def _run(self, blocks: list[Block]) -> list[Outcome]:
        plan = self.folder / ".blocks.json"
        plan.write_text(
            json.dumps(
                [
                    {
                        "text": block.text,
                        "line": block.line,
                        "continued": "continued" in block.notes,
                        "document": self.document.name,
                    }
                    for block in blocks
                ]
            )
        )
        done = self._execute([sys.executable, "-W", "error", str(RUNNER), "--blocks", str(plan)])
        if done.returncode:
            raise ValueError(
                f"running its blocks ended with status {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return msgspec.json.decode(plan.read_bytes(), type=list[Outcome])

    def _wrong_commands(self, block: Block) -> Iterator[str]:
        for line in block.text.splitlines():
            if line.startswith("$ "):
                problem = self._wrong_command(line.removeprefix("$ "))
                if problem:
                    yield self._at(block, f"{line}\n{problem}")

    def _wrong_command(self, line: str) -> str | None:
        words = shlex.split(line, comments=True)
        environment: dict[str, str] = {}
        while words and "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        match words:
            case ["make", *targets]:
                return self._unknown_targets(targets)
            case ["python" | "python3", *arguments]:
                command = [sys.executable, *arguments]
            case ["relight", *arguments]:
                command = [sys.executable, "-m", "relight", *arguments]
            case _:
                return "can't be checked; put <!-- not run: reason --> before it"
        try:
            done = self._execute(command, environment)
        except subprocess.SubprocessError as error:
            return str(error)
        return f"ended with status {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else None

    def _unknown_targets(self, words: list[str]) -> str | None:
        known = set(re.findall(r"^([\w-]+):(?!=)", (self.root / "Makefile").read_text(), re.MULTILINE))
        unknown = [
            word for word in words if "=" not in word and not word.startswith("-") and word not in known
        ]
        return f"the Makefile has no target {', '.join(unknown)}" if unknown else None

    def _execute(
        self, command: list[str], environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.timeout,
            check=False,
        )


def _is_run(block: Block) -> bool:
    return block.language == "python" and not block.notes.keys() & {"not run", "file", "from"}


def _is_shown(block: Block) -> bool:
    return block.language == "python" and "from" in block.notes and "not run" not in block.notes


def _difference(promised: str, printed: str) -> str:
    return f"promises\n{promised}\nand prints\n{printed}"


def _matches(promised: str, printed: str) -> bool:
    """Compare outputs; ``...`` in *promised* stands for anything, trailing blanks don't count."""
    wanted, got = (
        "\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (promised, printed)
    )
    pattern = ".*?".join(re.escape(part) for part in wanted.split("..."))
    return re.fullmatch(pattern, got, re.DOTALL) is not None
