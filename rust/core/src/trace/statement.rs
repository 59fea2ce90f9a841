//! Statements.

use rustc_hash::FxHashSet;

use super::call::Args;
use super::document::Kind as What;
use super::interp::{Attempt, Interp, Out};
use super::scope::starred;
use super::state::Cell;
use super::value::{Reason, Value, ValueId};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::NodeId;

impl<'p> Interp<'p> {
    /// The statements of a block, until the path ends.
    pub(super) fn block(&mut self, block: NodeId) {
        let tree = self.tree();
        for statement in tree.statements(block) {
            if self.dead {
                return;
            }
            self.statement(statement);
        }
    }

    pub(super) fn statement(&mut self, node: NodeId) {
        if !self.step() {
            return;
        }
        if self.deeper(|this| this.statement_here(node)).is_none() {
            self.emit(node, What::Cut("nesting"));
        }
    }

    fn statement_here(&mut self, node: NodeId) {
        let tree = self.tree();
        match tree.kind(node) {
            Kind::ExpressionStatement => {
                for child in tree.children(node) {
                    match tree.kind(child) {
                        Kind::Assignment => {
                            self.assignment(child);
                        }
                        Kind::AugmentedAssignment => self.augmented(child),
                        Kind::String | Kind::ConcatenatedString => {}
                        _ => {
                            self.eval(child);
                        }
                    }
                }
            }
            Kind::FunctionDefinition | Kind::ClassDefinition => self.define(node, node),
            Kind::DecoratedDefinition => {
                if let Some(definition) = tree.child(node, Field::Definition) {
                    self.define(node, definition);
                }
            }
            Kind::IfStatement => {
                let alternatives: Vec<NodeId> =
                    tree.children_in(node, Field::Alternative).collect();
                self.if_chain(node, &alternatives);
            }
            Kind::ForStatement => self.for_statement(node),
            Kind::WhileStatement => self.while_statement(node),
            Kind::TryStatement => self.try_statement(node),
            Kind::WithStatement => self.with_statement(node),
            Kind::MatchStatement => self.match_statement(node),
            Kind::ReturnStatement => {
                let value = match tree.children(node).next() {
                    Some(value) => self.eval(value),
                    None => self.none(),
                };
                if !self.dead {
                    let frozen = self.frozen(value);
                    self.emit(node, What::Return(frozen));
                    self.leave(Out::Return(value));
                }
            }
            Kind::RaiseStatement => {
                let value = match tree.children(node).next() {
                    Some(value) => self.eval(value),
                    None => self.none(),
                };
                if !self.dead {
                    let value = self.frozen(value);
                    self.emit(node, What::Raise(value));
                    self.raise(value);
                }
            }
            Kind::BreakStatement => {
                if let Some(open) = self.open_loops.last() {
                    let id = open.id;
                    self.emit(node, What::Break(id));
                    self.leave(Out::Break);
                }
            }
            Kind::ContinueStatement if !self.open_loops.is_empty() => {
                self.leave(Out::Continue);
            }
            Kind::AssertStatement => {
                let Some(test) = tree.children(node).next() else {
                    return;
                };
                let condition = self.eval(test);
                if self.dead {
                    return;
                }
                let condition = self.frozen(condition);
                let place = self.place(test);
                let none = self.none();
                self.fork(condition, place, &mut |_| none, &mut |this| {
                    let error = this.library("AssertionError");
                    this.emit(node, What::Raise(error));
                    this.raise(error);
                    none
                });
            }
            Kind::DeleteStatement => {
                for target in tree.children(node) {
                    self.delete(target);
                }
            }
            Kind::ImportStatement => {
                for name in tree.children_in(node, Field::Name) {
                    self.import_statement(node, name);
                }
            }
            Kind::ImportFromStatement => self.import_from(node),
            _ => {}
        }
    }

    fn define(&mut self, whole: NodeId, definition: NodeId) {
        let tree = self.tree();
        let mut value = if tree.kind(definition) == Kind::ClassDefinition {
            self.make_class(definition)
        } else {
            self.make_function(definition)
        };
        let decorators: Vec<NodeId> = tree.decorators(definition).collect();
        for &decorator in decorators.iter().rev() {
            if self.dead {
                return;
            }
            value = self.decorate(whole, decorator, value);
        }
        if let Some(name) = tree.child(definition, Field::Name) {
            let name = self.sym(tree.text_of(name));
            self.assign_name(name, value);
        }
    }

    // ---- assignments ----

    fn assignment(&mut self, node: NodeId) -> Option<ValueId> {
        let tree = self.tree();
        let right = tree.child(node, Field::Right)?;
        let value = if tree.kind(right) == Kind::Assignment {
            self.deeper(|this| this.assignment(right)).flatten()?
        } else {
            self.eval(right)
        };
        if self.dead {
            return None;
        }
        let left = tree.child(node, Field::Left)?;
        self.assign(left, value);
        Some(value)
    }

    /// Binds a target to a value.
    pub(super) fn assign(&mut self, target: NodeId, value: ValueId) {
        let tree = self.tree();
        match tree.kind(target) {
            Kind::Identifier => {
                let name = self.sym(tree.text_of(target));
                self.assign_name(name, value);
            }
            Kind::Attribute => {
                let (Some(object), Some(name)) = (
                    tree.child(target, Field::Object),
                    tree.child(target, Field::Attribute),
                ) else {
                    return;
                };
                let object = self.eval(object);
                let key = self.string(tree.text_of(name));
                self.store_member(target, object, key, value, true);
            }
            Kind::Subscript => {
                let (Some(object), Some(key)) = (
                    tree.child(target, Field::Value),
                    tree.child(target, Field::Subscript),
                ) else {
                    return;
                };
                let object = self.eval(object);
                let key = self.eval(key);
                self.store_member(target, object, key, value, false);
            }
            Kind::ParenthesizedExpression
            | Kind::AsPatternTarget
            | Kind::TuplePattern
            | Kind::PatternList
            | Kind::ListPattern
            | Kind::Tuple
            | Kind::List
            | Kind::ExpressionList => {
                let targets: Vec<NodeId> = tree.children(target).collect();
                let single = matches!(
                    tree.kind(target),
                    Kind::ParenthesizedExpression | Kind::AsPatternTarget
                );
                match targets.as_slice() {
                    &[inner] if single => {
                        self.deeper(|this| this.assign(inner, value));
                    }
                    _ => self.unpack(target, &targets, value),
                }
            }
            Kind::ListSplatPattern | Kind::ListSplat => {
                if let Some(inner) = starred(tree, target) {
                    self.assign(inner, value);
                }
            }
            _ => {}
        }
    }

    fn unpack(&mut self, node: NodeId, targets: &[NodeId], value: ValueId) {
        let tree = self.tree();
        let splat = |&t: &NodeId| matches!(tree.kind(t), Kind::ListSplatPattern | Kind::ListSplat);
        let star = targets.iter().position(splat);
        let parts = self.parts(value, targets.len(), star, 4);
        if parts.is_none()
            && star.is_none()
            && let Value::Tuple(items, false) = self.get(value)
            && items.len() != targets.len()
            && self.elements(value).is_some()
        {
            let problem = format!(
                "{} values do not unpack into {} names",
                items.len(),
                targets.len()
            );
            self.emit(node, What::Mismatch(String::new(), problem));
        }
        for (number, &target) in targets.iter().enumerate() {
            let part = match &parts {
                Some(parts) => parts[number],
                None if star.is_some_and(|s| number >= s) => {
                    let behind = targets.len() - 1 - star.unwrap_or_default();
                    self.part_from_behind(value, number, targets.len(), behind)
                }
                None => {
                    let key = self.value(Value::Int(number as i64));
                    match self.config_path(value) {
                        Some((root, mut path)) => {
                            path.push(key);
                            self.config_at(root, &path)
                        }
                        None => {
                            let of = self.frozen(value);
                            self.value(Value::Item(of, key))
                        }
                    }
                }
            };
            self.deeper(|this| this.assign(target, part));
        }
    }

    /// What a starred target gets (the first of these numbers), and those behind it: parts that
    /// are counted from the end, since nobody knows how many there are.
    fn part_from_behind(
        &mut self,
        value: ValueId,
        number: usize,
        count: usize,
        behind: usize,
    ) -> ValueId {
        if self.config_path(value).is_some() {
            return self.unknown(Reason::Content);
        }
        let of = self.frozen(value);
        let key = if number + behind + 1 == count {
            let low = self.value(Value::Int(number as i64));
            let high = (behind > 0).then(|| self.value(Value::Int(-(behind as i64))));
            self.value(Value::Slice([Some(low), high, None]))
        } else {
            self.value(Value::Int(number as i64 - count as i64))
        };
        self.value(Value::Item(of, key))
    }

    /// The values that `count` targets get, where they are known.
    fn parts(
        &mut self,
        value: ValueId,
        count: usize,
        star: Option<usize>,
        choices: u32,
    ) -> Option<Vec<ValueId>> {
        if let Value::Select(test, yes, no) = *self.get(value) {
            let left = choices.checked_sub(1)?;
            let a = self.parts(yes, count, star, left)?;
            let b = self.parts(no, count, star, left)?;
            let both = a.into_iter().zip(b);
            return Some(both.map(|(a, b)| self.select(test, a, b)).collect());
        }
        let items = self.elements(value)?;
        match star {
            None => (items.len() == count).then_some(items),
            Some(at) => {
                let taken = items.len().checked_sub(count - 1)?;
                let middle: Vec<ValueId> = items[at..at + taken].to_vec();
                let middle = self.container(Value::List(middle.into(), false));
                let mut parts = items[..at].to_vec();
                parts.push(middle);
                parts.extend(&items[at + taken..]);
                Some(parts)
            }
        }
    }

    fn augmented(&mut self, node: NodeId) {
        let tree = self.tree();
        let (Some(left), Some(op), Some(right)) = (
            tree.child(node, Field::Left),
            tree.child(node, Field::Operator),
            tree.child(node, Field::Right),
        ) else {
            return;
        };
        let before = self.eval(left);
        let operand = self.eval(right);
        if self.dead {
            return;
        }
        let op = tree.text_of(op).trim_end_matches('=');
        // A list grows in place.
        if op == "+"
            && let Value::Ref(owner) = *self.get(before)
        {
            let extend = self.sym("extend");
            let args = Args::positional(vec![operand]);
            self.container_method(node, before, owner, extend, args);
            return;
        }
        if op == "|"
            && let Value::Ref(owner) = *self.get(before)
        {
            let update = self.sym("update");
            let args = Args::positional(vec![operand]);
            self.container_method(node, before, owner, update, args);
            return;
        }
        let value = self.binary(op, before, operand);
        self.assign(left, value);
    }

    fn delete(&mut self, target: NodeId) {
        let tree = self.tree();
        match tree.kind(target) {
            Kind::Identifier => {
                let name = self.sym(tree.text_of(target));
                self.delete_name(name);
            }
            Kind::Attribute | Kind::Subscript => {
                let attribute = tree.kind(target) == Kind::Attribute;
                let (object, key) = if attribute {
                    (Field::Object, Field::Attribute)
                } else {
                    (Field::Value, Field::Subscript)
                };
                let (Some(object), Some(key)) =
                    (tree.child(target, object), tree.child(target, key))
                else {
                    return;
                };
                let object = self.eval(object);
                let key = if attribute {
                    self.string(tree.text_of(key))
                } else {
                    self.eval(key)
                };
                if let Some((root, mut path)) = self.config_path(object) {
                    path.push(self.frozen(key));
                    let none = self.none();
                    self.write(target, root, &path, none, "delete");
                } else if let Value::Ref(owner) = *self.get(object) {
                    let pop = self.sym("pop");
                    let none = self.none();
                    let args = Args::positional(vec![key, none]);
                    self.container_method(target, object, owner, pop, args);
                } else if let (Value::Instance(owner), Value::Str(name)) =
                    (self.get(object), self.get(key))
                {
                    let cell = Cell {
                        owner: *owner,
                        key: name.0,
                    };
                    self.store.set(cell, None);
                }
            }
            _ => {
                for inner in tree.children(target).collect::<Vec<_>>() {
                    self.deeper(|this| this.delete(inner));
                }
            }
        }
    }

    // ---- branches ----

    fn if_chain(&mut self, node: NodeId, alternatives: &[NodeId]) {
        let tree = self.tree();
        let (Some(test), Some(then)) = (
            tree.child(node, Field::Condition),
            tree.child(node, Field::Consequence),
        ) else {
            return;
        };
        let condition = self.eval(test);
        if self.dead {
            return;
        }
        let condition = self.frozen(condition);
        let place = self.place(test);
        let none = self.none();
        self.fork(
            condition,
            place,
            &mut |this| {
                this.block(then);
                none
            },
            &mut |this| {
                if let Some((&next, rest)) = alternatives.split_first() {
                    if this.tree().kind(next) == Kind::ElifClause {
                        this.deeper(|this| this.if_chain(next, rest));
                    } else if let Some(body) = this.tree().child(next, Field::Body) {
                        this.block(body);
                    }
                }
                none
            },
        );
    }

    fn match_statement(&mut self, node: NodeId) {
        let tree = self.tree();
        let Some(subject) = tree.child(node, Field::Subject) else {
            return;
        };
        let subject = self.eval(subject);
        let Some(body) = tree.child(node, Field::Body) else {
            return;
        };
        let cases: Vec<NodeId> = tree.children(body).collect();
        if !self.dead {
            self.cases(subject, &cases);
        }
    }

    fn cases(&mut self, subject: ValueId, cases: &[NodeId]) {
        let tree = self.tree();
        let Some((&case, rest)) = cases.split_first() else {
            return;
        };
        let pattern = tree.child_of_kind(case, Kind::CasePattern);
        let test = match pattern {
            Some(pattern) => self.pattern(pattern, subject),
            None => self.unknown(Reason::Syntax),
        };
        let place = self.place(case);
        let none = self.none();
        self.fork(
            test,
            place,
            &mut |this| {
                let tree = this.tree();
                if let Some(pattern) = pattern {
                    this.capture(pattern, subject);
                }
                let guard = tree
                    .child(case, Field::Guard)
                    .and_then(|g| tree.children(g).next());
                let consequence = tree.child(case, Field::Consequence);
                match guard {
                    None => {
                        if let Some(body) = consequence {
                            this.block(body);
                        }
                    }
                    Some(guard) => {
                        let condition = this.eval(guard);
                        let condition = this.frozen(condition);
                        let place = this.place(guard);
                        this.fork(
                            condition,
                            place,
                            &mut |this| {
                                if let Some(body) = consequence {
                                    this.block(body);
                                }
                                none
                            },
                            &mut |this| {
                                this.deeper(|this| this.cases(subject, rest));
                                none
                            },
                        );
                    }
                }
                none
            },
            &mut |this| {
                this.deeper(|this| this.cases(subject, rest));
                none
            },
        );
    }

    /// The condition under which a pattern matches.
    fn pattern(&mut self, pattern: NodeId, subject: ValueId) -> ValueId {
        let tree = self.tree();
        let inner = if tree.kind(pattern) == Kind::CasePattern {
            tree.children(pattern).next()
        } else {
            Some(pattern)
        };
        let Some(inner) = inner else {
            // `_` leaves no node but its sign.
            return if tree.text_of(pattern) == "_" {
                self.boolean(true)
            } else {
                self.unknown(Reason::Syntax)
            };
        };
        match tree.kind(inner) {
            Kind::Underscore => self.boolean(true),
            Kind::DottedName if tree.children(inner).count() == 1 => self.boolean(true),
            Kind::Identifier => self.boolean(true),
            Kind::DottedName => {
                let mut parts = tree.children(inner);
                let first = parts.next().map_or("", |p| tree.text_of(p));
                let first = self.sym(first);
                let mut value = self.lookup(first);
                for part in parts {
                    let name = self.sym(tree.text_of(part));
                    value = self.attribute(inner, value, name);
                }
                self.compare(inner, "==", subject, value)
            }
            Kind::String | Kind::ConcatenatedString | Kind::Integer | Kind::Float => {
                let value = self.eval(inner);
                self.compare(inner, "==", subject, value)
            }
            Kind::True | Kind::False | Kind::NoneLiteral => {
                let value = self.eval(inner);
                self.compare(inner, "is", subject, value)
            }
            Kind::UnionPattern => {
                let mut parts: Vec<(ValueId, bool)> = Vec::new();
                for part in tree.children(inner).collect::<Vec<_>>() {
                    let test = self.deeper(|this| this.pattern(part, subject));
                    let test = match test {
                        Some(test) => test,
                        None => self.unknown(Reason::Cut),
                    };
                    match self.decided(test) {
                        Some(true) => return self.boolean(true),
                        Some(false) => {}
                        None => parts.push((test, false)),
                    }
                }
                if parts.is_empty() {
                    return self.boolean(false);
                }
                let none_matches = self.value(Value::All(parts.into()));
                self.not(none_matches)
            }
            _ => self.unknown(Reason::Syntax),
        }
    }

    /// Binds the names of a pattern: the subject to a plain name, nothing known to the others.
    fn capture(&mut self, pattern: NodeId, subject: ValueId) {
        let tree = self.tree();
        let plain = tree
            .children(pattern)
            .next()
            .is_some_and(|inner| matches!(tree.kind(inner), Kind::DottedName | Kind::Identifier));
        for inner in tree.descendants(pattern) {
            if tree.kind(inner) != Kind::Identifier {
                continue;
            }
            if plain {
                let dotted = tree.parent(inner).map_or(0, |p| tree.children(p).count());
                if dotted <= 1 {
                    let name = self.sym(tree.text_of(inner));
                    self.assign_name(name, subject);
                }
                return;
            }
            let is_value = tree
                .ancestor(inner, |k| {
                    matches!(k, Kind::DottedName | Kind::ClassPattern | Kind::CasePattern)
                })
                .is_some_and(|a| {
                    tree.kind(a) == Kind::ClassPattern
                        || tree.kind(a) == Kind::DottedName && tree.children(a).count() > 1
                        || tree
                            .parent(a)
                            .is_some_and(|p| tree.kind(p) == Kind::ClassPattern)
                });
            if !is_value {
                let name = self.sym(tree.text_of(inner));
                let value = self.unknown(Reason::Content);
                self.assign_name(name, value);
            }
        }
    }

    // ---- loops ----

    fn for_statement(&mut self, node: NodeId) {
        let tree = self.tree();
        let (Some(left), Some(right), Some(body)) = (
            tree.child(node, Field::Left),
            tree.child(node, Field::Right),
            tree.child(node, Field::Body),
        ) else {
            return;
        };
        let over = self.eval(right);
        if self.dead {
            return;
        }
        let base = self.guard;
        let id = self.new_loop("for", over, Some(node));
        let breaks = self.run_for(id, node, over, &mut |this, element, _| {
            this.assign(left, element);
            this.block(body);
        });
        self.loop_else(node, &breaks, base);
    }

    fn loop_else(&mut self, node: NodeId, breaks: &[u32], base: u32) {
        let tree = self.tree();
        if let Some(clause) = tree.child(node, Field::Alternative)
            && let Some(body) = tree.child(clause, Field::Body)
        {
            self.unless_broken(breaks, base, &mut |this| this.block(body));
        }
    }

    fn while_statement(&mut self, node: NodeId) {
        let tree = self.tree();
        let (Some(test), Some(body)) = (
            tree.child(node, Field::Condition),
            tree.child(node, Field::Body),
        ) else {
            return;
        };
        let first = self.eval(test);
        if self.dead {
            return;
        }
        let first = self.frozen(first);
        if self.decided(first) == Some(false) {
            self.loop_else(node, &[], self.guard);
            return;
        }
        let base = self.guard;
        let id = self.new_loop("while", first, Some(node));
        let endless = matches!(
            tree.kind(tree.unparenthesized(test)),
            Kind::True | Kind::Integer
        );
        let breaks = self.run_loop(id, node, first, endless, &mut |this| {
            this.block(body);
            if !this.dead && !endless {
                this.eval(test);
            }
        });
        self.loop_else(node, &breaks, base);
    }

    // ---- try and with ----

    fn try_statement(&mut self, node: NodeId) {
        let tree = self.tree();
        let Some(body) = tree.child(node, Field::Body) else {
            return;
        };
        let handlers: Vec<NodeId> = tree
            .children(node)
            .filter(|&c| tree.kind(c) == Kind::ExceptClause)
            .collect();
        let otherwise = tree
            .child_of_kind(node, Kind::ElseClause)
            .and_then(|e| tree.child(e, Field::Body));
        let finally = tree
            .child_of_kind(node, Kind::FinallyClause)
            .and_then(|f| tree.child_of_kind(f, Kind::Block));
        let (base, first_exit) = (self.guard, self.exits.len());
        let changed = self.attempt(node, body, &handlers, otherwise);
        let Some(finally) = finally else {
            return;
        };
        let (guard, dead) = (self.guard, self.dead);
        self.dead = false;
        // It runs whichever way the body was left.
        self.guard = base;
        if dead || self.exits.len() > first_exit {
            for cell in changed {
                if self.store.get(cell).is_some() {
                    let unknown = self.unknown(Reason::Exception);
                    self.store.set(cell, Some(unknown));
                }
            }
        }
        self.block(finally);
        self.dead |= dead;
        self.guard = guard;
    }

    /// A `try` without its `finally`. Returns the cells that its body may have changed.
    fn attempt(
        &mut self,
        node: NodeId,
        body: NodeId,
        handlers: &[NodeId],
        otherwise: Option<NodeId>,
    ) -> Vec<Cell> {
        let (base, first_exit, mark) = (self.guard, self.exits.len(), self.store.mark());
        let place = self.place(node);
        let id = self.new_attempt();
        let raised = self.value(Value::Raised(id));
        if !handlers.is_empty() {
            self.assume(raised, false, place);
        }
        self.attempts.push(Attempt {
            mark,
            raised: Vec::new(),
            changed: FxHashSet::default(),
        });
        self.block(body);
        let Some(attempt) = self.attempts.pop() else {
            return Vec::new();
        };
        let mut cells: Vec<Cell> = attempt.changed.into_iter().collect();
        cells.extend(self.store.changed(mark).iter().map(|&(cell, _)| cell));
        cells.sort_by_key(|c| (c.owner, c.key));
        cells.dedup();
        if handlers.is_empty() {
            // What is raised here goes on to the `try` around.
            if let Some(outer) = self.attempts.last_mut() {
                outer.raised.extend(attempt.raised);
            }
            return cells;
        }
        if let Some(otherwise) = otherwise
            && !self.dead
        {
            self.block(otherwise);
        }
        let body_dead = self.dead;
        let body_end = self.store.changed(mark);
        self.store.undo(mark);
        // The raises inside lead to the handlers.
        let catches_all = handlers.iter().any(|&h| self.catches_all(h));
        let mut tests: Vec<(ValueId, bool)> = vec![(raised, false)];
        for &(guard, _) in &attempt.raised {
            let test = self.relative(guard, base);
            tests.push((test, false));
        }
        let caught: Vec<u32> = attempt.raised.iter().map(|r| r.0).collect();
        let mut escaping = Vec::new();
        self.exits.retain_mut(|exit| {
            if exit.out != Out::Raise || !caught.contains(&exit.guard) {
                return true;
            }
            if !catches_all {
                escaping.push(exit.guard);
            }
            false
        });
        let handled = match tests.as_slice() {
            [_] => raised,
            _ => {
                let nothing = self.value(Value::All(tests.into()));
                self.not(nothing)
            }
        };
        self.guard = base;
        self.dead = false;
        self.assume(handled, true, place);
        for &cell in &cells {
            if self.store.get(cell).is_some() {
                let unknown = self.unknown(Reason::Exception);
                self.store.set(cell, Some(unknown));
            }
        }
        if !catches_all {
            // It may be an exception that no handler is for.
            let fits = self.unknown(Reason::Exception);
            let none = self.none();
            self.fork(
                fits,
                place,
                &mut |this| {
                    this.handlers(handlers);
                    none
                },
                &mut |this| {
                    this.raise(none);
                    none
                },
            );
        } else {
            self.handlers(handlers);
        }
        let handler_dead = self.dead;
        let handler_end = self.store.changed(mark);
        self.store.undo(mark);
        self.dead = body_dead && handler_dead;
        self.after(base, first_exit);
        match (body_dead, handler_dead) {
            (true, true) => {}
            (true, false) => self.store.apply(&handler_end),
            (false, true) => self.store.apply(&body_end),
            (false, false) => self.merge(handled, &handler_end, &body_end),
        }
        cells
    }

    fn catches_all(&self, handler: NodeId) -> bool {
        let tree = self.tree();
        match tree.child(handler, Field::Value) {
            None => true,
            Some(value) => matches!(tree.text_of(value), "Exception" | "BaseException"),
        }
    }

    fn handlers(&mut self, handlers: &[NodeId]) {
        let Some((&handler, rest)) = handlers.split_first() else {
            return;
        };
        let none = self.none();
        if rest.is_empty() {
            self.handler(handler);
            return;
        }
        let fits = self.unknown(Reason::Exception);
        let place = self.place(handler);
        self.fork(
            fits,
            place,
            &mut |this| {
                this.handler(handler);
                none
            },
            &mut |this| {
                this.handlers(rest);
                none
            },
        );
    }

    fn handler(&mut self, handler: NodeId) {
        let tree = self.tree();
        let value = tree.child(handler, Field::Value);
        let target = tree.child(handler, Field::Alias).or_else(|| {
            let pattern = value.filter(|&v| tree.kind(v) == Kind::AsPattern)?;
            tree.child(pattern, Field::Alias)
        });
        if let Some(target) = target {
            let error = self.unknown(Reason::Exception);
            self.assign(target, error);
        }
        if let Some(body) = tree.child_of_kind(handler, Kind::Block) {
            self.block(body);
        }
    }

    fn with_statement(&mut self, node: NodeId) {
        let tree = self.tree();
        let Some(body) = tree.child(node, Field::Body) else {
            return;
        };
        let mut items: Vec<NodeId> = Vec::new();
        if let Some(clause) = tree.child_of_kind(node, Kind::WithClause) {
            for item in tree.children(clause) {
                let Some(value) = tree.child(item, Field::Value) else {
                    continue;
                };
                // `with (a as b, c):` is one item whose value is a tuple.
                if tree.kind(value) == Kind::Tuple {
                    items.extend(tree.children(value));
                } else {
                    items.push(value);
                }
            }
        }
        let mut opened: Vec<(ValueId, &'static str)> = Vec::new();
        let mut entered: Vec<ValueId> = Vec::new();
        let mut suppresses = false;
        for item in items {
            if self.dead {
                return;
            }
            let item = tree.unparenthesized(item);
            let (value, target) = if tree.kind(item) == Kind::AsPattern {
                let value = tree.children(item).next();
                (value, tree.child(item, Field::Alias))
            } else {
                (Some(item), None)
            };
            let Some(value) = value else {
                continue;
            };
            let manager = self.eval(value);
            if self.dead {
                return;
            }
            let mut bound = manager;
            if let Value::Call(callee, args, _, _) = self.get(manager).clone() {
                let name = self.canonical(callee);
                match (name.as_str(), args.first()) {
                    ("omegaconf.open_dict" | "omegaconf.read_write", Some(&config))
                        if self.config_path(config).is_some() =>
                    {
                        let flag = if name == "omegaconf.open_dict" {
                            "open_dict"
                        } else {
                            "read_write"
                        };
                        let yes = self.boolean(true);
                        self.flag(node, config, flag, yes);
                        opened.push((config, flag));
                        bound = config;
                    }
                    ("contextlib.suppress", _) => suppresses = true,
                    _ => {}
                }
            }
            match *self.get(manager) {
                Value::Instance(instance) => {
                    let enter = self.sym("__enter__");
                    if let Some(&class) = self.instances.get(&instance)
                        && let Some((found, _)) = self.class_member(class, enter)
                        && let Value::Function(f) = *self.get(found)
                    {
                        bound = self.call_function(value, f, Args::positional(vec![manager]));
                        entered.push(manager);
                    }
                }
                // What a generator function of the package yields.
                Value::Ref(owner) => {
                    if let Some(Value::List(items, false)) = self.content(owner)
                        && let [one] = **items
                        && let Value::Each(inner, _) = *self.get(one)
                    {
                        bound = inner;
                    }
                }
                _ => {}
            }
            if let Some(target) = target {
                self.assign(target, bound);
            }
        }
        if suppresses {
            self.suppressed(node, body);
        } else {
            self.block(body);
        }
        for manager in entered.into_iter().rev() {
            if self.dead {
                break;
            }
            let exit = self.sym("__exit__");
            if let Value::Instance(instance) = *self.get(manager)
                && let Some(&class) = self.instances.get(&instance)
                && let Some((found, _)) = self.class_member(class, exit)
                && let Value::Function(f) = *self.get(found)
            {
                let none = self.none();
                let args = Args::positional(vec![manager, none, none, none]);
                self.call_function(node, f, args);
            }
        }
        for (config, flag) in opened.into_iter().rev() {
            if !self.dead {
                let no = self.boolean(false);
                self.flag(node, config, flag, no);
            }
        }
    }

    /// A body whose exceptions end it and nothing else.
    fn suppressed(&mut self, node: NodeId, body: NodeId) {
        let id = self.new_attempt();
        let raised = self.value(Value::Raised(id));
        let place = self.place(node);
        let none = self.none();
        let mark = self.store.mark();
        self.fork(raised, place, &mut |_| none, &mut |this| {
            this.block(body);
            none
        });
        // How far it came is not known.
        for (cell, now) in self.store.changed(mark) {
            if now.is_some() && !self.dead {
                let unknown = self.unknown(Reason::Exception);
                self.store.set(cell, Some(unknown));
            }
        }
    }

    // ---- imports ----

    fn import_statement(&mut self, node: NodeId, name: NodeId) {
        let tree = self.tree();
        let (path, alias) = if tree.kind(name) == Kind::AliasedImport {
            (
                tree.child(name, Field::Name),
                tree.child(name, Field::Alias),
            )
        } else {
            (Some(name), None)
        };
        let Some(path) = path else {
            return;
        };
        let dotted: Vec<&str> = tree.children(path).map(|p| tree.text_of(p)).collect();
        let module = self.import(node, &dotted.join("."));
        let Some(first) = dotted.first() else {
            return;
        };
        match alias {
            Some(alias) => {
                let alias = self.sym(tree.text_of(alias));
                self.assign_name(alias, module);
            }
            None => {
                let top = if dotted.len() == 1 {
                    module
                } else {
                    match self.package.by_name.get(*first) {
                        Some(&number) => {
                            let number = self.load(number, node);
                            self.value(Value::Module(number))
                        }
                        None => self.library(first),
                    }
                };
                let name = self.sym(first);
                self.assign_name(name, top);
            }
        }
    }

    fn import_from(&mut self, node: NodeId) {
        let tree = self.tree();
        let Some(from) = tree.child(node, Field::ModuleName) else {
            return;
        };
        let dotted = if tree.kind(from) == Kind::RelativeImport {
            let dots = tree
                .child_of_kind(from, Kind::ImportPrefix)
                .map_or(1, |p| tree.text_of(p).matches('.').count());
            let here = &self.package.modules[self.source_number() as usize];
            let mut parts: Vec<&str> = here.name.split('.').collect();
            if !here.path.ends_with("__init__.py") {
                parts.pop();
            }
            for _ in 1..dots {
                parts.pop();
            }
            let rest = tree.child_of_kind(from, Kind::DottedName);
            parts.extend(rest.map(|r| tree.text_of(r)));
            parts.join(".")
        } else {
            tree.dotted(from).unwrap_or_default()
        };
        let module = self.import(node, &dotted);
        if tree.child_of_kind(node, Kind::WildcardImport).is_some() {
            self.import_all(module);
            return;
        }
        for name in tree.children_in(node, Field::Name) {
            let (wanted, alias) = if tree.kind(name) == Kind::AliasedImport {
                (
                    tree.child(name, Field::Name),
                    tree.child(name, Field::Alias),
                )
            } else {
                (Some(name), None)
            };
            let Some(wanted) = wanted else {
                continue;
            };
            let text = tree.text_of(wanted);
            let key = self.sym(text);
            let value = match *self.get(module) {
                Value::Unknown(..) => self.unknown(Reason::Module),
                _ => self.attribute(node, module, key),
            };
            let bound = match alias {
                Some(alias) => self.sym(tree.text_of(alias)),
                None => key,
            };
            self.assign_name(bound, value);
        }
    }
}
