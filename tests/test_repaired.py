"""What rules say of a program whose run config is out of reach: they see past the slip."""

from __future__ import annotations

import explint
from case_files import base_package

UNBOUNDED = ("src/train.py", "islice(train_loader, training.max_batches)", "train_loader")
AT_THE_ROOT = ("src/train.py", "training = cfg.run.training\n    set_seed",
               "training = cfg.training\n    set_seed")  # fmt: skip
NO_GROUP = ("config/config.yaml", "  - run: ???\n", "")


def errors(*changes: tuple[str, str, str]) -> set[str]:
    """The names of the error findings in the base package with texts replaced."""
    files = base_package()
    for path, old, new in changes:
        assert old in files[path], (path, old)
        files[path] = files[path].replace(old, new)
    (package,) = explint.check(files, profile="full-trial").packages
    return {f.rule for f in package.findings if f.severity == "error"}


def test_a_section_read_at_the_root_hides_no_defect_behind_it() -> None:
    assert errors(AT_THE_ROOT) == {"hydra/key-in-wrong-section"}
    assert errors(AT_THE_ROOT, UNBOUNDED) == {
        "hydra/key-in-wrong-section",
        "trial/unbounded-batches",
    }


def test_what_the_trial_sets_under_run_counts_for_what_is_read_at_the_root() -> None:
    # The repair reads `cfg.run.training`, where main.py sets epochs and batches.
    assert "trial/epochs" not in errors(AT_THE_ROOT, UNBOUNDED)


def test_a_config_that_does_not_compose_hides_no_defect_behind_it() -> None:
    assert errors(NO_GROUP) == {"hydra/composition-error"}
    assert errors(NO_GROUP, UNBOUNDED) == {"hydra/composition-error", "trial/unbounded-batches"}


def test_words_that_a_child_is_handed_count_although_hydra_refuses_one() -> None:
    main = """
import subprocess
import sys

import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    words = [f"run={cfg.run}", f"results_dir={cfg.results_dir}", f"mode={cfg.mode}"]
    if cfg.mode == "trial":
        words += ["wandb.mode=disabled", "run.training.epochs=1", "run.training.max_batches=2"]
        words += ["run.optuna.n_trials=0"]
    subprocess.run([sys.executable, "-m", "src.train", *words], check=True)


if __name__ == "__main__":
    main()
"""
    start = """

@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg: DictConfig) -> None:
    run_experiment(cfg)


if __name__ == "__main__":
    main()
"""
    files = base_package()
    changes = (
        ("src/main.py", files["src/main.py"], main),
        ("src/train.py", "import numpy as np", "import hydra\nimport numpy as np"),
        ("src/train.py", "    wandb.finish()\n", f"    wandb.finish()\n{start}"),
    )
    assert errors(*changes) == {"hydra/bad-override"}
    assert errors(*changes, UNBOUNDED) == {"hydra/bad-override", "trial/unbounded-batches"}
