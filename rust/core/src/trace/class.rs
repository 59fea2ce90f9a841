//! Classes of the package: the order of look-up, the fields of dataclasses, instances.

use std::collections::VecDeque;

use super::call::Args;
use super::document::Kind as What;
use super::interp::{Ancestor, Class, ClassField, Frame, Function, Interp, Scope};
use super::state::Cell;
use super::value::{Reason, Sym, Value, ValueId};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::NodeId;

/// Bases that give a class no members that the package calls.
const PLAIN_BASES: [&str; 4] = ["abc.ABC", "object", "typing.Generic", "typing.Protocol"];

/// Bounds on what a class inherits from, beyond which nothing is looked up.
const MAX_BASES: usize = 16;
const MAX_ANCESTORS: usize = 64;

/// What makes an instance.
enum Maker {
    Init(u32),
    Fields,
}

impl Interp<'_> {
    /// Makes an instance of a class of the package.
    pub(super) fn instantiate(&mut self, node: NodeId, class: u32, args: Args) -> ValueId {
        if self.classes[class as usize].is_enum {
            let callee = self.value(Value::Class(class));
            return self.opaque_call(node, callee, args);
        }
        let instance = self.new_object();
        self.instances.insert(instance, class);
        self.trace.labels.instances.insert(instance, class);
        let this = self.value(Value::Instance(instance));
        match self.maker(class) {
            Some(Maker::Init(f)) => {
                let mut args = args;
                args.positional.insert(0, this);
                self.call_function(node, f, args);
            }
            Some(Maker::Fields) => self.fill(node, class, instance, this, args),
            None => {
                if let Some(base) = self.library_base(class) {
                    let init = self.sym("__init__");
                    let callee = self.value(Value::Attribute(base, init));
                    self.call_library(node, callee, args);
                }
            }
        }
        this
    }

    /// What a call of the class ends in, as far as the package's own classes say.
    fn maker(&mut self, class: u32) -> Option<Maker> {
        let init = self.sym("__init__");
        self.classes[class as usize]
            .order
            .iter()
            .find_map(|&ancestor| {
                let Ancestor::Own(at) = ancestor else {
                    return None;
                };
                let found = &self.classes[at as usize];
                let cell = Cell {
                    owner: found.owner,
                    key: init.0,
                };
                match self.store.get(cell).map(|value| self.get(value)) {
                    Some(&Value::Function(f)) => Some(Maker::Init(f)),
                    _ => found.fields.is_some().then_some(Maker::Fields),
                }
            })
    }

    /// Gives an instance of a dataclass its fields.
    fn fill(&mut self, node: NodeId, class: u32, instance: u32, this: ValueId, args: Args) {
        let fields = self.fields_of(class);
        let mut given = args.positional.iter();
        let mut rest = Vec::new();
        for field in fields.iter().filter(|f| !f.by_keyword) {
            match given.next() {
                Some(&value) => rest.push((field.name, value)),
                None => break,
            }
        }
        rest.extend(args.named.iter().copied());
        let sure = args.spread.is_empty()
            && !args
                .positional
                .iter()
                .any(|&a| matches!(self.get(a), Value::Star(_)));
        let unexpected = rest
            .iter()
            .find(|(n, _)| !fields.iter().any(|f| f.name == *n))
            .map(|(n, _)| *n);
        let missing: Vec<Sym> = fields
            .iter()
            .filter(|f| !f.has_default && !rest.iter().any(|(n, _)| *n == f.name))
            .map(|f| f.name)
            .collect();
        let problem = if given.next().is_some() {
            Some(format!(
                "takes {} positional arguments but {} were given",
                fields.iter().filter(|f| !f.by_keyword).count(),
                args.positional.len()
            ))
        } else if let Some(name) = unexpected {
            Some(format!(
                "got an unexpected keyword argument '{}'",
                self.text(name)
            ))
        } else {
            missing
                .first()
                .map(|&name| format!("missing a required argument: '{}'", self.text(name)))
        };
        if let Some(problem) = problem
            && sure
            && self.library_base(class).is_none()
            && self.is_made_plainly(class)
        {
            let (name, module) = self.trace.labels.classes[class as usize].clone();
            let name = format!("{}.{name}", self.trace.labels.modules[module as usize]);
            self.emit(node, What::Mismatch(name, problem));
        }
        for &name in &missing {
            let value = match args.spread.first() {
                Some(&spread) => self.spread_argument(spread, name, None),
                None => self.unknown(Reason::Argument),
            };
            rest.push((name, value));
        }
        for (name, value) in rest {
            self.store.set(
                Cell {
                    owner: instance,
                    key: name.0,
                },
                Some(value),
            );
        }
        let post = self.sym("__post_init__");
        if let Some((found, _)) = self.class_member(class, post)
            && let Value::Function(f) = *self.get(found)
        {
            let mut handed = vec![this];
            for field in fields.iter().filter(|f| f.init_only) {
                handed.push(self.attribute(node, this, field.name));
            }
            self.call_function(node, f, Args::positional(handed));
        }
    }

    /// The fields of a dataclass; those of its bases first.
    fn fields_of(&self, class: u32) -> Vec<ClassField> {
        let mut found: Vec<ClassField> = Vec::new();
        for &ancestor in self.classes[class as usize].order.iter().rev() {
            let Ancestor::Own(at) = ancestor else {
                continue;
            };
            for &field in self.classes[at as usize].fields.iter().flatten() {
                match found.iter_mut().find(|f| f.name == field.name) {
                    Some(known) => known.has_default |= field.has_default,
                    None => found.push(field),
                }
            }
        }
        found
    }

    /// Whether a call of the class surely ends in its `__init__` or its fields.
    fn is_made_plainly(&mut self, class: u32) -> bool {
        let new = self.sym("__new__");
        self.class_member(class, new).is_none()
            && self.classes[class as usize]
                .order
                .iter()
                .all(|&a| !matches!(a, Ancestor::Own(c) if !self.classes[c as usize].is_plain))
    }

    /// Whether Python takes this very function when it is called on the receiver: no class of a
    /// library stands before its own, and nothing else makes the instance.
    pub(super) fn is_reached_plainly(
        &mut self,
        function: &Function,
        receiver: Option<ValueId>,
    ) -> bool {
        let class = match receiver.map(|r| self.get(r)) {
            Some(Value::Instance(instance)) => self.instances.get(instance).copied(),
            Some(&Value::Class(class)) => Some(class),
            _ => None,
        };
        let (Some(owner), Some(class)) = (function.class, class) else {
            return true;
        };
        let order = &self.classes[class as usize].order;
        let foreign = order.iter().position(|a| matches!(a, Ancestor::Foreign(_)));
        let own = order.iter().position(|&a| a == Ancestor::Own(owner));
        if foreign.is_some_and(|f| own.is_none_or(|o| f < o)) {
            return false;
        }
        self.text(function.definition.name) != "__init__" || self.is_made_plainly(class)
    }

    /// Whether a class attribute decides itself what an instance gets for it.
    pub(super) fn is_descriptor(&mut self, value: ValueId) -> bool {
        let get = self.sym("__get__");
        match self.get(value) {
            Value::Instance(instance) => self
                .instances
                .get(instance)
                .is_some_and(|&class| self.class_member(class, get).is_some()),
            _ => false,
        }
    }

    /// What `super()` looks through.
    pub(super) fn order_behind(&self, class: u32, this: ValueId) -> Vec<Ancestor> {
        let of = match *self.get(this) {
            Value::Instance(instance) => self.instances.get(&instance).copied(),
            Value::Class(class) => Some(class),
            _ => None,
        };
        let own = Ancestor::Own(class);
        let order = |c: u32| &self.classes[c as usize].order;
        let order = of
            .map(order)
            .filter(|o| o.contains(&own))
            .unwrap_or_else(|| order(class));
        order
            .iter()
            .skip_while(|&&a| a != own)
            .skip(1)
            .copied()
            .collect()
    }

    /// The order in which Python looks names up in a class with these bases (C3); without one, as
    /// they are written.
    fn order_of(&self, class: u32, bases: &[ValueId]) -> Vec<Ancestor> {
        let mut direct = Vec::new();
        let mut rows: Vec<VecDeque<Ancestor>> = Vec::new();
        for &base in bases.iter().take(MAX_BASES) {
            let ancestor = match *self.get(base) {
                Value::Class(c) => {
                    rows.push(self.classes[c as usize].order.iter().copied().collect());
                    Ancestor::Own(c)
                }
                _ if PLAIN_BASES
                    .iter()
                    .any(|b| self.canonical(base).starts_with(b)) =>
                {
                    continue;
                }
                _ => Ancestor::Foreign(base),
            };
            direct.push(ancestor);
        }
        rows.push(direct.into());
        let mut order = vec![Ancestor::Own(class)];
        while order.len() < MAX_ANCESTORS
            && let Some(first) = rows.iter().find_map(|r| r.front().copied())
        {
            let next = rows
                .iter()
                .filter_map(|r| r.front().copied())
                .find(|head| !rows.iter().any(|r| r.iter().skip(1).any(|a| a == head)))
                .unwrap_or(first);
            for row in &mut rows {
                row.retain(|&a| a != next);
            }
            order.push(next);
        }
        order
    }

    /// The fields that the body of a dataclass declares.
    fn declared_fields(&mut self, node: NodeId, body: NodeId) -> Vec<ClassField> {
        let tree = self.tree();
        let plain = |id: NodeId| tree.text_of(id).replace(char::is_whitespace, "");
        let mut by_keyword = tree
            .decorators(node)
            .any(|d| plain(d).contains("kw_only=True"));
        let mut fields = Vec::new();
        for statement in tree.statements(body) {
            let Some(assignment) = tree.child_of_kind(statement, Kind::Assignment) else {
                continue;
            };
            let (Some(left), Some(annotation)) = (
                tree.child(assignment, Field::Left),
                tree.child(assignment, Field::Type).map(|a| tree.text_of(a)),
            ) else {
                continue;
            };
            if annotation.contains("ClassVar") || tree.kind(left) != Kind::Identifier {
                continue;
            }
            if annotation.contains("KW_ONLY") {
                by_keyword = true;
                continue;
            }
            let right = tree.child(assignment, Field::Right).map(plain);
            let says = |setting: &str| right.as_ref().is_some_and(|r| r.contains(setting));
            if says("init=False") {
                continue;
            }
            let settings = right.as_ref().filter(|r| r.starts_with("field("));
            let has_default = match settings {
                Some(text) => text.contains("default"),
                None => right.is_some(),
            };
            fields.push(ClassField {
                name: self.sym(tree.text_of(left)),
                has_default,
                by_keyword: by_keyword || says("kw_only=True"),
                init_only: annotation.contains("InitVar"),
            });
        }
        fields
    }

    pub(super) fn make_class(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        let mut bases = Vec::new();
        let mut is_plain = true;
        if let Some(list) = tree.child(node, Field::Superclasses) {
            for base in tree.children(list) {
                if tree.kind(base) != Kind::KeywordArgument {
                    bases.push(self.eval(base));
                } else if tree
                    .child(base, Field::Name)
                    .is_some_and(|n| tree.text_of(n) == "metaclass")
                {
                    let value = tree.child(base, Field::Value).map(|v| self.eval(v));
                    is_plain = value.is_some_and(|v| self.canonical(v) == "abc.ABCMeta");
                }
            }
        }
        let base_names: Vec<String> = bases.iter().map(|&b| self.canonical(b)).collect();
        let owner = self.new_object();
        let is_enum = base_names.iter().any(|b| {
            let last = b.rsplit('.').next().unwrap_or(b);
            last.ends_with("Enum") || last.ends_with("Flag")
        }) || bases
            .iter()
            .any(|&b| matches!(*self.get(b), Value::Class(c) if self.classes[c as usize].is_enum));
        let frame = &self.frames[self.frame as usize];
        let (module, function) = (frame.module, frame.function);
        let name = tree
            .child(node, Field::Name)
            .map_or("", |n| tree.text_of(n));
        let number = self.classes.len() as u32;
        let is_record = base_names
            .iter()
            .any(|b| matches!(b.as_str(), "typing.NamedTuple" | "pydantic.BaseModel"))
            || tree.decorators(node).any(|d| {
                let text = tree.text_of(d);
                text.contains("dataclass") || text.contains("attr")
            });
        let body = tree.child(node, Field::Body);
        let fields = body
            .filter(|_| is_record)
            .map(|body| self.declared_fields(node, body));
        let order = self.order_of(number, &bases);
        self.classes.push(Class {
            owner,
            bases,
            order,
            fields,
            is_enum,
            is_plain,
        });
        self.trace.labels.classes.push((name.to_owned(), module));
        let outer = self.frame;
        self.frames.push(Frame {
            owner,
            parent: Some(outer),
            module,
            scope: Scope::All,
            function,
        });
        self.frame = self.frames.len() as u32 - 1;
        if let Some(body) = body {
            self.block(body);
        }
        self.frame = outer;
        self.value(Value::Class(number))
    }

    /// `super()` in a method.
    pub(super) fn super_object(&mut self) -> Option<ValueId> {
        let function = self.frames[self.frame as usize].function?;
        let function = &self.functions[function as usize];
        let class = function.class?;
        let first = function.definition.parameters.first()?.name;
        let this = self.lookup(first);
        Some(self.value(Value::Super(class, this)))
    }
}
