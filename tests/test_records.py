"""Acceptance on the sample records beside the checkout, where they are.

``EXPLINT_RECORDS`` names another folder that holds ``seeds/`` with the records and
``acceptance/seeds.py``, which compares a report with what is known of each record.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import explint
from explint.model import PackageReport

ROOT = Path(__file__).resolve().parent.parent
RECORDS = Path(os.environ.get("EXPLINT_RECORDS", ROOT.parent / "shared"))
ACCEPTANCE = RECORDS / "acceptance" / "seeds.py"

pytestmark = pytest.mark.skipif(
    not (ACCEPTANCE.is_file() and (RECORDS / "seeds").is_dir()),
    reason="no sample records beside the checkout",
)


def test_structure_and_completeness_are_told_as_known() -> None:
    command = [sys.executable, str(ACCEPTANCE)]
    command += ["--explint", str(Path(sys.executable).parent / "explint")]
    command += ["--family", "structure", "--family", "complete"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def checked(number: str) -> PackageReport:
    (record,) = (RECORDS / "seeds").glob(f"{number}_*.txt")
    (package,) = explint.check(record).packages
    return package


@pytest.mark.parametrize(
    ("number", "profile", "given"),
    [("000", "trial-mode", "src/evaluate.py"), ("004", "full-trial", "src/train.py")],
)
def test_records_with_one_file_lack_the_other_six(number: str, profile: str, given: str) -> None:
    package = checked(number)
    assert package.profile.name == profile
    assert "prompt" in package.profile.reason
    empty = {f.path for f in package.findings if f.rule == "structure/empty-file"}
    assert len(empty) == 6
    assert given not in empty
    assert not package.verdict.is_code_ready


def test_a_whole_record_has_no_error_of_structure_or_completeness() -> None:
    package = checked("001")
    families = Counter(f.rule.partition("/")[0] for f in package.findings if f.severity == "error")
    assert families["structure"] == families["complete"] == 0
    assert package.profile.name == "trial-mode"
