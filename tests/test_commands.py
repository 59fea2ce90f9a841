"""Rules about command lines and child processes on code that is strange, not only wrong."""

from __future__ import annotations

import pytest

import explint
from case_files import base_package
from explint.model import PackageReport

RULES = ("cli", "hydra/bad-override", "hydra/changes-directory", "internal")

MAIN = """
import os
import subprocess
import sys

import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    {call}


main()
"""


EVALUATE = """
import argparse

import wandb


def main():
    parser = argparse.ArgumentParser()
    {lines}
    args = parser.parse_args()
    api = wandb.Api()
    for run_id in args.run_ids:
        print(api.run(run_id).summary)


main()
"""


def check(**files: str) -> PackageReport:
    texts = {"main": "src/main.py", "evaluate": "src/evaluate.py", "train": "src/train.py"}
    package = dict(base_package()) | {texts[name]: text for name, text in files.items()}
    (report,) = explint.check(package, profile="full-trial", select=RULES).packages
    return report


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run()",
        "subprocess.run([])",
        "subprocess.run(None)",
        "subprocess.run([sys.executable, '-m'])",
        "subprocess.run([sys.executable, '-m', ''])",
        "subprocess.run([sys.executable, '-m', 'src..train', 'x=1'], cwd=cfg)",
        "subprocess.run(['python', '-c', 'print(1)', 'src/train.py'])",
        "subprocess.run(['python', '../other/train.py'])",
        "subprocess.run(['python', '/opt/train.py'])",
        "subprocess.run(['bash', 'train.sh', 'src/train.py'])",
        "subprocess.run([*cfg.run.words, 'src.train'])",
        "subprocess.run([['python'], '-m', 'src.train'])",
        "subprocess.run('python -m src.train run=(x) && echo', shell=True)",
        "subprocess.run(['python', '-m', 'src.train', 'run=', '=', '++', '~', '', '-h'])",
        "os.system(f'python -m src.train {cfg}')",
        "os.system('')",
        'os.system("python \'")',
    ],
)
def test_a_strange_call_is_no_finding_and_no_crash(call: str) -> None:
    assert not check(main=MAIN.format(call=call)).findings


@pytest.mark.parametrize(
    "lines",
    [
        "parser.add_argument()",
        "parser.add_argument(*names)",
        "parser.add_argument('x', action=Custom)",
        "parser.add_argument('x', nargs='*', choices=make())",
        "parser.add_argument('--x'); parser.add_argument('--x')",
    ],
)
def test_a_parser_that_is_not_followed_is_undecided(lines: str) -> None:
    taken = 'values = dict(word.split("=", 1) for word in words if "=" in word)'
    parsed = f"parser = argparse.ArgumentParser(); {lines}; values = vars(parser.parse_args(words))"
    text = base_package()["src/evaluate.py"]
    assert taken in text
    report = check(evaluate="import argparse\n" + text.replace(taken, parsed))
    assert not report.findings
    assert any("takes its arguments" in str(q) for q in report.verdict.undecided)


def test_one_call_that_fails_in_every_run_and_mode_is_one_finding() -> None:
    call = "subprocess.run([sys.executable, '-m', 'src.absent', f'run={cfg.run.run_id}'])"
    (finding,) = check(main=MAIN.format(call=call)).findings
    assert (finding.rule, finding.line, finding.runs, finding.modes) == (
        "cli/child-process",
        11,
        (),
        (),
    )


def test_the_modes_in_which_a_child_fails_are_named() -> None:
    call = "subprocess.run([sys.executable, '-m', 'src.absent' if cfg.mode == 'trial' else 'pip'])"
    (finding,) = check(main=MAIN.format(call=call)).findings
    assert finding.modes == ("trial",)
