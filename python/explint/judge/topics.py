"""What a claim can speak of, and the rules that look at it.

A topic is recognised by words: all its patterns must be found in the claim. A finding of one of
its rules then confirms the claim, provided that it stands where the claim says: in a file that the
claim names, and, for topics about a name, at a name that the claim holds.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from explint.regex import regex

Anchor = Literal["anywhere", "files", "names"]


class Topic(msgspec.Struct, frozen=True):
    """One thing to claim. ``rules`` is empty where no rule of explint looks at it.

    A ``weak`` topic is recognised by words that stand in many claims about other things: it counts
    only where nothing else in the claim is decided.
    """

    title: str
    patterns: tuple[re.Pattern[str], ...]
    rules: tuple[str, ...]
    criteria: tuple[int, ...]
    anchor: Anchor = "files"
    weak: bool = False

    def speaks(self, text: str) -> bool:
        """Whether a text is about this."""
        return all(pattern.search(text) for pattern in self.patterns)


def _topic(
    title: str,
    *patterns: str,
    rules: str = "",
    criteria: tuple[int, ...],
    anchor: Anchor = "files",
    weak: bool = False,
) -> Topic:
    compiled = tuple(regex(pattern, re.IGNORECASE) for pattern in patterns)
    return Topic(title, compiled, tuple(rules.split()), criteria, anchor, weak)


_EVAL = r"evaluat|aggregat|\bper-run\b|\bcross-run\b|comparison|\bcriterion 8\b|figure|rule 8\b"
_TRIAL = (
    r"\btrial[- _]?mode\b|\bmode=trial\b|\bin (?:a |the )?\W?trial\W?\b|\bdry[- ]run\b|\bsanity\b"
)
_NOT = r"\b(?:not|no|never|without|lacks?|lacking|missing|absent|n't|nothing|nowhere)\b|n't\b"

TOPICS: tuple[Topic, ...] = (
    _topic(
        "a file that should not be there",
        r"\bextra (?:file|module)|additional (?:file|module|JSON)|unexpected file"
        r"|__init__\.py\b.*\bnot allowed|not allowed\b.*\bfile",
        rules="structure/unexpected-file",
        criteria=(5,),
    ),
    _topic(
        "required files",
        r"file[- ]structure\b|required files?\b|mandatory files?\b",
        r"violat|absent|missing|empty|not\b",
        rules="structure/missing-file structure/empty-file structure/unexpected-file",
        criteria=(5,),
        weak=True,
    ),
    _topic(
        "modules without content",
        r"implementation is (?:\w+ )?incomplete|incomplete (?:core )?implementation"
        r"|corresponding modules are missing|lacks? (?:a )?complete\b|only contains an?\b",
        rules="structure/empty-file structure/missing-file structure/gutted-module "
        "complete/truncated-code complete/placeholder-body",
        criteria=(1,),
    ),
    _topic(
        "placeholders and omissions",
        r"\bplaceholder|\bstub(?:s|bed)?\b|\bTODO\b|NotImplementedError|\bomitted\b|for brevity"
        r"|truncat(?:ed|ion)|\bonly `?pass`?\b|empty (?:function|body|class)",
        rules="complete/todo-marker complete/placeholder-body complete/omission-note "
        "complete/truncated-code complete/constant-stub structure/gutted-module",
        criteria=(1,),
    ),
    _topic(
        "syntax",
        r"syntax ?error|invalid syntax|IndentationError|does(?: not|n't) (?:parse|compile)"
        r"|cannot be (?:parsed|compiled)|unterminated|unbalanced",
        rules="complete/syntax-error complete/truncated-code",
        criteria=(1,),
    ),
    _topic(
        "undefined names",
        r"NameError|UnboundLocalError|undefined (?:name|variable|function|symbol)"
        r"|(?:is|are) (?:never|not) (?:defined|imported)|referenced before|not defined (?:any|in)",
        rules="complete/undefined-name complete/unbound-local complete/unresolved-import",
        criteria=(1,),
        anchor="names",
        weak=True,
    ),
    _topic(
        "imports",
        r"ImportError|ModuleNotFoundError|no module named|cannot import|relative import"
        r"|\bimports?\b",
        r"Error|fail|no module|cannot|crash|not exist|no file|missing|not (?:defined|supplied"
        r"|there)"
        r"|undefined|without",
        rules="complete/unresolved-import env/undeclared-dependency hydra/changes-directory",
        criteria=(1,),
        anchor="names",
    ),
    _topic(
        "calls that do not fit",
        r"TypeError|unexpected keyword|positional argument|signature|too (?:many|few) (?:values"
        r"|arg)"
        r"|missing (?:\w+ )?argument|takes no argument|unpack",
        rules="complete/call-signature env/api-not-in-version cli/child-process",
        criteria=(1,),
        anchor="names",
        weak=True,
    ),
    _topic(
        "functions that a library does not have",
        r"AttributeError|does(?: not|n't) (?:exist|have)|no (?:such )?(?:attribute|function|method)"
        r"|deprecated|was removed|invalid (?:keyword|argument)",
        rules="env/api-not-in-version",
        criteria=(1,),
        anchor="names",
        weak=True,
    ),
    _topic(
        "pyproject.toml",
        r"pyproject|\bpoetry\b|build[- ]backend|hatchling|setuptools",
        rules="env/invalid-pyproject env/no-project-table env/build-fails env/unsatisfiable "
        "env/python-version",
        criteria=(5, 1),
        anchor="anywhere",
        weak=True,
    ),
    _topic(
        "dependencies",
        r"\bdependenc(?:y|ies)\b|\brequirements\.txt|not (?:listed|declared|included) in pyproject"
        r"|(?:package|library) .{0,30}not (?:listed|declared|installed)",
        rules="env/undeclared-dependency env/unknown-distribution env/unsatisfiable "
        "env/no-project-table",
        criteria=(5, 1),
        anchor="anywhere",
    ),
    _topic(
        "config keys",
        r"\b(?:cfg|config|conf)\.(?!ya?ml\b|json\b|py\b)\w+",
        r"wrong|incorrect|stores?\b|nested|missing|not (?:defined|exist|present|found)|n't exist"
        r"|AttributeError|KeyError|undefined|at (?:the )?root|instead of|under `?(?:cfg"
        r"|config)\.run",
        rules="hydra/key-in-wrong-section hydra/undefined-key hydra/undefined-in-some-runs",
        criteria=(2, 7),
        anchor="names",
    ),
    _topic(
        "new keys in a struct config",
        r"struct(?:ured)?[- ](?:mode|flag|config)|open_dict|set_struct|\bread-?only\b.*config"
        r"|ConfigAttributeError|new keys?\b.*\bconfig",
        rules="hydra/struct-write hydra/bad-override hydra/undefined-key",
        criteria=(2, 7),
    ),
    _topic(
        "how Hydra finds its configs",
        r"hydra",
        r"search path|config_path|config_name|defaults list|config group|cannot find|compos(?:e"
        r"|ition)"
        r"|configuration files? present|not decorated|@hydra\.main",
        rules="hydra/composition-error hydra/no-config-name hydra/no-entry-point "
        "hydra/invalid-run-config",
        criteria=(2,),
        anchor="anywhere",
    ),
    _topic(
        "the working directory",
        r"(?:chang|mov|switch)\w* .{0,30}(?:working )?director|get_original_cwd|hydra\.run\.dir"
        r"|\bchdir\b|relative paths?\b.*\b(?:outputs|hydra)",
        rules="hydra/changes-directory",
        criteria=(2,),
        anchor="anywhere",
    ),
    _topic(
        "the run configs",
        r"run[- ]configs?\b|config/runs?\b|\brun (?:YAML|config\w*) files?",
        r"section|missing|invalid|YAML error|duplicate|not (?:provided|match|exist|valid)|lacks?",
        rules="hydra/missing-section hydra/invalid-run-config structure/run-config-missing",
        criteria=(7,),
        anchor="anywhere",
    ),
    _topic(
        "overrides",
        r"could not override|hydra overrides?|overrides? (?:fail|is|are)\b"
        r"|\bwithout (?:the )?\W?\+",
        rules="hydra/bad-override cli/child-process",
        criteria=(2,),
    ),
    _topic(
        "the run id",
        r"\brun[- _]?ids?\b",
        r"parenthes|special char|\bquot|\bshell\b|\bspaces?\b|bracket",
        rules="hydra/unsafe-run-id",
        criteria=(2, 7),
        anchor="anywhere",
    ),
    _topic(
        "what the child process is handed",
        r"subprocess|child process|propagat|forward(?:s|ed|ing)?\b|(?:pass|hand)(?:es"
        r"|ed)? .{0,40}\bto"
        r" (?:src[./])?train",
        rules="cli/child-process hydra/bad-override cli/train-contract",
        criteria=(2,),
    ),
    _topic(
        "the evaluation command line",
        r"evaluat",
        r"argparse|positional|\bCLI\b|command[- ]line|key=value|--results_dir|--run_ids"
        r"|run_ids\b.*\bJSON",
        rules="cli/evaluate-contract",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "the training command line",
        r"\b(?:train|main)(?:\.py)?\b",
        r"command[- ]line|\bCLI\b|`?results_dir`? (?:argument|parameter|is)|argparse",
        rules="cli/train-contract hydra/no-entry-point",
        criteria=(2,),
    ),
    _topic(
        "the cache folder",
        r"\.cache\b|cache_dir|\bcaching\b|cache (?:dir|folder|requirement)",
        rules="data/no-cache-dir data/cache-dir-ignored",
        criteria=(3,),
    ),
    _topic(
        "columns of a dataset",
        r"\bcolumns?\b|`?labels?`?\b",
        r"\bdrop|remov|renam|no `?labels?\b|no longer",
        rules="data/dropped-column",
        criteria=(3,),
    ),
    _topic(
        "training and test data kept apart",
        r"\bsplits?\b|test (?:set|data)|\bleak",
        r"overlap|same (?:split|data)|leak|trained? on (?:the )?test|before (?:the )?split|augment",
        rules="data/split-overlap data/label-leak data/fit-before-split data/shared-transform",
        criteria=(3,),
    ),
    _topic(
        "labels of -100",
        r"-100\b|ignore_index",
        r"decod",
        rules="data/decode-ignore-index",
        criteria=(3,),
    ),
    _topic(
        "the pad token",
        r"pad(?:ding)?[ _]token",
        rules="data/pad-token",
        criteria=(3,),
    ),
    _topic(
        "methods that no branch handles",
        r"\bmethods?\b|\bmodels?\b|\bdatasets?\b",
        r"not (?:handled|implemented|supported)|unsupported|no branch|unknown (?:method|model)"
        r"|only supports?",
        rules="model/unhandled-method",
        criteria=(4,),
        anchor="names",
    ),
    _topic(
        "methods that do the same",
        r"same (?:method|code path|algorithm)|identical (?:methods?|runs?|training)"
        r"|(?:do|does) not differ",
        rules="model/same-method",
        criteria=(4,),
        anchor="anywhere",
    ),
    _topic(
        "clearing of gradients",
        r"zero_grad|gradients? .{0,20}(?:never|not) (?:zeroed|cleared|reset)",
        rules="model/no-zero-grad",
        criteria=(4,),
    ),
    _topic(
        "softmax before the loss",
        r"softmax|sigmoid",
        r"cross[- _]?entropy|\bBCE|\bNLL|\bloss",
        rules="model/softmax-before-loss",
        criteria=(4,),
    ),
    _topic(
        "the learning rate schedule",
        r"schedul|warm-?up|accumulation",
        _NOT + r"|ignor",
        rules="model/scheduler",
        criteria=(4,),
    ),
    _topic("seeds", r"\bseed", _NOT + r"|ignor", rules="model/seed", criteria=(4,)),
    _topic(
        "mixed precision",
        r"unscale_?\b|GradScaler|autocast|mixed precision|\bAMP\b",
        r"before|order|wrong|dtype|not\b|never",
        rules="model/amp-order",
        criteria=(4,),
    ),
    _topic(
        "logarithms of zero",
        r"log\(0\)|log of zero|p ?\* ?log|entropy\b",
        r"\bnan\b|\binf|zero",
        rules="model/log-of-zero",
        criteria=(4,),
    ),
    _topic(
        "evaluation started by main.py",
        r"main\.py\b.{0,40}\b(?:calls?|runs?|starts?|invokes?|imports?)\b.{0,30}evaluat",
        rules="evaluate/called-from-main",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "the direction of the search",
        r"optuna|\bstudy\b|\bsearch\b",
        r"\bdirection\b|maximi[sz]|minimi[sz]",
        rules="optuna/direction optuna/invalid-search-space",
        criteria=(7,),
        anchor="anywhere",
    ),
    _topic(
        "steps of the log",
        r"\bsteps?\b",
        r"backwards|decreas|monoton|out of order",
        rules="wandb/step-goes-backwards",
        criteria=(6,),
    ),
    _topic(
        "numbers that are read as strings",
        r"\bstrings?\b",
        r"\bfloat|\bnumber|1e-\d",
        r"ya?ml|config",
        rules="hydra/number-read-as-string",
        criteria=(2,),
    ),
    _topic(
        "configs taken for dicts",
        r"DictConfig|ListConfig",
        r"isinstance|not a (?:plain )?dict|serializ|json",
        rules="hydra/not-a-dict",
        criteria=(2,),
    ),
    _topic(
        "results written into the code",
        r"hard-?coded (?:result|metric|accurac|number|value|score)|made-?up (?:result|metric)",
        rules="results/literal-metric results/expected-number",
        criteria=(8, 4),
    ),
    _topic(
        "layers that stay untrained",
        r"\bhead\b|classifier|\blayers?\b|initiali[sz]ed",
        r"untrained|never trained|not trained|random(?:ly)? init\w*|fresh(?:ly)? init|frozen",
        rules="model/untrained-head",
        criteria=(4,),
    ),
    _topic(
        "parameters that the optimizer does not have",
        r"optimi[sz]er",
        r"\bbefore\b|\bstale\b|not (?:include|contain|updated?)"
        r"|does(?: not|n't) (?:see|include|contain)",
        rules="model/stale-optimizer",
        criteria=(4,),
    ),
    _topic(
        "gradients that reach no parameter",
        r"\bgradients?\b|backward|no_grad|detach|\.item\(\)",
        r"no_grad|detach|\.item\(\)|never|\bno\b|not (?:flow|reach|propagat)|disabled",
        rules="model/no-gradient",
        criteria=(4,),
    ),
    _topic(
        "training and evaluation mode",
        r"model\.eval\b|eval\(\)|eval(?:uation)? mode|no_grad|train\(\)",
        _NOT + r"|\bstays?\b|\bleft\b",
        rules="model/eval-mode",
        criteria=(4,),
    ),
    _topic(
        "data",
        r"preprocess|dataset|data[- ](?:loading|pipeline)|tokeni[sz]|\blabels?\b|data leak|collat",
        r"drop|remov|only supports?|fail|wrong|mismatch|missing|leak|not\b|incorrect|no `?labels",
        criteria=(3,),
        weak=True,
    ),
    _topic(
        "invented data",
        r"synthetic|random(?:ly generated)? (?:data|tensors?|labels)|dummy (?:data|tensors?)"
        r"|\bmock|fake\b|toy data",
        rules="data/random-data data/synthetic-fallback trial/different-program "
        "results/literal-metric evaluate/fabricated-figure",
        criteria=(3,),
    ),
    _topic(
        "models and training",
        r"\bmodel\b|gradient|optimi[sz]er|\bloss\b|\bhook\b|device[- ]mismatch|load_state_dict"
        r"|\blora\w*|\blayers?\b|state_dict|\bGPU\b|\brank",
        r"bug|wrong|mismatch|fail|rais|crash|not\b|never|error|incorrect|missing|only\b",
        criteria=(4,),
        weak=True,
    ),
    _topic(
        "config values that code ignores",
        r"ignor|honou?r|hard-?coded|(?:never|not) (?:read|used|respected)|unused",
        rules="model/config-ignored hydra/hard-coded-parameter hydra/unused-key",
        criteria=(4, 2),
        anchor="names",
        weak=True,
    ),
    _topic(
        "batches in a trial",
        _TRIAL,
        r"batch|\b(?:entire|whole|full) (?:test|train\w*|valid\w*|eval\w*|data\w*|stream|set|split)"
        r"|evaluated in full|subset|\bloader",
        rules="trial/unbounded-batches",
        criteria=(9,),
    ),
    _topic("epochs in a trial", _TRIAL, r"epoch", rules="trial/epochs", criteria=(9,)),
    _topic(
        "Optuna in a trial",
        _TRIAL,
        r"(?:skip|disabl|turn|off|n_trials).{0,40}optuna|optuna.{0,40}(?:not (?:disabled"
        r"|skipped)|still"
        r"|runs|enabled|n_trials)",
        rules="trial/optuna-on",
        criteria=(9,),
    ),
    _topic(
        "W&B in a trial",
        _TRIAL,
        r"wandb|w&b|weights (?:&|and) biases",
        r"disabl|online|\boff\b|\bstill\b|enabled|init",
        rules="wandb/not-disabled-in-trial",
        criteria=(9, 6),
    ),
    _topic(
        "the trial switch",
        r"\btrial[- _]?mode\b|\bmode=\w+|`mode`|\bcfg\.mode\b|\bmode (?:flag|switch|argument)",
        r"ignor|never|not (?:handled|read|implemented|used|checked)|no (?:handling|effect)|crash",
        rules="trial/no-mode trial/full-mode trial/crashes trial/unknown-mode-accepted",
        criteria=(9,),
        weak=True,
    ),
    _topic(
        "Optuna that never runs",
        r"optuna\b.{0,60}\b(?:not (?:implemented|used|called|integrated|invoked|executed|run"
        r"|present)"
        r"|never\b|absent|missing|unused)|\bno optuna\b|without (?:any )?optuna"
        r"|lacks? (?:any )?optuna",
        rules="optuna/never-run",
        criteria=(7,),
        anchor="anywhere",
    ),
    _topic(
        "search spaces",
        r"search[- ]?spaces?|suggest_\w+|hyper-?parameter (?:space|search)",
        r"bug|wrong|invalid|error|fail|rais|not\b|never|incorrect|missing|no effect",
        rules="optuna/invalid-search-space optuna/wrong-suggest-call "
        "optuna/search-key-without-effect",
        criteria=(7,),
    ),
    _topic(
        "trials of the search in W&B",
        r"(?:optuna|trials?)\b",
        r"(?:each|every|all|intermediate|individual)\W+(?:\w+\W+){0,2}trials?|objective",
        r"wandb|w&b|\blog",
        rules="wandb/trial-logged",
        criteria=(6, 7),
    ),
    _topic(
        "training with the best parameters",
        r"best (?:hyper-?)?param|best trial",
        _NOT,
        rules="optuna/no-final-run",
        criteria=(7,),
        anchor="anywhere",
    ),
    _topic(
        "a W&B run",
        r"wandb\.init|initiali[sz]\w* (?:wandb|w&b)|(?:wandb|w&b) (?:is )?(?:never|not) initiali",
        _NOT,
        rules="wandb/no-init",
        criteria=(6,),
    ),
    _topic(
        "W&B entity and project",
        r"\b(?:entity|project)\b",
        r"wandb|w&b|config\.yaml",
        _NOT,
        rules="wandb/no-project",
        criteria=(6,),
        anchor="anywhere",
    ),
    _topic(
        "what training logs",
        r"\blog(?:s|ged|ging)?\b",
        r"only (?:once|one|the final)|insufficient|incomplete|never|\bnot\b|missing"
        r"|per[- ](?:batch|epoch)"
        r"|frequen|coverage",
        rules="wandb/sparse-logging wandb/no-init",
        criteria=(6,),
        anchor="names",
    ),
    _topic(
        "the W&B summary",
        r"wandb\.summary|run\.summary|\bsummary\b",
        _NOT,
        rules="wandb/no-summary",
        criteria=(6,),
    ),
    _topic(
        "metric names in evaluation",
        r"history|metrics?\b|\bkeys?\b",
        r"never logg?ed|not logged|mismatch|does(?: not|n't) match|different (?:names?|keys?)"
        r"|no (?:such )?column|KeyError|empty history",
        rules="wandb/metric-mismatch wandb/disjoint-history-keys",
        criteria=(6, 8),
    ),
    _topic(
        "results in local files",
        r"results\.json|\bstdout\b|prints? .{0,30}json",
        rules="wandb/local-results",
        criteria=(6,),
    ),
    _topic(
        "the config that W&B keeps",
        r"run\.config\b|wandb config|config.{0,40}\bflatten",
        rules="wandb/config-mismatch",
        criteria=(6, 8),
    ),
    _topic(
        "the id of the W&B run",
        r"(?:wandb|w&b) (?:run[- ])?(?:id|name)\b|run id",
        r"not found|mismatch|differ|never match|wrong",
        rules="wandb/run-id-mismatch",
        criteria=(6, 8),
    ),
    _topic(
        "where evaluation reads from",
        _EVAL,
        r"local (?:file|npy|json|copy|cache)|locally|exclusively|only (?:from"
        r"|via) (?:the )?(?:wandb|w&b)"
        r"|(?:wandb|w&b) api",
        rules="evaluate/reads-local-file evaluate/no-api",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "files that evaluation writes",
        r"metrics\.json|aggregated_metrics|must be written|(?:never|not) (?:written|saved"
        r"|exported)",
        _EVAL,
        _NOT + r"|incomplete",
        rules="evaluate/missing-artifact",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "significance tests",
        r"significance|statistical test|t-?test\b|p-?values?\b|wilcoxon",
        rules="evaluate/no-significance-test",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "a test on single values",
        r"significance|statistical test|t-?test\b|p-?values?\b",
        r"\bnan\b|single (?:value|run|sample)|one (?:value|run|sample)|n ?= ?1\b",
        rules="evaluate/degenerate-test",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "derived metrics",
        r"improvement|derived|secondary\b.{0,20}metrics?|\bgap\b",
        _EVAL + r"|metric",
        rules="evaluate/no-derived-metric",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "figures outside of evaluation",
        r"\b(?:train|main)\.py\b.{0,80}(?:figure|plot|matplotlib)|figures?\b.{0,60}\b(?:train"
        r"|main)\.py",
        rules="evaluate/figure-outside-evaluate",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "the make of figures",
        r"legend|annotat|tight_layout|tight layout",
        rules="evaluate/figure-quality",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "names of figures",
        r"(?:figure|plot|file)\w* nam(?:e|ing)|nam(?:e|ing) (?:pattern|convention)"
        r"|instead of (?:a )?pdf"
        r"|\.png\b",
        rules="evaluate/figure-name",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "which figures there are",
        r"confusion matri|box ?plots?|learning curves?|comparison (?:chart|figure|plot)s?"
        r"|bar charts?",
        _NOT + r"|incomplete|optional|skips?",
        criteria=(8,),
    ),
    _topic(
        "the baseline",
        r"\bbaseline\b",
        r"wrong|invert|incorrect|proposed .{0,30}as (?:the )?baseline|mis\w*identif|fallback",
        rules="evaluate/wrong-baseline",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "figures with invented values",
        r"fabricat|confusion matrix\b.{0,60}\b(?:same|itself|identical|copied)|made[- ]up",
        rules="evaluate/fabricated-figure",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "errors that are swallowed",
        r"swallow|bare except|silently|except (?:Exception|:)|masks? errors?",
        rules="complete/swallowed-error",
        criteria=(1,),
    ),
    _topic(
        "JSON output",
        r"\bjson\b",
        r"seriali[sz]|\bnan\b|json lines|JSONL|not (?:a )?valid json",
        rules="wandb/unserialisable evaluate/json-lines evaluate/degenerate-test",
        criteria=(8,),
        anchor="anywhere",
    ),
    _topic(
        "outputs that overwrite each other",
        r"overwrit",
        rules="results/overwritten-output",
        criteria=(8,),
    ),
)
