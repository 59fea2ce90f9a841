"""The command line as a shell splits it, compared with a real shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explint.compose.shell import ShellProblem, split


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "python -m src.main run=a mode=trial",
            ["python", "-m", "src.main", "run=a", "mode=trial"],
        ),
        ("a  \t b", ["a", "b"]),
        ("", []),
        ('x run_ids=\'["a", "b"]\'', ["x", 'run_ids=["a", "b"]']),
        ("x \"a b\"c'd e'", ["x", "a bcd e"]),
        ("x a\\ b a\\(b", ["x", "a b", "a(b"]),
        ('x "a\\"b" "a\\b" ""', ["x", 'a"b', "a\\b", ""]),
        ("x a#b a~b a=b,{c}! 5$ a[b", ["x", "a#b", "a~b", "a=b,{c}!", "5$", "a[b"]),
        ("x a\\", ["x", "a\\"]),
        ("x '$a `b`'", ["x", "$a `b`"]),
    ],
)
def test_words(command: str, words: list[str]) -> None:
    assert split(command) == words


@pytest.mark.parametrize(
    ("command", "char", "fatal"),
    [
        ("x run=a(b)", "(", True),
        ("x run=a)", ")", True),
        ("x 'open", "'", True),
        ('x "open', '"', True),
        ("x run=a;b", ";", False),
        ("x run=a&b", "&", False),
        ("x run=a|b", "|", False),
        ("x run=a<b", "<", False),
        ("x run=a>b", ">", False),
        ("x #b", "#", False),
        ("x run=$HOME", "$", False),
        ('x "run=$(id)"', "$", False),
        ("x run=`id`", "`", False),
        ("x ~/a", "~", False),
        ("x run=a*", "*", False),
        ("x run=a?", "?", False),
        ("x run=a[b]", "[", False),
        ("x a\nb", "\n", False),
    ],
)
def test_problems(command: str, char: str, fatal: bool) -> None:
    problem = split(command)
    assert isinstance(problem, ShellProblem)
    assert (problem.character, problem.fatal) == (char, fatal)
    assert command[problem.offset] == char
    assert problem.message


@pytest.mark.differential
@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell here")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(alphabet=st.sampled_from("ab='\"\\ \t#~,{}[]!:@%^+-.$(;&|<>*?`"), max_size=12))
def test_a_real_shell_agrees(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    words = split(f"x {text}")
    if isinstance(words, ShellProblem) and not words.fatal:
        return  # the shell would run something: nothing to compare
    empty = tmp_path_factory.mktemp("cwd")
    ran = subprocess.run(
        [str(shutil.which("sh")), "-c", 'eval "set -- x $1"; printf \'%s\\0\' "$@"', "sh", text],
        cwd=empty,
        env={"HOME": "/elsewhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10,
    )
    if isinstance(words, ShellProblem):
        assert ran.returncode != 0
        return
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.decode().split("\0")[:-1] == words
    assert not list(Path(empty).iterdir())
