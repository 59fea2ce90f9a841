"""Each construct of the language that the trace follows, against its real execution.

These programs leave nothing open: the trace must say exactly what happens, in order, with every
value.
"""

from __future__ import annotations

import pytest

from trace_helpers import execute, items, trace

MAIN = """
@hydra.main(version_base=None, config_path='.', config_name='config')
def main(cfg):
{body}
if __name__ == '__main__':
    main()
"""

CASES = {
    "attributes, items and aliases": """
    run = cfg.run
    sink.log('a', run.lr)
    sink.log('b', cfg['run']['deep'].k)
    """,
    "get with and without a default": """
    sink.log('a', cfg.get('n', 7))
    sink.log('b', cfg.get('absent', 7))
    sink.log('c', cfg.get('absent'))
    """,
    "membership": """
    if 'run' in cfg:
        sink.log('a', 1)
    if 'absent' not in cfg:
        sink.log('b', 2)
    """,
    "writes are seen by later reads": """
    sink.log('a', cfg.n)
    cfg.n = 9
    sink.log('b', cfg.n)
    cfg.run.lr = cfg.n
    sink.log('c', cfg.run.lr)
    """,
    "a write on one way only": """
    if cfg.flag:
        cfg.n = 1
    else:
        cfg.n = 5
    sink.log('a', cfg.n)
    """,
    "a value read before a write stays": """
    before = cfg.n
    cfg.n = 100
    sink.log('a', before)
    """,
    "elif, and, or, not": """
    if cfg.off:
        sink.log('a', 1)
    elif cfg.flag and not cfg.zero:
        sink.log('b', 2)
    else:
        sink.log('c', 3)
    sink.log('d', cfg.zero or cfg.n)
    sink.log('e', cfg.zero and cfg.n)
    sink.log('f', 1 < cfg.n < 5)
    """,
    "match": """
    match cfg.mode:
        case 'full':
            sink.log('a', 1)
        case 'sanity' | 'trial':
            sink.log('b', 2)
        case _:
            sink.log('c', 3)
    match cfg.n:
        case 1:
            sink.log('d', 1)
        case other if other > 1:
            sink.log('e', other)
    """,
    "early return in a helper": """
    def check(cfg):
        if cfg.mode == 'trial':
            return 'short'
        sink.log('never', 0)
        return 'long'
    sink.log('a', check(cfg))
    """,
    "a raise that ends the program": """
    sink.log('a', 1)
    if cfg.mode != 'full':
        raise Stop()
    sink.log('b', 2)
    """,
    "a raise that is caught": """
    try:
        sink.log('a', 1)
        if cfg.flag:
            raise Stop()
        sink.log('b', 2)
    except Exception:
        sink.log('c', 3)
    else:
        sink.log('d', 4)
    finally:
        sink.log('e', 5)
    sink.log('f', 6)
    """,
    "defaults, keywords, star arguments": """
    def f(a, b=cfg.n, *rest, key, **more):
        sink.log('f', (a, b, rest, key, more))
    f(1, key=2)
    f(1, 2, 3, 4, key=5, other=cfg.mode)
    args = [1, 2]
    named = {'key': 3}
    f(*args, **named)
    """,
    "closures and nonlocal": """
    count = 0
    def bump(by):
        nonlocal count
        count = count + by
        return count
    bump(2)
    sink.log('a', bump(cfg.n))
    sink.log('b', count)
    """,
    "lambdas and functions as values": """
    table = {'trial': lambda x: x + 1, 'full': lambda x: x}
    sink.log('a', table[cfg['mode']](1) if False else table['trial'](1))
    pick = (lambda x: x * 2) if cfg.flag else (lambda x: x)
    sink.log('b', pick(cfg.n))
    """,
    "decorators of the package": """
    def twice(function):
        def wrapper(*args, **kwargs):
            sink.log('before', args)
            return function(*args, **kwargs) * 2
        return wrapper
    @twice
    def value(x):
        return x + cfg.n
    sink.log('a', value(1))
    """,
    "classes, inheritance, super, properties": """
    class Base:
        scale = 3
        def __init__(self, cfg):
            self.cfg = cfg.run
        @property
        def rate(self):
            return self.cfg.lr
        def run(self):
            return self.rate * self.scale
        @staticmethod
        def one():
            return 1
        @classmethod
        def make(cls, cfg):
            return cls(cfg)
    class Child(Base):
        scale = 4
        def __init__(self, cfg):
            super().__init__(cfg)
            self.extra = self.one()
        def run(self):
            return super().run() + self.extra
    sink.log('a', Child.make(cfg).run())
    """,
    "a module that is called like a function": """
    class Net:
        def __call__(self, x):
            return x + 1
    net = Net()
    sink.log('a', net(cfg.n))
    """,
    "tuple unpacking": """
    a, (b, *c) = 1, [2, 3, cfg.n]
    sink.log('a', (a, b, c))
    def pair():
        return cfg.n, 'x'
    n, x = pair()
    sink.log('b', (x, n))
    a, b = b, a
    sink.log('c', (a, b))
    """,
    "lists and dicts step by step": """
    words = ['python', '-m']
    words.append('src.train')
    words += [f'run={cfg.run.name}']
    if cfg.flag:
        words.extend(['mode=' + cfg.mode])
    sink.log('a', words)
    sink.log('b', ' '.join(words[:2]))
    d = {'x': 1}
    d['y'] = cfg.n
    d.update(z=3)
    sink.log('c', d)
    sink.log('d', d.pop('x'))
    sink.log('e', list(d.items()))
    """,
    "an alias sees what happens to the object": """
    a = []
    b = a
    b.append(cfg.n)
    sink.log('a', a)
    """,
    "a default that is shared between calls": """
    def add(x, seen=[]):
        seen.append(x)
        return seen
    add(1)
    sink.log('a', add(2))
    """,
    "texts": """
    sink.log('a', f'{cfg.run.name}-{cfg.n}.json')
    sink.log('b', '%s_%s' % (cfg.mode, 1))
    sink.log('c', '{}/{}'.format(cfg.mode, 'x'))
    sink.log('d', cfg.run.name.lower().replace('b', 'c'))
    sink.log('e', 'a' 'b' f'{cfg.n}')
    """,
    "loops over what is written out": """
    for name, value in [('a', 1), ('b', cfg.n)]:
        if name == 'b':
            sink.log(name, value)
            break
    else:
        sink.log('else', 0)
    for i, x in {'k': 1, 'm': 2}.items():
        if x == 1:
            continue
        sink.log('it', i)
    """,
    "a loop that does not run": """
    for x in range(cfg.zero):
        sink.log('never', x)
    sink.log('a', 1)
    """,
    "conditional expressions and walrus": """
    n = 1 if cfg.mode == 'trial' else cfg.run.lr
    sink.log('a', n)
    if (m := cfg.n) > 1:
        sink.log('b', m)
    """,
    "getattr, hasattr, setattr, isinstance": """
    sink.log('a', getattr(cfg, 'n', 0))
    setattr(cfg, 'n', 11)
    sink.log('b', cfg.n)
    sink.log('c', isinstance(cfg.mode, str))
    """,
    "a counting while that ends by its condition": """
    while cfg.zero:
        sink.log('never', 0)
    sink.log('a', 0)
    """,
    "dataclass-like fields": """
    class Point:
        def __init__(self, x, y=0):
            self.x, self.y = x, y
    p = Point(cfg.n)
    p.y = p.x + 1
    sink.log('a', (p.x, p.y))
    """,
    "a generator's elements are not mistaken for a list": """
    values = [x for x in [1, cfg.n, 3] if x > 1]
    sink.log('a', 0)
    """,
    "a starred target takes what the others leave": """
    first, *between, last = f'a.{cfg.n}.c.d'.split('.')
    sink.log('a', (first, last, len(between)))
    """,
    "comparison with None": """
    if cfg.none is None and cfg.run is not None:
        sink.log('a', 1)
    """,
}


@pytest.mark.parametrize("name", CASES)
def test_the_trace_says_exactly_what_happens(name: str) -> None:
    program = MAIN.format(body=CASES[name])
    real, as_written = execute(program)
    assert as_written
    assert real
    said = [(state, item) for state, item in items(trace(program), exceptions=False)]
    assert [i for i in said if i[0] is None] == []
    happening = [item for state, item in said if state]
    assert [i[:2] for i in happening] == [i[:2] for i in real]
    for mine, theirs in zip(happening, real, strict=True):
        if mine[0] == "log":
            assert mine[2] == theirs[2]
