//! The interpreter's core: guards, branches, loops and the ways out of them.
//!
//! A branch is evaluated on the shared store and then undone; what both ways changed is merged cell
//! by cell. A way out (`return`, `break`, `raise`, …) keeps the changes made on its path until the
//! construct that it leads to collects them; what stands after a construct holds under the guard
//! that no way out inside it was taken.

use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Package;
use super::document::{CallFrame, EntryTrace, Event, Guard, Kind as What, Loop, Place, Root};
use super::scope::Definition;
use super::state::{CONTENT, Cell, Delta, Store};
use super::value::{PURE, Reason, Sym, Value, ValueId};
use crate::syntax::tree::NodeId;

/// Calls of the package's own functions inside one another.
pub(super) const MAX_CALLS: u32 = 24;
/// Statements and expressions inside one another, over all calls.
const MAX_NESTING: u32 = 500;
/// Nodes evaluated for one entry.
const MAX_STEPS: u32 = 200_000;
/// Events of one entry.
const MAX_EVENTS: usize = 40_000;
/// Alternatives of one value that are followed apart.
pub(super) const MAX_CHOICES: u32 = 8;
/// Elements of a literal that a loop goes over one by one.
pub(super) const MAX_UNROLL: usize = 8;
/// Elements kept of one container.
const MAX_ITEMS: usize = 256;

/// Where a way out leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Return(ValueId),
    Break,
    Continue,
    Raise,
}

/// A way out that was taken under a guard.
#[derive(Debug)]
pub(super) struct Exit {
    pub out: Out,
    pub guard: u32,
    pub delta: Delta,
}

/// A local scope at run time.
#[derive(Debug)]
pub(super) struct Frame {
    pub owner: u32,
    pub parent: Option<u32>,
    pub module: u32,
    pub scope: Scope,
    /// The function it runs, for `super()` and names of calls.
    pub function: Option<u32>,
}

/// Which names a frame holds.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// All names: a module or a class body.
    All,
    /// The locals of a function.
    Function(Rc<Definition>),
    /// The targets of a comprehension.
    Some(Rc<FxHashSet<Sym>>),
}

/// A function object.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub definition: Rc<Definition>,
    pub frame: u32,
    /// Values of the defaults, by parameter.
    pub defaults: Vec<Option<ValueId>>,
    pub class: Option<u32>,
    pub role: Role,
    /// The call `hydra.main(...)` that decorates it.
    pub hydra: Option<ValueId>,
    /// A library decorator may call it with other arguments.
    pub wrapped: bool,
}

/// How a function is reached through its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    Static,
    Class,
    Property,
}

/// A class of the package.
#[derive(Debug)]
pub(super) struct Class {
    pub owner: u32,
    pub bases: Vec<ValueId>,
    /// The class itself and what it inherits from, in the order in which Python looks names up.
    pub order: Vec<Ancestor>,
    /// The fields that a dataclass or its like declares itself.
    pub fields: Option<Vec<ClassField>>,
    pub is_enum: bool,
    /// No metaclass and no decorator may take calls of the class another way.
    pub is_plain: bool,
}

/// A class in the order of look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ancestor {
    Own(u32),
    Foreign(ValueId),
}

/// A field of a dataclass.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassField {
    pub name: Sym,
    pub has_default: bool,
    pub by_keyword: bool,
    /// Handed to `__post_init__` too.
    pub init_only: bool,
}

/// A module of the package as it is loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    pub source: u32,
    pub owner: u32,
    pub frame: u32,
}

/// A `try` whose body is being evaluated.
#[derive(Debug)]
pub(super) struct Attempt {
    pub mark: usize,
    /// Ways to the handlers by `raise`.
    pub raised: Vec<(u32, ValueId)>,
    pub changed: FxHashSet<Cell>,
}

/// A loop whose body is being evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenLoop {
    pub id: u32,
    pub mark: usize,
}

/// A call in progress.
#[derive(Debug)]
pub(super) struct Activation {
    pub function: u32,
    pub mark: usize,
    pub yielded: Vec<ValueId>,
}

/// One entry's evaluation.
pub(super) struct Interp<'p> {
    pub package: &'p Package<'p>,
    pub trace: EntryTrace,
    pub store: Store,
    pub guard: u32,
    pub call: u32,
    /// The path being evaluated has ended.
    pub dead: bool,
    /// Inside a first look at a loop's body, which records nothing.
    pub dry: bool,
    pub dry_writes: Vec<ValueId>,
    pub exits: Vec<Exit>,
    pub attempts: Vec<Attempt>,
    pub activations: Vec<Activation>,
    pub open_loops: Vec<OpenLoop>,
    pub frames: Vec<Frame>,
    pub frame: u32,
    pub functions: Vec<Function>,
    pub classes: Vec<Class>,
    pub instances: FxHashMap<u32, u32>,
    pub modules: Vec<Loaded>,
    pub module_numbers: FxHashMap<u32, u32>,
    pub definitions: FxHashMap<(u32, NodeId), Rc<Definition>>,
    pub reached: FxHashSet<(u32, NodeId)>,
    /// No function is evaluated a second time.
    pub once: bool,
    /// How many config-changing events have happened, as the number of events then.
    pub version: u32,
    objects: u32,
    unknowns: u32,
    attempts_seen: u32,
    steps: u32,
    pub nesting: u32,
    guard_numbers: FxHashMap<(u32, ValueId, bool), u32>,
    cut: bool,
}

/// What a loop's body is for [`Interp::run_loop`].
pub(super) type Body<'b, 'p> = &'b mut dyn FnMut(&mut Interp<'p>);

impl<'p> Interp<'p> {
    pub fn new(package: &'p Package<'p>, name: &str) -> Self {
        let mut this = Self {
            package,
            trace: EntryTrace {
                name: name.to_owned(),
                ..EntryTrace::default()
            },
            store: Store::default(),
            guard: 0,
            call: 0,
            dead: false,
            dry: false,
            dry_writes: Vec::new(),
            exits: Vec::new(),
            attempts: Vec::new(),
            activations: Vec::new(),
            open_loops: Vec::new(),
            frames: Vec::new(),
            frame: 0,
            functions: Vec::new(),
            classes: Vec::new(),
            instances: FxHashMap::default(),
            modules: Vec::new(),
            module_numbers: FxHashMap::default(),
            definitions: FxHashMap::default(),
            reached: FxHashSet::default(),
            once: false,
            version: 0,
            objects: 0,
            unknowns: 0,
            attempts_seen: 0,
            steps: 0,
            nesting: 0,
            guard_numbers: FxHashMap::default(),
            cut: false,
        };
        let yes = this.value(Value::Bool(true));
        let nowhere = Place(0, 1, 1, 1, 1);
        this.trace.guards.push(Guard {
            parent: 0,
            condition: yes,
            expected: true,
            place: nowhere,
        });
        this.trace.calls.push(CallFrame {
            parent: 0,
            function: name.to_owned(),
            place: nowhere,
        });
        this
    }

    // ---- values ----

    pub fn value(&mut self, value: Value) -> ValueId {
        self.trace.values.intern(value)
    }

    pub fn get(&self, id: ValueId) -> &Value {
        self.trace.values.get(id)
    }

    pub fn none(&mut self) -> ValueId {
        self.value(Value::None)
    }

    pub fn boolean(&mut self, b: bool) -> ValueId {
        self.value(Value::Bool(b))
    }

    pub fn sym(&mut self, text: &str) -> Sym {
        self.trace.names.intern(text)
    }

    pub fn text(&self, sym: Sym) -> &str {
        self.trace.names.text(sym)
    }

    pub fn string(&mut self, text: &str) -> ValueId {
        let sym = self.sym(text);
        self.value(Value::Str(sym))
    }

    pub fn library(&mut self, name: &str) -> ValueId {
        let sym = self.sym(name);
        self.value(Value::Library(sym))
    }

    pub fn unknown(&mut self, reason: Reason) -> ValueId {
        self.unknowns += 1;
        let serial = self.unknowns;
        self.value(Value::Unknown(reason, serial))
    }

    pub fn pure_call(&mut self, name: &str, args: &[ValueId]) -> ValueId {
        let callee = self.library(name);
        let args = args.iter().map(|&a| self.frozen(a)).collect();
        self.value(Value::Call(callee, args, Box::new([]), PURE))
    }

    pub fn not(&mut self, value: ValueId) -> ValueId {
        match *self.get(value) {
            Value::Not(inner) if self.is_boolean(inner) => inner,
            Value::Bool(b) => self.boolean(!b),
            _ => self.value(Value::Not(value)),
        }
    }

    fn is_boolean(&self, value: ValueId) -> bool {
        matches!(
            self.get(value),
            Value::Bool(_)
                | Value::Not(_)
                | Value::Compare(..)
                | Value::Has { .. }
                | Value::All(_)
                | Value::Ran(_)
                | Value::Raised(_)
        )
    }

    pub fn new_object(&mut self) -> u32 {
        self.objects += 1;
        self.objects - 1
    }

    /// A new list, dict or set holding `content`.
    pub fn container(&mut self, content: Value) -> ValueId {
        let owner = self.new_object();
        let content = self.value(content);
        self.set_content(owner, content);
        self.value(Value::Ref(owner))
    }

    pub fn content(&self, owner: u32) -> Option<&Value> {
        let cell = Cell {
            owner,
            key: CONTENT,
        };
        self.store.get(cell).map(|id| self.get(id))
    }

    pub fn set_content(&mut self, owner: u32, content: ValueId) {
        let too_many = match self.get(content) {
            Value::List(items, _) | Value::Set(items, _) if items.len() > MAX_ITEMS => {
                Some(Value::List(items[..MAX_ITEMS].into(), true))
            }
            Value::Dict(items, _) if items.len() > MAX_ITEMS => {
                Some(Value::Dict(items[..MAX_ITEMS].into(), true))
            }
            _ => None,
        };
        let content = match too_many {
            Some(cut) => self.value(cut),
            None => content,
        };
        let cell = Cell {
            owner,
            key: CONTENT,
        };
        self.store.set(cell, Some(content));
    }

    /// A value that no longer changes: containers replaced by what they hold now.
    pub fn frozen(&mut self, id: ValueId) -> ValueId {
        self.frozen_within(id, 8)
    }

    fn frozen_within(&mut self, id: ValueId, depth: u32) -> ValueId {
        let Some(depth) = depth.checked_sub(1) else {
            return self.unknown(Reason::Choices);
        };
        let value = match self.get(id) {
            &Value::Ref(owner) => {
                let cell = Cell {
                    owner,
                    key: CONTENT,
                };
                return match self.store.get(cell) {
                    Some(content) => self.frozen_within(content, depth),
                    None => self.unknown(Reason::Content),
                };
            }
            Value::Tuple(items, open) => {
                let (items, open) = (items.clone(), *open);
                Value::Tuple(self.all_frozen(&items, depth), open)
            }
            Value::List(items, open) => {
                let (items, open) = (items.clone(), *open);
                Value::List(self.all_frozen(&items, depth), open)
            }
            Value::Set(items, open) => {
                let (items, open) = (items.clone(), *open);
                Value::Set(self.all_frozen(&items, depth), open)
            }
            Value::Dict(items, open) => {
                let (items, open) = (items.clone(), *open);
                let items = items
                    .iter()
                    .map(|&(k, v)| (self.frozen_within(k, depth), self.frozen_within(v, depth)))
                    .collect();
                Value::Dict(items, open)
            }
            &Value::Star(inner) => Value::Star(self.frozen_within(inner, depth)),
            &Value::Each(inner, l) => Value::Each(self.frozen_within(inner, depth), l),
            &Value::Select(test, yes, no) => {
                let yes = self.frozen_within(yes, depth);
                let no = self.frozen_within(no, depth);
                if yes == no {
                    return yes;
                }
                Value::Select(test, yes, no)
            }
            _ => return id,
        };
        self.value(value)
    }

    fn all_frozen(&mut self, items: &[ValueId], depth: u32) -> Box<[ValueId]> {
        items
            .iter()
            .map(|&item| self.frozen_within(item, depth))
            .collect()
    }

    // ---- places, steps, events ----

    pub fn place(&self, node: NodeId) -> Place {
        let number = self.source_number();
        let module = &self.package.modules[number as usize];
        let span = module.tree.span(node);
        let start = module.source.position(span.start);
        let end = module.source.position(span.end);
        Place(number, start.line, start.column, end.line, end.column)
    }

    /// The number of the file being evaluated.
    pub fn source_number(&self) -> u32 {
        let module = self.frames[self.frame as usize].module;
        self.modules[module as usize].source
    }

    /// Counts work; false when the bound is reached, and then everything is unknown.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps >= MAX_STEPS || self.trace.events.len() >= MAX_EVENTS {
            self.cut("work");
        }
        !self.cut
    }

    fn cut(&mut self, reason: &'static str) {
        if !self.cut {
            self.cut = true;
            let place = Place(0, 1, 1, 1, 1);
            self.trace.events.push(Event {
                guard: self.guard,
                call: self.call,
                place,
                kind: What::Cut(reason),
            });
        }
        self.dead = true;
    }

    /// Enters one level of nesting; `None` when it is too deep.
    pub fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.nesting >= MAX_NESTING {
            return None;
        }
        self.nesting += 1;
        let result = work(self);
        self.nesting -= 1;
        Some(result)
    }

    /// Records an event, and returns its number.
    pub fn emit(&mut self, node: NodeId, kind: What) -> u32 {
        if self.dry {
            // Distinct from `PURE`, and never looked at: dry results are thrown away.
            return PURE - 1;
        }
        let number = self.trace.events.len() as u32;
        if self.dead {
            return number;
        }
        let place = self.place(node);
        self.trace.events.push(Event {
            guard: self.guard,
            call: self.call,
            place,
            kind,
        });
        number
    }

    /// Notes that a config changes, so that later reads are told apart from earlier ones.
    pub fn config_changed(&mut self, at: ValueId) {
        if self.dry {
            self.dry_writes.push(at);
        } else {
            self.version = self.trace.events.len() as u32;
        }
    }

    pub fn new_root(&mut self, node: NodeId, kind: &'static str, sources: Vec<ValueId>) -> ValueId {
        let root = self.trace.roots.len() as u32;
        self.trace.roots.push(Root {
            kind,
            sources,
            event: None,
        });
        let event = self.emit(node, What::Make(root));
        if !self.dry {
            self.trace.roots[root as usize].event = Some(event);
            self.version = self.trace.events.len() as u32;
        }
        let version = self.version;
        self.value(Value::Config {
            root,
            path: Box::new([]),
            version,
        })
    }

    // ---- guards ----

    /// The guard under which a condition has a truth as well; `None` when that cannot be.
    fn child_guard(&mut self, condition: ValueId, expected: bool, place: Place) -> u32 {
        let key = (self.guard, condition, expected);
        if let Some(&known) = self.guard_numbers.get(&key) {
            return known;
        }
        let number = self.trace.guards.len() as u32;
        self.trace.guards.push(Guard {
            parent: self.guard,
            condition,
            expected,
            place,
        });
        self.guard_numbers.insert(key, number);
        number
    }

    /// Adds a condition to the current guard.
    pub fn assume(&mut self, condition: ValueId, expected: bool, place: Place) {
        let (condition, expected) = match *self.get(condition) {
            Value::Not(inner) => (inner, !expected),
            _ => (condition, expected),
        };
        self.guard = self.child_guard(condition, expected, place);
    }

    /// The truth of a condition where the interpreter stands, if it follows from literals or from
    /// the guard. Nothing is decided in a first look at a loop, so that it sees every change.
    pub fn decided(&self, condition: ValueId) -> Option<bool> {
        if self.dry {
            return None;
        }
        if let Some(truth) = self.trace.values.truth(condition) {
            return Some(truth);
        }
        if let Value::Not(inner) = *self.get(condition) {
            return self.decided(inner).map(|t| !t);
        }
        if !self.trace.values.stable(condition) {
            return None;
        }
        let mut at = self.guard;
        while at != 0 {
            let guard = &self.trace.guards[at as usize];
            if guard.condition == condition {
                return Some(guard.expected);
            }
            at = guard.parent;
        }
        None
    }

    /// The conditions that `guard` adds to `base`, outermost first.
    fn conditions(&self, guard: u32, base: u32) -> Vec<(ValueId, bool)> {
        let mut found = Vec::new();
        let mut at = guard;
        while at != base && at != 0 {
            let g = &self.trace.guards[at as usize];
            found.push((g.condition, g.expected));
            at = g.parent;
        }
        found.reverse();
        found
    }

    /// One condition that says the same as `guard` beyond `base`.
    pub(super) fn relative(&mut self, guard: u32, base: u32) -> ValueId {
        let conditions = self.conditions(guard, base);
        match conditions.as_slice() {
            [] => self.boolean(true),
            &[(condition, true)] => condition,
            &[(condition, false)] => self.not(condition),
            _ => self.value(Value::All(conditions.into())),
        }
    }

    /// The guard after a construct that began under `base`: none of the ways out of it was taken.
    pub fn after(&mut self, base: u32, first_exit: usize) {
        self.guard = base;
        let guards: Vec<u32> = self.exits[first_exit..].iter().map(|e| e.guard).collect();
        self.exclude(base, &guards);
    }

    fn exclude(&mut self, base: u32, guards: &[u32]) {
        for &taken in guards {
            let mut conditions = self.conditions(taken, base);
            let held = self.conditions(self.guard, base);
            conditions.retain(|c| !held.contains(c));
            let place = self.trace.guards[taken as usize].place;
            match conditions.as_slice() {
                // It is taken whenever the others are not: the caller sees that the path is dead.
                [] => {}
                &[(condition, expected)] => self.assume(condition, !expected, place),
                _ => {
                    let all = self.value(Value::All(conditions.into()));
                    self.assume(all, false, place);
                }
            }
        }
    }

    // ---- branches ----

    pub fn select(&mut self, test: ValueId, yes: ValueId, no: ValueId) -> ValueId {
        if yes == no {
            return yes;
        }
        match *self.get(test) {
            Value::Not(inner) => self.value(Value::Select(inner, no, yes)),
            _ => self.value(Value::Select(test, yes, no)),
        }
    }

    /// Brings what two ways changed together on the store, which holds what was before both.
    pub(super) fn merge(&mut self, test: ValueId, yes: &Delta, no: &Delta) {
        let there: FxHashMap<Cell, Option<ValueId>> = no.iter().copied().collect();
        let here: FxHashSet<Cell> = yes.iter().map(|&(cell, _)| cell).collect();
        for &(cell, a) in yes {
            let b = match there.get(&cell) {
                Some(&b) => b,
                None => self.store.get(cell),
            };
            self.merge_cell(test, cell, a, b);
        }
        for &(cell, b) in no.iter().filter(|(cell, _)| !here.contains(cell)) {
            let a = self.store.get(cell);
            self.merge_cell(test, cell, a, b);
        }
    }

    fn merge_cell(&mut self, test: ValueId, cell: Cell, a: Option<ValueId>, b: Option<ValueId>) {
        let merged = match (a, b) {
            // Bound on one way only: where it is unbound, reading it would end the program.
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
            (Some(a), Some(b)) if cell.key == CONTENT => Some(self.merge_content(test, a, b)),
            (Some(a), Some(b)) => Some(self.select(test, a, b)),
        };
        self.store.set(cell, merged);
    }

    /// A container's contents after one of two ways: what both agree on stays, the rest is a choice
    /// of whole contents, which reads go through like any other choice.
    fn merge_content(&mut self, test: ValueId, a: ValueId, b: ValueId) -> ValueId {
        if a == b {
            return a;
        }
        let merged = match (self.get(a), self.get(b)) {
            (Value::Dict(x, false), Value::Dict(y, false))
                if x.len() == y.len() && x.iter().zip(y).all(|(p, q)| p.0 == q.0) =>
            {
                let pairs: Vec<_> = x
                    .iter()
                    .zip(y)
                    .map(|(&(k, p), &(_, q))| (k, p, q))
                    .collect();
                let items = pairs
                    .into_iter()
                    .map(|(k, p, q)| (k, self.select(test, p, q)))
                    .collect();
                Value::Dict(items, false)
            }
            (Value::List(x, false), Value::List(y, false)) if x.len() == y.len() => {
                let pairs: Vec<_> = x.iter().copied().zip(y.iter().copied()).collect();
                let items = pairs
                    .into_iter()
                    .map(|(p, q)| self.select(test, p, q))
                    .collect();
                Value::List(items, false)
            }
            _ => return self.select(test, a, b),
        };
        self.value(merged)
    }

    /// Evaluates one of two ways, by a condition; both where it is not decided.
    pub fn fork(
        &mut self,
        test: ValueId,
        place: Place,
        yes: &mut dyn FnMut(&mut Self) -> ValueId,
        no: &mut dyn FnMut(&mut Self) -> ValueId,
    ) -> ValueId {
        match self.decided(test) {
            Some(true) => return yes(self),
            Some(false) => return no(self),
            None => {}
        }
        let (base, first_exit, mark) = (self.guard, self.exits.len(), self.store.mark());
        self.assume(test, true, place);
        let a = yes(self);
        let a_dead = self.dead;
        let a_delta = self.store.changed(mark);
        self.store.undo(mark);
        (self.guard, self.dead) = (base, false);
        if self.cut {
            self.dead = true;
            return a;
        }
        self.assume(test, false, place);
        let b = no(self);
        let b_dead = self.dead;
        let b_delta = self.store.changed(mark);
        self.store.undo(mark);
        self.dead = (a_dead && b_dead) || self.cut;
        self.after(base, first_exit);
        match (a_dead, b_dead) {
            (true, true) => a,
            (true, false) => {
                self.store.apply(&b_delta);
                b
            }
            (false, true) => {
                self.store.apply(&a_delta);
                a
            }
            (false, false) => {
                self.merge(test, &a_delta, &b_delta);
                self.select(test, a, b)
            }
        }
    }

    // ---- ways out ----

    pub fn leave(&mut self, out: Out) {
        let mark = match out {
            Out::Return(_) => self.activations.last().map(|a| a.mark),
            Out::Break | Out::Continue => self.open_loops.last().map(|l| l.mark),
            Out::Raise => None,
        };
        let delta = match mark {
            Some(mark) => self.store.changed(mark),
            None => Vec::new(),
        };
        for attempt in &mut self.attempts {
            let changed = self.store.changed(attempt.mark);
            attempt
                .changed
                .extend(changed.iter().map(|&(cell, _)| cell));
        }
        self.exits.push(Exit {
            out,
            guard: self.guard,
            delta,
        });
        self.dead = true;
    }

    /// Takes the ways out that `wanted` accepts from those since `first`.
    fn take_exits(&mut self, first: usize, wanted: impl Fn(Out) -> bool) -> Vec<Exit> {
        let mut taken = Vec::new();
        let mut kept = Vec::new();
        for exit in self.exits.drain(first..) {
            if wanted(exit.out) {
                taken.push(exit);
            } else {
                kept.push(exit);
            }
        }
        self.exits.extend(kept);
        taken
    }

    /// Brings several ways, each with its guard under `base`, together on the store; the last one
    /// is where none of the others was taken.
    fn join(&mut self, base: u32, mut ways: Vec<(u32, Delta, ValueId)>) -> Option<ValueId> {
        let (_, mut delta, mut value) = ways.pop()?;
        let mark = self.store.mark();
        while let Some((guard, other, its)) = ways.pop() {
            let test = self.relative(guard, base);
            self.merge(test, &other, &delta);
            delta = self.store.changed(mark);
            self.store.undo(mark);
            value = self.select(test, its, value);
        }
        self.store.apply(&delta);
        Some(value)
    }

    /// Evaluates a function's body, and returns what the call gives.
    pub fn run_body(&mut self, function: u32, body: Body<'_, 'p>) -> ValueId {
        let (base, first_exit, mark) = (self.guard, self.exits.len(), self.store.mark());
        let loops = self.open_loops.len();
        self.activations.push(Activation {
            function,
            mark,
            yielded: Vec::new(),
        });
        body(self);
        let falls_through = !self.dead;
        let end = (self.guard, self.store.changed(mark));
        self.store.undo(mark);
        let none = self.none();
        let mut ways: Vec<(u32, Delta, ValueId)> = self
            .take_exits(first_exit, |out| matches!(out, Out::Return(_)))
            .into_iter()
            .map(|exit| match exit.out {
                Out::Return(value) => (exit.guard, exit.delta, value),
                _ => (exit.guard, exit.delta, none),
            })
            .collect();
        if falls_through {
            ways.push((end.0, end.1, none));
        }
        self.open_loops.truncate(loops);
        let activation = self.activations.pop();
        self.dead = ways.is_empty() || self.cut;
        let value = self.join(base, ways).unwrap_or(none);
        self.after(base, first_exit);
        match activation {
            Some(a) if self.functions[function as usize].definition.is_generator => {
                let id = self.new_loop("generator", none, None);
                let items = a
                    .yielded
                    .iter()
                    .map(|&v| self.value(Value::Each(v, id)))
                    .collect();
                self.container(Value::List(items, false))
            }
            _ => value,
        }
    }

    // ---- loops ----

    /// The number of a new loop.
    pub fn new_loop(&mut self, kind: &'static str, over: ValueId, node: Option<NodeId>) -> u32 {
        let place = match node {
            Some(node) => self.place(node),
            None => Place(0, 1, 1, 1, 1),
        };
        let over = self.frozen(over);
        self.trace.loops.push(Loop { kind, over, place });
        self.trace.loops.len() as u32 - 1
    }

    /// Looks at a loop's body once without recording anything, and forgets what it changes: at the
    /// start of a later iteration those cells hold something else.
    fn widen(&mut self, id: u32, node: NodeId, body: Body<'_, 'p>) {
        if self.dry {
            return;
        }
        let (guard, version, first_exit) = (self.guard, self.version, self.exits.len());
        let (call, frame) = (self.call, self.frame);
        let mark = self.store.mark();
        self.dry = true;
        self.open_loops.push(OpenLoop { id, mark });
        self.attempts.push(Attempt {
            mark,
            raised: Vec::new(),
            changed: FxHashSet::default(),
        });
        body(self);
        let mut changed = self.store.changed(mark);
        let seen: FxHashSet<Cell> = changed.iter().map(|&(cell, _)| cell).collect();
        if let Some(attempt) = self.attempts.pop() {
            let mut more: Vec<Cell> = attempt.changed.difference(&seen).copied().collect();
            more.sort_by_key(|c| (c.owner, c.key));
            changed.extend(more.into_iter().map(|cell| (cell, None)));
        }
        self.store.undo(mark);
        self.open_loops.pop();
        self.exits.truncate(first_exit);
        self.dry = false;
        self.dead = self.cut;
        (self.guard, self.version) = (guard, version);
        (self.call, self.frame) = (call, frame);
        for (cell, end) in changed {
            let Some(before) = self.store.get(cell) else {
                continue;
            };
            let forgotten = if cell.key == CONTENT {
                self.forgotten_content(before, end)
            } else {
                self.unknown(Reason::Loop)
            };
            self.store.set(cell, Some(forgotten));
        }
        let writes = std::mem::take(&mut self.dry_writes);
        if !writes.is_empty() {
            let mut paths: Vec<ValueId> = Vec::new();
            for path in writes {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            self.emit(node, What::Forget(paths));
            self.version = self.trace.events.len() as u32;
        }
    }

    /// What is left of a container's contents when a loop changes them.
    fn forgotten_content(&mut self, before: ValueId, end: Option<ValueId>) -> ValueId {
        let end = end.map(|e| self.get(e).clone());
        let kept = match (self.get(before), end) {
            // Only appended to: what was there stays in front.
            (Value::List(x, _), Some(Value::List(y, _))) if y.starts_with(x) => {
                Value::List(x.clone(), true)
            }
            (Value::Set(x, _), Some(Value::Set(y, _))) if y.starts_with(x) => {
                Value::Set(x.clone(), true)
            }
            (Value::Dict(x, _), Some(Value::Dict(y, _))) => {
                let kept: Vec<_> = x.iter().filter(|p| y.contains(p)).copied().collect();
                if kept.len() == x.len() {
                    Value::Dict(kept.into(), true)
                } else {
                    Value::Dict(Box::new([]), true)
                }
            }
            (Value::List(..), _) => Value::List(Box::new([]), true),
            (Value::Set(..), _) => Value::Set(Box::new([]), true),
            (Value::Dict(..), _) => Value::Dict(Box::new([]), true),
            _ => return self.unknown(Reason::Loop),
        };
        self.value(kept)
    }

    /// Evaluates a loop whose number of iterations is not known.
    ///
    /// `test` is the condition under which the first iteration takes place; `body` is one iteration.
    /// Returns the guards of the `break`s. The path is dead afterwards when the loop never ends.
    pub fn run_loop(
        &mut self,
        id: u32,
        node: NodeId,
        test: ValueId,
        endless: bool,
        body: Body<'_, 'p>,
    ) -> Vec<u32> {
        let place = self.place(node);
        // In a first look one iteration stands for all: what it changes before it comes back to
        // its `break` must not be lost.
        let endless = endless && !self.dry;
        self.emit(node, What::Loop(id));
        let (base, first_exit, before) = (self.guard, self.exits.len(), self.store.mark());
        if self.decided(test) != Some(true) {
            self.assume(test, true, place);
        }
        self.widen(id, node, body);
        let inner = self.guard;
        self.open_loops.push(OpenLoop { id, mark: before });
        body(self);
        self.open_loops.pop();
        let falls_through = !self.dead;
        let end = (self.guard, self.store.changed(before));
        self.store.undo(before);
        let outs = self.take_exits(first_exit, |out| matches!(out, Out::Break | Out::Continue));
        let breaks: Vec<u32> = (outs.iter().filter(|e| e.out == Out::Break))
            .map(|e| e.guard)
            .collect();
        let none = self.none();
        let mut ways: Vec<(u32, Delta, ValueId)> = outs
            .into_iter()
            .filter(|e| !endless || e.out == Out::Break)
            .map(|e| (e.guard, e.delta, none))
            .collect();
        if falls_through && !endless {
            ways.push((end.0, end.1, none));
        }
        self.dead = self.cut;
        let some = !ways.is_empty();
        // What an iteration leaves behind, then the way on which there was none.
        self.guard = inner;
        self.join(inner, ways);
        let ran = self.store.changed(before);
        self.store.undo(before);
        match (endless, some) {
            (true, false) => self.dead = true,
            (true, true) => self.store.apply(&ran),
            (false, true) if self.guard_implies(base, test) => self.store.apply(&ran),
            (false, true) => self.merge(test, &ran, &Vec::new()),
            (false, false) => {
                if self.guard_implies(base, test) {
                    self.dead = true;
                }
            }
        }
        self.after(base, first_exit);
        if !self.dead {
            self.emit(node, What::LoopEnd(id));
        }
        breaks
    }

    fn guard_implies(&mut self, guard: u32, test: ValueId) -> bool {
        let here = std::mem::replace(&mut self.guard, guard);
        let decided = self.decided(test);
        self.guard = here;
        decided == Some(true)
    }

    /// Evaluates the iterations of a loop over known elements one after the other.
    pub fn run_each(
        &mut self,
        id: u32,
        node: NodeId,
        count: usize,
        body: &mut dyn FnMut(&mut Self, usize),
    ) -> Vec<u32> {
        self.emit(node, What::Loop(id));
        let (base, first_exit, mark) = (self.guard, self.exits.len(), self.store.mark());
        let mut breaks = Vec::new();
        let mut ways: Vec<(u32, Delta, ValueId)> = Vec::new();
        let none = self.none();
        for number in 0..count {
            if self.dead {
                break;
            }
            let (here, start) = (self.guard, self.exits.len());
            self.open_loops.push(OpenLoop { id, mark });
            body(self, number);
            self.open_loops.pop();
            let mut onward = Vec::new();
            for exit in self.take_exits(start, |o| matches!(o, Out::Break | Out::Continue)) {
                if exit.out == Out::Break {
                    breaks.push(exit.guard);
                    ways.push((exit.guard, exit.delta, none));
                } else {
                    onward.push((exit.guard, exit.delta, none));
                }
            }
            if !self.dead {
                onward.push((self.guard, self.store.changed(mark), none));
            }
            self.store.undo(mark);
            self.dead = onward.is_empty() || self.cut;
            self.join(here, onward);
            self.after(here, start);
            let taken: Vec<u32> = breaks.clone();
            self.exclude(here, &taken);
        }
        if !self.dead {
            ways.push((self.guard, self.store.changed(mark), none));
        }
        self.store.undo(mark);
        self.dead = ways.is_empty() || self.cut;
        self.join(base, ways);
        self.after(base, first_exit);
        if !self.dead {
            self.emit(node, What::LoopEnd(id));
        }
        breaks
    }

    /// Evaluates what stands after a loop only when it was not left by `break`.
    pub fn unless_broken(&mut self, breaks: &[u32], base: u32, body: Body<'_, 'p>) {
        if breaks.is_empty() || self.dead {
            if !self.dead {
                body(self);
            }
            return;
        }
        let broken = if let [one] = breaks {
            self.relative(*one, base)
        } else {
            let mut none_taken: Vec<(ValueId, bool)> = Vec::new();
            for &guard in breaks {
                none_taken.push((self.relative(guard, base), false));
            }
            let all = self.value(Value::All(none_taken.into()));
            self.not(all)
        };
        let place = self.trace.guards[breaks[0] as usize].place;
        let none = self.none();
        self.fork(broken, place, &mut |_| none, &mut |this| {
            body(this);
            none
        });
    }

    // ---- try ----

    /// The number of a new `try`.
    pub fn new_attempt(&mut self) -> u32 {
        self.attempts_seen += 1;
        self.attempts_seen - 1
    }
}
