//! Calls of the package's own functions and classes, and of whatever is not its own.

use std::rc::Rc;

use super::document::{CallFrame, Kind as What};
use super::interp::{Frame, Function, Interp, MAX_CALLS, Out, Role, Scope};
use super::scope::{Parameter, ParameterKind};
use super::state::Cell;
use super::value::{Reason, Sym, Value, ValueId};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::NodeId;

/// Arguments in a call. `*x` whose elements are not known stands among the positional ones as
/// [`Value::Star`]; `**x` whose keys are not known stands in `spread`.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    pub positional: Vec<ValueId>,
    pub named: Vec<(Sym, ValueId)>,
    pub spread: Vec<ValueId>,
}

/// Decorators of the libraries after which a class is called as before.
const KEEPS_CLASS: [&str; 5] = [
    "dataclasses.dataclass",
    "dataclasses.dataclass()",
    "functools.total_ordering",
    "typing.final",
    "typing.runtime_checkable",
];

impl Args {
    pub fn positional(positional: Vec<ValueId>) -> Self {
        Self {
            positional,
            ..Self::default()
        }
    }
}

impl<'p> Interp<'p> {
    pub(super) fn eval_call(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        let Some(function) = tree.child(node, Field::Function) else {
            return self.unknown(Reason::Syntax);
        };
        let function = tree.unparenthesized(function);
        if tree.kind(function) == Kind::Attribute
            && let (Some(object), Some(name)) = (
                tree.child(function, Field::Object),
                tree.child(function, Field::Attribute),
            )
        {
            let receiver = self.eval(object);
            if self.dead {
                return receiver;
            }
            let args = self.arguments(node);
            let name = self.sym(tree.text_of(name));
            if self.dead {
                return receiver;
            }
            return self.call_method(node, receiver, name, args);
        }
        let callee = self.eval(function);
        if self.dead {
            return callee;
        }
        let args = self.arguments(node);
        if self.dead {
            return callee;
        }
        self.call_value(node, callee, args)
    }

    /// The arguments written in a call or a class's head.
    pub(super) fn arguments(&mut self, node: NodeId) -> Args {
        let tree = self.tree();
        let mut args = Args::default();
        let Some(list) = tree.child(node, Field::Arguments) else {
            return args;
        };
        if tree.kind(list) == Kind::GeneratorExpression {
            args.positional.push(self.eval(list));
            return args;
        }
        for child in tree.children(list) {
            match tree.kind(child) {
                Kind::KeywordArgument => {
                    let (Some(name), Some(value)) = (
                        tree.child(child, Field::Name),
                        tree.child(child, Field::Value),
                    ) else {
                        continue;
                    };
                    let value = self.eval(value);
                    let name = self.sym(tree.text_of(name));
                    args.named.push((name, value));
                }
                Kind::DictionarySplat => {
                    let Some(inner) = tree.children(child).next() else {
                        continue;
                    };
                    let inner = self.eval(inner);
                    self.spread_read(child, inner);
                    self.spread(&mut args, inner);
                }
                _ => {
                    let value = self.eval(child);
                    match *self.get(value) {
                        Value::Star(inner) => match self.elements(inner) {
                            Some(items) => args.positional.extend(items),
                            None => args.positional.push(value),
                        },
                        _ => args.positional.push(value),
                    }
                }
            }
        }
        args
    }

    /// Adds `**value` to arguments, key by key where the keys are known.
    pub(super) fn spread(&mut self, args: &mut Args, value: ValueId) {
        let content = match self.get(value) {
            &Value::Ref(owner) => self.content(owner).cloned(),
            _ => None,
        };
        if let Some(Value::Dict(items, false)) = content {
            let mut named = Vec::new();
            for &(key, item) in &items {
                match *self.get(key) {
                    Value::Str(name) => named.push((name, item)),
                    _ => {
                        args.spread.push(value);
                        return;
                    }
                }
            }
            args.named.extend(named);
            return;
        }
        args.spread.push(value);
    }

    /// Calls a value.
    pub(super) fn call_value(&mut self, node: NodeId, callee: ValueId, args: Args) -> ValueId {
        match self.get(callee).clone() {
            Value::Function(f) => self.call_function(node, f, args),
            Value::Bound(this, f) => {
                let mut args = args;
                args.positional.insert(0, this);
                self.call_function(node, f, args)
            }
            Value::Class(class) => self.instantiate(node, class, args),
            Value::Instance(instance) => {
                let class = self.instances.get(&instance).copied();
                for name in ["__call__", "forward"] {
                    let name = self.sym(name);
                    if let Some(class) = class
                        && let Some((found, _)) = self.class_member(class, name)
                        && let Value::Function(f) = *self.get(found)
                    {
                        let mut args = args;
                        args.positional.insert(0, callee);
                        return self.call_function(node, f, args);
                    }
                }
                self.call_library(node, callee, args)
            }
            Value::Call(partial, ref before, ref names, _)
                if self.canonical(partial) == "functools.partial" =>
            {
                let (before, names) = (before.to_vec(), names.to_vec());
                let Some((&inner, given)) = before.split_first() else {
                    return self.opaque_call(node, callee, args);
                };
                let mut all = Args {
                    positional: given.to_vec(),
                    named: names,
                    spread: args.spread,
                };
                all.positional.extend(args.positional);
                all.named
                    .retain(|(name, _)| !args.named.iter().any(|(n, _)| n == name));
                all.named.extend(args.named);
                self.call_value(node, inner, all)
            }
            Value::Select(test, yes, no) if self.followed(callee) => {
                let place = self.place(node);
                let other = args.clone();
                self.fork(
                    test,
                    place,
                    &mut |this| this.call_value(node, yes, args.clone()),
                    &mut |this| this.call_value(node, no, other.clone()),
                )
            }
            _ => self.call_library(node, callee, args),
        }
    }

    /// Calls a method.
    pub(super) fn call_method(
        &mut self,
        node: NodeId,
        receiver: ValueId,
        name: Sym,
        args: Args,
    ) -> ValueId {
        match *self.get(receiver) {
            Value::Select(test, yes, no) if self.followed(receiver) => {
                let place = self.place(node);
                self.fork(
                    test,
                    place,
                    &mut |this| this.call_method(node, yes, name, args.clone()),
                    &mut |this| this.call_method(node, no, name, args.clone()),
                )
            }
            Value::Config { .. } => self.config_method(node, receiver, name, args),
            Value::Ref(owner) => self.container_method(node, receiver, owner, name, args),
            Value::Str(_) | Value::Template(_) => self.text_method(node, receiver, name, args),
            _ => {
                let callee = self.attribute(node, receiver, name);
                if self.dead {
                    return callee;
                }
                // A method that an instance inherits from a library class and that returns it.
                if let (Value::Instance(_), Value::Attribute(of, _)) =
                    (self.get(receiver), self.get(callee))
                    && *of == receiver
                    && super::library::returns_self(self.text(name))
                {
                    self.call_library(node, callee, args);
                    return receiver;
                }
                self.call_value(node, callee, args)
            }
        }
    }

    /// Calls a function of the package.
    pub(super) fn call_function(&mut self, node: NodeId, number: u32, args: Args) -> ValueId {
        let function = self.functions[number as usize].clone();
        let definition = Rc::clone(&function.definition);
        let busy = self.activations.iter().any(|a| a.function == number);
        if busy {
            return self.unknown(Reason::Recursion);
        }
        // A first look does not count: what it evaluates is evaluated again.
        let known = self.reached.contains(&(definition.module, definition.node));
        if self.once && known && !self.activations.is_empty() {
            return self.unknown(Reason::Argument);
        }
        if self.activations.len() as u32 >= MAX_CALLS {
            self.emit(node, What::Cut("depth"));
            return self.unknown(Reason::Cut);
        }
        let place = self.place(node);
        let owner = self.new_object();
        let mut args = args;
        if let Some(decorator) = function.hydra
            && args.positional.is_empty()
            && args.named.is_empty()
        {
            let config = self.new_root(node, "hydra", vec![decorator]);
            args.positional.push(config);
        }
        let receiver = args.positional.first().copied();
        let bound = self.bind(&function, args);
        let bound = match bound {
            Ok(bound) => bound,
            Err((bound, problem)) => {
                if !function.wrapped && self.is_reached_plainly(&function, receiver) {
                    let name = self.function_name(number);
                    self.emit(node, What::Mismatch(name, problem));
                }
                bound
            }
        };
        for (name, value) in bound {
            self.store.set(Cell { owner, key: name.0 }, Some(value));
        }
        let (outer_frame, outer_call) = (self.frame, self.call);
        let module = self.frames[function.frame as usize].module;
        self.frames.push(Frame {
            owner,
            parent: Some(function.frame),
            module,
            scope: Scope::Function(Rc::clone(&definition)),
            function: Some(number),
        });
        self.frame = self.frames.len() as u32 - 1;
        if !self.dry {
            self.call = self.trace.calls.len() as u32;
            let name = self.function_name(number);
            self.trace.calls.push(CallFrame {
                parent: outer_call,
                function: name,
                place,
            });
        }
        if !self.dry {
            self.reached.insert((definition.module, definition.node));
        }
        let run = |this: &mut Self| {
            this.run_body(number, &mut |this| {
                if definition.is_lambda {
                    let value = this.eval(definition.body);
                    if !this.dead {
                        this.leave(Out::Return(value));
                    }
                } else {
                    this.block(definition.body);
                }
            })
        };
        let value = if definition.is_generator && !function.wrapped {
            // It runs when it is gone through, if ever; what a library wraps (a context manager)
            // it runs at once.
            let none = self.none();
            let callee = self.value(Value::Function(number));
            let id = self.new_loop("generator", callee, Some(node));
            let called = self.value(Value::Called(id));
            let mut yielded = none;
            self.fork(
                called,
                place,
                &mut |this| {
                    yielded = run(this);
                    none
                },
                &mut |_| none,
            );
            yielded
        } else {
            run(self)
        };
        (self.frame, self.call) = (outer_frame, outer_call);
        value
    }

    /// Dotted name of a function object.
    pub(super) fn function_name(&self, number: u32) -> String {
        let (name, module) = &self.trace.labels.functions[number as usize];
        format!("{}.{name}", self.trace.labels.modules[*module as usize])
    }

    /// Gives every parameter its value. Where the signature surely rejects the arguments, says how,
    /// and gives what it can.
    #[allow(clippy::type_complexity)] // two lists of the same pairs, one with a message
    fn bind(
        &mut self,
        function: &Function,
        args: Args,
    ) -> Result<Vec<(Sym, ValueId)>, (Vec<(Sym, ValueId)>, String)> {
        let definition = &function.definition;
        let parameters = &definition.parameters;
        let mut bound: Vec<Option<ValueId>> = vec![None; parameters.len()];
        let mut problem: Option<String> = None;
        let positions: Vec<usize> = parameters
            .iter()
            .enumerate()
            .filter(|(_, p)| {
                matches!(
                    p.kind,
                    ParameterKind::PositionalOnly | ParameterKind::Ordinary
                )
            })
            .map(|(n, _)| n)
            .collect();
        let rest = parameters
            .iter()
            .position(|p| p.kind == ParameterKind::Positionals);
        let keywords = parameters
            .iter()
            .position(|p| p.kind == ParameterKind::Keywords);
        let mut unsure = !args.spread.is_empty();
        let mut more = Vec::new();
        let mut place = positions.iter();
        let mut given = 0;
        for &value in &args.positional {
            if matches!(self.get(value), Value::Star(_)) {
                unsure = true;
                more.push(value);
                // How many parameters it fills is not known.
                for &n in place.by_ref() {
                    bound[n] = Some(self.unknown(Reason::Argument));
                }
                continue;
            }
            given += 1;
            match place.next() {
                Some(&n) => bound[n] = Some(value),
                None => more.push(value),
            }
        }
        if !more.is_empty() && rest.is_none() && !unsure {
            problem = Some(format!(
                "takes {} positional argument{} but {given} were given",
                positions.len(),
                if positions.len() == 1 { "" } else { "s" },
            ));
        }
        if let Some(n) = rest {
            bound[n] = Some(self.value(Value::Tuple(more.into(), false)));
        }
        let mut extra: Vec<(ValueId, ValueId)> = Vec::new();
        for &(name, value) in &args.named {
            let by_name = |p: &Parameter| {
                p.name == name
                    && matches!(p.kind, ParameterKind::Ordinary | ParameterKind::KeywordOnly)
            };
            match parameters.iter().position(by_name) {
                Some(n) if bound[n].is_some() && !unsure => {
                    let text = self.text(name);
                    problem = Some(format!("got multiple values for argument '{text}'"));
                }
                Some(n) => bound[n] = Some(value),
                None if keywords.is_some() => {
                    let key = self.value(Value::Str(name));
                    extra.push((key, value));
                }
                None => {
                    let text = self.text(name);
                    problem = Some(format!("got an unexpected keyword argument '{text}'"));
                }
            }
        }
        if let Some(n) = keywords {
            for &value in &args.spread {
                let star = self.value(Value::Star(value));
                extra.push((star, value));
            }
            bound[n] = Some(self.container(Value::Dict(extra.into(), false)));
        }
        let mut missing = Vec::new();
        let name = definition.name;
        for (n, parameter) in parameters.iter().enumerate() {
            if bound[n].is_some() {
                continue;
            }
            let default = function.defaults.get(n).copied().flatten();
            let spread = args.spread.first().copied();
            bound[n] = Some(match (default, spread) {
                (_, Some(spread)) => self.spread_argument(spread, parameter.name, default),
                (Some(default), None) => default,
                (None, None) => {
                    if !unsure {
                        missing.push(format!("'{}'", self.text(parameter.name)));
                    }
                    self.value(Value::Parameter(name, parameter.name))
                }
            });
        }
        if problem.is_none() && !missing.is_empty() {
            problem = Some(format!(
                "missing {} required argument{}: {}",
                missing.len(),
                if missing.len() == 1 { "" } else { "s" },
                missing.join(", "),
            ));
        }
        let bound = parameters
            .iter()
            .zip(bound)
            .filter_map(|(p, v)| v.map(|v| (p.name, v)))
            .collect();
        match problem {
            None => Ok(bound),
            Some(problem) => Err((bound, problem)),
        }
    }

    /// What a parameter gets from `**value`.
    pub(super) fn spread_argument(
        &mut self,
        value: ValueId,
        name: Sym,
        default: Option<ValueId>,
    ) -> ValueId {
        let Some((root, mut path)) = self.config_path(value) else {
            return self.unknown(Reason::Argument);
        };
        path.push(self.value(Value::Str(name)));
        let at = self.config_at(root, &path);
        match default {
            Some(default) => {
                let has = self.config_has(root, &path);
                self.select(has, at, default)
            }
            None => at,
        }
    }

    // ---- definitions ----

    /// A function object for a `def` or `lambda` that is evaluated now.
    pub(super) fn make_function(&mut self, node: NodeId) -> ValueId {
        let Some(definition) = self.definition(node) else {
            return self.unknown(Reason::Syntax);
        };
        let defaults = definition
            .parameters
            .iter()
            .map(|p| p.default.map(|d| self.eval(d)))
            .collect();
        let frame = &self.frames[self.frame as usize];
        let in_class = match (&frame.scope, frame.parent) {
            (Scope::All, Some(_)) => self
                .classes
                .iter()
                .rposition(|c| c.owner == frame.owner)
                .map(|n| n as u32),
            _ => None,
        };
        let mut qualified = String::new();
        if let Some(class) = in_class {
            qualified = format!("{}.", self.trace.labels.classes[class as usize].0);
        } else if let Some(function) = frame.function {
            let (outer, _) = &self.trace.labels.functions[function as usize];
            qualified = format!("{outer}.");
        }
        qualified.push_str(self.text(definition.name));
        let module = frame.module;
        self.functions.push(Function {
            definition,
            frame: self.frame,
            defaults,
            class: in_class,
            role: Role::Plain,
            hydra: None,
            wrapped: false,
        });
        self.trace.labels.functions.push((qualified, module));
        let number = self.functions.len() as u32 - 1;
        self.value(Value::Function(number))
    }

    /// A function object like another, changed by a decorator.
    fn decorated(&mut self, number: u32, change: impl FnOnce(&mut Function)) -> ValueId {
        let mut function = self.functions[number as usize].clone();
        change(&mut function);
        self.functions.push(function);
        let label = self.trace.labels.functions[number as usize].clone();
        self.trace.labels.functions.push(label);
        let number = self.functions.len() as u32 - 1;
        self.value(Value::Function(number))
    }

    /// Applies one decorator to a function or class.
    pub(super) fn decorate(&mut self, node: NodeId, decorator: NodeId, value: ValueId) -> ValueId {
        let with = self.eval(decorator);
        if self.dead {
            return value;
        }
        let name = self.canonical(with);
        let &Value::Function(number) = self.get(value) else {
            // Of classes: dataclass and what registers them.
            if let Value::Class(class) = *self.get(value)
                && matches!(self.get(with), Value::Function(_) | Value::Bound(..))
            {
                let result = self.call_value(node, with, Args::positional(vec![value]));
                if self.followed(result) {
                    return result;
                }
                self.classes[class as usize].is_plain = false;
            } else if let Value::Class(class) = *self.get(value)
                && !KEEPS_CLASS.contains(&name.as_str())
            {
                self.classes[class as usize].is_plain = false;
            }
            return value;
        };
        match name.as_str() {
            "staticmethod" => self.decorated(number, |f| f.role = Role::Static),
            "classmethod" => self.decorated(number, |f| f.role = Role::Class),
            "property" | "functools.cached_property" => {
                self.decorated(number, |f| f.role = Role::Property)
            }
            "hydra.main()" | "hydra.main" => self.decorated(number, |f| {
                f.hydra = Some(with);
                f.wrapped = true;
            }),
            _ if matches!(
                self.get(with),
                Value::Function(_) | Value::Bound(..) | Value::Class(_) | Value::Instance(_)
            ) =>
            {
                self.call_value(node, with, Args::positional(vec![value]))
            }
            // What a library's decorator returns runs the function.
            _ => self.decorated(number, |f| f.wrapped = true),
        }
    }
}
