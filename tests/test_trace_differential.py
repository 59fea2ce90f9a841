"""Generated programs, traced and really executed.

What the trace says happens for sure must have happened, in that order, with those values; whatever
happened must be among what the trace says may happen.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trace_helpers import execute, items, same, trace

PATHS = ("flag", "off", "mode", "n", "zero", "none", "run.lr", "run.name", "run.deep.k",
         "opt.steps")  # fmt: skip


class Writer:
    """Writes a random program."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        self.left = size
        self.tags = 0
        self.functions: list[tuple[str, int]] = []
        self.in_loop = 0
        self.in_function = 0
        self.lines: list[str] = []

    def program(self) -> str:
        for number in range(self.random.randint(0, 3)):
            self.function(f"f{number}")
        if self.random.random() < 0.5:
            self.cls()
        self.lines.append("@hydra.main(version_base=None, config_path='.', config_name='config')")
        self.lines.append("def main(cfg):")
        self.body(1, closure=True)
        self.lines += ["if __name__ == '__main__':", "    main()"]
        return "\n".join(self.lines) + "\n"

    def function(self, name: str) -> None:
        count = self.random.randint(0, 2)
        names = ["cfg", *(f"p{i}" for i in range(count))]
        if count and self.random.random() < 0.4:
            names[-1] += "=5"
        self.lines.append(f"def {name}({', '.join(names)}):")
        self.in_function += 1
        self.body(1, params=[f"p{i}" for i in range(count)])
        self.in_function -= 1
        self.functions.append((name, count))

    def cls(self) -> None:
        self.lines += [
            "class Box:",
            "    scale = 2",
            "    def __init__(self, cfg, value):",
            "        self.cfg = cfg.run",
            "        self.value = value",
            "    def bump(self, by=1):",
            "        if self.cfg.lr > 2:",
            "            self.value = self.value + by",
            "        sink.log('bump', self.value)",
            "        return self.value * self.scale",
        ]
        self.functions.append(("Box", -1))

    def body(self, depth: int, params: list[str] | None = None, closure: bool = False) -> None:
        pad = "    " * depth
        starts = ["0", "'a'", "cfg.n", "True"]
        for number in range(4):
            start = (params or [])[number : number + 1] or [starts[number]]
            self.lines.append(f"{pad}v{number} = {start[0]}")
        self.lines.append(f"{pad}xs = []")
        self.lines.append(f"{pad}d = {{'k': 1}}")
        self.lines.append(f"{pad}sub = cfg.run")
        if closure and self.random.random() < 0.4:
            self.lines += [
                f"{pad}def inner(z):",
                f"{pad}    nonlocal v1",
                f"{pad}    v1 = z",
                f"{pad}    sink.log('inner', z)",
                f"{pad}    return cfg.opt.steps",
            ]
            self.functions.append(("inner", -2))
        self.block(depth)

    def block(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.statement(depth)

    def name(self) -> str:
        return f"v{self.random.randrange(4)}"

    def expr(self, depth: int = 0) -> str:
        pick = self.random.random()
        if depth > 2 or pick < 0.3:
            return self.random.choice([self.name(), "1", "0", "'trial'", "None", "True", "3"])
        if pick < 0.55:
            path = self.random.choice(PATHS)
            if self.random.random() < 0.2:
                return f"sub.{self.random.choice(['lr', 'name'])}"
            return f"cfg.{path}"
        if pick < 0.63:
            key = self.random.choice(["flag", "absent", "n", "late"])
            return f"cfg.get('{key}', {self.expr(depth + 1)})"
        if pick < 0.70:
            return f"({self.expr(depth + 1)} if {self.test(depth + 1)} else {self.expr(depth + 1)})"
        if pick < 0.76:
            word = self.random.choice(["and", "or"])
            return f"({self.expr(depth + 1)} {word} {self.expr(depth + 1)})"
        if pick < 0.80:
            return f"f'{{{self.name()}}}-x'"
        if pick < 0.84:
            return f"str({self.expr(depth + 1)})"
        if pick < 0.88:
            return "len(xs)"
        if pick < 0.92:
            return f"d.get('{self.random.choice('kjm')}', {self.expr(depth + 1)})"
        if pick < 0.95:
            return "len([x for x in xs if x])"
        return self.test(depth + 1)

    def test(self, depth: int = 0) -> str:
        pick = self.random.random()
        if pick < 0.25:
            return f"cfg.{self.random.choice(['flag', 'off', 'zero', 'none'])}"
        if pick < 0.5:
            op = self.random.choice(["==", "!="])
            return f"({self.expr(depth + 1)} {op} {self.expr(depth + 1)})"
        if pick < 0.6:
            return f"(not {self.expr(depth + 1)})"
        if pick < 0.7:
            return f"('{self.random.choice(['late', 'flag', 'absent'])}' in cfg)"
        if pick < 0.8:
            return f"({self.expr(depth + 1)} is None)"
        if pick < 0.9:
            return f"({self.expr(depth + 1)} in ('trial', 1, 2))"
        return self.expr(depth + 1)

    def call(self) -> str:
        name, count = self.random.choice(self.functions)
        if count == -1:
            return f"Box(cfg, {self.random.choice(['1', 'cfg.n'])}).bump()"
        if count == -2:
            return f"inner({self.expr()})" if not self.in_function else "0"
        args = ["cfg", *(self.expr() for _ in range(count))]
        return f"{name}({', '.join(args)})"

    def statement(self, depth: int) -> None:
        pad = "    " * depth
        self.left -= 1
        pick = self.random.random() if self.left > 0 and depth < 6 else self.random.random() * 0.4
        write = self.lines.append
        if pick < 0.2:
            self.tags += 1
            write(f"{pad}sink.log('t{self.tags}', {self.expr()})")
        elif pick < 0.32:
            write(f"{pad}{self.name()} = {self.expr()}")
        elif pick < 0.36:
            key = self.random.choice(["flag", "n", "late", "mode"])
            write(f"{pad}cfg.{key} = {self.expr()}")
        elif pick < 0.40:
            write(f"{pad}xs.append({self.expr()})")
        elif pick < 0.44:
            write(f"{pad}d['{self.random.choice('kj')}'] = {self.expr()}")
        elif pick < 0.58:
            write(f"{pad}if {self.test()}:")
            self.block(depth + 1)
            if self.random.random() < 0.3:
                write(f"{pad}elif {self.test()}:")
                self.block(depth + 1)
            if self.random.random() < 0.5:
                write(f"{pad}else:")
                self.block(depth + 1)
        elif pick < 0.72:
            over = self.random.choice(
                ["range(cfg.n)", "[1, cfg.n]", "xs", "range(3)", "enumerate(['a', 'b'])",
                 "d", "range(cfg.zero)", "d.items()", "list(range(9))"]
            )  # fmt: skip
            target = self.name() if "items" not in over and "enumerate" not in over else "v0, v1"
            write(f"{pad}for {target} in {over}:")
            self.in_loop += 1
            self.block(depth + 1)
            self.in_loop -= 1
            if self.random.random() < 0.2:
                write(f"{pad}else:")
                self.block(depth + 1)
        elif pick < 0.77:
            count = f"w{self.tags}_{len(self.lines)}"
            write(f"{pad}{count} = 0")
            write(f"{pad}while {self.random.choice(['True', count + ' < cfg.n', self.test()])}:")
            write(f"{pad}    {count} += 1")
            write(f"{pad}    if {count} > 2:")
            write(f"{pad}        break")
            self.in_loop += 1
            self.block(depth + 1)
            self.in_loop -= 1
        elif pick < 0.82 and self.functions:
            write(f"{pad}{self.name()} = {self.call()}")
        elif pick < 0.86 and self.in_loop:
            write(f"{pad}if {self.test()}:")
            write(f"{pad}    {self.random.choice(['break', 'continue'])}")
        elif pick < 0.89:
            write(f"{pad}if {self.test()}:")
            write(f"{pad}    {self.random.choice(['return ' + self.expr(), 'raise Stop()'])}")
        elif pick < 0.93:
            write(f"{pad}try:")
            self.block(depth + 1)
            write(f"{pad}except {self.random.choice(['Exception', 'Stop', 'KeyError'])}:")
            self.block(depth + 1)
            if self.random.random() < 0.3:
                write(f"{pad}finally:")
                write(f"{pad}    sink.log('finally', 0)")
        elif pick < 0.96:
            write(f"{pad}v0, v1 = {self.expr()}, {self.expr()}")
        else:
            write(f"{pad}{self.name()} = {self.random.choice(['v0', 'cfg.n'])}")


def check(program: str) -> None:
    real, as_written = execute(program)
    if len(real) > 3000:
        return
    said = list(items(trace(program)))
    may = [item for state, item in said if state is not False]
    for item in real:
        assert any(same(m, item) for m in may), f"not foreseen: {item}\n{program}"
    if as_written:
        rest = iter(real)
        for state, item in said:
            if state is True:
                assert any(same(item, r) for r in rest), f"did not happen: {item}\n{program}"


@pytest.mark.differential
@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**9), size=st.integers(1, 30))
def test_the_trace_agrees_with_the_execution(seed: int, size: int) -> None:
    check(Writer(seed, size).program())
