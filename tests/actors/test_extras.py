"""The optional library: not imported before it is needed, and named when it is missing."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from relight.actors import HttpService, MissingExtraError
from relight.actors.providers import OpenAI


@pytest.mark.slow
def test_nothing_imports_the_http_library_before_a_service_is_built() -> None:
    program = "import sys, relight, relight.actors.providers; sys.exit('httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("build", [lambda: HttpService("http://localhost"), lambda: OpenAI("k")])
def test_a_missing_library_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, build: Callable[[], HttpService]
) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "relight.actors._transport", raising=False)
    with pytest.raises(MissingExtraError, match=r'pip install "relight\[http\]"') as caught:
        build()
    assert caught.value.extra == "http"
