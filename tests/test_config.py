"""Configuration: where it is found, what it may say, and what is shown because of it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explint import config
from explint.config import ConfigError, FailOn, Settings
from explint.model import Implementation, Rule, RuleStatus, Severity
from explint.select import Selection, SelectorError

SCHEMA = Path(__file__).parent.parent / "docs" / "schemas" / "config.schema.json"


def _rule(
    name: str,
    code: str,
    *criteria: int,
    status: RuleStatus = RuleStatus.STABLE,
) -> Rule:
    return Rule(
        name=name,
        code=code,
        severity=Severity.ERROR,
        criteria=criteria,
        summary="",
        doc="",
        implementation=Implementation.CORE,
        status=status,
    )


RULES = (
    _rule("complete/todo-marker", "CMP002", 1),
    _rule("complete/future", "CMP099", 1, status=RuleStatus.PREVIEW),
    _rule("complete/past", "CMP098", 1, status=RuleStatus.DEPRECATED),
    _rule("internal/rule-crash", "INT001"),
    _rule("structure/missing-file", "STR001", 5),
    _rule("env/no-project-table", "ENV002", 5, 1),
)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    return tmp_path / "repo"


def _found(start: Path) -> Path | None:
    file = config.discover(start)
    return None if file is None else file.path


class TestDiscovery:
    def test_explint_toml_comes_before_pyproject_in_one_folder(self, repository: Path) -> None:
        own = _write(repository / "explint.toml", "")
        _write(repository / "pyproject.toml", "[tool.explint]\n")
        assert _found(repository) == own

    def test_the_nearest_file_wins(self, repository: Path) -> None:
        _write(repository / "explint.toml", "")
        near = _write(repository / "a" / "pyproject.toml", "[tool.explint]\n")
        (repository / "a" / "b").mkdir()
        assert _found(repository / "a" / "b") == near

    def test_a_pyproject_without_the_table_is_passed_over(self, repository: Path) -> None:
        above = _write(repository / "explint.toml", "")
        _write(repository / "a" / "pyproject.toml", "[project]\nname = 'a'\n")
        assert _found(repository / "a") == above

    def test_the_search_ends_at_the_repository_root(self, repository: Path) -> None:
        _write(repository.parent / "explint.toml", "")
        assert _found(repository) is None

    def test_a_worktree_whose_git_is_a_file_is_a_repository(self, tmp_path: Path) -> None:
        own = _write(tmp_path / "explint.toml", "")
        _write(tmp_path / ".git", "gitdir: elsewhere\n")
        (tmp_path / "a").mkdir()
        assert _found(tmp_path / "a") == own

    def test_outside_a_repository_only_the_folder_itself_is_searched(self, tmp_path: Path) -> None:
        _write(tmp_path / "explint.toml", "")
        (tmp_path / "a").mkdir()
        assert _found(tmp_path / "a") is None
        assert _found(tmp_path) == tmp_path / "explint.toml"

    def test_for_a_file_the_search_starts_in_its_folder(self, repository: Path) -> None:
        own = _write(repository / "explint.toml", "")
        assert _found(_write(repository / "record.txt", "x")) == own
        assert _found(repository / "not-there.txt") == own

    @pytest.mark.parametrize(
        "text", ["[project\nname = 'a'\n", "\x00", "a = " + "[" * 100_000, "x" * (2 << 20)]
    )
    def test_a_broken_pyproject_is_the_packages_own_defect(
        self, repository: Path, text: str
    ) -> None:
        above = _write(repository / "explint.toml", "")
        _write(repository / "a" / "pyproject.toml", text)
        assert _found(repository / "a") == above

    def test_a_pyproject_that_is_not_text_is_passed_over(self, repository: Path) -> None:
        (repository / "pyproject.toml").write_bytes(b"\xff\xfe[tool.explint]\n")
        assert _found(repository) is None

    def test_a_broken_pyproject_that_holds_the_table_is_an_error(self, repository: Path) -> None:
        path = _write(repository / "pyproject.toml", "[ tool . explint ]\npreview = yes\n")
        with pytest.raises(ConfigError, match="not valid TOML") as caught:
            config.discover(repository)
        assert caught.value.path == path
        assert "--isolated" in caught.value.help

    @pytest.mark.parametrize("text", ["select = ", "a = " + "[" * 100_000])
    def test_a_broken_explint_toml_is_an_error(self, repository: Path, text: str) -> None:
        path = _write(repository / "explint.toml", text)
        with pytest.raises(ConfigError, match=r"explint\.toml: not (valid|usable) TOML"):
            config.discover(repository)
        assert path.exists()

    def test_a_folder_named_like_a_configuration_is_none(self, repository: Path) -> None:
        (repository / "explint.toml").mkdir()
        assert _found(repository) is None

    def test_isolated_reads_nothing(self, repository: Path) -> None:
        _write(repository / "explint.toml", "broken")
        settings = config.resolve(repository, isolated=True)
        assert settings.config == config.Config()


class TestLoading:
    def _load(self, tmp_path: Path, text: str) -> config.Config:
        return config.load(config.read(_write(tmp_path / "explint.toml", text)))

    def test_every_key(self, tmp_path: Path) -> None:
        loaded = self._load(
            tmp_path,
            """
            profile = "full-trial"
            select = ["structure", "CMP002"]
            ignore = ["criterion:5"]
            fail-on = "warning"
            python = "3.12"
            preview = true
            exclude = ["legacy/**"]
            [severity]
            "complete/todo-marker" = "info"
            [per-path-ignores]
            "tests/**" = ["complete"]
            """,
        )
        assert loaded == config.Config(
            profile="full-trial",
            select=("structure", "CMP002"),
            ignore=("criterion:5",),
            fail_on=FailOn.WARNING,
            python="3.12",
            preview=True,
            exclude=("legacy/**",),
            severity={"complete/todo-marker": Severity.INFO},
            per_path_ignores={"tests/**": ("complete",)},
        )
        assert loaded.python_version() == (3, 12)

    @pytest.mark.parametrize(
        ("text", "message", "help"),
        [
            ("ignores = []", "explint.toml: ignores: unknown key", "Did you mean `ignore`?"),
            ("fail_on = 'error'", "fail_on: unknown key", "Did you mean `fail-on`?"),
            ("zzz = 1", "zzz: unknown key", "Known keys are baseline, exclude"),
            ("select = 'CMP002'", "select: expected `array`, got `str`", ""),
            ("select = [1]", "select[0]: expected `str`, got `int`", ""),
            ("fail-on = 'fatal'", "fail-on: invalid enum value 'fatal'", ""),
            ("python = '2.7'", "python: expected `str` matching regex", ""),
            ("severity = {CMP002 = 'bad'}", "severity[...]: invalid enum value 'bad'", ""),
        ],
    )
    def test_what_is_wrong_is_named_with_its_key(
        self, tmp_path: Path, text: str, message: str, help: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            self._load(tmp_path, text)
        assert message in str(caught.value)
        assert help in caught.value.help

    def test_a_profile_file_stands_beside_the_configuration(self, repository: Path) -> None:
        _write(repository / "explint.toml", "profile = 'lab/our.toml'\n")
        (repository / "a").mkdir()
        settings = config.resolve(repository / "a")
        assert settings.config.profile == str(repository / "lab" / "our.toml")

    def test_a_pyproject_named_by_hand_needs_the_table(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no \[tool\.explint\] table"):
            config.read(_write(tmp_path / "pyproject.toml", "[project]\n"))
        with pytest.raises(ConfigError, match="no such file"):
            config.read(tmp_path / "missing.toml")

    def test_a_tool_entry_that_is_no_table_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"tool\.explint: must be a table"):
            config.read(_write(tmp_path / "pyproject.toml", "[tool]\nexplint = 1\n"))


def test_flags_come_before_the_file_and_each_value_knows_its_origin(repository: Path) -> None:
    path = _write(repository / "explint.toml", "select = ['CMP002']\nfail-on = 'error'\n")
    settings = config.resolve(repository, flags={"select": ("structure",), "profile": None})
    assert settings.config.select == ("structure",)
    assert settings.origin["select"] == "--select"
    assert settings.origin["fail-on"] == str(path)
    assert settings.origin["profile"] == "default"
    assert set(settings.origin) == {f.encode_name for f in msgspec.structs.fields(config.Config)}


class TestSelection:
    def _shown(self, *select: str, ignore: tuple[str, ...] = (), preview: bool = False) -> set[str]:
        chosen = Selection.from_selectors(select, ignore, RULES, preview=preview)
        return {r.code for r in RULES if chosen.shows(r)}

    @pytest.mark.parametrize(
        ("select", "shown"),
        [
            ((), {"CMP002", "CMP098", "INT001", "STR001", "ENV002"}),
            (("all",), {"CMP002", "CMP098", "INT001", "STR001", "ENV002"}),
            (("structure",), {"STR001", "INT001"}),
            (("str001",), {"STR001", "INT001"}),
            (("structure/missing-file", "CMP002"), {"STR001", "CMP002", "INT001"}),
            (("criterion:5",), {"STR001", "ENV002", "INT001"}),
            (("CMP099",), {"CMP099", "INT001"}),
        ],
    )
    def test_what_selectors_mean(self, select: tuple[str, ...], shown: set[str]) -> None:
        assert self._shown(*select) == shown

    def test_the_narrower_selector_wins_and_a_tie_is_ignored(self) -> None:
        assert self._shown("STR001", ignore=("structure",)) == {"STR001", "INT001"}
        assert "STR001" not in self._shown("structure", ignore=("STR001",))
        assert self._shown("structure", ignore=("structure",)) == {"INT001"}
        assert "INT001" not in self._shown(ignore=("INT001",))

    def test_preview_rules_need_their_name_or_the_switch(self) -> None:
        assert "CMP099" not in self._shown("complete")
        assert "CMP099" in self._shown("complete", preview=True)
        assert "CMP099" not in self._shown(ignore=("CMP099",), preview=True)

    def test_selecting_a_deprecated_rule_by_name_is_remarked(self) -> None:
        [note] = Selection.from_selectors(("CMP098",), (), RULES).notes
        assert "complete/past is deprecated" in note
        assert Selection.from_selectors(("complete",), (), RULES).notes == ()

    @pytest.mark.parametrize(
        ("selector", "help"),
        [
            ("structur", "Did you mean `structure`?"),
            ("todo-marker", "Did you mean `complete/todo-marker`?"),
            ("CMP0O2", "Did you mean `CMP002`?"),
            ("C5", "A criterion is written `criterion:5`."),
            ("criterion:10", "Criteria are numbered 1 to 9."),
            ("", "`explint rules` lists them"),
        ],
    )
    def test_an_unknown_selector_says_what_was_meant(self, selector: str, help: str) -> None:
        with pytest.raises(SelectorError) as caught:
            self._shown(selector)
        assert help in caught.value.help


class TestSettings:
    def test_the_narrower_severity_wins(self, repository: Path) -> None:
        text = "[severity]\ncomplete = 'warning'\nCMP098 = 'info'\nall = 'error'\n"
        _write(repository / "explint.toml", text)
        assert config.resolve(repository).severities(RULES) == {
            "complete/todo-marker": Severity.WARNING,
            "complete/future": Severity.WARNING,
            "complete/past": Severity.INFO,
            "internal/rule-crash": Severity.ERROR,
            "structure/missing-file": Severity.ERROR,
            "env/no-project-table": Severity.ERROR,
        }

    @pytest.mark.parametrize(
        ("path", "codes"),
        [
            ("src/main.py", {"CMP002"}),
            ("src/deep/main.py", set()),
            ("config/a.yaml", {"STR001"}),
            ("deep/config/a.yaml", {"STR001"}),
            ("legacy/deep/old.py", {r.code for r in RULES}),
        ],
    )
    def test_rules_are_hidden_by_path(self, repository: Path, path: str, codes: set[str]) -> None:
        _write(
            repository / "explint.toml",
            """
            exclude = ["legacy/"]
            [per-path-ignores]
            "src/*.py" = ["CMP002"]
            "*.yaml" = ["structure"]
            """,
        )
        hidden = config.resolve(repository).ignored_for(path, RULES)
        assert {r.code for r in RULES if r.name in hidden} == codes

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("select = ['structur']", "select"),
            ("ignore = ['structur']", "ignore"),
            ("severity = {structur = 'info'}", "severity"),
            ("[per-path-ignores]\n'a/**' = ['structur']", 'per-path-ignores."a/**"'),
        ],
    )
    def test_an_unknown_rule_in_a_file_is_named_with_file_and_key(
        self, repository: Path, text: str, key: str
    ) -> None:
        path = _write(repository / "explint.toml", text)
        with pytest.raises(ConfigError) as caught:
            config.resolve(repository).check(RULES)
        assert (caught.value.path, caught.value.key) == (path, key)
        assert caught.value.help == "Did you mean `structure`?"

    def test_an_unknown_rule_in_a_flag_does_not_blame_the_file(self, repository: Path) -> None:
        _write(repository / "explint.toml", "select = ['structure']")
        settings = config.resolve(repository, flags={"select": ("structur",)})
        with pytest.raises(SelectorError):
            settings.check(RULES)

    def test_a_pattern_that_is_none_is_an_error(self, repository: Path) -> None:
        _write(repository / "explint.toml", "exclude = ['!']")
        with pytest.raises(ConfigError, match=r"exclude: not a \.gitignore pattern"):
            config.resolve(repository).check(RULES)

    def test_defaults_change_nothing(self) -> None:
        assert Settings().severities(RULES) == {}
        assert Settings().ignored_for("src/main.py", RULES) == frozenset()
        assert len(Settings().selection(RULES).shown) == len(RULES) - 1


@pytest.mark.parametrize(
    ("fail_on", "fails"),
    [
        (FailOn.ERROR, [True, False, False]),
        (FailOn.WARNING, [True, True, False]),
        (FailOn.INFO, [True, True, True]),
        (FailOn.NEVER, [False, False, False]),
    ],
)
def test_fail_on(fail_on: FailOn, fails: list[bool]) -> None:
    assert [fail_on.fails(s) for s in Severity] == fails


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("a.", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("a.", max_size=3), inner),
    max_leaves=3,
)
tables = st.dictionaries(
    st.sampled_from(["select", "ignore", "fail-on", "severity", "python", "preview", "nope"]),
    json_values
    | st.sampled_from(["error", "3.11", "3.1000", ["CMP002"], {"CMP002": "info"}, True]),
    max_size=3,
)


@given(tables)
def test_the_published_schema_and_the_loader_agree(table: dict[str, object]) -> None:
    validator = jsonschema.Draft202012Validator(config.config_schema())
    file = config.ConfigFile(Path("explint.toml"), table)
    try:
        config.load(file)
    except ConfigError:
        assert not validator.is_valid(table)
    else:
        assert validator.is_valid(table)


def test_the_published_schema_is_current() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    assert published == config.config_schema(), (
        "docs/schemas/config.schema.json is stale: "
        "write the output of `explint config schema` to it"
    )
