//! Reads that find nothing: names no scope defines, and locals read before they are bound.

use crate::analysis::FileContext;
use crate::analysis::names::{Missing, MissingName};
use crate::declare_rule;
use crate::rules::{Finding, Findings, Rule};
use crate::syntax::tree::NodeId;

declare_rule! {
    /// A name is read that no scope defines.
    ///
    /// ## What it does
    /// Follows Python's scopes: module, class, function, lambda, comprehension and type parameters,
    /// with `global`, `nonlocal`, `del`, imports, `:=`, `except … as` and match captures. Reports a
    /// name that is neither bound in a scope the read can see nor a builtin of Python 3.11, and a name
    /// that the module itself reads before it binds it.
    ///
    /// What is never evaluated is no read: annotations of local variables, every annotation under
    /// `from __future__ import annotations`, and annotations written as strings. A file with a star
    /// import, with `exec` at module level or with writes to `globals()` may define anything: nothing
    /// is said of it. A read inside `try` with `except NameError` is a question, not a mistake. A name
    /// imported only under `if TYPE_CHECKING:` is not there at run time.
    ///
    /// ## Why is this bad
    /// The first evaluation raises `NameError`, often minutes into a run that has booked its GPU.
    ///
    /// ## Example
    /// ```python
    /// def accuracy(logits, labels):
    ///     return (torch.argmax(logits, dim=1) == labels).float().mean()
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// import torch
    ///
    ///
    /// def accuracy(logits, labels):
    ///     return (torch.argmax(logits, dim=1) == labels).float().mean()
    /// ```
    ///
    /// ## References
    /// - Python language reference, 4.2.2: resolution of names
    UNDEFINED_NAME = "complete/undefined-name", "CMP007", Error, [1]
}

declare_rule! {
    /// A local variable is read on every path before it is bound.
    ///
    /// ## What it does
    /// A name that a function binds anywhere is local in all of it. Follows the paths through the
    /// function (branches, loops, `try`, `with`, `match`, `return`, `break`) and reports a read that no
    /// binding reaches: before the first assignment, in `x += 1` without a start value, after `del x`,
    /// after the end of `except … as x`, or on a branch where nothing binds the name.
    ///
    /// A read that some path may reach with the name bound is not reported, nor one in a nested
    /// function, which may run later.
    ///
    /// ## Why is this bad
    /// The read raises `UnboundLocalError` whenever it is reached. The usual cause is a local name
    /// that hides an import of the module.
    ///
    /// ## Example
    /// ```python
    /// from scipy import stats
    ///
    ///
    /// def compare(ours, baseline):
    ///     stats = stats.ttest_ind(ours, baseline)
    ///     return stats.pvalue
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// from scipy import stats
    ///
    ///
    /// def compare(ours, baseline):
    ///     test = stats.ttest_ind(ours, baseline)
    ///     return test.pvalue
    /// ```
    ///
    /// ## References
    /// - Python language reference, 4.2.2: resolution of names
    /// - Python FAQ: why am I getting an UnboundLocalError when the variable has a value?
    UNBOUND_LOCAL = "complete/unbound-local", "CMP010", Error, [1]
}

/// Names that experiment code imports under a fixed spelling, with the line that defines them; sorted.
const USUAL_IMPORTS: &[(&str, &str)] = &[
    ("ABC", "from abc import ABC"),
    ("Adam", "from torch.optim import Adam"),
    ("AdamW", "from torch.optim import AdamW"),
    ("Any", "from typing import Any"),
    ("AutoModel", "from transformers import AutoModel"),
    (
        "AutoModelForCausalLM",
        "from transformers import AutoModelForCausalLM",
    ),
    (
        "AutoModelForSequenceClassification",
        "from transformers import AutoModelForSequenceClassification",
    ),
    ("AutoTokenizer", "from transformers import AutoTokenizer"),
    ("Callable", "from collections.abc import Callable"),
    ("Counter", "from collections import Counter"),
    ("DataLoader", "from torch.utils.data import DataLoader"),
    ("Dataset", "from torch.utils.data import Dataset"),
    ("Dict", "from typing import Dict"),
    ("DictConfig", "from omegaconf import DictConfig"),
    ("F", "import torch.nn.functional as F"),
    ("Iterable", "from collections.abc import Iterable"),
    ("List", "from typing import List"),
    ("ListConfig", "from omegaconf import ListConfig"),
    ("Literal", "from typing import Literal"),
    ("OmegaConf", "from omegaconf import OmegaConf"),
    ("Optional", "from typing import Optional"),
    ("Path", "from pathlib import Path"),
    ("Sequence", "from collections.abc import Sequence"),
    ("Subset", "from torch.utils.data import Subset"),
    ("Tensor", "from torch import Tensor"),
    ("Tuple", "from typing import Tuple"),
    ("Union", "from typing import Union"),
    ("argparse", "import argparse"),
    ("asdict", "from dataclasses import asdict"),
    ("collections", "import collections"),
    (
        "confusion_matrix",
        "from sklearn.metrics import confusion_matrix",
    ),
    ("contextlib", "import contextlib"),
    ("copy", "import copy"),
    ("csv", "import csv"),
    ("dataclass", "from dataclasses import dataclass"),
    ("datasets", "import datasets"),
    ("datetime", "from datetime import datetime"),
    ("deepcopy", "from copy import deepcopy"),
    ("defaultdict", "from collections import defaultdict"),
    ("field", "from dataclasses import field"),
    ("functools", "import functools"),
    ("gc", "import gc"),
    (
        "get_original_cwd",
        "from hydra.utils import get_original_cwd",
    ),
    ("glob", "import glob"),
    ("hydra", "import hydra"),
    ("itertools", "import itertools"),
    ("json", "import json"),
    ("load_dataset", "from datasets import load_dataset"),
    ("logging", "import logging"),
    ("math", "import math"),
    ("matplotlib", "import matplotlib"),
    ("nn", "import torch.nn as nn"),
    ("np", "import numpy as np"),
    ("nullcontext", "from contextlib import nullcontext"),
    ("numpy", "import numpy"),
    ("optim", "import torch.optim as optim"),
    ("optuna", "import optuna"),
    ("os", "import os"),
    ("partial", "from functools import partial"),
    ("pd", "import pandas as pd"),
    ("pickle", "import pickle"),
    ("plt", "import matplotlib.pyplot as plt"),
    ("random", "import random"),
    ("random_split", "from torch.utils.data import random_split"),
    ("re", "import re"),
    ("shutil", "import shutil"),
    ("sklearn", "import sklearn"),
    ("sns", "import seaborn as sns"),
    ("stats", "from scipy import stats"),
    ("subprocess", "import subprocess"),
    ("sys", "import sys"),
    ("tempfile", "import tempfile"),
    ("time", "import time"),
    ("timm", "import timm"),
    ("torch", "import torch"),
    ("torchvision", "import torchvision"),
    ("tqdm", "from tqdm import tqdm"),
    (
        "train_test_split",
        "from sklearn.model_selection import train_test_split",
    ),
    ("transformers", "import transformers"),
    ("transforms", "from torchvision import transforms"),
    ("uuid", "import uuid"),
    ("wandb", "import wandb"),
    ("warnings", "import warnings"),
    ("yaml", "import yaml"),
];

fn usual_import(name: &str) -> Option<&'static str> {
    let at = USUAL_IMPORTS.binary_search_by_key(&name, |&(name, _)| name);
    at.ok().map(|at| USUAL_IMPORTS[at].1)
}

/// Further places a finding lists; a name misspelt a hundred times needs no hundred lines.
const RELATED: usize = 20;

pub(super) fn undefined_name(context: &FileContext<'_>, findings: &mut Findings) {
    for missing in &context.names.undefined {
        let name = missing.name;
        let line = |node| line(context, node);
        let (message, help) = match missing.why {
            Missing::Before(at) => (
                format!("`{name}` is read here before line {} defines it.", line(at)),
                format!("Move the definition of `{name}` above this line."),
            ),
            Missing::TakenAway(at) | Missing::OtherPath(at) => taken_away(name, line(at)),
            Missing::TypingOnly(at) => (
                format!(
                    "`{name}` is read here at run time, but line {} defines it under `if TYPE_CHECKING:` only.",
                    line(at)
                ),
                format!("Move the import of `{name}` out of the `if TYPE_CHECKING:` block."),
            ),
            Missing::Nowhere => nowhere(missing),
        };
        push(context, findings, &UNDEFINED_NAME, missing, message, help);
    }
}

fn nowhere(missing: &MissingName<'_>) -> (String, String) {
    let name = missing.name;
    let message = format!("`{name}` is read here and no scope defines it");
    match (usual_import(name), missing.similar) {
        (Some(import), _) => (
            format!("{message}."),
            format!("Add `{import}` at the top of the file."),
        ),
        (None, Some(similar)) => (
            format!("{message}; did you mean `{similar}`?"),
            format!("Write `{similar}`, or define `{name}` before this line."),
        ),
        (None, None) => (
            format!("{message}."),
            format!("Define or import `{name}` before this line, or remove the read."),
        ),
    }
}

fn taken_away(name: &str, line: u32) -> (String, String) {
    (
        format!(
            "`{name}` is read here after line {line} took it away (`del`, or the end of `except … as`)."
        ),
        format!("Keep the value under another name before line {line}, and read that."),
    )
}

pub(super) fn unbound_local(context: &FileContext<'_>, findings: &mut Findings) {
    for missing in &context.names.unbound {
        let name = missing.name;
        let line = |node| line(context, node);
        let rename = || {
            format!(
                "Give the local another name: binding `{name}` anywhere in the function hides the module's `{name}` in all of it."
            )
        };
        let (message, help) = match missing.why {
            Missing::Before(at) => (
                format!(
                    "Local `{name}` is read here before line {} binds it.",
                    line(at)
                ),
                if missing.hides_module_name {
                    rename()
                } else {
                    format!("Give `{name}` a value before this line.")
                },
            ),
            Missing::TakenAway(at) => taken_away(name, line(at)),
            Missing::OtherPath(at) => (
                format!(
                    "Local `{name}` is read here, where no path has bound it: line {} binds it on another one.",
                    line(at)
                ),
                if missing.hides_module_name {
                    rename()
                } else {
                    format!("Give `{name}` a value on this path too.")
                },
            ),
            Missing::Nowhere | Missing::TypingOnly(_) => (
                format!("Local `{name}` is read here and only declared, never given a value."),
                format!("Give `{name}` a value before this line."),
            ),
        };
        push(context, findings, &UNBOUND_LOCAL, missing, message, help);
    }
}

fn line(context: &FileContext<'_>, node: NodeId) -> u32 {
    context.source.line_of(context.tree.span(node).start)
}

fn push(
    context: &FileContext<'_>,
    findings: &mut Findings,
    rule: &'static Rule,
    missing: &MissingName<'_>,
    message: String,
    help: String,
) {
    let [first, others @ ..] = &missing.reads[..] else {
        return;
    };
    let span = |&node: &NodeId| context.tree.span(node);
    findings.push(Finding {
        rule,
        span: span(first),
        message,
        help,
        related: (others.iter().take(RELATED))
            .map(|node| (span(node), format!("`{}` is read here too.", missing.name)))
            .collect(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_imports_are_sorted_for_the_search() {
        assert!(USUAL_IMPORTS.is_sorted_by_key(|&(name, _)| name));
        assert_eq!(usual_import("np"), Some("import numpy as np"));
    }
}
