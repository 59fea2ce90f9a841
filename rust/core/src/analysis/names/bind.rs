//! The binder: one walk over the tree in the order of evaluation, which yields scopes, variables and
//! a flat list of events (reads, bindings, joins of paths).
//!
//! The walk keeps its own stack of work, so that nesting of any depth costs memory and no stack.
//! Bodies of functions and lambdas run later than the code around them: each is a *unit* of its own,
//! walked after the unit that defines it. Bodies of classes and comprehensions run in place and
//! belong to the unit around them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

/// A variable's number, an index into [`Binder::variables`].
pub(super) type VarId = u32;
/// An interned name.
pub(super) type NameId = u32;

/// Marks the absence of a scope, a variable or a node.
pub(super) const NONE: u32 = u32::MAX;
const MODULE: u32 = 0;

/// What kind of code a scope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeKind {
    Module,
    Class,
    Function,
    Comprehension,
    /// Type parameters of PEP 695.
    TypeParameters,
}

#[derive(Debug)]
pub(super) struct Scope {
    pub kind: ScopeKind,
    /// The scope around it, [`NONE`] for the module.
    pub parent: u32,
    depth: u32,
}

/// Scopes in scopes before the walk gives up: CPython accepts 100 levels of indentation, and a look-up
/// may climb through all of them.
const DEEPEST: u32 = 250;

/// A name of a scope.
#[derive(Debug)]
pub(super) struct Variable {
    pub name: NameId,
    pub scope: u32,
    pub unit: u32,
    /// Its bit in the states of its unit.
    pub slot: u32,
    /// Bound from another unit (`global`, `nonlocal`): when that happens is unknown.
    pub foreign: bool,
    /// First place that binds it, [`NONE`] while it is only declared.
    pub bound: u32,
    /// Whether a second place binds it.
    pub rebound: bool,
    /// A place that takes the binding away again, or [`NONE`].
    pub unbound: u32,
    /// Imported under `if TYPE_CHECKING:`, or [`NONE`].
    pub typing: u32,
}

/// What happens at a point of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Read,
    Bind,
    Unbind,
    /// Paths part; the current state enters each branch.
    Split,
    /// A branch ends, the next one starts.
    Next,
    /// A condition between branches was evaluated: what it bound reaches the branches that follow.
    Refine,
    /// Branches meet, and the way past all of them.
    Join,
    /// Branches meet, one of which was taken.
    JoinExhaustive,
    Loop,
    /// A loop may end here without another round.
    LoopTest,
    LoopBack,
    LoopEnd,
    Break,
    Continue,
    /// `return` and `raise`.
    Leave,
    Try,
    TryBodyEnd,
    Handler,
    Finally,
    FinallyEnd,
    TryEnd,
    With,
    WithEnd,
}

/// The read stands in a `try` that handles `NameError`, or never runs.
pub(super) const GUARDED: u8 = 1;
/// The read may happen later than its place tells: a generator expression.
pub(super) const LATER: u8 = 2;

/// One step of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub op: Op,
    pub flags: u8,
    pub scope: u32,
    /// Reads: the name. Bindings: the variable.
    pub what: u32,
    pub node: u32,
}

/// Code that runs as one: the module, or the body of one function or lambda.
#[derive(Debug)]
pub(super) struct Unit {
    /// Its events, as a range of [`Binder::events`].
    pub start: usize,
    pub end: usize,
    /// How many variables it has.
    pub slots: u32,
}

/// An import statement and the circumstances that decide what its failure means.
#[derive(Clone, Copy, Debug)]
pub struct ImportSite {
    /// The statement.
    pub node: NodeId,
    /// Whether it stands in a `try` statement that handles a failing import.
    pub guarded: bool,
    /// Whether it stands under `if TYPE_CHECKING:` and never runs.
    pub typing_only: bool,
    /// Whether it binds names of the module.
    pub module_scope: bool,
}

#[derive(Clone, Copy)]
enum Work {
    /// Evaluate the nodes from the first up to the second, in document order.
    Read(u32, u32),
    /// Bind the targets among them.
    Target(u32, u32),
    /// Match them as a case pattern.
    Pattern(u32, u32),
    /// Delete them.
    Delete(u32, u32),
    Emit(Op, u32),
    BindName(u32),
    UnbindName(u32),
    Import(u32),
    Enter(ScopeKind),
    /// A comprehension's names, its first iterable having been evaluated outside.
    EnterLater,
    LeaveLater,
    LeaveScope,
    Defer(u32),
    NameGuard(i32),
    ImportGuard(i32),
    Typing(i32),
}

struct Deferred {
    node: u32,
    scope: u32,
}

/// The walk and what it collects.
pub(super) struct Binder<'a, 't> {
    tree: &'a Tree<'t>,
    pub names: Vec<&'t str>,
    interned: FxHashMap<&'t str, NameId>,
    pub scopes: Vec<Scope>,
    pub variables: Vec<Variable>,
    /// (scope, name) to variable; a variable of another scope stands for `global` and `nonlocal`.
    table: FxHashMap<u64, VarId>,
    pub events: Vec<Event>,
    pub units: Vec<Unit>,
    pub imports: Vec<ImportSite>,
    /// Names may appear that no statement binds: `exec`, writes to `globals()`.
    pub open: bool,
    /// Scopes are nested deeper than any code that runs; what was collected is not complete.
    pub too_deep: bool,
    /// There is a star import.
    pub star: bool,
    stack: Vec<Work>,
    deferred: VecDeque<Deferred>,
    scope: u32,
    unit: u32,
    name_guard: i32,
    import_guard: i32,
    typing: i32,
    later: i32,
    postponed_annotations: bool,
}

const fn key(scope: u32, name: NameId) -> u64 {
    ((scope as u64) << 32) | name as u64
}

impl<'a, 't> Binder<'a, 't> {
    pub fn run(tree: &'a Tree<'t>) -> Self {
        let mut this = Self {
            tree,
            names: Vec::new(),
            interned: FxHashMap::default(),
            scopes: vec![Scope {
                kind: ScopeKind::Module,
                parent: NONE,
                depth: 0,
            }],
            too_deep: false,
            variables: Vec::new(),
            table: FxHashMap::default(),
            events: Vec::with_capacity(tree.len() / 3),
            units: Vec::new(),
            imports: Vec::new(),
            open: false,
            star: false,
            stack: Vec::new(),
            deferred: VecDeque::new(),
            scope: MODULE,
            unit: 0,
            name_guard: 0,
            import_guard: 0,
            typing: 0,
            later: 0,
            postponed_annotations: false,
        };
        let root = tree.root().0;
        this.unit(MODULE, |this| this.push(Work::Read(root, this.after(root))));
        while let Some(Deferred { node, scope }) =
            this.deferred.pop_front().filter(|_| !this.too_deep)
        {
            this.unit(scope, |this| this.body(node));
        }
        this
    }

    /// The variable a scope itself has for a name.
    pub fn variable(&self, scope: u32, name: NameId) -> Option<VarId> {
        self.table.get(&key(scope, name)).copied()
    }

    /// The scopes in which a name read in `scope` is looked up, in order.
    pub fn lookup(&self, scope: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = scope;
        let mut first = true;
        std::iter::from_fn(move || {
            while at != NONE {
                let this = at;
                at = self.scopes[this as usize].parent;
                // A class's names are visible in its own body and its own type parameters alone.
                let visible = first || self.scopes[this as usize].kind != ScopeKind::Class;
                first = first && self.scopes[this as usize].kind == ScopeKind::TypeParameters;
                if visible {
                    return Some(this);
                }
            }
            None
        })
    }

    fn unit(&mut self, scope: u32, start: impl FnOnce(&mut Self)) {
        let first = self.events.len();
        self.unit = self.units.len() as u32;
        self.scope = scope;
        (self.name_guard, self.import_guard, self.typing, self.later) = (0, 0, 0, 0);
        self.units.push(Unit {
            start: first,
            end: first,
            slots: 0,
        });
        start(self);
        while let Some(work) = self.stack.pop().filter(|_| !self.too_deep) {
            self.step(work);
        }
        let end = self.events.len();
        if let Some(unit) = self.units.last_mut() {
            unit.end = end;
        }
    }

    fn after(&self, node: u32) -> u32 {
        self.tree.after(NodeId(node)).0
    }

    fn kind(&self, node: u32) -> Kind {
        self.tree.kind(NodeId(node))
    }

    fn child(&self, node: u32, field: Field) -> Option<u32> {
        self.tree.child(NodeId(node), field).map(|n| n.0)
    }

    fn push(&mut self, work: Work) {
        self.stack.push(work);
    }

    /// Work that `fill` pushes in the order in which it shall happen.
    fn in_order(&mut self, fill: impl FnOnce(&mut Self)) {
        let from = self.stack.len();
        fill(self);
        self.stack[from..].reverse();
    }

    fn read_node(&mut self, node: u32) {
        let end = self.after(node);
        self.push(Work::Read(node, end));
    }

    fn read_field(&mut self, node: u32, field: Field) {
        if let Some(child) = self.child(node, field) {
            self.read_node(child);
        }
    }

    fn intern(&mut self, node: u32) -> NameId {
        let text = self.tree.text_of(NodeId(node));
        let next = self.names.len() as NameId;
        let id = *self.interned.entry(text).or_insert(next);
        if id == next {
            self.names.push(text);
        }
        id
    }

    fn emit(&mut self, op: Op, what: u32, node: u32) {
        let mut flags = 0;
        if self.name_guard > 0 || self.typing > 0 {
            flags |= GUARDED;
        }
        if self.later > 0 {
            flags |= LATER;
        }
        self.events.push(Event {
            op,
            flags,
            scope: self.scope,
            what,
            node,
        });
    }

    fn read(&mut self, node: u32) {
        let name = self.intern(node);
        self.emit(Op::Read, name, node);
    }

    fn declare(&mut self, scope: u32, name: NameId) -> VarId {
        let next = self.variables.len() as VarId;
        let id = *self.table.entry(key(scope, name)).or_insert(next);
        if id == next {
            // `global` in a function adds to the module after the module's own walk.
            let unit = if scope == MODULE { 0 } else { self.unit };
            let slots = &mut self.units[unit as usize].slots;
            let slot = *slots;
            *slots += 1;
            self.variables.push(Variable {
                name,
                scope,
                unit,
                slot,
                foreign: false,
                bound: NONE,
                rebound: false,
                unbound: NONE,
                typing: NONE,
            });
        }
        id
    }

    fn bind_in(&mut self, scope: u32, name: NameId, node: u32) {
        let id = self.declare(scope, name);
        let variable = &mut self.variables[id as usize];
        if self.typing > 0 && variable.scope == MODULE {
            variable.typing = node;
            return;
        }
        variable.foreign |= variable.unit != self.unit;
        if variable.bound == NONE {
            variable.bound = node;
        } else {
            variable.rebound = true;
        }
        self.emit(Op::Bind, id, node);
    }

    fn bind(&mut self, node: u32) {
        let name = self.intern(node);
        self.bind_in(self.scope, name, node);
    }

    /// The scope that `:=` binds in: a comprehension hands it on to the code around it.
    fn walrus_scope(&self) -> u32 {
        let mut at = self.scope;
        while self.scopes[at as usize].kind == ScopeKind::Comprehension {
            at = self.scopes[at as usize].parent;
        }
        at
    }

    fn new_scope(&mut self, kind: ScopeKind, parent: u32) -> u32 {
        let depth = self.scopes[parent as usize].depth + 1;
        self.too_deep |= depth > DEEPEST;
        self.scopes.push(Scope {
            kind,
            parent,
            depth,
        });
        self.scopes.len() as u32 - 1
    }

    fn step(&mut self, work: Work) {
        match work {
            Work::Read(start, end) => self.walk(start, end),
            Work::Target(start, end) => self.targets(start, end),
            Work::Pattern(start, end) => self.pattern(start, end),
            Work::Delete(start, end) => self.deletions(start, end),
            Work::Emit(op, node) => self.emit(op, NONE, node),
            Work::BindName(node) => self.bind(node),
            Work::UnbindName(node) => self.unbind(node),
            Work::Import(node) => self.import(node),
            Work::Enter(kind) => self.scope = self.new_scope(kind, self.scope),
            Work::EnterLater => {
                self.scope = self.new_scope(ScopeKind::Comprehension, self.scope);
                self.later += 1;
            }
            Work::LeaveLater => {
                self.scope = self.scopes[self.scope as usize].parent;
                self.later -= 1;
            }
            Work::LeaveScope => self.scope = self.scopes[self.scope as usize].parent,
            Work::Defer(node) => {
                let scope = self.new_scope(ScopeKind::Function, self.scope);
                self.deferred.push_back(Deferred { node, scope });
            }
            Work::NameGuard(by) => self.name_guard += by,
            Work::ImportGuard(by) => self.import_guard += by,
            Work::Typing(by) => self.typing += by,
        }
    }

    /// Evaluates nodes in document order until one needs an order of its own.
    fn walk(&mut self, start: u32, end: u32) {
        let mut at = start;
        while at < end {
            let node = at;
            match self.kind(node) {
                Kind::Identifier => {
                    // Names of attributes and of keyword arguments are no variables.
                    match self.tree.field(NodeId(node)) {
                        Field::Attribute | Field::Name => {}
                        Field::Function => {
                            self.read(node);
                            self.called(node);
                        }
                        Field::Subscript => {
                            self.read(node);
                            self.subscripted(node);
                        }
                        _ => self.read(node),
                    }
                    at += 1;
                    continue;
                }
                Kind::String => {
                    at += 1;
                    continue;
                }
                Kind::Assignment
                | Kind::AugmentedAssignment
                | Kind::NamedExpression
                | Kind::FunctionDefinition
                | Kind::ClassDefinition
                | Kind::Lambda
                | Kind::ListComprehension
                | Kind::SetComprehension
                | Kind::DictionaryComprehension
                | Kind::GeneratorExpression
                | Kind::ConditionalExpression
                | Kind::ForStatement
                | Kind::WhileStatement
                | Kind::IfStatement
                | Kind::TryStatement
                | Kind::WithStatement
                | Kind::MatchStatement
                | Kind::DeleteStatement
                | Kind::ReturnStatement
                | Kind::RaiseStatement
                | Kind::BreakStatement
                | Kind::ContinueStatement
                | Kind::ImportStatement
                | Kind::ImportFromStatement
                | Kind::FutureImportStatement
                | Kind::GlobalStatement
                | Kind::NonlocalStatement
                | Kind::TypeAliasStatement
                | Kind::MemberType
                | Kind::AsPattern => {}
                _ => {
                    at += 1;
                    continue;
                }
            }
            let next = self.after(node);
            if next < end {
                self.push(Work::Read(next, end));
            }
            self.in_order(|this| this.special(node));
            return;
        }
    }

    fn special(&mut self, node: u32) {
        match self.kind(node) {
            Kind::Assignment => self.assignment(node),
            Kind::AugmentedAssignment => {
                let left = self.child(node, Field::Left).unwrap_or(node + 1);
                self.read_node(left);
                self.read_field(node, Field::Right);
                if self.kind(left) == Kind::Identifier {
                    self.push(Work::BindName(left));
                }
            }
            Kind::NamedExpression => {
                // The name is bound by `walrus` once the value has been evaluated.
                self.read_field(node, Field::Value);
                if let Some(name) = self.child(node, Field::Name) {
                    self.push(Work::Target(name, name + 1));
                }
            }
            Kind::FunctionDefinition => self.function(node),
            Kind::ClassDefinition => self.class(node),
            // The keyword itself is a leaf of the same kind.
            Kind::Lambda if self.child(node, Field::Body).is_some() => {
                if let Some(parameters) = self.child(node, Field::Parameters) {
                    self.defaults(parameters);
                }
                self.push(Work::Defer(node));
            }
            Kind::ListComprehension
            | Kind::SetComprehension
            | Kind::DictionaryComprehension
            | Kind::GeneratorExpression => self.comprehension(node),
            Kind::ConditionalExpression => {
                let parts: Vec<u32> = self.children(node);
                if let [value, condition, ref rest @ ..] = parts[..] {
                    self.read_node(condition);
                    let asks = i32::from(self.asks_for_names(condition));
                    self.push(Work::NameGuard(asks));
                    self.read_node(value);
                    for &other in rest {
                        self.read_node(other);
                    }
                    self.push(Work::NameGuard(-asks));
                }
            }
            Kind::ForStatement => {
                self.read_field(node, Field::Right);
                self.push(Work::Emit(Op::Loop, node));
                self.push(Work::Emit(Op::LoopTest, node));
                if let Some(left) = self.child(node, Field::Left) {
                    let end = self.after(left);
                    self.push(Work::Target(left, end));
                }
                self.loop_rest(node);
            }
            Kind::WhileStatement => {
                self.push(Work::Emit(Op::Loop, node));
                self.read_field(node, Field::Condition);
                if !self.is_always_true(node) {
                    self.push(Work::Emit(Op::LoopTest, node));
                }
                self.loop_rest(node);
            }
            Kind::IfStatement => self.if_statement(node),
            Kind::TryStatement => self.try_statement(node),
            Kind::WithStatement => {
                self.push(Work::Emit(Op::With, node));
                for child in self.children(node) {
                    self.read_node(child);
                }
                self.push(Work::Emit(Op::WithEnd, node));
            }
            Kind::MatchStatement => self.match_statement(node),
            Kind::DeleteStatement => {
                let end = self.after(node);
                self.push(Work::Delete(node + 1, end));
            }
            Kind::ReturnStatement | Kind::RaiseStatement => {
                for child in self.children(node) {
                    self.read_node(child);
                }
                self.push(Work::Emit(Op::Leave, node));
            }
            Kind::BreakStatement => self.push(Work::Emit(Op::Break, node)),
            Kind::ContinueStatement => self.push(Work::Emit(Op::Continue, node)),
            Kind::ImportStatement | Kind::ImportFromStatement | Kind::FutureImportStatement => {
                self.push(Work::Import(node));
            }
            Kind::GlobalStatement => self.global(node),
            Kind::NonlocalStatement => self.nonlocal(node),
            Kind::TypeAliasStatement => {
                if let Some(name) = self
                    .child(node, Field::Left)
                    .and_then(|t| self.first_name(t))
                {
                    self.push(Work::BindName(name));
                }
                self.push(Work::Defer(node));
            }
            Kind::MemberType => {
                if let Some(&object) = self.children(node).first() {
                    self.read_node(object);
                }
            }
            Kind::AsPattern => {
                if let Some(&value) = self.children(node).first() {
                    self.read_node(value);
                }
                if let Some(alias) = self.child(node, Field::Alias) {
                    let end = self.after(alias);
                    self.push(Work::Target(alias, end));
                }
            }
            _ => {}
        }
    }

    fn children(&self, node: u32) -> Vec<u32> {
        self.tree.children(NodeId(node)).map(|n| n.0).collect()
    }

    /// The first identifier at or below a node.
    fn first_name(&self, node: u32) -> Option<u32> {
        (node..self.after(node)).find(|&n| self.kind(n) == Kind::Identifier)
    }

    fn is_always_true(&self, node: u32) -> bool {
        self.child(node, Field::Condition).is_some_and(|c| {
            let condition = self.tree.unparenthesized(NodeId(c));
            match self.tree.kind(condition) {
                Kind::True => true,
                Kind::Integer => self.tree.text_of(condition) != "0",
                _ => false,
            }
        })
    }

    fn loop_rest(&mut self, node: u32) {
        self.read_field(node, Field::Body);
        self.push(Work::Emit(Op::LoopBack, node));
        self.read_field(node, Field::Alternative);
        self.push(Work::Emit(Op::LoopEnd, node));
    }

    fn assignment(&mut self, node: u32) {
        let left = self.child(node, Field::Left).unwrap_or(node + 1);
        let annotation = self.child(node, Field::Type);
        let value = self.child(node, Field::Right);
        if let Some(value) = value {
            self.read_node(value);
        }
        let end = self.after(left);
        if annotation.is_none() || value.is_some() {
            self.push(Work::Target(left, end));
        } else if self.kind(left) == Kind::Identifier {
            // Only declared; in a function that makes the name local.
            let name = self.intern(left);
            self.declare(self.scope, name);
        } else {
            self.read_node(left);
        }
        let kind = self.scopes[self.scope as usize].kind;
        if let Some(annotation) = annotation
            && matches!(kind, ScopeKind::Module | ScopeKind::Class)
        {
            self.annotation(annotation);
        }
    }

    fn annotation(&mut self, node: u32) {
        if !self.postponed_annotations {
            self.read_node(node);
        }
    }

    /// Default values and annotations of parameters, which the code around the function evaluates.
    fn defaults(&mut self, parameters: u32) {
        for parameter in self.children(parameters) {
            self.read_field(parameter, Field::Value);
        }
        for parameter in self.children(parameters) {
            if let Some(annotation) = self.child(parameter, Field::Type) {
                self.annotation(annotation);
            }
        }
    }

    fn type_parameters(&mut self, node: u32) -> bool {
        let Some(list) = self.child(node, Field::TypeParameters) else {
            return false;
        };
        self.push(Work::Enter(ScopeKind::TypeParameters));
        for parameter in self.children(list) {
            if let Some(name) = self.first_name(parameter) {
                self.push(Work::BindName(name));
            }
        }
        for parameter in self.children(list) {
            // Bounds are evaluated lazily and may name any parameter.
            if let Some(name) = self.first_name(parameter)
                && name + 1 < self.after(parameter)
            {
                self.push(Work::Read(name + 1, self.after(parameter)));
            }
        }
        true
    }

    fn function(&mut self, node: u32) {
        let generic = self.type_parameters(node);
        if let Some(parameters) = self.child(node, Field::Parameters) {
            self.defaults(parameters);
        }
        if let Some(returns) = self.child(node, Field::ReturnType) {
            self.annotation(returns);
        }
        self.push(Work::Defer(node));
        if generic {
            self.push(Work::LeaveScope);
        }
        if let Some(name) = self.child(node, Field::Name) {
            self.push(Work::BindName(name));
        }
    }

    fn class(&mut self, node: u32) {
        let generic = self.type_parameters(node);
        self.read_field(node, Field::Superclasses);
        self.push(Work::Enter(ScopeKind::Class));
        self.read_field(node, Field::Body);
        self.push(Work::LeaveScope);
        if generic {
            self.push(Work::LeaveScope);
        }
        if let Some(name) = self.child(node, Field::Name) {
            self.push(Work::BindName(name));
        }
    }

    fn comprehension(&mut self, node: u32) {
        let parts = self.children(node);
        let body = self.child(node, Field::Body);
        let first = parts
            .iter()
            .copied()
            .find(|&p| self.kind(p) == Kind::ForInClause);
        if let Some(first) = first {
            for iterable in self.right_of(first) {
                self.read_node(iterable);
            }
        }
        let later = self.kind(node) == Kind::GeneratorExpression;
        self.push(if later {
            Work::EnterLater
        } else {
            Work::Enter(ScopeKind::Comprehension)
        });
        for &part in parts.iter().filter(|&&p| Some(p) != body) {
            if self.kind(part) != Kind::ForInClause {
                self.read_node(part);
                continue;
            }
            if Some(part) != first {
                for iterable in self.right_of(part) {
                    self.read_node(iterable);
                }
            }
            if let Some(left) = self.child(part, Field::Left) {
                let end = self.after(left);
                self.push(Work::Target(left, end));
            }
        }
        if let Some(body) = body {
            self.read_node(body);
        }
        self.push(if later {
            Work::LeaveLater
        } else {
            Work::LeaveScope
        });
    }

    fn right_of(&self, clause: u32) -> Vec<u32> {
        self.tree
            .children_in(NodeId(clause), Field::Right)
            .map(|n| n.0)
            .collect()
    }

    fn if_statement(&mut self, node: u32) {
        self.read_field(node, Field::Condition);
        self.push(Work::Emit(Op::Split, node));
        let typing = self
            .child(node, Field::Condition)
            .is_some_and(|c| self.is_type_checking(c));
        let condition = self.child(node, Field::Condition);
        let asks = i32::from(condition.is_some_and(|c| self.asks_for_names(c)));
        self.push(Work::NameGuard(asks));
        if typing {
            self.push(Work::Typing(1));
        }
        self.read_field(node, Field::Consequence);
        if typing {
            self.push(Work::Typing(-1));
        }
        let mut exhaustive = false;
        for clause in self.children(node) {
            match self.kind(clause) {
                Kind::ElifClause => {
                    self.push(Work::Emit(Op::Next, clause));
                    self.read_field(clause, Field::Condition);
                    self.push(Work::Emit(Op::Refine, clause));
                    self.read_field(clause, Field::Consequence);
                }
                Kind::ElseClause => {
                    exhaustive = true;
                    self.push(Work::Emit(Op::Next, clause));
                    self.read_node(clause);
                }
                _ => {}
            }
        }
        self.push(Work::NameGuard(-asks));
        let join = if exhaustive {
            Op::JoinExhaustive
        } else {
            Op::Join
        };
        self.push(Work::Emit(join, node));
    }

    /// Whether a condition asks which names there are, as `"best" in locals()` does.
    fn asks_for_names(&self, condition: u32) -> bool {
        let text = self.tree.text_of(NodeId(condition));
        text.contains(" in ")
            && ["locals()", "globals()", "vars()", "dir()"]
                .iter()
                .any(|call| text.contains(call))
    }

    fn is_type_checking(&self, condition: u32) -> bool {
        let name = match self.kind(condition) {
            Kind::Identifier => Some(condition),
            Kind::Attribute => self.child(condition, Field::Attribute),
            _ => None,
        };
        name.is_some_and(|n| self.tree.text_of(NodeId(n)) == "TYPE_CHECKING")
    }

    fn try_statement(&mut self, node: u32) {
        let clauses = self.children(node);
        let handles = |names: &[&str], bare: bool| {
            (clauses
                .iter()
                .filter(|&&c| self.kind(c) == Kind::ExceptClause))
            .any(|&c| self.handles(c, names, bare))
        };
        // A bare `except` swallows a misspelt name by accident, one that says `NameError` on purpose.
        let name_guard = handles(&["NameError", "UnboundLocalError"], false);
        let broad = &[
            "ImportError",
            "ModuleNotFoundError",
            "Exception",
            "BaseException",
        ];
        let import_guard = handles(broad, true);
        self.push(Work::Emit(Op::Try, node));
        if import_guard {
            self.push(Work::ImportGuard(1));
        }
        if name_guard {
            self.push(Work::NameGuard(1));
        }
        self.read_field(node, Field::Body);
        if name_guard {
            self.push(Work::NameGuard(-1));
        }
        self.push(Work::Emit(Op::TryBodyEnd, node));
        let of_kind = |this: &Self, kind| -> Vec<u32> {
            let mut found = clauses.clone();
            found.retain(|&c| this.kind(c) == kind);
            found
        };
        for clause in of_kind(self, Kind::ElseClause) {
            self.read_node(clause);
        }
        for clause in of_kind(self, Kind::ExceptClause) {
            self.push(Work::Emit(Op::Handler, clause));
            let mut alias = None;
            for part in self.children(clause) {
                if self.kind(part) == Kind::AsPattern {
                    alias = self
                        .child(part, Field::Alias)
                        .and_then(|target| self.first_name(target));
                }
                self.read_node(part);
            }
            if let Some(alias) = alias.or_else(|| self.child(clause, Field::Alias)) {
                // `except … as e` takes the name away at its end.
                self.push(Work::UnbindName(alias));
            }
        }
        if import_guard {
            self.push(Work::ImportGuard(-1));
        }
        for clause in of_kind(self, Kind::FinallyClause) {
            self.push(Work::Emit(Op::Finally, clause));
            self.read_node(clause);
            self.push(Work::Emit(Op::FinallyEnd, clause));
        }
        self.push(Work::Emit(Op::TryEnd, node));
    }

    /// Whether an `except` clause names one of the exceptions; a clause that names none is `bare`.
    fn handles(&self, clause: u32, names: &[&str], bare: bool) -> bool {
        let mut bare = bare;
        for part in self.tree.children(NodeId(clause)) {
            let caught = match self.tree.kind(part) {
                Kind::Block | Kind::Star => continue,
                Kind::AsPattern => self.tree.children(part).next().unwrap_or(part),
                _ => part,
            };
            bare = false;
            let caught = self.tree.unparenthesized(caught);
            let named = |n: NodeId| names.contains(&self.tree.text_of(n));
            if named(caught)
                || (self.tree.kind(caught) == Kind::Tuple && self.tree.children(caught).any(named))
            {
                return true;
            }
        }
        bare
    }

    fn match_statement(&mut self, node: u32) {
        for part in self.children(node) {
            if self.kind(part) != Kind::Block {
                self.read_node(part);
            }
        }
        self.push(Work::Emit(Op::Split, node));
        let cases = self.child(node, Field::Body).map(|b| self.children(b));
        for case in cases.unwrap_or_default() {
            for part in self.children(case) {
                match self.tree.field(NodeId(part)) {
                    Field::Guard => self.read_node(part),
                    Field::Consequence => {
                        self.push(Work::Emit(Op::Refine, case));
                        self.read_node(part);
                    }
                    _ => {
                        let end = self.after(part);
                        self.push(Work::Pattern(part, end));
                    }
                }
            }
            self.push(Work::Emit(Op::Next, case));
        }
        self.push(Work::Emit(Op::Join, node));
    }

    fn targets(&mut self, start: u32, end: u32) {
        let mut at = start;
        while at < end {
            match self.kind(at) {
                Kind::Identifier => {
                    if self.tree.parent(NodeId(at)).map(|p| self.tree.kind(p))
                        == Some(Kind::NamedExpression)
                    {
                        let name = self.intern(at);
                        self.bind_in(self.walrus_scope(), name, at);
                    } else {
                        self.bind(at);
                    }
                    at += 1;
                }
                Kind::Attribute | Kind::Subscript | Kind::Call => {
                    let next = self.after(at);
                    if next < end {
                        self.push(Work::Target(next, end));
                    }
                    self.push(Work::Read(at, next));
                    return;
                }
                _ => at += 1,
            }
        }
    }

    fn deletions(&mut self, start: u32, end: u32) {
        let mut at = start;
        while at < end {
            match self.kind(at) {
                Kind::Identifier => {
                    self.read(at);
                    self.unbind(at);
                    at += 1;
                }
                Kind::Attribute | Kind::Subscript | Kind::Call => {
                    let next = self.after(at);
                    if next < end {
                        self.push(Work::Delete(next, end));
                    }
                    self.push(Work::Read(at, next));
                    return;
                }
                _ => at += 1,
            }
        }
    }

    fn unbind(&mut self, node: u32) {
        let name = self.intern(node);
        let id = self.declare(self.scope, name);
        let variable = &mut self.variables[id as usize];
        variable.foreign |= variable.unit != self.unit;
        variable.unbound = node;
        self.emit(Op::Unbind, id, node);
    }

    fn pattern(&mut self, start: u32, end: u32) {
        let mut at = start;
        while at < end {
            let node = at;
            match self.kind(node) {
                Kind::DottedName => {
                    let class = self.tree.parent(NodeId(node)).map(|p| self.tree.kind(p))
                        == Some(Kind::ClassPattern);
                    let parts = self.children(node);
                    match parts[..] {
                        [name] if !class => self.bind(name),
                        [name, ..] => self.read(name),
                        [] => {}
                    }
                    at = self.after(node);
                }
                Kind::KeywordPattern => at += 2,
                Kind::Identifier => {
                    self.bind(node);
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    fn global(&mut self, node: u32) {
        if self.scope == MODULE {
            return;
        }
        for name in self.children(node) {
            let name = self.intern(name);
            let variable = self.declare(MODULE, name);
            self.table.insert(key(self.scope, name), variable);
        }
    }

    fn nonlocal(&mut self, node: u32) {
        for name in self.children(node) {
            let name = self.intern(name);
            let around = self.scopes[self.scope as usize].parent;
            let found = self
                .lookup(around)
                .filter(|&s| self.scopes[s as usize].kind != ScopeKind::Class)
                .find_map(|s| self.variable(s, name));
            if let Some(variable) = found {
                self.table.insert(key(self.scope, name), variable);
            }
        }
    }

    fn import(&mut self, node: u32) {
        let kind = self.kind(node);
        if kind != Kind::FutureImportStatement {
            self.imports.push(ImportSite {
                node: NodeId(node),
                guarded: self.import_guard > 0,
                typing_only: self.typing > 0,
                module_scope: self.scope == MODULE,
            });
        }
        for name in self.children(node) {
            let bound = match (self.kind(name), self.tree.field(NodeId(name))) {
                (Kind::WildcardImport, _) => {
                    self.star = true;
                    None
                }
                (Kind::AliasedImport, Field::Name) => self.child(name, Field::Alias),
                (Kind::DottedName, Field::Name) => self.first_name(name),
                _ => None,
            };
            if kind == Kind::FutureImportStatement
                && self.tree.text_of(NodeId(name)).starts_with("annotations")
            {
                self.postponed_annotations = true;
            }
            if let Some(bound) = bound {
                self.bind(bound);
            }
        }
    }

    /// Notices calls through which names may appear that no statement binds.
    fn called(&mut self, function: u32) {
        let name = self.tree.text_of(NodeId(function));
        if !matches!(name, "exec" | "globals" | "vars" | "locals") {
            return;
        }
        let Some(call) = self.tree.parent(NodeId(function)) else {
            return;
        };
        let kind = self.scopes[self.scope as usize].kind;
        let runs_in_module = matches!(kind, ScopeKind::Module | ScopeKind::Class);
        if name == "exec" {
            // In a function, `exec` writes to a copy of the locals that nothing reads.
            let arguments = self.tree.child(call, Field::Arguments);
            // With a namespace of its own, `exec` leaves this one alone; one that comes from
            // `globals()` is noticed there.
            let own = arguments.is_some_and(|a| self.tree.children(a).count() > 1);
            self.open |= runs_in_module && !own;
            return;
        }
        if name != "globals" && !runs_in_module {
            return;
        }
        if name == "vars"
            && (self.tree.child(call, Field::Arguments))
                .is_some_and(|a| self.tree.children(a).next().is_some())
        {
            return;
        }
        self.open |= !self.only_looks(call);
    }

    /// Notices `sys.modules[__name__]`, the module as an object that `setattr` can fill.
    fn subscripted(&mut self, index: u32) {
        if self.tree.text_of(NodeId(index)) != "__name__" {
            return;
        }
        let table = (self.tree.parent(NodeId(index)))
            .and_then(|subscript| self.tree.child(subscript, Field::Value));
        self.open |= table.is_some_and(|t| self.tree.text_of(t) == "sys.modules");
    }

    /// Whether a namespace is only looked into where it stands.
    fn only_looks(&self, namespace: NodeId) -> bool {
        let Some(parent) = self.tree.parent(namespace) else {
            return true;
        };
        match self.tree.kind(parent) {
            Kind::Attribute => {
                let attribute = self.tree.child(parent, Field::Attribute);
                attribute.is_some_and(|a| {
                    matches!(
                        self.tree.text_of(a),
                        "get" | "items" | "keys" | "values" | "copy"
                    )
                })
            }
            Kind::Subscript => {
                let around = self.tree.parent(parent).map(|p| self.tree.kind(p));
                self.tree.field(parent) != Field::Left
                    && !matches!(
                        around,
                        Some(Kind::PatternList | Kind::TuplePattern | Kind::DeleteStatement)
                    )
            }
            Kind::ComparisonOperator | Kind::DictionarySplat | Kind::ForInClause => true,
            _ => false,
        }
    }

    /// The parameters and the body of a function, a lambda or a type alias.
    fn body(&mut self, node: u32) {
        self.in_order(|this| {
            if this.kind(node) == Kind::TypeAliasStatement {
                if let Some(left) = this.child(node, Field::Left) {
                    let parameters: Vec<u32> = (left..this.after(left))
                        .filter(|&n| this.kind(n) == Kind::Identifier)
                        .skip(1)
                        .collect();
                    for parameter in parameters {
                        this.push(Work::BindName(parameter));
                    }
                }
                this.read_field(node, Field::Right);
                return;
            }
            if let Some(parameters) = this.child(node, Field::Parameters) {
                for parameter in this.children(parameters) {
                    let name = match this.kind(parameter) {
                        Kind::KeywordSeparator | Kind::PositionalSeparator => None,
                        _ => this.first_name(parameter),
                    };
                    if let Some(name) = name {
                        this.push(Work::BindName(name));
                    }
                }
            }
            this.read_field(node, Field::Body);
        });
    }
}
