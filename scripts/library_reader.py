"""What a library offers, read from its source text without running any of it.

Yields, per module, what each public name is: a function with its parameters, a class with its
members, another name for something else, or just that it is there. What the text does not settle is
marked so: an *open* module or class may hold names that are not told, a *?* has no known signature.
The notation is that of ``explint.environment.libraries``, which reads the table.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

UNKNOWN = "?"

# Decorators that leave a function's parameters as they are, by the last word of their name. Others
# leave its signature unknown.
_KEEPS_SIGNATURE = frozenset(
    [
        "abstractmethod",
        "add_code_sample_docstrings",
        "add_end_docstrings",
        "add_start_docstrings",
        "add_start_docstrings_to_callable",
        "add_start_docstrings_to_model_forward",
        "Appender",
        "auto_docstring",
        "array_function_dispatch",
        "array_function_from_dispatcher",
        "cache",
        "cached",
        "classmethod",
        "compatibility",
        "copy_func",
        "_copy_docstring_and_deprecators",
        "contextmanager",
        "deprecated",
        "deprecated_func",
        "deprecated_method",
        "doc",
        "docstring",
        "disable",
        "ensure_dispatch",
        "experimental_func",
        "experimental",
        "final",
        "finalize_array_function_dispatch",
        "forward_cached",
        "force_fp32",
        "inference_mode",
        "interpolate",
        "lru_cache",
        "no_grad",
        "override",
        "property",
        "register_model",
        "register_model_deprecations",
        "replace_return_docstrings",
        "require",
        "requires",
        "requires_backends",
        "set_module",
        "convert_positional_args",
        "staticmethod",
        "Substitution",
        "unused",
        "validate_params",
        "wraps",
        "xp_capabilities",
        "on_main_process",
        "check_docstrings",
        "attach",
        "fingerprint_transform",
        "transmit_format",
        "transmit_tasks",
        "export",
        "torch_function_dispatch",
        "_fit_context",
        "available_if",
        "register_model_architecture",
        "ignore",
        "unsupported_in_graph",
        "log_to_run",
        "_log_to_run",
        "_run_decorator",
        "_raise_if_finished",
        "_attach",
        "main_process_only",
    ]
)
_KEEPS_CLASS = frozenset(
    [
        "add_end_docstrings",
        "add_start_docstrings",
        "auto_docstring",
        "dataclass",
        "deprecated",
        "deprecated_class",
        "experimental_class",
        "final",
        "requires",
        "set_module",
        "total_ordering",
        "docstring",
    ]
)
_PLAIN_BASES = frozenset({"object", "ABC", "abc.ABC", "Generic", "Protocol", "typing.Generic"})
_WITHOUT_PARAMETERS = frozenset({"property", "cached_property"})


@dataclass
class Member:
    """A name of a class: how it is bound, and its text."""

    kind: str  # function, property, value, class
    node: ast.AST | None = None


@dataclass
class Bound:
    """What a name of a module is bound to."""

    kind: str  # function, class, import, module, value
    node: ast.AST | None = None
    module: str = ""
    name: str = ""


@dataclass
class Module:
    """A module's bindings, before anything is followed."""

    name: str
    is_package: bool
    is_stub: bool
    names: dict[str, list[Bound]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    is_open: bool = False
    has_open_getattr: bool = False
    exports: list[str] | None = None
    lazy_models: str = ""
    added: dict[str, set[str]] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)


class Library:
    """The text of one release of a library.

    ``texts`` are its .py and .pyi files by path, ``binaries`` its compiled modules by name.
    ``stubbed`` names modules whose stub tells all their names. ``names_only`` are modules whose
    functions and classes are told by name alone, ``skip`` those that are not told, ``opened`` those
    that others add names to at run time. ``kwargs_into`` says, for functions by their dotted names,
    below which module their ``**kwargs`` are taken, after an ``@``.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        binaries: Iterable[str] = (),
        stubbed: Iterable[str] = (),
        names_only: Iterable[str] = (),
        skip: Iterable[str] = (),
        opened: Iterable[str] = (),
        kwargs_into: Mapping[str, str] | None = None,
    ) -> None:
        self.paths: dict[str, str] = {}
        self.stubs: dict[str, str] = {}
        for path in sorted(texts):
            parts = path.rpartition(".")[0].split("/")
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            (self.stubs if path.endswith(".pyi") else self.paths)[name] = path
        self.texts = texts
        # Folders without `__init__.py` are modules too, and so are compiled files.
        named = {*self.paths, *self.stubs}
        parents = {name.rsplit(".", n)[0] for name in named for n in range(1, name.count(".") + 1)}
        self.folders = (parents | set(binaries)) - named
        self.stubbed = frozenset(stubbed)
        self.names_only = tuple(names_only)
        self.skip = tuple(skip)
        self.opened = frozenset(opened)
        self.kwargs_into = dict(kwargs_into or {})
        self._modules: dict[str, Module | None] = {}
        self._all: dict[str, dict[str, list[Bound]]] = {}
        self._found: dict[tuple[str, str], tuple[str, str, Bound] | None] = {}
        self._busy: set[str] = set()
        self.trees: dict[str, ast.Module] = {}
        self.roots = {name.split(".")[0] for name in (*self.paths, *self.stubs)}

    # ---- modules and names ----

    def is_module(self, name: str) -> bool:
        """Whether the release has the module, as a file."""
        return name in self.paths or name in self.stubs or name in self.folders

    def module(self, name: str) -> Module | None:
        """A module's own bindings; None when there is no text that parses."""
        if name not in self._modules:
            path = self.paths.get(name) or self.stubs.get(name)
            self._modules[name] = None if path is None else self._parse(name, path)
            if name in self.stubbed and name in self.paths and name in self.stubs:
                self._complete(name)
        return self._modules[name]

    def _parse(self, name: str, path: str) -> Module | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self.texts[path])
        except (SyntaxError, ValueError, RecursionError):
            return None
        self.trees[name] = tree
        module = Module(name, path.endswith(("__init__.py", "__init__.pyi")), path.endswith("i"))
        _Reader(self, module).read(tree)
        module.is_open = module.is_open or name in self.opened
        return module

    def _complete(self, name: str) -> None:
        """Adds the names that a module's stub tells and its text makes at run time."""
        module = self._modules[name]
        if module is None:
            return
        for key in _stub_names(self.texts[self.stubs[name]]):
            module.names.setdefault(key, [Bound("value")])
        module.is_open = module.has_open_getattr
        module.stars.clear()

    def names(self, name: str) -> dict[str, list[Bound]]:
        """All bindings of a module, those of star imports too; marks it open where it must."""
        if name in self._all:
            return self._all[name]
        module = self.module(name)
        if module is None or name in self._busy:
            return {}
        self._busy.add(name)
        found = {key: list(bound) for key, bound in module.names.items()}
        for star in module.stars:
            target = self.module(star)
            if target is None:
                module.is_open = True
                continue
            theirs = self.names(star)
            if target.is_open and target.exports is None:
                module.is_open = True
            listed = target.exports
            if listed is None:
                listed = [k for k in theirs if not k.startswith("_")]
            for key in listed:
                found.setdefault(key, [Bound("import", None, star, key)])
        if module.lazy_models:
            for key, where in self._model_names(module.lazy_models):
                found.setdefault(key, [Bound("import", None, where, key)])
        self._busy.discard(name)
        self._all[name] = found
        return found

    def _model_names(self, below: str) -> Iterator[tuple[str, str]]:
        for name in self.paths:
            if name.startswith(f"{below}."):
                module = self.module(name)
                for key in () if module is None else module.exports or module.names:
                    if not key.startswith("_"):
                        yield key, name

    def find(self, module: str, name: str) -> tuple[str, str, Bound] | None:
        """Where a module's name is defined, as (module, name, binding); None when unknown."""
        key = (module, name)
        if key in self._found:
            return self._found[key]
        self._found[key] = None
        bound = self.names(module).get(name)
        if bound is None:
            if self.is_module(f"{module}.{name}"):
                self._found[key] = (f"{module}.{name}", "", Bound("module"))
        else:
            self._found[key] = self._follow(module, name, bound)
        return self._found[key]

    def _follow(self, module: str, name: str, bound: list[Bound]) -> tuple[str, str, Bound] | None:
        defined = [b for b in bound if b.kind in ("function", "class")]
        imported = [b for b in bound if b.kind == "import"]
        if defined:
            one = len(defined) == 1 and not imported
            return (module, name, defined[0]) if one else None
        targets = {(b.module, b.name) for b in imported}
        if len(targets) == 1:
            where, what = targets.pop()
            if where.split(".")[0] not in self.roots:
                return None
            if not what:
                return where, "", Bound("module")
            if self.is_module(f"{where}.{what}") and (
                (where, what) == (module, name) or what not in self.names(where)
            ):
                # `from . import part` in the package itself.
                return f"{where}.{what}", "", Bound("module")
            return self.find(where, what)
        modules = [b for b in bound if b.kind == "module"]
        if modules and not imported:
            return modules[0].module, "", Bound("module")
        aliases = [b for b in bound if b.kind == "alias"]
        if aliases and len(bound) == len(aliases) == 1 and isinstance(aliases[0].node, ast.expr):
            return self.resolve(module, aliases[0].node)
        values = [b for b in bound if b.kind == "value"]
        return (module, name, values[0]) if len(values) == 1 and not imported else None

    def resolve(self, module: str, node: ast.expr) -> tuple[str, str, Bound] | None:
        """What an expression of dotted names in a module means."""
        match node:
            case ast.Name(id=name):
                return self.find(module, name)
            case ast.Attribute(value=value, attr=attr):
                found = self.resolve(module, value)
                if found is not None and not found[1]:
                    return self.find(found[0], attr)
        return None

    # ---- the table ----

    def table(self) -> dict[str, dict[str, str]]:
        """For each module that is public or referred to, its names and what they are.

        The name ``""`` stands for the module itself: ``*`` when it may hold other names too.
        """
        found: dict[str, dict[str, str]] = {}
        waiting: list[tuple[str, str]] = []
        for name in sorted({*self.paths, *self.stubs}):
            if self._is_told(name):
                found.setdefault(name, {})
                for key in self.names(name):
                    if not key.startswith("_"):
                        waiting.append((name, key))
        seen: set[tuple[str, str]] = set()
        while waiting:
            name, key = waiting.pop()
            if (name, key) in seen:
                continue
            seen.add((name, key))
            rows = found.setdefault(name, {})
            rows[key] = self._entry(name, key, rows, waiting)
        for name, rows in found.items():
            module = self.module(name)
            is_whole = module is not None and not module.is_open and not module.is_stub
            rows[""] = "" if is_whole and self._is_told(name) else "*"
        for name in self.folders:
            if self._is_told(name):
                found[name] = {"": "*"}
        return found

    def _is_thin(self, module: str) -> bool:
        """Whether a module's functions and classes are told by name alone."""
        below = any(module == m or module.startswith(f"{m}.") for m in self.names_only)
        return below and not any(f.startswith(f"{module}.") for f in self.kwargs_into)

    def _is_told(self, name: str) -> bool:
        """Whether all public names of a module go into the table."""
        skipped = any(name == skip or name.startswith(f"{skip}.") for skip in self.skip)
        return _is_public(name) and not skipped

    def _entry(
        self, name: str, key: str, rows: dict[str, str], waiting: list[tuple[str, str]]
    ) -> str:
        found = self.find(name, key)
        inner = f"{name}.{key}"
        if (found is None or found[2].node is None) and self.is_module(inner):
            # What a `__getattr__` hands out under a module's name is the module.
            found = (inner, "", Bound("module")) if found is None or found[1] else found
        if found is None:
            return UNKNOWN
        where, what, bound = found
        if bound.kind == "module":
            return f"={where}" if self._is_told(where) else UNKNOWN
        if (where, what) != (name, key):
            waiting.append((where, what))
            return f"={where}.{what}"
        is_thin = self._is_thin(where)
        if is_thin:
            return UNKNOWN
        if isinstance(bound.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return self._function(where, bound.node, f"{where}.{what}", waiting)
        if isinstance(bound.node, ast.ClassDef):
            return self._class(where, what, bound.node, rows, waiting)
        if isinstance(bound.node, ast.expr):
            kind = self._type(where, bound.node, waiting)
            return f":{kind}" if kind else UNKNOWN
        return UNKNOWN

    def _type(self, module: str, node: ast.expr | None, waiting: list[tuple[str, str]]) -> str:
        """The library's own class that an annotation names, as a dotted name; "" for others."""
        match node:
            case ast.Constant(value=str(text)):
                try:
                    return self._type(module, ast.parse(text, mode="eval").body, waiting)
                except (SyntaxError, ValueError):
                    return ""
            case ast.BinOp(op=ast.BitOr()):
                sides = [s for s in (node.left, node.right) if not _is_none(s)]
                return self._type(module, sides[0], waiting) if len(sides) == 1 else ""
            case ast.Subscript(value=value, slice=inner) if _last(value) == "Optional":
                return self._type(module, inner, waiting)
            case ast.Name() | ast.Attribute():
                found = self.resolve(module, node)
                if found is not None and found[2].kind == "class":
                    waiting.append((found[0], found[1]))
                    return f"{found[0]}.{found[1]}"
        return ""

    def _function(
        self,
        module: str,
        node: ast.FunctionDef | ast.AsyncFunctionDef,
        dotted: str,
        waiting: list[tuple[str, str]],
        *,
        method: bool = False,
    ) -> str:
        extra: list[str] = []
        static = False
        for decorator in node.decorator_list:
            last = _last(decorator)
            static = static or last == "staticmethod"
            if last == "handle_legacy_interface":
                # torchvision.models._utils: takes the old names and warns.
                extra += [s for s in _strings(decorator) if s.isidentifier()]
            elif last not in _KEEPS_SIGNATURE:
                return UNKNOWN
        rest = self.kwargs_into.get(dotted, "") or self._handed_on(module, node)
        parameters = _parameters(node.args, bare=method and not static, extra=extra, rest=rest)
        kind = self._type(module, node.returns, waiting) if _returns(node) else ""
        if any(_last(d) == "contextmanager" for d in node.decorator_list):
            kind = ""
        return f"({parameters})" + (f"->{kind}" if kind else "")

    def _handed_on(self, module: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """The function that alone takes a function's ``**kwargs``, where it can be told."""
        if node.args.kwarg is None:
            return ""
        name = node.args.kwarg.arg
        uses = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name]
        if len(uses) != 1:
            return ""
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and any(
                k.arg is None and k.value is uses[0] for k in call.keywords
            ):
                found = self.resolve(module, call.func)
                if found is None or found[2].kind != "function":
                    return ""
                target = found[2].node
                assert isinstance(target, ast.FunctionDef | ast.AsyncFunctionDef)
                if target.decorator_list or any(isinstance(a, ast.Starred) for a in call.args):
                    return ""
                if any(k.arg is None and k.value is not uses[0] for k in call.keywords):
                    return ""
                plain = [a.arg for a in (*target.args.posonlyargs, *target.args.args)]
                taken = {*plain[: len(call.args)], *(k.arg for k in call.keywords if k.arg)}
                if target.args.kwarg is not None:
                    return ""
                free = [*plain, *(k.arg for k in target.args.kwonlyargs)]
                return "|".join(["", *(a for a in free if a not in taken)])
        return ""

    def _class(
        self,
        module: str,
        name: str,
        node: ast.ClassDef,
        rows: dict[str, str],
        waiting: list[tuple[str, str]],
    ) -> str:
        own = self.module(module)
        is_open = own is None or own.is_stub or name in own.opened
        is_data = False
        for decorator in node.decorator_list:
            is_data = is_data or _last(decorator) == "dataclass"
            is_open = is_open or _last(decorator) not in _KEEPS_CLASS
        bases: list[str] = []
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            if ast.unparse(plain) in _PLAIN_BASES:
                continue
            found = self.resolve(module, plain)
            if found is None or found[2].kind != "class":
                is_open = True
                bases.append(UNKNOWN)
            else:
                waiting.append((found[0], found[1]))
                bases.append(f"{found[0]}.{found[1]}")
        # Another metaclass may decide how instances are made.
        is_plain = all(_last(keyword.value) == "ABCMeta" for keyword in node.keywords)
        is_open = is_open or not is_plain
        members, dynamic = _members(node)
        is_open = is_open or dynamic
        for added in own.added.get(name, ()) if own is not None else ():
            members.setdefault(added, Member("value"))
        for key, member in members.items():
            if key.startswith("_") and key not in ("__init__", "__new__", "__call__", "__enter__"):
                continue
            text = UNKNOWN
            if isinstance(member.node, ast.FunctionDef | ast.AsyncFunctionDef):
                if member.kind == "property":
                    kind = self._type(module, member.node.returns, waiting)
                    text = f":{kind}" if kind else UNKNOWN
                else:
                    dotted = f"{module}.{name}.{key}"
                    text = self._function(module, member.node, dotted, waiting, method=True)
            elif isinstance(member.node, ast.expr):
                kind = self._type(module, member.node, waiting)
                text = f":{kind}" if kind else UNKNOWN
            rows[f"{name}.{key}"] = text
        if is_data and "__init__" not in members:
            rows[f"{name}.__init__"] = self._data_init(module, node)
        return f"c{'*' if is_open else ''}{'' if is_plain else '!'}{','.join(bases)}"

    def _data_init(self, module: str, node: ast.ClassDef) -> str:
        fields = self._data_fields(module, node, 0)
        if fields is None:
            return UNKNOWN
        return f"({','.join(key + ('=' if given else '') for key, given in fields.items())})"

    def _data_fields(self, module: str, node: ast.ClassDef, depth: int) -> dict[str, bool] | None:
        made = [d for d in node.decorator_list if _last(d) == "dataclass"]
        if depth > 10:
            return None
        fields: dict[str, bool] = {}
        for base in reversed(node.bases):
            plain = base.value if isinstance(base, ast.Subscript) else base
            if ast.unparse(plain) in _PLAIN_BASES:
                continue
            found = self.resolve(module, plain)
            if found is None or not isinstance(found[2].node, ast.ClassDef):
                return None
            inner = self._data_fields(found[0], found[2].node, depth + 1)
            if inner is None:
                return None
            fields |= inner
        if not made:
            return fields
        if any(isinstance(d, ast.Call) and any(k.arg == "init" for k in d.keywords) for d in made):
            return None
        for row in node.body:
            if not isinstance(row, ast.AnnAssign) or not isinstance(row.target, ast.Name):
                continue
            if "ClassVar" in ast.unparse(row.annotation):
                continue
            if isinstance(row.value, ast.Call) and any(
                k.arg == "init" and isinstance(k.value, ast.Constant) and k.value.value is False
                for k in row.value.keywords
            ):
                fields.pop(row.target.id, None)
                continue
            fields[row.target.id] = fields.get(row.target.id, False) or row.value is not None
        return fields

    def words(self, below: str) -> list[str]:
        """Every keyword that a class, or a function with ``**kwargs``, below a module may take."""
        found: set[str] = set()
        for name in self.paths:
            if name != below and not name.startswith(f"{below}."):
                continue
            for node in ast.walk(self.trees[name]) if name in self.trees else ():
                match node:
                    case ast.FunctionDef(name=function, args=args):
                        if function == "__init__" or args.kwarg is not None:
                            rows = (*args.posonlyargs, *args.args, *args.kwonlyargs)
                            found |= {a.arg for a in rows}
                    case ast.Call(func=ast.Attribute(attr="pop" | "get" | "setdefault")):
                        found |= set(_strings(node))
                    case ast.Compare(ops=[ast.In() | ast.NotIn()]) | ast.Subscript():
                        found |= set(_strings(node))
                    case ast.AnnAssign(target=ast.Name(id=field_name)):
                        found.add(field_name)
        return sorted(word for word in found if word.isidentifier())


class _Reader:
    """Reads a module's top level, what stands below ``if``, ``try``, ``for`` and ``with`` too."""

    def __init__(self, library: Library, module: Module) -> None:
        self.library = library
        self.module = module
        text = library.texts[library.paths.get(module.name) or library.stubs[module.name]]
        self.has_globals = "global " in text
        self.literals: dict[str, set[str] | None] = {}
        self.is_lazy = False
        self.structure: set[str] = set()
        self.hidden: dict[str, list[Bound]] = {}
        self.hidden_stars: list[str] = []

    def read(self, tree: ast.Module) -> None:
        """Fills the module."""
        self._body(tree.body, hidden=False)
        module = self.module
        if self.is_lazy:
            for key, bound in self.hidden.items():
                module.names.setdefault(key, []).extend(bound)
            module.stars += self.hidden_stars
            for key in self.structure:
                module.names.setdefault(key, [Bound("value")])
        elif module.is_stub:
            for key, bound in self.hidden.items():
                module.names.setdefault(key, []).extend(bound)
            module.stars += self.hidden_stars
        else:
            # A name that only type checkers import may still be the type of something.
            for key, bound in self.hidden.items():
                module.names.setdefault(key, bound)
        if "__getattr__" in module.names and not self.is_lazy:
            self._module_getattr(module.names["__getattr__"])

    def _bind(self, name: str, bound: Bound, hidden: bool) -> None:
        (self.hidden if hidden else self.module.names).setdefault(name, []).append(bound)

    def _body(self, body: Iterable[ast.stmt], *, hidden: bool) -> None:
        for node in body:
            self._statement(node, hidden)

    def _statement(self, node: ast.stmt, hidden: bool) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if any(_last(d) == "overload" for d in node.decorator_list):
                    self._bind(node.name, Bound("value"), hidden)
                    return
                before = self.module.names.get(node.name)
                if before and all(b.kind == "value" and b.node is None for b in before):
                    # Its overloads.
                    before.clear()
                self._bind(node.name, Bound("function", node), hidden)
                if self.has_globals:
                    self._globals(node)
            case ast.ClassDef():
                self._bind(node.name, Bound("class", node), hidden)
            case ast.Import():
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    if alias.asname:
                        self._bind(alias.asname, Bound("import", None, alias.name, ""), hidden)
                    else:
                        self._bind(top, Bound("import", None, top, ""), hidden)
            case ast.ImportFrom():
                self._import(node, hidden)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value, hidden)
            case ast.AnnAssign(target=ast.Name(id=name)):
                self._bind(name, Bound("value", node.annotation), hidden)
                if node.value is not None:
                    self._remember(name, node.value)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                self._extend(name, value)
            case ast.If():
                typing = _last(node.test) == "TYPE_CHECKING"
                self._body(node.body, hidden=hidden or typing)
                self._body(node.orelse, hidden=hidden)
            case ast.Try() | ast.TryStar():
                self._body(node.body, hidden=hidden)
                for handler in node.handlers:
                    self._body(handler.body, hidden=hidden)
                self._body(node.orelse, hidden=hidden)
                self._body(node.finalbody, hidden=hidden)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    if item.optional_vars is not None:
                        self._target(item.optional_vars, hidden)
                self._body(node.body, hidden=hidden)
            case ast.For() | ast.While():
                if isinstance(node, ast.For):
                    self._target(node.target, hidden)
                self._body(node.body, hidden=hidden)
                self._body(node.orelse, hidden=hidden)
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case ast.Match():
                for case in node.cases:
                    self._body(case.body, hidden=hidden)

    def _import(self, node: ast.ImportFrom, hidden: bool) -> None:
        base = node.module or ""
        if node.level:
            parts = self.module.name.split(".")
            cut = node.level - (1 if self.module.is_package else 0)
            parts = parts[: len(parts) - cut] if cut else parts
            base = ".".join([*parts, base] if base else parts)
        for alias in node.names:
            if alias.name == "*":
                (self.hidden_stars if hidden else self.module.stars).append(base)
                continue
            name = alias.asname or alias.name
            self._bind(name, Bound("import", None, base, alias.name), hidden)

    def _assign(self, target: ast.expr, value: ast.expr, hidden: bool) -> None:
        match target:
            case ast.Name(id=name):
                if isinstance(value, ast.Name | ast.Attribute) and not hidden:
                    self._alias(name, value)
                else:
                    self._bind(name, Bound("value"), hidden)
                self._remember(name, value)
                if name == "__all__":
                    self._exports(value)
            case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                self.module.added.setdefault(owner, set()).add(attr)
            case ast.Subscript(value=inner, slice=key):
                text = ast.unparse(inner)
                if text in ("globals()", "vars()", "locals()"):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        self._bind(key.value, Bound("value"), hidden)
                    else:
                        self.module.is_open = True
                elif text == "sys.modules" and ast.unparse(key) == "__name__":
                    self._replaced(value)
                elif isinstance(inner, ast.Name):
                    self.structure |= {*_strings(value), *_strings(key)}
                    self._grow(inner.id, key)
            case _:
                self._target(target, hidden)

    def _alias(self, name: str, value: ast.Name | ast.Attribute) -> None:
        if isinstance(value, ast.Name):
            known = self.module.names.get(value.id)
            if known:
                self.module.names.setdefault(name, []).extend(
                    Bound("import", None, self.module.name, value.id) for _ in known[:1]
                )
                return
        self._bind(name, Bound("alias", value), False)

    def _target(self, target: ast.expr, hidden: bool) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._bind(node.id, Bound("value"), hidden)

    def _globals(self, function: ast.AST) -> None:
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                for name in node.names:
                    self._bind(name, Bound("value"), False)

    def _remember(self, name: str, value: ast.expr) -> None:
        """Keeps a literal container's words: a ``__getattr__`` may look them up."""
        if isinstance(value, ast.Dict | ast.List | ast.Tuple | ast.Set):
            # `{**others}` holds names from elsewhere.
            spread = isinstance(value, ast.Dict) and None in value.keys
            spread = spread or any(isinstance(n, ast.Starred) for n in ast.iter_child_nodes(value))
            self.literals[name] = None if spread else set(_strings(value))
            if name.endswith("import_structure"):
                self.structure |= set(_strings(value))
        elif isinstance(value, ast.DictComp | ast.ListComp | ast.SetComp):
            source = value.generators[0].iter
            self.literals[name] = self._words(source) if len(value.generators) == 1 else None
        elif name in self.literals:
            self.literals[name] = None
        if isinstance(value, ast.Call) and _last(value) == "define_import_structure":
            text = ast.unparse(value)
            here = self.module.name
            self.module.lazy_models = f"{here}.models" if "'models'" in text else here

    def _extend(self, name: str, value: ast.expr) -> None:
        if name == "__all__":
            more = _listed(value)
            if more is None or self.module.exports is None:
                self.module.exports = None
            else:
                self.module.exports += more
        if name in self.literals:
            known = self.literals[name]
            plain = isinstance(value, ast.List | ast.Tuple)
            self.literals[name] = (
                known | set(_strings(value)) if known is not None and plain else None
            )

    def _grow(self, name: str, more: ast.expr) -> None:
        """Notes that a container that a ``__getattr__`` may look up gets more words."""
        known = self.literals.get(name)
        if known is None:
            return
        match more:
            case ast.Constant(value=str(word)):
                known.add(word)
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                known |= set(_strings(more))
            case ast.DictComp(generators=[ast.comprehension(iter=ast.Name(id=source))]):
                words = self.literals.get(source)
                self.literals[name] = None if words is None else known | words
            case _:
                self.literals[name] = None

    def _exports(self, value: ast.expr) -> None:
        self.module.exports = _listed(value)

    def _call(self, call: ast.Call) -> None:
        match call.func:
            case ast.Attribute(value=owner, attr="append" | "extend" | "update" | "remove" as how):
                text = ast.unparse(owner)
                if text in ("globals()", "vars()", "locals()", "sys.modules[__name__].__dict__"):
                    self.module.is_open = True
                elif text == "__all__":
                    if how == "remove":
                        return
                    more = _listed(call.args[0]) if how == "extend" and call.args else None
                    if how == "append" and call.args:
                        found = _strings(call.args[0])
                        more = found if isinstance(call.args[0], ast.Constant) else None
                    if more is None or self.module.exports is None:
                        self.module.exports = None
                    else:
                        self.module.exports += more
                else:
                    self.structure |= set(_strings(call))
                    if how != "remove":
                        for argument in call.args:
                            self._grow(text, argument)
            case ast.Name(id="setattr") if call.args:
                owner = call.args[0]
                text = ast.unparse(owner)
                if "sys.modules" in text or "modules" in text:
                    self.module.is_open = True
                elif isinstance(owner, ast.Name):
                    given = call.args[1] if len(call.args) > 1 else None
                    if isinstance(given, ast.Constant) and isinstance(given.value, str):
                        self.module.added.setdefault(owner.id, set()).add(given.value)
                    else:
                        self.module.opened.add(owner.id)
            case ast.Name() | ast.Attribute():
                # A helper may write into this module's namespace.
                words = ast.unparse(call)
                if "globals()" in words or ("__name__" in words and "modules" in words):
                    self.module.is_open = True
                elif _last(call) in ("extend_all",):
                    self.module.exports = None

    def _replaced(self, value: ast.expr) -> None:
        if isinstance(value, ast.Call) and _last(value) == "_LazyModule":
            self.is_lazy = True
            for call in ast.walk(value):
                if isinstance(call, ast.Call) and _last(call) == "define_import_structure":
                    self.module.lazy_models = self.module.name
        else:
            self.module.is_open = True

    def _module_getattr(self, bound: list[Bound]) -> None:
        """Adds the names that a module's ``__getattr__`` may supply; opens it when unclear."""
        for one in bound:
            node = one.node
            if isinstance(node, ast.ClassDef):
                # matplotlib's `_api.caching_module_getattr`: its members are the names.
                for row in node.body:
                    for target in _bound_names(row):
                        self._bind(target, Bound("value"), False)
                continue
            supplied = self._supplied(node) if isinstance(node, ast.FunctionDef) else None
            if supplied is None:
                self.module.is_open = self.module.has_open_getattr = True
                continue
            for name in supplied:
                if name.isidentifier():
                    self._bind(name, Bound("value"), False)

    def _supplied(self, node: ast.FunctionDef) -> set[str] | None:
        if not node.args.args or not _ends_in_attribute_error(node.body):
            return None
        name = node.args.args[0].arg
        found: set[str] = set()
        refused: set[int] = set()
        for inner in ast.walk(node):
            if id(inner) in refused:
                continue
            match inner:
                case ast.If(
                    test=ast.Compare(left=ast.Name(id=left), ops=[op], comparators=[right])
                ) if left == name:
                    if not any(isinstance(n, ast.Return) for s in inner.body for n in ast.walk(s)):
                        continue
                    words = self._words(right) if isinstance(op, ast.In | ast.Eq) else None
                    if words is None:
                        return None
                    found |= words
                case ast.Raise():
                    refused |= {id(n) for n in ast.walk(inner)}
                case ast.Subscript(value=owner, slice=ast.Name(id=key)) if key == name:
                    if ast.unparse(owner) == "globals()":
                        continue
                    words = self._words(owner)
                    if words is None:
                        return None
                    found |= words
                case ast.Call() if any(
                    isinstance(a, ast.Name) and a.id == name for a in inner.args
                ):
                    if _last(inner) in ("AttributeError", "format", "warn", "import_module"):
                        continue
                    if isinstance(inner.func, ast.Attribute) and inner.func.attr in (
                        "get",
                        "startswith",
                    ):
                        words = self._words(inner.func.value)
                        if words is not None:
                            found |= words
                            continue
                    return None
        return found

    def _words(self, node: ast.expr) -> set[str] | None:
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.Name(id=name):
                return self.literals.get(name)
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                return set(_strings(node))
            case ast.Call() if ast.unparse(node) == "globals()":
                return set()
        return None


# ---- small questions about syntax ----


def _is_public(name: str) -> bool:
    parts = name.split(".")
    return not any(p.startswith("_") or p in ("tests", "testing", "conftest") for p in parts)


def _last(node: ast.expr) -> str:
    """The last word of a dotted name, or of what is called or indexed."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Call(func=inner):
            return _last(inner)
        case ast.Subscript(value=inner):
            return _last(inner)
    return ""


def _stub_names(text: str) -> set[str]:
    """The names that a stub binds; it may be written in a newer syntax than this Python reads."""
    found = set(re.findall(r"^(?:(?:async )?def|class|type) (\w+)", text, re.MULTILINE))
    found |= set(re.findall(r"^(\w+)\s*(?:[:=]|$)", text, re.MULTILINE))
    for listed in re.findall(r"^from \S+ import (?:\(([^)]*)\)|([^(\n]*))", text, re.MULTILINE):
        for part in re.sub(r"#[^\n]*", "", "".join(listed)).split(","):
            found |= set(part.split()[-1:])
    return found


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _strings(node: ast.AST) -> list[str]:
    return [
        n.value
        for n in ast.walk(node)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and len(n.value) < 100
    ]


def _listed(node: ast.expr) -> list[str] | None:
    """The strings of a literal list or tuple; None for anything else."""
    if isinstance(node, ast.List | ast.Tuple):
        found = [n.value for n in node.elts if isinstance(n, ast.Constant)]
        if len(found) == len(node.elts):
            return [s for s in found if isinstance(s, str)]
    return None


def _bound_names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [t.id for t in targets if isinstance(t, ast.Name)]
    return []


def _ends_in_attribute_error(body: list[ast.stmt]) -> bool:
    """Whether a function's last way out is an AttributeError."""
    last = body[-1] if body else None
    match last:
        case ast.Raise(exc=exc) if exc is not None:
            return _last(exc) == "AttributeError"
        case ast.If(orelse=other) if other:
            return _ends_in_attribute_error(other)
        case ast.Try(handlers=handlers):
            return bool(handlers) and all(_ends_in_attribute_error(h.body) for h in handlers)
    return False


def _returns(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return isinstance(node, ast.FunctionDef)


def _parameters(args: ast.arguments, *, bare: bool, extra: list[str], rest: str) -> str:
    plain = [*args.posonlyargs, *args.args]
    optional = len(plain) - len(args.defaults)
    words: list[str] = []
    for number, arg in enumerate(plain):
        words.append(arg.arg + ("=" if number >= optional else ""))
        if args.posonlyargs and number == len(args.posonlyargs) - 1:
            words.append("/")
    if bare and words:
        words = words[1:]
        if words[:1] == ["/"]:
            words = words[1:]
    elif bare and args.vararg is None:
        return "*,**"
    if args.vararg is not None:
        words.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs or extra:
        words.append("*")
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        words.append(arg.arg + ("=" if default is not None else ""))
    words += [f"{name}=" for name in extra]
    if args.kwarg is not None:
        words.append(f"**{args.kwarg.arg}" + (f">{rest}" if rest else ""))
    return ",".join(words)


def _members(node: ast.ClassDef) -> tuple[dict[str, Member], bool]:
    """A class's own names, those set on ``self`` too, and whether there may be more."""
    found: dict[str, Member] = {}
    dynamic = False
    waiting = list(reversed(node.body))
    while waiting:
        row = waiting.pop()
        match row:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                last = {_last(d) for d in row.decorator_list}
                if row.name in ("__getattr__", "__getattribute__"):
                    dynamic = True
                if "overload" in last:
                    found[row.name] = Member("value")
                    continue
                if last & {"setter", "deleter", "getter"}:
                    found.setdefault(row.name, Member("value"))
                    continue
                is_property = any("property" in word for word in last)
                if row.name in found and found[row.name].node is not None:
                    found[row.name] = Member("value")
                else:
                    found[row.name] = Member("property" if is_property else "function", row)
                dynamic = _set_on_self(row, found) or dynamic
            case ast.ClassDef(name=name):
                found[name] = Member("value")
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                found.setdefault(name, Member("value", annotation))
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                if isinstance(row, ast.For):
                    dynamic = True
                inner = [s for s in ast.iter_child_nodes(row) if isinstance(s, ast.stmt)]
                handlers = row.handlers if isinstance(row, ast.Try) else []
                inner += [s for h in handlers for s in h.body]
                waiting += reversed(inner)
            case ast.Expr(value=ast.Call()):
                dynamic = True
            case ast.Import() | ast.ImportFrom():
                for alias in row.names:
                    found[alias.asname or alias.name.split(".")[0]] = Member("value")
            case ast.Assign(targets=targets):
                for target in targets:
                    for inner_node in ast.walk(target):
                        if isinstance(inner_node, ast.Name):
                            found[inner_node.id] = Member("value")
                        elif isinstance(inner_node, ast.Subscript):
                            dynamic = True
                if "__slots__" in found:
                    for word in _strings(row.value):
                        found.setdefault(word, Member("value"))
    return found, dynamic


def _set_on_self(
    function: ast.FunctionDef | ast.AsyncFunctionDef, found: dict[str, Member]
) -> bool:
    names = [*function.args.posonlyargs, *function.args.args]
    if not names:
        return False
    me = names[0].arg
    for node in ast.walk(function):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=attr, ctx=ast.Store()) if owner == me:
                found.setdefault(attr, Member("value"))
            case ast.Call(func=ast.Name(id="setattr" | "vars"), args=[ast.Name(id=owner), *more]):
                if owner == me:
                    given = more[0] if more else None
                    if isinstance(given, ast.Constant) and isinstance(given.value, str):
                        found.setdefault(given.value, Member("value"))
                    else:
                        return True
            case ast.Attribute(value=ast.Name(id=owner), attr="__dict__") if owner == me:
                # Copying and comparing bring nothing new.
                if not function.name.startswith("__") or function.name == "__init__":
                    return True
    return False
