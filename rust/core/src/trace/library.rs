//! What is known of builtins, OmegaConf and a few library functions; every other call that leaves
//! the package is an event with an opaque result.

use super::call::Args;
use super::document::Kind as What;
use super::expression::{Found, put};
use super::interp::{Interp, Out};
use super::state::Cell;
use super::value::{PURE, Reason, Sym, Value, ValueId};
use crate::syntax::tree::NodeId;

/// Builtins whose result depends on their arguments alone and that change nothing.
const PURE_BUILTINS: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "bytes",
    "callable",
    "chr",
    "complex",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "format",
    "frozenset",
    "hash",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "ord",
    "pow",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "sum",
    "tuple",
    "type",
    "vars",
    "zip",
];

const OTHER_BUILTINS: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
    "BrokenPipeError",
    "ConnectionError",
    "DeprecationWarning",
    "EOFError",
    "Exception",
    "FileExistsError",
    "FileNotFoundError",
    "FloatingPointError",
    "FutureWarning",
    "GeneratorExit",
    "IOError",
    "ImportError",
    "ImportWarning",
    "IndexError",
    "InterruptedError",
    "IsADirectoryError",
    "KeyError",
    "KeyboardInterrupt",
    "LookupError",
    "MemoryError",
    "ModuleNotFoundError",
    "NameError",
    "NotADirectoryError",
    "NotImplemented",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PermissionError",
    "RecursionError",
    "ReferenceError",
    "ResourceWarning",
    "RuntimeError",
    "RuntimeWarning",
    "StopAsyncIteration",
    "StopIteration",
    "SyntaxError",
    "SystemError",
    "SystemExit",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "UserWarning",
    "ValueError",
    "Warning",
    "ZeroDivisionError",
    "__import__",
    "ascii",
    "bin",
    "breakpoint",
    "bytearray",
    "classmethod",
    "compile",
    "delattr",
    "dict",
    "dir",
    "eval",
    "exec",
    "exit",
    "getattr",
    "globals",
    "hasattr",
    "help",
    "hex",
    "id",
    "input",
    "locals",
    "memoryview",
    "next",
    "object",
    "oct",
    "open",
    "print",
    "property",
    "quit",
    "setattr",
    "staticmethod",
    "str",
    "super",
];

/// Library functions whose result depends on their arguments alone.
const PURE_FUNCTIONS: &[&str] = &[
    "pathlib.Path",
    "pathlib.PurePath",
    "os.path.join",
    "os.path.dirname",
    "os.path.basename",
    "os.path.abspath",
    "os.path.realpath",
    "os.path.expanduser",
    "os.path.normpath",
    "os.path.splitext",
    "functools.partial",
    "omegaconf.OmegaConf.to_yaml",
    "omegaconf.OmegaConf.is_config",
    "omegaconf.OmegaConf.is_dict",
    "omegaconf.OmegaConf.is_list",
];

/// Methods of texts, which change nothing.
const TEXT_METHODS: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];

/// Library functions that change a container they are given.
const MUTATORS: &[&str] = &[
    "random.shuffle",
    "numpy.random.shuffle",
    "heapq.heappush",
    "heapq.heappop",
    "heapq.heapify",
    "heapq.heappushpop",
    "heapq.heapreplace",
    "bisect.insort",
    "bisect.insort_left",
    "bisect.insort_right",
    "next",
    "exec",
    "eval",
];

pub(super) fn is_builtin(name: &str) -> bool {
    PURE_BUILTINS.contains(&name) || OTHER_BUILTINS.contains(&name)
}

/// Methods of `torch.nn.Module` that return the module itself.
pub(super) fn returns_self(method: &str) -> bool {
    matches!(
        method,
        "to" | "cuda"
            | "cpu"
            | "train"
            | "eval"
            | "float"
            | "half"
            | "double"
            | "bfloat16"
            | "requires_grad_"
            | "apply"
            | "type"
            | "share_memory"
            | "to_empty"
            | "compile"
    )
}

impl<'p> Interp<'p> {
    /// The canonical dotted name of a value: `wandb.init`, `optuna.create_study().optimize`. `()`
    /// stands for a result, `[]` for an element, `?` for what is not known.
    pub(super) fn canonical(&self, value: ValueId) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut at = value;
        // Chains are as long as the source makes them; names need not be.
        for _ in 0..64 {
            match self.get(at) {
                Value::Attribute(of, name) => {
                    parts.push(format!(".{}", self.text(*name)));
                    at = *of;
                }
                Value::Call(callee, ..) => {
                    parts.push("()".to_owned());
                    at = *callee;
                }
                Value::Item(of, _) | Value::Element(of, _) => {
                    parts.push("[]".to_owned());
                    at = *of;
                }
                // Paths are joined by `/` and stay paths; numbers have no methods worth a name.
                Value::Binary(op, a, _) if self.text(*op) == "/" => at = *a,
                _ => break,
            }
        }
        let class_name = |class: u32| {
            let (name, module) = &self.trace.labels.classes[class as usize];
            format!("{}.{name}", self.trace.labels.modules[*module as usize])
        };
        let head = match self.get(at) {
            Value::Library(name) => self.text(*name).to_owned(),
            Value::Str(_) | Value::Template(_) => "str".to_owned(),
            Value::List(..) => "list".to_owned(),
            Value::Tuple(..) => "tuple".to_owned(),
            Value::Dict(..) => "dict".to_owned(),
            Value::Set(..) => "set".to_owned(),
            Value::Config { .. } => "config".to_owned(),
            Value::Module(m) => self.trace.labels.modules[*m as usize].clone(),
            Value::Function(f) => self.function_name(*f),
            Value::Class(c) => class_name(*c),
            Value::Super(class, _) => match self.library_base(*class) {
                Some(base) if base != value => self.canonical(base),
                _ => "super()".to_owned(),
            },
            Value::Instance(instance) => match self.instances.get(instance) {
                Some(&class) => match (parts.is_empty(), self.library_base(class)) {
                    // A method that no class of the package defines is the library's.
                    (false, Some(base)) if base != value => self.canonical(base),
                    _ => class_name(class),
                },
                None => "?".to_owned(),
            },
            _ => "?".to_owned(),
        };
        parts.reverse();
        format!("{head}{}", parts.concat())
    }

    /// A call that leaves the package, or of a builtin.
    pub(super) fn call_library(&mut self, node: NodeId, callee: ValueId, args: Args) -> ValueId {
        let name = match *self.get(callee) {
            Value::Library(name) => self.text(name).to_owned(),
            Value::Attribute(of, method)
                if TEXT_METHODS.contains(&self.text(method)) && self.is_plain(of) =>
            {
                return self.pure(callee, args);
            }
            _ => return self.opaque_call(node, callee, args),
        };
        if let Some(function) = name.strip_prefix("omegaconf.OmegaConf.") {
            let function = function.to_owned();
            if let Some(result) = self.omegaconf(node, &function, &args) {
                return result;
            }
        }
        let first = args.positional.first().copied();
        match (name.as_str(), first) {
            ("super", _) => {
                if let Some(found) = self.super_object() {
                    return found;
                }
            }
            ("getattr", Some(of)) => {
                if let Some(&key) = args.positional.get(1)
                    && let Value::Str(attribute) = *self.get(key)
                {
                    let default = args.positional.get(2).copied();
                    return self.get_attribute(node, of, attribute, default);
                }
            }
            ("hasattr", Some(of)) => {
                if let Some(&key) = args.positional.get(1)
                    && let Value::Str(attribute) = *self.get(key)
                {
                    return self.has_attribute(node, of, attribute);
                }
            }
            ("setattr", Some(of)) => {
                if let [_, key, value] = *args.positional.as_slice() {
                    self.store_member(node, of, key, value, true);
                    return self.none();
                }
            }
            ("dict", _) => return self.make_dict(node, &args),
            ("list" | "tuple" | "set" | "sorted" | "reversed", Some(of))
                if args.named.is_empty() && args.positional.len() == 1 =>
            {
                if matches!(name.as_str(), "list" | "tuple")
                    && let Some(items) = self.elements(of)
                {
                    return if name == "list" {
                        self.container(Value::List(items.into(), false))
                    } else {
                        self.value(Value::Tuple(items.into(), false))
                    };
                }
            }
            ("list", None) => return self.container(Value::List(Box::new([]), false)),
            ("set", None) => return self.container(Value::Set(Box::new([]), false)),
            ("len", Some(of)) => {
                if let Some(items) = self.elements(of)
                    && !matches!(*self.get(of), Value::Ref(o)
                        if matches!(self.content(o), Some(Value::Set(..))))
                {
                    return self.value(Value::Int(items.len() as i64));
                }
            }
            ("str", Some(of)) if args.positional.len() == 1 => {
                let of = self.frozen(of);
                return match self.get(of) {
                    Value::Str(_) | Value::Template(_) => of,
                    _ => self.value(Value::Template([of].into())),
                };
            }
            ("str", None) => return self.string(""),
            ("exit" | "quit" | "sys.exit" | "os._exit" | "os.abort", _) => {
                let code = self.pure_call("SystemExit", &args.positional);
                self.emit(node, What::Raise(code));
                self.raise(code);
                return code;
            }
            ("importlib.import_module", Some(of)) => {
                if let Value::Str(module) = *self.get(of) {
                    let module = self.text(module).to_owned();
                    return self.import(node, &module);
                }
            }
            ("copy.deepcopy" | "copy.copy", Some(of)) => {
                if let Some(copied) = self.copied(node, of) {
                    return copied;
                }
            }
            ("typing.cast", _) => {
                if let Some(&value) = args.positional.get(1) {
                    return value;
                }
            }
            ("torch.compile", Some(of)) => {
                self.opaque_call(node, callee, args);
                return of;
            }
            ("omegaconf.DictConfig" | "omegaconf.ListConfig", Some(_)) => {
                if let Some(result) = self.omegaconf(node, "create", &args) {
                    return result;
                }
            }
            ("hydra.compose" | "hydra.experimental.compose", _) => {
                let call = self.opaque_call(node, callee, args);
                return self.new_root(node, "compose", vec![call]);
            }
            _ => {}
        }
        let is_exception = !name.contains('.')
            && [
                "Error",
                "Exception",
                "Warning",
                "Exit",
                "Interrupt",
                "Iteration",
            ]
            .iter()
            .any(|end| name.ends_with(end));
        if is_exception
            || PURE_BUILTINS.contains(&name.as_str())
            || PURE_FUNCTIONS.contains(&name.as_str())
        {
            if name != "functools.partial" {
                self.callbacks(node, callee, &args);
            }
            return self.pure(callee, args);
        }
        self.opaque_call(node, callee, args)
    }

    /// Whether a value is one of texts and numbers, which methods do not change.
    fn is_plain(&self, value: ValueId) -> bool {
        match self.get(value) {
            Value::Call(_, _, _, event) => *event == PURE,
            Value::Config { .. }
            | Value::Str(_)
            | Value::Template(_)
            | Value::Binary(..)
            | Value::Key(..)
            | Value::Each(..) => true,
            Value::Item(of, _) | Value::Element(of, _) => self.is_plain(*of),
            Value::Select(_, yes, no) => self.is_plain(*yes) && self.is_plain(*no),
            _ => false,
        }
    }

    fn pure(&mut self, callee: ValueId, args: Args) -> ValueId {
        let positional = args.positional.iter().map(|&a| self.frozen(a)).collect();
        let mut named: Vec<(Sym, ValueId)> = Vec::new();
        for (name, value) in args.named {
            named.push((name, self.frozen(value)));
        }
        for value in args.spread {
            let stars = self.sym("**");
            named.push((stars, self.frozen(value)));
        }
        self.value(Value::Call(callee, positional, named.into(), PURE))
    }

    /// A call whose effects and result are not known beyond its arguments.
    pub(super) fn opaque_call(&mut self, node: NodeId, callee: ValueId, args: Args) -> ValueId {
        let name = self.canonical(callee);
        let positional: Vec<ValueId> = args.positional.iter().map(|&a| self.frozen(a)).collect();
        let mut named: Vec<(Sym, ValueId)> = Vec::new();
        for &(key, value) in &args.named {
            named.push((key, self.frozen(value)));
        }
        for &value in &args.spread {
            let stars = self.sym("**");
            named.push((stars, self.frozen(value)));
        }
        let callee_now = self.frozen(callee);
        let event = if self.dry {
            PURE - 1
        } else {
            let texts = named
                .iter()
                .map(|&(key, value)| (self.text(key).to_owned(), value))
                .collect();
            let kind = What::Call(name.clone(), callee_now, positional.clone(), texts);
            self.emit(node, kind)
        };
        let unknown_code = name.starts_with('?') && !name.contains('.');
        if unknown_code || MUTATORS.contains(&name.as_str()) {
            for &value in args
                .positional
                .iter()
                .chain(args.named.iter().map(|(_, v)| v))
            {
                self.havoc(value);
            }
        }
        self.callbacks(node, callee, &args);
        self.value(Value::Call(
            callee_now,
            positional.into(),
            named.into(),
            event,
        ))
    }

    /// Forgets what a container holds that other code may change.
    fn havoc(&mut self, value: ValueId) {
        let Value::Ref(owner) = *self.get(value) else {
            return;
        };
        let forgotten = match self.content(owner) {
            Some(Value::List(..)) => Value::List(Box::new([]), true),
            Some(Value::Dict(..)) => Value::Dict(Box::new([]), true),
            Some(Value::Set(..)) => Value::Set(Box::new([]), true),
            _ => return,
        };
        let forgotten = self.value(forgotten);
        self.set_content(owner, forgotten);
    }

    /// What a Lightning trainer calls of the modules of the package that it is handed, in its order.
    fn trainer_hooks(&mut self, callee: ValueId, args: &Args) -> Vec<ValueId> {
        let Value::Attribute(_, method) = *self.get(callee) else {
            return Vec::new();
        };
        let hooks: &[&str] = match self.text(method) {
            "fit" => &["configure_optimizers", "training_step", "validation_step"],
            "validate" => &["validation_step"],
            "test" => &["test_step"],
            _ => return Vec::new(),
        };
        let name = self.canonical(callee);
        if !name.starts_with("lightning.") && !name.starts_with("pytorch_lightning.") {
            return Vec::new();
        }
        let instances: Vec<(ValueId, u32)> = args
            .positional
            .iter()
            .chain(args.named.iter().map(|(_, v)| v))
            .filter_map(|&value| match self.get(value) {
                Value::Instance(number) => Some((value, *self.instances.get(number)?)),
                _ => None,
            })
            .collect();
        let mut found = Vec::new();
        for (instance, class) in instances {
            for hook in hooks {
                let hook = self.sym(hook);
                if let Some((member, _)) = self.class_member(class, hook)
                    && let Value::Function(f) = *self.get(member)
                    && matches!(self.functions[f as usize].role, super::interp::Role::Plain)
                {
                    found.push(self.value(Value::Bound(instance, f)));
                }
            }
        }
        found
    }

    /// Functions of the package among the arguments: the callee may call them, any number of times.
    fn callbacks(&mut self, node: NodeId, callee: ValueId, args: &Args) {
        let mut given: Vec<ValueId> = args
            .positional
            .iter()
            .chain(args.named.iter().map(|(_, v)| v))
            .copied()
            .filter(|&v| matches!(self.get(v), Value::Function(_) | Value::Bound(..)))
            .collect();
        given.extend(self.trainer_hooks(callee, args));
        for value in given {
            let (number, this) = match *self.get(value) {
                Value::Function(f) => (f, None),
                Value::Bound(this, f) => (f, Some(this)),
                _ => continue,
            };
            let id = self.new_loop("callback", callee, Some(node));
            let called = self.value(Value::Called(id));
            let name = self.canonical(callee);
            let definition = std::rc::Rc::clone(&self.functions[number as usize].definition);
            self.run_loop(id, node, called, false, &mut |inner| {
                let mut positional: Vec<ValueId> = this.into_iter().collect();
                let skip = positional.len();
                for parameter in definition.parameters.iter().skip(skip) {
                    if !matches!(
                        parameter.kind,
                        super::scope::ParameterKind::Ordinary
                            | super::scope::ParameterKind::PositionalOnly
                    ) {
                        break;
                    }
                    let argument = if name.ends_with(".optimize") {
                        inner.library("optuna.trial.Trial")
                    } else {
                        inner.value(Value::Parameter(definition.name, parameter.name))
                    };
                    positional.push(argument);
                }
                inner.call_function(node, number, Args::positional(positional));
            });
        }
    }

    /// Ends the path by an exception, which the innermost `try` around may catch.
    pub(super) fn raise(&mut self, value: ValueId) {
        let guard = self.guard;
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.raised.push((guard, value));
        }
        self.leave(Out::Raise);
    }

    // ---- attributes by name ----

    fn get_attribute(
        &mut self,
        node: NodeId,
        of: ValueId,
        name: Sym,
        default: Option<ValueId>,
    ) -> ValueId {
        let key = self.value(Value::Str(name));
        if let Value::Select(test, yes, no) = *self.get(of)
            && self.followed(of)
        {
            let place = self.place(node);
            return self.fork(
                test,
                place,
                &mut |this| this.get_attribute(node, yes, name, default),
                &mut |this| this.get_attribute(node, no, name, default),
            );
        }
        if let Some((root, path)) = self.config_path(of) {
            return self.read_key(node, root, path, key, default, "getattr");
        }
        let Some(default) = default else {
            return self.attribute(node, of, name);
        };
        match *self.get(of) {
            Value::Instance(instance) => {
                let found = self.attribute(node, of, name);
                let class = self.instances.get(&instance).copied();
                match self.get(found) {
                    Value::Attribute(..)
                        if class.is_some_and(|c| self.library_base(c).is_none()) =>
                    {
                        default
                    }
                    _ => found,
                }
            }
            _ => self.pure_call("getattr", &[of, key, default]),
        }
    }

    fn has_attribute(&mut self, node: NodeId, of: ValueId, name: Sym) -> ValueId {
        let key = self.value(Value::Str(name));
        if let Some((root, mut path)) = self.config_path(of) {
            let held = path.len() as u32;
            path.push(key);
            let at = self.config_at(root, &path);
            self.emit(node, What::Read(at, held, "contains", None));
            return self.config_has(root, &path);
        }
        self.pure_call("hasattr", &[of, key])
    }

    /// A config key read in a way that does not fail when it is not there.
    fn read_key(
        &mut self,
        node: NodeId,
        root: u32,
        mut path: Vec<ValueId>,
        key: ValueId,
        default: Option<ValueId>,
        how: &'static str,
    ) -> ValueId {
        let held = path.len() as u32;
        path.push(self.frozen(key));
        let at = self.config_at(root, &path);
        let frozen = default.map(|d| self.frozen(d));
        self.emit(node, What::Read(at, held, how, frozen));
        match default {
            None => at,
            Some(default) => {
                let has = self.config_has(root, &path);
                self.select(has, at, default)
            }
        }
    }

    // ---- configs ----

    pub(super) fn config_method(
        &mut self,
        node: NodeId,
        receiver: ValueId,
        name: Sym,
        args: Args,
    ) -> ValueId {
        let Some((root, path)) = self.config_path(receiver) else {
            return self.unknown(Reason::Syntax);
        };
        let method = self.text(name).to_owned();
        let named = |this: &Self, wanted: &str| {
            args.named
                .iter()
                .find(|(n, _)| this.text(*n) == wanted)
                .map(|&(_, v)| v)
        };
        let key = args
            .positional
            .first()
            .copied()
            .or_else(|| named(self, "key"));
        match (method.as_str(), key) {
            ("get", Some(key)) => {
                let default = match args.positional.get(1).copied() {
                    Some(default) => Some(default),
                    None => named(self, "default_value").or_else(|| named(self, "default")),
                };
                let default = match default {
                    Some(default) => default,
                    None => self.none(),
                };
                self.read_key(node, root, path, key, Some(default), "get")
            }
            ("pop", Some(key)) => {
                let default = args.positional.get(1).copied();
                let value = self.read_key(node, root, path.clone(), key, default, "pop");
                let mut path = path;
                path.push(self.frozen(key));
                let none = self.none();
                self.write(node, root, &path, none, "delete");
                value
            }
            ("setdefault", Some(key)) => {
                let default = match args.positional.get(1).copied() {
                    Some(default) => default,
                    None => self.none(),
                };
                let mut path = path;
                path.push(self.frozen(key));
                let has = self.config_has(root, &path);
                let at = self.config_at(root, &path);
                self.write(node, root, &path, default, "setdefault");
                self.select(has, at, default)
            }
            ("keys" | "values" | "items", None) => {
                let held = path.len() as u32;
                self.emit(node, What::Read(receiver, held, "iterate", None));
                self.pure_call(&method, &[receiver])
            }
            ("update" | "merge_with", _) => {
                let how = if method == "update" {
                    "update"
                } else {
                    "merge"
                };
                for &value in &args.positional {
                    let items = match self.get(value) {
                        &Value::Ref(owner) => self.content(owner).cloned(),
                        _ => None,
                    };
                    if let Some(Value::Dict(items, false)) = items {
                        for &(key, value) in &items {
                            let mut path = path.clone();
                            path.push(self.frozen(key));
                            self.write(node, root, &path, value, how);
                        }
                    } else {
                        self.write(node, root, &path, value, "merge");
                    }
                }
                for &(key, value) in &args.named {
                    let mut path = path.clone();
                    path.push(self.value(Value::Str(key)));
                    self.write(node, root, &path, value, how);
                }
                self.none()
            }
            ("copy", None) => self.new_root(node, "copy", vec![receiver]),
            ("_set_flag", Some(flag)) => {
                let set = args.positional.get(1).copied();
                if let (Value::Str(flag), Some(set)) = (self.get(flag), set) {
                    let flag = if self.text(*flag) == "struct" {
                        "struct"
                    } else {
                        "readonly"
                    };
                    self.flag(node, receiver, flag, set);
                }
                self.none()
            }
            ("append" | "extend" | "insert" | "remove" | "clear" | "sort" | "reverse", _) => {
                let changed = self.unknown(Reason::Content);
                self.write(node, root, &path, changed, "set");
                self.none()
            }
            _ => {
                let callee = self.value(Value::Attribute(receiver, name));
                self.pure(callee, args)
            }
        }
    }

    pub(super) fn write(
        &mut self,
        node: NodeId,
        root: u32,
        path: &[ValueId],
        value: ValueId,
        how: &'static str,
    ) {
        let at = self.config_at(root, path);
        let value = self.frozen(value);
        self.emit(node, What::Write(at, value, how));
        self.config_changed(at);
    }

    pub(super) fn flag(
        &mut self,
        node: NodeId,
        config: ValueId,
        flag: &'static str,
        value: ValueId,
    ) {
        let value = self.frozen(value);
        self.emit(node, What::Flag(config, flag, value));
    }

    /// A function of the class `OmegaConf`; `None` when it is an ordinary call.
    fn omegaconf(&mut self, node: NodeId, function: &str, args: &Args) -> Option<ValueId> {
        let named = |this: &Self, wanted: &str| {
            args.named
                .iter()
                .find(|(n, _)| this.text(*n) == wanted)
                .map(|&(_, v)| v)
        };
        let first = args
            .positional
            .first()
            .copied()
            .or_else(|| named(self, "cfg"));
        let config = first.and_then(|f| self.config_path(f));
        match function {
            "to_container" | "to_object" if config.is_some() => {
                Some(self.new_root(node, "container", first.into_iter().collect()))
            }
            "create" | "structured" => {
                let source = match first.or_else(|| named(self, "obj")) {
                    Some(source) => self.frozen(source),
                    None => self.value(Value::Dict(Box::new([]), false)),
                };
                Some(self.new_root(node, "create", vec![source]))
            }
            "load" => {
                let source = self.frozen(first?);
                Some(self.new_root(node, "load", vec![source]))
            }
            "merge" | "unsafe_merge" => {
                let sources = args.positional.iter().map(|&a| self.frozen(a)).collect();
                Some(self.new_root(node, "merge", sources))
            }
            "masked_copy" => {
                let sources = args.positional.iter().map(|&a| self.frozen(a)).collect();
                Some(self.new_root(node, "masked", sources))
            }
            "from_cli" | "from_dotlist" => {
                let sources = args.positional.iter().map(|&a| self.frozen(a)).collect();
                Some(self.new_root(node, "cli", sources))
            }
            "select" => {
                let (root, mut path) = config?;
                let key = args
                    .positional
                    .get(1)
                    .copied()
                    .or_else(|| named(self, "key"))?;
                let default = match named(self, "default") {
                    Some(default) => default,
                    None => self.none(),
                };
                let last = self.dotted_path(key, &mut path);
                Some(self.read_key(node, root, path, last, Some(default), "select"))
            }
            "update" => {
                let (root, mut path) = config?;
                let key = args
                    .positional
                    .get(1)
                    .copied()
                    .or_else(|| named(self, "key"))?;
                let value = match args.positional.get(2).copied() {
                    Some(value) => value,
                    None => named(self, "value")?,
                };
                let last = self.dotted_path(key, &mut path);
                path.push(last);
                let forced = named(self, "force_add").and_then(|f| self.decided(f));
                let how = if forced == Some(true) {
                    "force"
                } else {
                    "update"
                };
                self.write(node, root, &path, value, how);
                Some(self.none())
            }
            "set_struct" | "set_readonly" => {
                config?;
                let value = args
                    .positional
                    .get(1)
                    .copied()
                    .or_else(|| named(self, "value"))?;
                let flag = if function == "set_struct" {
                    "struct"
                } else {
                    "readonly"
                };
                self.flag(node, first?, flag, value);
                Some(self.none())
            }
            _ => None,
        }
    }

    /// Adds the keys of a dotted text to a path, and returns the last one.
    fn dotted_path(&mut self, key: ValueId, path: &mut Vec<ValueId>) -> ValueId {
        let Value::Str(text) = *self.get(key) else {
            return self.frozen(key);
        };
        let text = self.text(text).to_owned();
        let mut keys: Vec<&str> = text.split('.').collect();
        let last = keys.pop().unwrap_or_default();
        for key in keys {
            path.push(self.string(key));
        }
        self.string(last)
    }

    fn copied(&mut self, node: NodeId, value: ValueId) -> Option<ValueId> {
        match *self.get(value) {
            Value::Config { .. } => Some(self.new_root(node, "copy", vec![value])),
            Value::Ref(owner) => {
                let content = self.content(owner)?.clone();
                Some(self.container(content))
            }
            Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::None => {
                Some(value)
            }
            _ => None,
        }
    }

    fn make_dict(&mut self, node: NodeId, args: &Args) -> ValueId {
        let mut items: Vec<(ValueId, ValueId)> = Vec::new();
        let mut open = false;
        if let Some(&of) = args.positional.first() {
            if self.config_path(of).is_some() && args.named.is_empty() && args.spread.is_empty() {
                self.spread_read(node, of);
                return self.new_root(node, "container", vec![of]);
            }
            let content = match self.get(of) {
                &Value::Ref(owner) => self.content(owner).cloned(),
                _ => None,
            };
            match content {
                Some(Value::Dict(known, more)) => {
                    items.extend(known);
                    open = more;
                }
                _ => {
                    let star = self.value(Value::Star(of));
                    items.push((star, of));
                }
            }
        }
        for &(name, value) in &args.named {
            let key = self.value(Value::Str(name));
            put(&mut items, key, value);
        }
        for &value in &args.spread {
            let star = self.value(Value::Star(value));
            items.push((star, value));
        }
        self.container(Value::Dict(items.into(), open))
    }

    // ---- containers ----

    pub(super) fn container_method(
        &mut self,
        node: NodeId,
        receiver: ValueId,
        owner: u32,
        name: Sym,
        args: Args,
    ) -> ValueId {
        let method = self.text(name).to_owned();
        let content = self.content(owner).cloned().unwrap_or(Value::None);
        let first = args.positional.first().copied();
        let none = self.none();
        let changed = match (&content, method.as_str(), first) {
            (Value::List(items, open), "append", Some(value)) => {
                let mut items = items.to_vec();
                if !open {
                    items.push(value);
                }
                (Value::List(items.into(), *open), none)
            }
            (Value::List(items, open), "extend", Some(value)) => {
                let mut items = items.to_vec();
                if !open {
                    match self.elements(value) {
                        Some(more) => items.extend(more),
                        None => items.push(self.value(Value::Star(value))),
                    }
                }
                (Value::List(items.into(), *open), none)
            }
            (Value::List(items, false), "copy", None) => {
                return self.container(Value::List(items.clone(), false));
            }
            (Value::List(items, false), "pop", None)
                if items
                    .last()
                    .is_some_and(|&l| !matches!(self.get(l), Value::Star(_) | Value::Each(..))) =>
            {
                let mut items = items.to_vec();
                let last = items.pop().unwrap_or(none);
                (Value::List(items.into(), false), last)
            }
            (Value::List(..), "clear", None) => (Value::List(Box::new([]), false), none),
            (
                Value::List(..),
                "insert" | "remove" | "pop" | "sort" | "reverse" | "append" | "extend",
                _,
            ) => {
                let popped = self.unknown(Reason::Content);
                (Value::List(Box::new([]), true), popped)
            }
            (Value::Dict(items, open), "get", Some(key)) => {
                let default = args.positional.get(1).copied().unwrap_or(none);
                match (self.find_key(items, key), open) {
                    (Found::Value(value), _) => return value,
                    (Found::Absent, false) => return default,
                    _ => {
                        let callee = self.value(Value::Attribute(receiver, name));
                        let callee = self.frozen_method(callee);
                        return self.pure(callee, args);
                    }
                }
            }
            (Value::Dict(items, false), "items", None) => {
                let pairs: Vec<ValueId> = items
                    .iter()
                    .map(|&(k, v)| match (self.get(k), self.get(v)) {
                        (&Value::Each(k, l), &Value::Each(v, _)) => {
                            let pair = self.value(Value::Tuple([k, v].into(), false));
                            self.value(Value::Each(pair, l))
                        }
                        (Value::Star(_), _) => k,
                        _ => self.value(Value::Tuple([k, v].into(), false)),
                    })
                    .collect();
                return self.value(Value::List(pairs.into(), false));
            }
            (Value::Dict(items, false), "keys", None) => {
                let keys = items.iter().map(|&(k, _)| k).collect();
                return self.value(Value::List(keys, false));
            }
            (Value::Dict(items, false), "values", None) => {
                let values = items
                    .iter()
                    .map(|&(k, v)| match self.get(k) {
                        Value::Star(_) => k,
                        _ => v,
                    })
                    .collect();
                return self.value(Value::List(values, false));
            }
            (Value::Dict(..), "copy", None) => return self.container(content),
            (Value::Dict(items, open), "update", _) => {
                let mut items = items.to_vec();
                let mut open = *open;
                if let Some(value) = first {
                    self.spread_read(node, value);
                    let known = match self.get(value) {
                        &Value::Ref(other) => self.content(other).cloned(),
                        _ => None,
                    };
                    match known {
                        Some(Value::Dict(more, more_open)) => {
                            for &(key, value) in &more {
                                put(&mut items, key, value);
                            }
                            open |= more_open;
                        }
                        _ => {
                            let star = self.value(Value::Star(value));
                            items.push((star, value));
                        }
                    }
                }
                for &(name, value) in &args.named {
                    let key = self.value(Value::Str(name));
                    put(&mut items, key, value);
                }
                for &value in &args.spread {
                    let star = self.value(Value::Star(value));
                    items.push((star, value));
                }
                (Value::Dict(items.into(), open), none)
            }
            (Value::Dict(items, open), "setdefault", Some(key)) => {
                let default = args.positional.get(1).copied().unwrap_or(none);
                match (self.find_key(items, key), open) {
                    (Found::Value(value), _) => return value,
                    (Found::Absent, false) => {
                        let mut items = items.to_vec();
                        items.push((key, default));
                        (Value::Dict(items.into(), false), default)
                    }
                    _ => {
                        let value = self.unknown(Reason::Content);
                        (Value::Dict(Box::new([]), true), value)
                    }
                }
            }
            (Value::Dict(items, open), "pop", Some(key)) => {
                let default = args.positional.get(1).copied();
                match (self.find_key(items, key), open) {
                    (Found::Value(value), _) => {
                        let kept = items.iter().filter(|(k, _)| *k != key).copied().collect();
                        (Value::Dict(kept, *open), value)
                    }
                    (Found::Absent, false) => return default.unwrap_or(none),
                    _ => {
                        let value = self.unknown(Reason::Content);
                        (Value::Dict(Box::new([]), true), value)
                    }
                }
            }
            (Value::Dict(..), "clear", None) => (Value::Dict(Box::new([]), false), none),
            (Value::Dict(..), "popitem", None) => {
                let value = self.unknown(Reason::Content);
                (Value::Dict(Box::new([]), true), value)
            }
            (Value::Set(items, open), "add", Some(value)) => {
                let mut items = items.to_vec();
                if !items.contains(&value) && !open {
                    items.push(value);
                }
                (Value::Set(items.into(), *open), none)
            }
            (Value::Set(..), "update" | "discard" | "remove" | "pop" | "clear", _) => {
                let value = self.unknown(Reason::Content);
                (Value::Set(Box::new([]), true), value)
            }
            // A choice of contents: what it holds after a change is not followed.
            (
                Value::Select(..) | Value::Unknown(..),
                "append" | "extend" | "insert" | "remove" | "pop" | "sort" | "reverse" | "clear"
                | "update" | "setdefault" | "popitem" | "add" | "discard",
                _,
            ) => {
                let value = self.unknown(Reason::Content);
                let content = self.unknown(Reason::Content);
                self.set_content(owner, content);
                return value;
            }
            _ => {
                let callee = self.value(Value::Attribute(receiver, name));
                let callee = self.frozen_method(callee);
                self.callbacks(node, callee, &args);
                return self.pure(callee, args);
            }
        };
        let content = self.value(changed.0);
        self.set_content(owner, content);
        changed.1
    }

    /// A method of what a container holds now.
    fn frozen_method(&mut self, method: ValueId) -> ValueId {
        let Value::Attribute(of, name) = *self.get(method) else {
            return method;
        };
        let of = self.frozen(of);
        self.value(Value::Attribute(of, name))
    }

    pub(super) fn text_method(
        &mut self,
        _node: NodeId,
        receiver: ValueId,
        name: Sym,
        args: Args,
    ) -> ValueId {
        let method = self.text(name).to_owned();
        let literal = match *self.get(receiver) {
            Value::Str(text) => Some(self.text(text).to_owned()),
            _ => None,
        };
        match (literal, method.as_str(), args.positional.first()) {
            (Some(text), "lower", None) => return self.string(&text.to_lowercase()),
            (Some(text), "upper", None) => return self.string(&text.to_uppercase()),
            (Some(text), "strip", None) => return self.string(text.trim()),
            (Some(text), "join", Some(&items)) => {
                if let Some(items) = self.elements(items) {
                    let mut parts = Vec::new();
                    let separator = self.string(&text);
                    for (number, item) in items.into_iter().enumerate() {
                        if number > 0 {
                            parts.push(separator);
                        }
                        parts.push(self.frozen(item));
                    }
                    return self.template(&parts);
                }
            }
            (Some(text), "format", _) if args.spread.is_empty() => {
                let values = args.positional.clone();
                let pieces: Vec<&str> = text.split("{}").collect();
                if args.named.is_empty()
                    && pieces.len() == values.len() + 1
                    && !pieces.iter().any(|p| p.contains(['{', '}']))
                {
                    return self.interleaved(&pieces, &values);
                }
            }
            _ => {}
        }
        let callee = self.value(Value::Attribute(receiver, name));
        self.pure(callee, args)
    }

    // ---- stores ----

    /// `of.key = value` or `of[key] = value`.
    pub(super) fn store_member(
        &mut self,
        node: NodeId,
        of: ValueId,
        key: ValueId,
        value: ValueId,
        attribute: bool,
    ) {
        let name = match *self.get(key) {
            Value::Str(name) => Some(name),
            _ => None,
        };
        match (*self.get(of)).clone() {
            Value::Select(test, yes, no) if self.followed(of) => {
                let place = self.place(node);
                let none = self.none();
                self.fork(
                    test,
                    place,
                    &mut |this| {
                        this.store_member(node, yes, key, value, attribute);
                        none
                    },
                    &mut |this| {
                        this.store_member(node, no, key, value, attribute);
                        none
                    },
                );
            }
            Value::Config { root, path, .. } => {
                let mut path = path.to_vec();
                path.push(self.frozen(key));
                self.write(node, root, &path, value, "set");
            }
            Value::Ref(owner) if !attribute => self.store_item(owner, key, value),
            Value::Instance(owner) if attribute => {
                if let Some(name) = name {
                    self.store.set(Cell { owner, key: name.0 }, Some(value));
                }
            }
            Value::Class(class) if attribute => {
                if let Some(name) = name {
                    let owner = self.classes[class as usize].owner;
                    self.store.set(Cell { owner, key: name.0 }, Some(value));
                }
            }
            Value::Module(module) if attribute => {
                if let Some(name) = name {
                    let owner = self.modules[module as usize].owner;
                    self.store.set(Cell { owner, key: name.0 }, Some(value));
                }
            }
            _ => {
                let (of, key, value) = (self.frozen(of), self.frozen(key), self.frozen(value));
                let how = if attribute { "attribute" } else { "item" };
                self.emit(node, What::Store(of, key, value, how));
            }
        }
    }

    fn store_item(&mut self, owner: u32, key: ValueId, value: ValueId) {
        let key = self.frozen(key);
        let content = self.content(owner).cloned();
        let changed = match content {
            Some(Value::Dict(items, open)) => match self.find_key(&items, key) {
                Found::Unknown if items.iter().any(|&(k, _)| k != key) => {
                    // A key that may be one of those there: they may have been replaced.
                    let mut kept: Vec<(ValueId, ValueId)> = Vec::new();
                    for &(k, v) in &items {
                        let test = self.compare_keys(k, key);
                        let either = self.select(test, value, v);
                        kept.push((k, either));
                    }
                    kept.push((key, value));
                    Value::Dict(kept.into(), open)
                }
                _ => {
                    let mut items = items.to_vec();
                    put(&mut items, key, value);
                    Value::Dict(items.into(), open)
                }
            },
            Some(Value::List(items, open)) => {
                let index = match *self.get(key) {
                    Value::Int(n) => usize::try_from(n).ok(),
                    _ => None,
                };
                let sure = !items
                    .iter()
                    .any(|&i| matches!(self.get(i), Value::Star(_) | Value::Each(..)));
                match index {
                    Some(n) if sure && n < items.len() => {
                        let mut items = items.to_vec();
                        items[n] = value;
                        Value::List(items.into(), open)
                    }
                    _ => Value::List(Box::new([]), true),
                }
            }
            _ => {
                let unknown = self.unknown(Reason::Content);
                self.set_content(owner, unknown);
                return;
            }
        };
        let changed = self.value(changed);
        self.set_content(owner, changed);
    }

    fn compare_keys(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let equals = self.sym("==");
        self.value(Value::Compare(equals, a, b))
    }
}
