"""Which Python grammar requires-python calls for."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from explint.grammar import DEFAULT_MINOR, target_minor
from explint.source import package_of_files

LOWER = [f"{op}3.{n}" for op in (">=", ">= ", ">") for n in ("8", "11", "11.0", "11.1", "12")]
UPPER = ["", ",<4", ", < 4.0", ",<4.0.0", ",<3.11", ",<3.12", " , <3.13 ", ",<3.14", ",!=3.11.0"]


def minor(declared: str) -> int:
    text = f'[project]\nname = "x"\nrequires-python = "{declared}"\n'
    return target_minor(package_of_files({"pyproject.toml": text}))


@pytest.mark.parametrize("upper", UPPER)
@pytest.mark.parametrize("lower", LOWER)
def test_declarations_mean_what_packaging_says(lower: str, upper: str) -> None:
    wanted = SpecifierSet(lower + upper)
    admitted = [n for n in range(7, 15) if wanted.contains(f"3.{n}.99")]
    if wanted.contains(f"3.{DEFAULT_MINOR}.0"):
        admitted.insert(0, DEFAULT_MINOR)
    assert minor(lower + upper) == (admitted or [DEFAULT_MINOR])[0]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(">=3.12", 12), ("==3.9.*", 9), (">=3.8,<3.11", 8), ("~=3.13", 13), ("nonsense", 11)],
)
def test_another_version_only_where_the_default_is_excluded(declared: str, expected: int) -> None:
    assert minor(declared) == expected
