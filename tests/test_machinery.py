"""What holds whatever the rules say: crashes stay alone, reports repeat, no file is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import explint
from explint import checker
from explint.experiment import Experiment
from explint.fingerprint import with_fingerprints
from explint.model import Confidence, Coverage, Finding, PackageReport, Severity
from explint.rules import python_rules
from explint.rules.registry import Hit, Unknown, rule

FILES: dict[str, str | bytes] = {
    "pyproject.toml": '[project]\nname = "tiny"\nversion = "0.1.0"\n',
    "config/config.yaml": "defaults:\n  - _self_\n  - run: ???\nmode: ???\nresults_dir: ???\n",
    "config/run/proposed-tiny.yaml": "# the proposed run\nrun_id: another-run\nmethod: tiny\n",
    "src/main.py": (
        '"""Starts a run."""\n\nimport hydra\n\n\n@hydra.main(version_base=None)\n'
        'def main(cfg):\n    if cfg.mode == "trial":\n        print("trial")\n    train(cfg)\n'
    ),
    "src/evaluate.py": "",
    "src/model.py": "import torch\n\n\nclass Tiny(torch.nn.Module):\n    width = 3\n",
    "src/preprocess.py": b"\xff\xfe not text",
}
"""A package with findings of the core and of the Python layer: files absent, empty and unreadable,
a run config without most of its sections."""


def check(files: Mapping[str, str | bytes], *, jobs: int = 1) -> PackageReport:
    return explint.check(files, jobs=jobs).packages[0]


@rule("hydra/fake-crash", code="HYD999", severity=Severity.ERROR, criteria=(2, 5))
def fake_crash(experiment: Experiment) -> Iterator[Hit | Unknown]:
    """Answers once and then fails.

    ## What it does
    """
    yield Hit(path="src/main.py", message="It is wrong.", help="Write it otherwise.")
    raise ZeroDivisionError(f"no runs in {experiment.package.id}")


@pytest.fixture
def _with_a_failing_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = python_rules()
    monkeypatch.setattr(checker, "python_rules", lambda: (fake_crash, *rules))


def test_a_failing_rule_costs_one_finding_and_its_criteria(
    request: pytest.FixtureRequest,
) -> None:
    files = {path: text for path, text in FILES.items() if path != "src/preprocess.py"}
    sound = check(files)
    request.getfixturevalue("_with_a_failing_rule")
    report = check(files)

    (crash,) = [f for f in report.findings if f.rule == "internal/rule-crash"]
    assert "hydra/fake-crash" in crash.message
    assert "ZeroDivisionError" in crash.message
    assert crash.severity is Severity.WARNING
    assert [f for f in report.findings if f is not crash] == list(sound.findings)
    assert sound.complete
    assert not report.complete
    assert report.verdict.is_code_ready == sound.verdict.is_code_ready
    assert report.verdict.code_issue == sound.verdict.code_issue


@pytest.mark.usefixtures("_with_a_failing_rule")
def test_a_criterion_whose_rule_failed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    # Criterion 5 is met by a package that holds every file the profile asks for: none here.
    report = explint.check({"src/main.py": "print(1)\n"}, profile="hydra-wandb").packages[0]
    assert report.verdict.criteria["5"] == "unknown"
    (why,) = [u for u in report.verdict.undecided if u.criterion == 5]
    assert "hydra/fake-crash" in why.reason

    monkeypatch.undo()
    report = explint.check({"src/main.py": "print(1)\n"}, profile="hydra-wandb").packages[0]
    assert report.verdict.criteria["5"] == "met"


def encoded(report: PackageReport) -> bytes:
    return msgspec.json.encode(report)


def test_the_package_used_here_has_findings_of_both_layers() -> None:
    report = check(FILES)
    found = {f.rule for f in report.findings}
    assert {"structure/missing-file", "structure/empty-file", "hydra/missing-section"} <= found
    assert [f.path for f in report.coverage.failed] == ["src/preprocess.py"]
    assert not report.complete


def test_order_of_files_and_number_of_threads_change_nothing() -> None:
    expected = encoded(check(FILES))
    paths = list(FILES)
    for seed in range(5):
        random.Random(seed).shuffle(paths)
        assert encoded(check({path: FILES[path] for path in paths}, jobs=seed)) == expected


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)


def test_many_packages_come_in_the_same_order_whatever_the_threads(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / f"package-{number}", {**FILES, "src/train.py": f"STEPS = {number}\n"})
    once = explint.check(tmp_path, jobs=1)
    again = explint.check(tmp_path, jobs=3)
    assert len(once.packages) == 40
    assert once.packages == again.packages
    assert once.summary.by_rule == again.summary.by_rule


def test_line_ends_change_nothing() -> None:
    crlf = {
        path: text.replace("\n", "\r\n") if isinstance(text, str) else text
        for path, text in FILES.items()
    }
    assert check(crlf).findings == check(FILES).findings


def test_a_relative_root_changes_only_the_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tiny", FILES)
    absolute = explint.check(tmp_path / "tiny").packages[0]
    monkeypatch.chdir(tmp_path)
    for location in ("tiny", "./tiny", "tiny/", "tiny/../tiny"):
        relative = explint.check(location).packages[0]
        assert relative.findings == absolute.findings
        assert relative.coverage == absolute.coverage
        assert relative.verdict == absolute.verdict
    monkeypatch.chdir(tmp_path / "tiny")
    assert explint.check(".").packages[0].findings == absolute.findings


def finding(rule_name: str, line: int) -> Finding:
    return Finding(
        rule=rule_name,
        code="HYD999",
        severity=Severity.ERROR,
        confidence=Confidence.HIGH,
        message="It is wrong.",
        help="Write it otherwise.",
        path="src/train.py",
        line=line,
        criteria=(),
    )


lines = st.lists(st.sampled_from(["x = 1", "  x  =  1", "y = 2", "", "z = f(x, y)"]), max_size=12)


@given(before=lines, inserted=lines, after=lines, data=st.data())
def test_fingerprints_survive_inserted_lines(
    before: list[str], inserted: list[str], after: list[str], data: st.DataObject
) -> None:
    text = [*before, "the line", *after]
    numbers = data.draw(st.lists(st.integers(1, len(text)), min_size=1, max_size=6, unique=True))
    findings = [finding("a/rule", line) for line in sorted(numbers)]
    moved = [finding("a/rule", f.line + len(inserted) * (f.line > len(before))) for f in findings]
    new_text = [*before, *inserted, *text[len(before) :]]

    stamps = [f.fingerprint for f in with_fingerprints(findings, {"src/train.py": text}.get)]
    again = [f.fingerprint for f in with_fingerprints(moved, {"src/train.py": new_text}.get)]
    assert stamps == again
    assert len(set(stamps)) == len(stamps)


def test_fingerprints_tell_rules_and_paths_apart() -> None:
    findings = [finding("a/rule", 1), finding("b/rule", 1)]
    findings.append(msgspec.structs.replace(findings[0], path="src/main.py"))
    stamps = [f.fingerprint for f in with_fingerprints(findings, lambda _: ["x = 1"])]
    assert len(set(stamps)) == 3


@given(st.lists(st.sampled_from(["# a note", "", "# another note"]), max_size=5))
def test_fingerprints_of_a_check_survive_lines_above(inserted: list[str]) -> None:
    path = "config/run/proposed-tiny.yaml"
    text = FILES[path]
    assert isinstance(text, str)
    above = "".join(f"{line}\n" for line in inserted)
    before = [f for f in check(FILES).findings if f.path == path]
    after = [f for f in check({**FILES, path: above + text}).findings if f.path == path]
    assert [f.fingerprint for f in after] == [f.fingerprint for f in before]
    # What concerns the file as a whole stays at its start.
    moved = [f.line + len(inserted) if f.line > 1 else 1 for f in before]
    assert [f.line for f in after] == moved
    assert max(moved) > 1


# Other characters come out escaped, so that a report can be shown; tests of sources have them.
printable = st.characters(
    codec="utf-8", exclude_categories=("C", "Zl", "Zp"), exclude_characters="/\\"
)
names = st.sampled_from(
    [
        *("src", "config", "run", "data", ".git", "__pycache__", ".venv", "node_modules"),
        *("main.py", "train.py", "config.yaml", "pyproject.toml", "weights.pt", "notes", "ü.py"),
    ]
) | st.text(printable, min_size=1, max_size=8)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
contents = (
    st.binary(max_size=200)
    | st.sampled_from([b"", b"\n", b"\xef\xbb\xbfx = 1\n", b"def f(:\n", b"a: [1\n", b"x = 1\r\n"])
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)


def assert_every_file_has_one_bucket(files: set[str], coverage: Coverage) -> None:
    skipped = [s.path.rstrip("/") for s in coverage.skipped]
    failed = [f.path for f in coverage.failed]
    named = [*skipped, *failed]
    assert len(set(named)) == len(named)
    assert all(s.reason for s in coverage.skipped)
    assert all(f.reason for f in coverage.failed)
    left_out = {
        path
        for path in files
        if any(str(p) in skipped for p in (PurePosixPath(path), *PurePosixPath(path).parents))
    }
    assert set(failed) <= files
    assert left_out.isdisjoint(failed)
    assert coverage.scanned == len(files - left_out - set(failed))


@given(st.dictionaries(paths, contents, max_size=12))
@example({"src": b"", "src/main.py": b""})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_file_of_a_tree_ends_in_one_bucket(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    written = set()
    # What makes it a package comes first, so that nothing else can take its place.
    for path, content in {"src/train.py": b"x = 1\n", **tree}.items():
        target = root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError:
            continue  # `.`, `..`, or a name that is a file here and a folder there
        if target.resolve().is_relative_to(root.resolve()):
            written.add(target.resolve().relative_to(root.resolve()).as_posix())
    report = explint.check(root)
    assert not report.summary.input_errors
    (package,) = report.packages
    assert_every_file_has_one_bucket(written, package.coverage)


@given(st.dictionaries(st.sampled_from([*FILES, "a.py", "data/table.csv"]), contents, max_size=9))
def test_every_file_in_memory_ends_in_one_bucket(files: dict[str, bytes]) -> None:
    report = explint.check(files)
    (package,) = report.packages
    assert_every_file_has_one_bucket(set(files), package.coverage)
    assert report.summary.scanned == package.coverage.scanned
    assert report.summary.skipped == len(package.coverage.skipped)
    assert report.summary.failed == len(package.coverage.failed)
