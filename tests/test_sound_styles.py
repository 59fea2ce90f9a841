"""Sound packages of different styles, of which every rule must stay silent at error severity."""

from __future__ import annotations

from pathlib import Path

import pytest

import explint
from case_files import Case, read_cases
from explint.model import Severity

STYLES = read_cases(Path(__file__).parent / "sound_styles.md")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.title)
def test_no_error_is_found(style: Case) -> None:
    (package,) = explint.check(style.package(), profile=style.profile).packages
    errors = [f for f in package.findings if f.severity is Severity.ERROR]
    assert not errors, style.source
