"""What @hydra.main is given, read from the text of an entry point."""

from __future__ import annotations

import pytest

from explint import core
from explint.compose.entry import EntryPoint, find_entry
from explint.source import package_of_files


def entry(text: str, path: str = "src/main.py", **others: str) -> EntryPoint | str:
    files = {path: text, **{name.replace("__", "/") + ".py": body for name, body in others.items()}}
    package = package_of_files(files)
    return find_entry(package, path, core.Scanner(1).uses(package))


def found(text: str, path: str = "src/main.py") -> EntryPoint:
    point = entry(text, path)
    assert isinstance(point, EntryPoint), point
    return point


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('config_path="../config", config_name="config"', ("config", "config", "1.1")),
        (
            'version_base=None, config_path="../config", config_name="c.yaml"',
            ("config", "c.yaml", None),
        ),
        ('"../config", "config", "1.3"', ("config", "config", "1.3")),
        ('config_path="conf"', ("src/conf", None, "1.1")),
        ('config_name="config"', ("src", "config", "1.1")),
        ('config_name="config", version_base="1.2"', (None, "config", "1.2")),
        ('config_path=None, config_name="config"', (None, "config", "1.1")),
        ('config_path=FOLDER, config_name="config"', ("config", "config", "1.1")),
    ],
)
def test_literal_arguments(arguments: str, expected: tuple[str | None, ...]) -> None:
    text = f'import hydra\nFOLDER = "../config"\n\n@hydra.main({arguments})\ndef main(cfg): ...\n'
    point = found(text)
    assert (point.config_dir, point.config_name, point.version_base) == expected
    assert (point.path, point.line, point.unknown) == ("src/main.py", 4, None)


@pytest.mark.parametrize(
    "text",
    [
        "from hydra import main\n@main(config_name='c')\ndef f(cfg): ...\n",
        "from hydra import main as start\n@start(config_name='c')\ndef f(cfg): ...\n",
        "import hydra as h\n@h.main(config_name='c')\ndef f(cfg): ...\n",
        "import hydra\ndef f(cfg): ...\nhydra.main(config_name='c')(f)()\n",
        "import hydra\nclass A:\n    @hydra.main(config_name='c')\n    def f(cfg): ...\n",
        "from hydra import compose, initialize\nwith initialize('.'):\n    cfg = compose('c')\n",
        "import hydra\nwith hydra.initialize(config_path='.'):\n"
        "    cfg = hydra.compose(config_name='c')\n",
    ],
)
def test_ways_to_start_hydra(text: str) -> None:
    point = found(text)
    assert (point.config_name, point.config_dir, point.unknown) == ("c", "src", None)


@pytest.mark.parametrize(
    "text",
    [
        "import hydra, os\n@hydra.main(config_path=os.getcwd())\ndef f(cfg): ...\n",
        "import hydra\n@hydra.main(**options)\ndef f(cfg): ...\n",
        "import hydra\n@hydra.main(config_path='pkg://conf')\ndef f(cfg): ...\n",
        "import hydra\nP = 'a'\nP = 'b'\n@hydra.main(config_path=P)\ndef f(cfg): ...\n",
        "from hydra import initialize_config_dir\ninitialize_config_dir('/x')\n",
    ],
)
def test_arguments_that_are_made_at_run_time(text: str) -> None:
    assert found(text).unknown


@pytest.mark.parametrize(
    "text",
    [
        "print('no config here')\n",
        "import hydra\n",
        "def main(:\n    hydra\n",
        "hydra" + "(" * 5_000,
        "# hydra\n" + "x = 1\n" * 400_000,
        "hydra\0",
        "",
    ],
)
def test_text_without_an_entry_point_says_why(text: str) -> None:
    reason = entry(text)
    assert isinstance(reason, str)
    assert "src/main.py" in reason


@pytest.mark.parametrize(
    ("main", "other", "noticed"),
    [
        ("from src.conf import Config", "src__conf", True),
        ("from . import conf", "src__conf", True),
        ("from .conf import Config", "src__conf", True),
        ("import src.conf as c", "src__conf", True),
        ("import conf", "src__conf", True),
        ("from src import model", "src__conf", False),
        ("", "src__evaluate", False),
    ],
)
def test_configs_registered_in_imported_code_are_noticed(
    main: str, other: str, noticed: bool
) -> None:
    text = f"import hydra\n{main}\n@hydra.main(config_name='c')\ndef f(cfg): ...\n"
    store = "from hydra.core.config_store import ConfigStore\nCS = ConfigStore.instance()\n"
    point = entry(text, **{other: store})
    assert isinstance(point, EntryPoint)
    assert point.structured is noticed


TEXT_AT_THE_MARGIN = '''
import hydra

def usage():
    print("""
@hydra.main(config_path=".", config_name="other")
def other(cfg):
    pass
""")

@hydra.main(config_path="../config", config_name="config")
def main(cfg):
    """Trains.

class or def: words at the margin
    """
'''


def test_text_that_looks_like_a_decorator_is_none() -> None:
    point = found(TEXT_AT_THE_MARGIN)
    assert (point.config_dir, point.config_name) == ("config", "config")


def test_an_inner_function_is_found_too() -> None:
    text = "import hydra\n\ndef run():\n    @hydra.main(config_path='.')\n    def inner(cfg): ...\n"
    assert found(text).line == 4
