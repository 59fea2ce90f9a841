"""The rows of what only a run shows: `explint.trial.findings` answers them, `check` never does."""

from __future__ import annotations

from explint.model import Severity
from explint.rules.registry import row_only


@row_only("run/crash", code="RUN001", severity=Severity.ERROR, criteria=(9,))
def _crash() -> None:
    """The command ends with an error.

    ## What it does

    Reports a run whose command exits with another code than 0, is ended by a signal of its own
    making, or reports success although a process of the package below it ended with an exception.
    The finding stands at the last frame inside the package, names the exception, and relates the
    frames that led there, the config values that the line reads, and the static finding that
    predicted it. What ends a run from outside is not the package's doing and is not reported: a
    person, a lost node, a host that the sandbox keeps away (`run/network`), a distribution that is
    declared and missing from a prepared environment.

    ## Why is this bad

    Nothing of the experiment's results exists.

    ## Example

    ```python
    for step, batch in enumerate(loader):
        loss = model(batch["pixels"])  # KeyError: the loader yields "images"
    ```

    ## Use instead

    ```python
    for step, batch in enumerate(loader):
        loss = model(batch["images"])
    ```

    ## References

    - `explint trial --help`
    """


@row_only("run/timeout", code="RUN002", severity=Severity.ERROR, criteria=(9,))
def _timeout() -> None:
    """The command runs past a limit and has to be ended.

    ## What it does

    Reports a run that was ended for its wall-clock time, the number of its processes, the size of a
    file, the disk or the output it used. Where the program could be interrupted in an orderly way,
    the finding stands at the line of the package that was running then; else at the loop it was
    last seen in.

    ## Why is this bad

    A cheap run takes seconds to minutes. One that does not end waits for something that never
    comes, or is not cheap.

    ## Example

    ```python
    while not (results_dir / "done").exists():
        time.sleep(1)
    ```

    ## Use instead

    ```python
    subprocess.run(command, check=True, timeout=600)
    ```

    ## References

    - `explint trial --help` for the limits
    """


@row_only("run/out-of-memory", code="RUN003", severity=Severity.ERROR, criteria=(9,))
def _out_of_memory() -> None:
    """The command needs more memory than it may have.

    ## What it does

    Reports a run that was ended for the host memory of its processes, and one that ends with a
    `MemoryError` or the out-of-memory error of PyTorch.

    ## Why is this bad

    The cheap run uses the model and the batches of the full one: what does not fit here does not
    fit there.

    ## Example

    ```python
    features = torch.cat([encoder(images) for images, _ in loader])
    ```

    ## Use instead

    ```python
    with torch.no_grad():
        features = torch.cat([encoder(images).cpu() for images, _ in loader])
    ```

    ## References

    - https://pytorch.org/docs/stable/notes/faq.html#my-model-reports-cuda-runtime-error-2-out-of-memory
    """


@row_only("run/not-bounded", code="RUN004", severity=Severity.ERROR, criteria=(9,))
def _not_bounded() -> None:
    """The cheap run does more than the protocol lets it do.

    ## What it does

    Counts what the run did and compares it with the mode it was started in: batches in one pass of
    a loader, passes that train one optimizer on one loader (epochs), trials of a search. A batch
    counts as trained on when a backward call follows it, so that a loop that draws one batch more
    before its `break` is not blamed; in a pass without training one batch more is allowed for the
    same reason. Where a loop draws from no loader, an optimizer may step ten times as often as it
    would with one step a batch.

    ## Why is this bad

    The run meant to show in a minute that the code works takes as long as the experiment.

    ## Example

    ```python
    for images, labels in train_loader:
        ...
    ```

    ## Use instead

    ```python
    for images, labels in itertools.islice(train_loader, cfg.training.max_batches):
        ...
    ```

    ## References

    - `explint rule trial/unbounded-batches`, `trial/epochs` and `trial/optuna-on` find the same by
      reading
    """


@row_only("run/network", code="RUN005", severity=Severity.WARNING, criteria=(9,))
def _network() -> None:
    """The run reaches for a host that it may not reach.

    ## What it does

    Reports lines of the package that asked for a host outside the allowed ones, whether or not the
    request got through. A crash that follows is not reported again: that the host could not be
    reached is the sandbox's doing.

    ## Why is this bad

    What comes from outside can change or be gone, and a run on a node without network stops.

    ## Example

    ```python
    dataset = load_dataset("mnist")
    ```

    ## Use instead

    ```python
    # Run once with `explint trial --allow-host huggingface.co`, or with the data in the cache.
    dataset = load_dataset("mnist", cache_dir=".cache")
    ```

    ## References

    - `explint trial --help`: `--allow-host`
    """


@row_only("run/wandb-online", code="RUN006", severity=Severity.ERROR, criteria=(6, 9))
def _wandb_online() -> None:
    """W&B was not disabled in a mode that disables it.

    ## What it does

    Reports a call of `wandb.init` that asks for another mode than `disabled` where the protocol
    disables W&B. The mode asked for is the argument's, else the environment's, else `online`.

    ## Why is this bad

    The run needs an account and a network, and its rows of two batches lie among the experiment's
    results.

    ## Example

    ```python
    wandb.init(project=cfg.wandb.project)
    ```

    ## Use instead

    ```python
    wandb.init(project=cfg.wandb.project, mode=cfg.wandb.mode)
    ```

    ## References

    - https://docs.wandb.ai/ref/python/init
    - `explint rule wandb/not-disabled-in-trial`
    """


@row_only("run/forbidden-output", code="RUN007", severity=Severity.ERROR, criteria=(6, 8))
def _forbidden_output() -> None:
    """Training writes figures or result files that the protocol forbids.

    ## What it does

    Reports figures that training saves where the protocol leaves them to evaluation, and files that
    it names as forbidden, such as `results.json`. Files that nothing was seen writing are found by
    comparing the results folder before and after.

    ## Why is this bad

    Results then exist twice, and what is compared is not what W&B holds.

    ## Example

    ```python
    (results_dir / "results.json").write_text(json.dumps(metrics))
    ```

    ## Use instead

    ```python
    run.summary.update(metrics)
    ```

    ## References

    - `explint rule evaluate/figure-outside-evaluate` and `wandb/local-results` find the same by
      reading
    """


@row_only("run/evaluate-crash", code="RUN008", severity=Severity.ERROR, criteria=(8,))
def _evaluate_crash() -> None:
    """The rehearsed evaluation ends with an error.

    ## What it does

    Reports an evaluation that exits with another code than 0 when it is run on what the trials
    logged to a W&B of the machine's own. Place, exception and related places are those of
    `run/crash`.

    ## Why is this bad

    The experiment would have used its GPU hours before this line is reached.

    ## Example

    ```python
    history = run.history(keys=["val_acc"])
    best = history["val_accuracy"].max()  # KeyError
    ```

    ## Use instead

    ```python
    history = run.history(keys=["val_accuracy"])
    best = history["val_accuracy"].max()
    ```

    ## References

    - `explint trial --rehearse`
    """


@row_only("run/evaluate-output", code="RUN009", severity=Severity.ERROR, criteria=(8,))
def _evaluate_output() -> None:
    """The rehearsed evaluation does not write what the protocol demands.

    ## What it does

    Looks at what a rehearsed evaluation left: the files the protocol names, JSON that other
    programs can read (a bare `NaN` is none), figures by the required names that can be opened.

    ## Why is this bad

    Whoever reads the results finds nothing, or numbers that no JSON parser takes.

    ## Example

    ```python
    (results_dir / "metrics.json").write_text(json.dumps(metrics))
    ```

    ## Use instead

    ```python
    (results_dir / run_id / "metrics.json").write_text(json.dumps(metrics, allow_nan=False))
    ```

    ## References

    - `explint rule evaluate/missing-artifact`
    """


@row_only("run/loss-not-finite", code="RUN010", severity=Severity.WARNING, criteria=(4,))
def _loss_not_finite() -> None:
    """A loss is not finite, or training changes no parameter.

    ## What it does

    Reports `backward` on a loss that is NaN or infinite, a logged value of that kind whose name
    speaks of a loss, and an optimizer that stepped with a learning rate above 0 without any of its
    sampled parameters having changed. An infinite loss in half precision is not reported: a
    gradient scaler alone can do that.

    ## Why is this bad

    The run ends without an error and has learned nothing.

    ## Example

    ```python
    loss = -(target * probabilities.log()).sum()  # log(0)
    ```

    ## Use instead

    ```python
    loss = nn.functional.cross_entropy(logits, target)
    ```

    ## References

    - https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """


ROWS = (
    _crash,
    _timeout,
    _out_of_memory,
    _not_bounded,
    _network,
    _wandb_online,
    _forbidden_output,
    _evaluate_crash,
    _evaluate_output,
    _loss_not_finite,
)
"""The rows of the family, in the order of codes."""
