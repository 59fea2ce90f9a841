"""The env rules: what they leave open, what one cause costs, and hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from env_helpers import PROJECT, experiment, hits, unknowns
from explint.environment.distributions import distributions
from explint.environment.imports import mentioned, reachable, surely_imported
from explint.rules.env import (
    build_fails,
    invalid_pyproject,
    no_project_table,
    python_version,
    undeclared_dependency,
    unknown_distribution,
)

RULES = [
    invalid_pyproject,
    no_project_table,
    build_fails,
    undeclared_dependency,
    unknown_distribution,
    python_version,
]
MAIN = "import hydra\nimport torch\n"


def declared(*requirements: str, more: str = "") -> str:
    listed = ", ".join(f'"{requirement}"' for requirement in requirements)
    return f"{PROJECT}dependencies = [{listed}]\n{more}"


def missing(files: dict[str, str], profile: str = "full-trial") -> list[str]:
    made = experiment(files, profile=profile)
    return [hit.message.partition(" is imported")[0] for hit in hits(undeclared_dependency, made)]


# One cause, one finding ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[project\n", invalid_pyproject),
        (PROJECT + '[project.dependencies]\ntorch = "*"\n', invalid_pyproject),
        (declared("torch^2", "hydra-core"), invalid_pyproject),
        ('[tool.poetry]\nname = "x"\n', no_project_table),
        (
            declared("torch", "hydra-core")
            + '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
            build_fails,
        ),
        (declared("torch"), undeclared_dependency),
        (PROJECT, undeclared_dependency),
        (declared("torch", "hydra-core", "transfomers"), unknown_distribution),
    ],
)
def test_one_cause_is_one_finding(text: str, rule: object) -> None:
    made = experiment({"pyproject.toml": text, "src/main.py": MAIN})
    found = [(r, hit) for r in RULES for hit in hits(r, made)]
    assert [r for r, _ in found] == [rule]
    for _, hit in found:
        assert hit.message[0].isupper() or hit.message[0] == "`" or hit.message.startswith("uv ")
        assert hit.message.endswith(".")
        assert hit.help.endswith(".")


def test_an_import_in_several_files_is_one_finding_with_its_other_places() -> None:
    made = experiment(
        {
            "pyproject.toml": declared("torch", "hydra-core"),
            "src/main.py": MAIN + "import pandas\n",
            "src/train.py": "x = 1\nimport pandas as pd\n",
        }
    )
    (hit,) = hits(undeclared_dependency, made)
    assert (hit.path, hit.line, hit.column, hit.end_column) == ("src/main.py", 3, 8, 14)
    assert [(r.path, r.line) for r in hit.related] == [("src/train.py", 2)]


# What is left open -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [invalid_pyproject, no_project_table, build_fails, undeclared_dependency],
    ids=lambda r: r.row.name,
)
def test_a_withheld_pyproject_leaves_the_question_open(rule: object) -> None:
    made = experiment({"pyproject.toml": None, "src/main.py": MAIN}, partial=True)
    assert not hits(rule, made)  # type: ignore[arg-type]
    assert unknowns(rule, made)  # type: ignore[arg-type]


def test_a_text_with_a_hole_is_not_judged() -> None:
    made = experiment({"pyproject.toml": "[project]\ndependencies = [", "src/main.py": MAIN})
    files = made.package.files
    files["pyproject.toml"] = replace(files["pyproject.toml"], truncated=True)
    assert not [hit for rule in RULES for hit in hits(rule, made)]
    assert unknowns(invalid_pyproject, made)


@pytest.mark.parametrize("text", ["", "# packages\n"])
def test_an_empty_pyproject_is_the_structure_rules_matter(text: str) -> None:
    made = experiment({"pyproject.toml": text, "src/main.py": MAIN})
    assert not [hit for rule in RULES for hit in hits(rule, made)]


def test_no_pyproject_says_nothing() -> None:
    made = experiment({"src/main.py": MAIN})
    assert not [result for rule in RULES for result in rule.function(made)]


def test_a_record_may_lack_the_files_that_a_build_finds() -> None:
    text = declared("torch", "hydra-core")
    text += '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    made = experiment({"pyproject.toml": text, "src/main.py": MAIN}, partial=True)
    assert not hits(build_fails, made)
    assert unknowns(build_fails, made)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"src/main.py": "import ost\n"}, "not known which distribution"),
        ({"pyproject.toml": declared("labtools"), "src/main.py": MAIN}, "`labtools` may bring"),
        (
            {"pyproject.toml": PROJECT + 'dynamic = ["dependencies"]\n', "src/main.py": MAIN},
            "dynamic",
        ),
        (
            {"src/main.py": "import pandas\n", "Dockerfile": "RUN pip install pandas\n"},
            "Dockerfile may install",
        ),
    ],
)
def test_what_cannot_be_told_is_unknown(files: dict[str, str], reason: str) -> None:
    made = experiment({"pyproject.toml": declared("torch")} | files)
    assert not hits(undeclared_dependency, made)
    assert reason in unknowns(undeclared_dependency, made)[0].reason


# What installs a module ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirements", "module"),
    [
        (["hydra-core"], "yaml"),
        (["hydra-core"], "omegaconf"),
        (["torchvision"], "numpy"),
        (["torchvision"], "PIL"),
        (["scikit-learn"], "scipy"),
        (["transformers"], "huggingface_hub"),
        (["datasets"], "pandas"),
        # Needed by releases that another distribution, or the project, holds back.
        (["hydra-optuna-sweeper"], "scipy"),
        (["wandb==0.18.7"], "psutil"),
        (["pandas==2.2.3"], "pytz"),
        (["lightning"], "pytorch_lightning"),
        (["opencv-python-headless"], "cv2"),
        (["Scikit_Learn>=1.3"], "sklearn"),
        (["pandas; sys_platform == 'linux'"], "pandas"),
    ],
)
def test_it_is_installed(requirements: list[str], module: str) -> None:
    files = {"pyproject.toml": declared(*requirements), "src/main.py": f"import {module}\n"}
    assert missing(files) == []


@pytest.mark.parametrize(
    ("requirements", "module"),
    [
        (["torch"], "numpy"),
        (["torch"], "torchvision"),
        (["transformers"], "accelerate"),
        (["transformers"], "torch"),
        (["pandas"], "matplotlib"),
        (["pandas; sys_platform == 'win32'"], "pandas"),
        (["hydra-core"], "optuna"),
        # Only releases that nothing asks for needed it.
        (["optuna"], "scipy"),
        (["wandb>=0.15"], "psutil"),
    ],
)
def test_it_is_not_installed(requirements: list[str], module: str) -> None:
    files = {"pyproject.toml": declared(*requirements), "src/main.py": f"import {module}\n"}
    assert missing(files) == [f"`{module}`"]


def test_a_project_named_like_a_distribution_hides_it() -> None:
    text = declared("datasets").replace('"demo"', '"datasets"')
    assert missing({"pyproject.toml": text, "src/main.py": "import datasets\n"}) == ["`datasets`"]


def test_a_lock_file_says_what_is_installed() -> None:
    lock = 'version = 1\n\n[[package]]\nname = "pandas"\nversion = "2.2.3"\n'
    files = {
        "pyproject.toml": declared("torch"),
        "src/main.py": "import pandas\n",
        "uv.lock": lock,
    }
    assert missing(files) == []


def test_the_packages_own_modules_are_no_distributions() -> None:
    files = {
        "pyproject.toml": declared("torch"),
        "src/main.py": "import pandas\nfrom evaluate import run\n",
        "pandas/__init__.py": "",
        "src/evaluate.py": "def run(): ...\n",
    }
    assert missing(files) == []


def test_code_that_nothing_starts_needs_nothing() -> None:
    files = {
        "pyproject.toml": declared("torch"),
        "src/main.py": "import subprocess\nsubprocess.run(['python', '-m', 'src.inference'])\n",
        "src/inference.py": "import pandas\n",
        "src/plots.py": "import seaborn\n",
        "tests/inference.py": "import pytest\n",
    }
    assert missing(files) == ["`pandas`"]


def test_poetry_counts_where_no_protocol_demands_uv_run() -> None:
    more = '[tool.poetry.dependencies]\npandas = "^2"\n[tool.poetry.group.plots.dependencies]\n'
    more += 'seaborn = { version = "^0.13", optional = true }\nsklearn = "*"\n'
    files = {
        "pyproject.toml": declared("torch", more=more),
        "src/main.py": "import pandas\nimport seaborn\n",
    }
    assert missing(files, profile="hydra-wandb") == []
    assert missing(files) == ["`pandas`", "`seaborn`"]
    (hit,) = hits(unknown_distribution, experiment(files, profile="hydra-wandb"))
    assert (hit.line, hit.column) == (10, 11)


def test_a_human_repository_may_declare_anywhere() -> None:
    files = {
        "pyproject.toml": declared("torch"),
        "src/main.py": "import pandas\n",
        "tests/test_main.py": "import pytest\n",
    }
    assert missing(files, profile="hydra-wandb") == ["`pandas`"]
    for name in ("requirements.txt", "environment.yaml", "setup.py", "docker/Dockerfile.gpu"):
        assert missing(files | {name: ""}, profile="hydra-wandb") == []


# The imports -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import pandas\nexcept ImportError:\n    pandas = None\n",
        "try:\n    import pandas\nexcept Exception:\n    pass\n",
        "try:\n    import pandas\nexcept:\n    pass\n",
        "try:\n    import numpy\nexcept ImportError:\n    import pandas\n",
        "if TYPE_CHECKING:\n    import pandas\n",
        "def f(x):\n    if x:\n        import pandas\n",
        "from . import pandas\n",
        "from .pandas import x\n",
        "with contextlib.suppress(ImportError):\n    import pandas\n",
        "text = '''\nimport pandas\n'''\n",
        "# import pandas\n",
        "import pandas\n)",
    ],
)
def test_an_import_that_may_not_happen(text: str) -> None:
    assert [i for i in surely_imported("a.py", text) if i.module == "pandas"] == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("import pandas\n", 1, 8),
        ("import os, pandas.io as p\n", 1, 12),
        ("from pandas.io import (\n    json,\n)\n", 1, 1),
        ("é = 'é'; import pandas\n", 1, 17),
        ("def f():\n    import pandas\n", 2, 12),
        ("class A:\n    for x in y:\n        import pandas\n", 3, 16),
        ("if __name__ == '__main__':\n    import pandas\n", 2, 12),
        ("try:\n    import pandas\nexcept ImportError as e:\n    raise SystemExit from e\n", 2, 12),
        ("try:\n    import pandas\nexcept ValueError:\n    pass\n", 2, 12),
        ("try:\n    pass\nfinally:\n    import pandas\n", 4, 12),
        ("\r\nimport pandas\r\n", 2, 8),
    ],
)
def test_an_import_that_happens(text: str, line: int, column: int) -> None:
    (found,) = [i for i in surely_imported("a.py", text) if i.module == "pandas"]
    assert (found.line, found.column) == (line, column)


MODULE = st.sampled_from(["os", "pandas", "a.b"])
STATEMENT = st.one_of(
    MODULE.map("import {}".format),
    st.tuples(MODULE, MODULE).map(lambda pair: "import {} as x, {}".format(*pair)),
    MODULE.map("from {} import (\n    y,\n)".format),
    MODULE.map("x = 1; import {}".format),
    MODULE.map("def f(): import {}".format),
    MODULE.map("class A:\n    import {}".format),
    st.just("text = 'import json'"),
)


@given(st.lists(STATEMENT, max_size=6))
def test_the_quick_look_misses_no_import(statements: list[str]) -> None:
    text = "\n".join(statements) + "\n"
    assert {i.module for i in surely_imported("a.py", text)} <= mentioned(text)


def test_files_are_reached_through_imports_of_any_form() -> None:
    texts = {
        "src/main.py": "from . import (\n    train,\n)\n",
        "src/train.py": "def f():\n    from src.lib.data import load\n",
        "src/lib/data.py": "",
        "src/other.py": "",
    }
    found = reachable(texts, ["src/main.py"])
    assert sorted(found) == ["src/lib/data.py", "src/main.py", "src/train.py"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "x = " + "-" * 50_000 + "1",
        "import a" + ", b" * 200_000,
        "\x00",
        "import \ud800",
    ],
)
def test_hostile_code_has_no_imports_or_some(text: str) -> None:
    mentioned(text)
    surely_imported("a.py", text)


# Names that do not look real -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("sklearn", "scikit-learn"),
        ("cv2", "opencv-python"),
        ("yaml", "pyyaml"),
        ("hydra", "hydra-core"),
        ("transfomers", "transformers"),
        ("pytorch-lightening", "pytorch-lightning"),
        ("numpyy", "numpy"),
        ("wnadb", "wandb"),
    ],
)
def test_a_wrong_name_is_put_right(name: str, right: str) -> None:
    made = experiment({"pyproject.toml": declared(name)})
    (hit,) = hits(unknown_distribution, made)
    assert f"`{right}`" in hit.help


def test_every_name_of_the_table_is_real() -> None:
    names = sorted(distributions().rows)
    made = experiment({"pyproject.toml": declared(*names)})
    assert hits(unknown_distribution, made) == []


@pytest.mark.parametrize("name", ["pyaml2", "torch2", "our-lab", "gymm1", "abcd", "x" * 5_000])
def test_a_name_that_resembles_nothing_is_let_pass(name: str) -> None:
    made = experiment({"pyproject.toml": declared(name)})
    assert hits(unknown_distribution, made) == []


# Anything at all -------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["project", "tool", "uv", "name", "version", "dependencies", "dependency-groups", "poetry"]
)
VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS | st.just("build-system"), VALUES, max_size=4))
def test_no_shape_of_pyproject_crashes_a_rule(table: dict[str, object]) -> None:
    from explint.cli.toml import value

    text = "".join(f"{key} = {value(inner)}\n" for key, inner in table.items())
    made = experiment({"pyproject.toml": text, "src/main.py": MAIN})
    for rule in RULES:
        list(rule.function(made))
