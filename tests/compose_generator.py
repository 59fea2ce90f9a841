"""Config trees and command lines made from a seed, for comparing composers."""

from __future__ import annotations

import random
from dataclasses import dataclass

GROUPS = ("run", "model", "data", "model/head")
OPTIONS = ("a", "b", "base", "x-1")
KEYS = ("lr", "name", "steps", "opt", "sub", "run", "model", "flag")
SCALARS = (
    "1",
    "1e-4",
    "2.5",
    "true",
    "null",
    "text",
    "'quoted'",
    "???",
    "no",
    "0x1f",
    "1_000",
    "2024-01-01",
    ".inf",
    '""',
    "-3",
    "a b",
    "~",
)
INTERPOLATIONS = (
    "${lr}",
    "${run.lr}",
    "${.name}",
    "${..lr}",
    "x-${name}-y",
    "${missing.key}",
    "${model}",
    "${oc.env:HOME}",
    "${now:%Y-%m-%d}",
    "${oc.select:run.lr,3}",
    "${model.head.lr}",
    "${opt}/${name}",
    "${oc.select:nope,text}",
)
VALUES = (
    "a",
    "b",
    "1",
    "1e-3",
    "true",
    "null",
    "'a b'",
    "[1,2]",
    "{x:1}",
    "{lr:5,new:[a]}",
    "",
    "???",
    "${lr}",
    "int(3.7)",
    "str(1)",
    "a,b",
    "choice(a,b)",
    "(a)",
    "a=b",
    "x-1",
    "-1",
    "a b",
    "nope",
    "10",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A config folder (paths relative to it) and what is asked of it."""

    files: dict[str, str]
    config_name: str | None
    overrides: list[str]
    version_base: str | None


def case(seed: int) -> Case:
    """The case of a seed: always the same, mostly composable, often odd."""
    return _Maker(random.Random(seed)).case()


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.keys: list[str] = []

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def case(self) -> Case:
        groups = [g for g in GROUPS if self.chance(65)]
        files: dict[str, str] = {}
        for group in groups:
            for option in OPTIONS:
                if self.chance(94):
                    files[f"{group}/{option}.yaml"] = self.option(group, groups)
        if self.chance(20):
            files["extra.yaml"] = self.option("", groups)
        files["config.yaml"] = self.primary(groups)
        name = None if self.chance(3) else self.pick("config", "config", "config", "config.yaml")
        if self.chance(2):
            name = "other"
        overrides = [self.override(groups) for _ in range(self.rng.randrange(4))]
        version = "1.1" if self.chance(15) else None
        return Case(files, name, overrides, version)

    def primary(self, groups: list[str]) -> str:
        body = self.body(0, 5)
        self.keys = [line.partition(":")[0] for line in body if line[0] != " "]
        lines: list[str] = []
        if self.chance(90):
            entries = [self.entry(g) for g in groups if self.chance(85)]
            if self.chance(15):
                entries.append(self.pick("- extra", "- extra@sub", "- extra", "- /extra@_global_"))
            if self.chance(70):
                entries.insert(0 if self.chance(60) else len(entries), "- _self_")
            if self.chance(10):
                group = self.rng.choice(groups or ["run"])
                entries.append(f"- override {group}: {self.rng.choice(OPTIONS)}")
            if self.chance(5):
                entries.append("- override hydra/job_logging: disabled")
            lines.append("defaults:" if entries else "defaults: []")
            lines += [f"  {entry}" for entry in entries]
        lines += body
        if self.chance(10):
            lines += ["hydra:", "  run:", "    dir: ."]
        if self.chance(2):
            lines += ["hydra:", f"  {self.pick('nope: 1', 'job: {chdir: false}')}"]
        return "\n".join(lines) + "\n"

    def entry(self, group: str, *, nested: bool = False) -> str:
        option = self.rng.choice(OPTIONS)
        if self.chance(2):
            option = "nope"
        if self.chance(4):
            option = self.pick("???", "null", "[a, b]", "3", "${run}", "x_${model}", "${nope}")
        name = f"/{group}" if nested and self.chance(60) else group
        if self.chance(12):
            at = self.pick("_global_", "_here_", "sub", "sub.deep", "_group_", "model", "_group_.x")
            name += f"@{at}"
        if self.chance(8):
            name = f"optional {name}"
        if nested and self.chance(8):
            name = f"override {name}"
        return f"- {name}: {option}"

    def option(self, group: str, groups: list[str]) -> str:
        lines: list[str] = []
        if self.chance(15):
            header = self.pick("_global_", "sub", "_group_", "run", "_global_.deep", "a.b.c")
            lines.append(f"# @package {header}")
        if self.chance(18):
            entries: list[str] = []
            for _ in range(self.rng.randrange(3)):
                way = self.rng.randrange(4)
                if way == 0:
                    entries.append(f"- {self.pick('base', 'base', 'a')}")
                elif way == 1:
                    entries.append("- _self_")
                elif groups:
                    entries.append(self.entry(self.rng.choice(groups), nested=True))
            if entries:
                lines.append("defaults:")
                lines += [f"  {entry}" for entry in entries]
        lines += self.body(0, 4)
        if self.chance(2):
            lines.append(self.pick("a: [", "a: 1\na: 2", "- item", "  bad", "a: ${b"))
        if self.chance(2):
            return self.pick("", "- 1\n- 2\n", "word\n", "3\n", "# only a comment\n")
        return "\n".join(lines) + "\n"

    def body(self, depth: int, most: int) -> list[str]:
        indent = "  " * depth
        lines: list[str] = []
        keys = self.rng.sample(KEYS, self.rng.randrange(most + 1))
        for key in keys:
            way = self.rng.randrange(100)
            if way < 30 and depth < 3:
                inner = self.body(depth + 1, 3)
                if inner:
                    lines.append(f"{indent}{key}:")
                    lines += inner
                else:
                    lines.append(f"{indent}{key}: {{}}")
            elif way < 38:
                lines.append(f"{indent}{key}: [{self.item()}, {self.item()}]")
            else:
                lines.append(f"{indent}{key}: {self.value()}")
        return lines

    def value(self) -> str:
        if self.chance(15):
            return f'"{self.rng.choice(INTERPOLATIONS)}"'
        return self.rng.choice(SCALARS)

    def item(self) -> str:
        value = self.value()
        return "'???'" if value == "???" else value

    def override(self, groups: list[str]) -> str:
        prefix = self.rng.choice(["", "", "", "", "+", "++", "~"])
        if groups and prefix in ("", "+") and self.chance(50):
            key = self.rng.choice(groups)
            value = self.rng.choice(OPTIONS) if self.chance(80) else self.rng.choice(VALUES)
            if self.chance(10):
                key += "@" + self.pick("sub", "_global_", "model", "")
        else:
            parts = [self.rng.choice(KEYS) for _ in range(self.rng.randrange(1, 3))]
            if self.keys and self.chance(75):
                parts = [self.rng.choice(self.keys), *parts[2:]]
            key = ".".join(parts)
            value = self.rng.choice(VALUES)
            if self.chance(4):
                key = self.pick("hydra.run.dir", "hydra.nope", "hydra.job.chdir", "a/b", "hydra")
        if prefix == "~" and self.chance(70):
            return f"~{key}"
        return f"{prefix}{key}={value}"
