"""Values of a trace as short text that reads like the source."""

from __future__ import annotations

from collections.abc import Sequence

from explint.trace import facts as f

_DEPTH = 4
_ITEMS = 6


def dotted(path: Sequence[f.ValueId], entry: f.EntryTrace) -> str:
    """A config path: ``run.training.lr``; a key made at run time stands in brackets."""
    text = ""
    for part in path:
        row = entry.values[part]
        if isinstance(row, f.Literal) and isinstance(row.value, str) and row.value:
            text += f".{row.value}" if text else row.value
        else:
            text += f"[{describe(part, entry)}]"
    return text


def describe(value: f.ValueId, entry: f.EntryTrace) -> str:
    """A value as text."""
    return _text(value, entry, 0)


def _list(items: Sequence[f.ValueId], entry: f.EntryTrace, depth: int, *, more: bool) -> str:
    texts = [_text(i, entry, depth) for i in items[:_ITEMS]]
    if more or len(items) > _ITEMS:
        texts.append("…")
    return ", ".join(texts)


def _text(value: f.ValueId, entry: f.EntryTrace, depth: int) -> str:
    if depth > _DEPTH:
        return "…"

    def inner(v: f.ValueId) -> str:
        return _text(v, entry, depth + 1)

    match entry.values[value]:
        case f.Literal(value=literal):
            return repr(literal)
        case f.Integer(text=text) | f.Bytes(text=text):
            return text
        case f.EllipsisValue():
            return "..."
        case f.Config(path=path):
            return f"cfg.{dotted(path, entry)}" if path else "cfg"
        case f.Has(path=path):
            return f"cfg has {dotted(path, entry)}"
        case f.Key(of=of):
            return f"a key of {inner(of)}"
        case f.Element(of=of):
            return f"an element of {inner(of)}"
        case f.Index():
            return "the iteration's number"
        case f.Each(value=each):
            return f"*({inner(each)} …)"
        case f.Template(parts=parts):
            text = "".join(
                str(row.value) if isinstance(row := entry.values[p], f.Literal)
                else f"{{{inner(p)}}}" for p in parts
            )  # fmt: skip
            return f"f{text!r}"
        case f.ListValue(items=items, open=more):
            return f"[{_list(items, entry, depth + 1, more=more)}]"
        case f.TupleValue(items=items, open=more):
            comma = "," if len(items) == 1 and not more else ""
            return f"({_list(items, entry, depth + 1, more=more)}{comma})"
        case f.SetValue(items=items, open=more):
            return f"{{{_list(items, entry, depth + 1, more=more)}}}" if items or more else "set()"
        case f.DictValue(items=pairs, open=more):
            texts = [
                inner(k) if isinstance(entry.values[k], f.Star) else f"{inner(k)}: {inner(v)}"
                for k, v in pairs[:_ITEMS]
            ]
            if more or len(pairs) > _ITEMS:
                texts.append("…")
            return f"{{{', '.join(texts)}}}"
        case f.Star(value=star):
            return f"*{inner(star)}"
        case f.Library(name=name) | f.Module(name=name):
            return name
        case f.Function(name=name) | f.Class(name=name):
            return name.rpartition(".")[2]
        case f.Instance(cls=cls):
            return f"a {cls.rpartition('.')[2]}"
        case f.Bound(function=function):
            return function.rpartition(".")[2]
        case f.Super():
            return "super()"
        case f.CallValue(callee=callee, args=args, kwargs=kwargs):
            given = [inner(a) for a in args]
            given += [f"{'**' if k == '**' else k + '='}{inner(v)}" for k, v in kwargs]
            return f"{inner(callee)}({', '.join(given)})"
        case f.Attribute(of=of, name=name):
            return f"{inner(of)}.{name}"
        case f.Item(of=of, key=key):
            return f"{inner(of)}[{inner(key)}]"
        case f.Slice(low=low, high=high):
            return f"{'' if low is None else inner(low)}:{'' if high is None else inner(high)}"
        case f.Binary(op=op, left=left, right=right) | f.Compare(op=op, left=left, right=right):
            return f"{inner(left)} {op} {inner(right)}"
        case f.Unary(op=op, value=operand):
            return f"{op}{inner(operand)}"
        case f.Not(value=operand):
            row = entry.values[operand]
            if isinstance(row, f.Compare) and row.op in ("==", "is", "in"):
                negated = {"==": "!=", "is": "is not", "in": "not in"}[row.op]
                return f"{inner(row.left)} {negated} {inner(row.right)}"
            return f"not {inner(operand)}"
        case f.All(conditions=conditions):
            texts = [inner(c) if truth else f"not ({inner(c)})" for c, truth in conditions]
            return " and ".join(texts)
        case f.Select(test=test, yes=yes, no=no):
            if yes == test:
                return f"{inner(test)} or {inner(no)}"
            if no == test:
                return f"{inner(test)} and {inner(yes)}"
            return f"{inner(yes)} if {inner(test)} else {inner(no)}"
        case f.Ran(loop=loop):
            return f"{inner(entry.loops[loop].over)} gives anything"
        case f.Raised():
            return "an exception"
        case f.Called(loop=loop):
            return f"{inner(entry.loops[loop].over)} calls it"
        case f.Parameter(name=name):
            return name
        case f.UnknownValue(reason=reason):
            return f"? ({reason})"
    return "?"
