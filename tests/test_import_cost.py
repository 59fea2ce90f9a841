"""What is loaded when: the start of the command line is paid on every call.

Nothing is timed here; modules that cost tens of milliseconds are named instead.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"click", "rich", "yaml", "msgspec", "zstandard", "pathspec", "hydra", "omegaconf"}
SHOW = "import sys; print('\\n' + ' '.join(sorted(sys.modules)))"
RUN = """
import atexit, sys
atexit.register(lambda: print('\\n' + ' '.join(sorted(sys.modules))))
sys.argv = ['explint', *sys.argv[1:]]
from explint.cli import main
main()
"""


def loaded(code: str, *words: str, cwd: Path | None = None) -> set[str]:
    """The modules a fresh interpreter holds at its end."""
    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    return set(result.stdout.splitlines()[-1].split())


def test_importing_explint_loads_nothing_else() -> None:
    before = loaded(SHOW)
    after = loaded(f"import explint; {SHOW}")
    assert {name for name in after - before if name.startswith("explint")} == {"explint"}
    assert not after & HEAVY


def test_the_python_api_needs_nothing_of_the_command_line(tmp_path: Path) -> None:
    code = f"import explint; explint.check({{'src/main.py': 'x = 1'}}); {SHOW}"
    modules = loaded(code, cwd=tmp_path)
    assert "explint.checker" in modules
    assert not {name for name in modules if name.startswith(("explint.cli", "explint.report"))}
    assert not modules & {"click", "rich", "hydra", "omegaconf"}


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("check", "--help")])
def test_answers_about_itself_need_neither_core_nor_rules(words: tuple[str, ...]) -> None:
    modules = loaded(RUN, *words)
    assert "click" in modules
    assert not modules & {"explint._core", "explint.pipeline", "explint.rules"}
    assert not modules & (HEAVY - {"click", "msgspec"})


def test_a_check_in_a_pipe_loads_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("x = 1\n")
    modules = loaded(RUN, "check", ".", "--isolated", "-o", "jsonl", cwd=tmp_path)
    assert "explint._core" in modules
    assert not modules & {"rich", "zstandard", "hydra", "omegaconf", "tarfile"}


def test_a_small_check_loads_only_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("x = 1\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10,<3.13"\n'
    )
    modules = loaded(RUN, "check", ".", "--isolated", "--exit-zero", cwd=tmp_path)
    assert "explint.report.full" in modules
    slow = {"importlib.resources", "difflib", "zipfile", "argparse", "packaging", "logging"}
    slow |= {"subprocess", "tempfile", "tomllib", "dataclasses"}
    other_sources = {f"explint.source.{name}" for name in ("archive", "git", "record", "rows")}
    assert not modules & (slow | other_sources | {"rich", "zstandard", "pathspec"})
