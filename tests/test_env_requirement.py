"""The plain forms of requirements and versions are read as ``packaging`` reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Reference
from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.utils import canonicalize_name as reference_name
from packaging.version import Version

from explint.environment.requirement import (
    canonicalize_name,
    is_version,
    read_specifiers,
    strict_requirement,
)

number = st.integers(0, 3).map(str)
release = st.lists(number, min_size=1, max_size=4).map(".".join)
version = st.one_of(release, st.sampled_from(["1.0rc1", "2!1.0", "v1.2", "1.0.post1", "1.0+cpu"]))
blank = st.sampled_from(["", " ", "\t", "  "])
operator = st.sampled_from(["<=", ">=", "<", ">", "==", "!=", "~=", "===", "=", "=>", "^"])
clause = st.builds(
    "{}{}{}{}".format, operator, blank, version, st.sampled_from(["", "", "", ".*", " "])
)
clauses = st.lists(clause, max_size=3).flatmap(
    lambda parts: st.sampled_from([",", ", ", " ,"]).map(lambda comma: comma.join(parts))
)
name = st.sampled_from(["torch", "hydra-core", "Pillow", "ruamel.yaml", "a_b", "-x", "x-", "a b"])
extras = st.sampled_from(["", "[all]", "[a, b-c]", " [all] ", "[]", "[a,]", "[a b]"])
tail = st.sampled_from(["", "", " ; python_version < '3.9'", " @ https://example.org/x.whl", " \n"])


@given(clauses, release)
def test_specifiers(text: str, candidate: str) -> None:
    ours = read_specifiers(text)
    try:
        theirs = SpecifierSet(text)
    except InvalidSpecifier:
        assert ours is None
        return
    assert ours is not None
    assert ours.contains(candidate) == theirs.contains(candidate)
    assert {Specifier(f"{c.operator}{c.version}") for c in ours.clauses} == set(theirs)
    lower = [Version(s.version) for s in theirs if s.operator == ">="]
    upper = [Version(s.version) for s in theirs if s.operator == "<"]
    empty = bool(lower and upper and max(lower) >= min(upper))
    found = ours.out_of_reach()
    assert (found is not None) == empty
    assert found is None or Version(found) == max(lower)


@given(name, extras, clauses, tail)
def test_requirements(name: str, extras: str, clauses: str, tail: str) -> None:
    text = f"{name}{extras}{clauses}{tail}"
    ours = strict_requirement(text)
    try:
        theirs = Reference(text)
    except InvalidRequirement:
        assert ours is None
        return
    assert ours is not None
    assert ours.name == theirs.name
    assert ours.extras == frozenset(theirs.extras)
    assert ours.url == theirs.url
    assert (ours.marker is None) == (theirs.marker is None)
    specifiers = {Specifier(f"{c.operator}{c.version}") for c in ours.specifier.clauses}
    assert specifiers == set(theirs.specifier)


@pytest.mark.parametrize("text", ["1", "1.2.3", "1.0rc1", "1..2", "", "x", "1.2.", "v1", " 1 "])
def test_versions(text: str) -> None:
    try:
        Version(text)
    except ValueError:
        assert not is_version(text)
    else:
        assert is_version(text)


@given(st.text(st.sampled_from("aB1-_."), min_size=1))
def test_names(name: str) -> None:
    assert canonicalize_name(name) == reference_name(name)
