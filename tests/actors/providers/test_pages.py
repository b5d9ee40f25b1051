"""Each provider has a page that says how it is retried, with tables that are made from the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from relight.actors.providers import PROVIDERS
from tests.support.tree import ROOT

PAGES = ROOT / "docs/providers"
TOOL = [sys.executable, str(ROOT / "tools/provider_pages.py")]

pytestmark = pytest.mark.slow


def check(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TOOL, "--check", *options], check=False, capture_output=True, text=True)


def test_the_tables_are_what_the_code_says() -> None:
    """If not: ``python tools/provider_pages.py``."""
    done = check()
    assert (done.returncode, done.stdout) == (0, "")


def test_a_missing_and_an_old_page_are_named_with_the_command(tmp_path: Path) -> None:
    for page in PAGES.glob("*.md"):
        (tmp_path / page.name).write_text(page.read_text())
    (tmp_path / "runpod.md").unlink()
    old = (tmp_path / "openai.md").read_text().replace("| `concurrency` | 8 |", "| `concurrency` | 9 |")
    (tmp_path / "openai.md").write_text(old)
    done = check("--docs", str(tmp_path))
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "docs/providers/openai.md",
        "docs/providers/runpod.md",
    ]
    assert all("run: python tools/provider_pages.py" in line for line in done.stdout.splitlines())


def test_a_page_is_made_for_a_provider_without_one(tmp_path: Path) -> None:
    assert subprocess.run([*TOOL, "--docs", str(tmp_path)], check=False).returncode == 0
    assert check("--docs", str(tmp_path)).returncode == 0


@pytest.mark.parametrize("provider", [*(service.provider for service in PROVIDERS), "http"])
def test_a_page_says_why_money_is_never_retried(provider: str) -> None:
    text = (PAGES / f"{provider}.md").read_text()
    assert "\n## Quota: never, and why\n" in text
    assert re.search(r"^\| quota \| never \| 1 \| - \| blocked at once", text, re.MULTILINE)
