"""The page of the fakes lists what they can do."""

from relight import fakes
from relight.actors.fakes import ERRORS, FaultKind, RetryAfterForm
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "fakes.md").read_text()


def test_every_fault_form_and_error_is_on_the_page() -> None:
    names = [*(kind.name for kind in FaultKind), *(form.name for form in RetryAfterForm)]
    names += [name for errors in ERRORS.values() for name in errors]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_short_name_offers_all_there_is() -> None:
    from relight.actors import fakes as face

    names: list[str] = face.__all__
    assert {name: getattr(fakes, name) for name in names} == {name: getattr(face, name) for name in names}
