//! Expressions.

use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::call::Args;
use super::document::Kind as What;
use super::interp::{Ancestor, Frame, Interp, MAX_CHOICES, MAX_UNROLL, Scope};
use super::scope::{Definition, starred};
use super::state::Cell;
use super::value::{PURE, Reason, Sym, Value, ValueId};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::strings::unescape;
use crate::syntax::tree::{NodeId, Tree};

impl<'p> Interp<'p> {
    /// The tree of the file being evaluated.
    pub(super) fn tree(&self) -> &'p Tree<'p> {
        &self.package.modules[self.source_number() as usize].tree
    }

    /// The value of an expression. When it never ends, the path is dead afterwards.
    pub(super) fn eval(&mut self, node: NodeId) -> ValueId {
        if self.dead || !self.step() {
            return self.unknown(Reason::Cut);
        }
        match self.deeper(|this| this.eval_here(node)) {
            Some(value) => value,
            None => self.unknown(Reason::Cut),
        }
    }

    fn eval_here(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        match tree.kind(node) {
            Kind::Identifier => {
                let name = self.sym(tree.text_of(node));
                self.lookup(name)
            }
            Kind::True => self.boolean(true),
            Kind::False => self.boolean(false),
            Kind::NoneLiteral => self.none(),
            Kind::Ellipsis => self.value(Value::Ellipsis),
            Kind::Integer => self.integer(tree.text_of(node)),
            Kind::Float => {
                let text = tree.text_of(node).replace('_', "");
                match text.parse::<f64>() {
                    Ok(number) => self.value(Value::Float(number.to_bits())),
                    // A complex number.
                    Err(_) => self.unknown(Reason::Syntax),
                }
            }
            Kind::String | Kind::ConcatenatedString => self.string_literal(node),
            Kind::ParenthesizedExpression
            | Kind::Await
            | Kind::Type
            | Kind::ExpressionStatement => match tree.children(node).next() {
                Some(inner) => self.eval(inner),
                None => self.unknown(Reason::Syntax),
            },
            Kind::Attribute | Kind::Subscript => {
                let mut held = None;
                let value = self.access(node, &mut held);
                if let Some(held) = held {
                    let how = if tree.kind(node) == Kind::Attribute {
                        "attribute"
                    } else {
                        "item"
                    };
                    self.emit(node, What::Read(value, held, how, None));
                }
                value
            }
            Kind::Call => self.eval_call(node),
            Kind::List | Kind::ListPattern => {
                let items = self.items(node);
                self.container(Value::List(items.into(), false))
            }
            Kind::Set => {
                let items = self.items(node);
                self.container(Value::Set(items.into(), false))
            }
            Kind::Tuple | Kind::ExpressionList | Kind::PatternList | Kind::TuplePattern => {
                let items = self.items(node);
                self.value(Value::Tuple(items.into(), false))
            }
            Kind::Dictionary => self.dictionary(node),
            Kind::BinaryOperator => {
                let (Some(left), Some(op), Some(right)) = (
                    tree.child(node, Field::Left),
                    tree.child(node, Field::Operator),
                    tree.child(node, Field::Right),
                ) else {
                    return self.unknown(Reason::Syntax);
                };
                let a = self.eval(left);
                let b = self.eval(right);
                self.binary(tree.text_of(op), a, b)
            }
            Kind::UnaryOperator => {
                let (Some(op), Some(argument)) = (
                    tree.child(node, Field::Operator),
                    tree.child(node, Field::Argument),
                ) else {
                    return self.unknown(Reason::Syntax);
                };
                let operand = self.eval(argument);
                match (tree.text_of(op), self.get(operand)) {
                    ("-", &Value::Int(n)) if n != i64::MIN => self.value(Value::Int(-n)),
                    ("-", &Value::Float(bits)) => {
                        self.value(Value::Float((-f64::from_bits(bits)).to_bits()))
                    }
                    (op, _) => {
                        let op = self.sym(op);
                        let operand = self.frozen(operand);
                        self.value(Value::Unary(op, operand))
                    }
                }
            }
            Kind::NotOperator => {
                let Some(argument) = tree.child(node, Field::Argument) else {
                    return self.unknown(Reason::Syntax);
                };
                let operand = self.eval(argument);
                let operand = self.frozen(operand);
                match self.decided(operand) {
                    Some(truth) => self.boolean(!truth),
                    None => self.not(operand),
                }
            }
            Kind::BooleanOperator => self.boolean_operator(node),
            Kind::ComparisonOperator => self.comparison(node),
            Kind::ConditionalExpression => {
                let parts: Vec<NodeId> = tree.children(node).collect();
                let &[yes, test, no] = parts.as_slice() else {
                    return self.unknown(Reason::Syntax);
                };
                let condition = self.eval(test);
                let condition = self.frozen(condition);
                let place = self.place(test);
                self.fork(condition, place, &mut |this| this.eval(yes), &mut |this| {
                    this.eval(no)
                })
            }
            Kind::NamedExpression => {
                let (Some(name), Some(value)) = (
                    tree.child(node, Field::Name),
                    tree.child(node, Field::Value),
                ) else {
                    return self.unknown(Reason::Syntax);
                };
                let value = self.eval(value);
                let name = self.sym(tree.text_of(name));
                self.assign_name(name, value);
                value
            }
            Kind::Lambda => self.make_function(node),
            Kind::ListComprehension | Kind::GeneratorExpression => {
                let found = self.comprehension(node);
                self.container(Value::List(found.into(), false))
            }
            Kind::SetComprehension => {
                let found = self.comprehension(node);
                self.container(Value::Set(found.into(), false))
            }
            Kind::DictionaryComprehension => {
                let found = self.comprehension(node);
                let pairs: Vec<_> = found
                    .chunks_exact(2)
                    .map(|pair| (pair[0], pair[1]))
                    .collect();
                self.container(Value::Dict(pairs.into(), false))
            }
            Kind::ListSplat | Kind::ListSplatPattern => match starred(tree, node) {
                Some(inner) => {
                    let inner = self.eval(inner);
                    self.value(Value::Star(inner))
                }
                None => self.unknown(Reason::Syntax),
            },
            Kind::Slice => self.slice(node),
            Kind::Yield => {
                let value = match tree.children(node).next() {
                    Some(inner) if tree.kind(inner) != Kind::FromKeyword => self.eval(inner),
                    _ => self.unknown(Reason::Syntax),
                };
                if let Some(activation) = self.activations.last_mut() {
                    activation.yielded.push(value);
                }
                self.unknown(Reason::Argument)
            }
            _ => self.unknown(Reason::Syntax),
        }
    }

    fn integer(&mut self, text: &str) -> ValueId {
        let digits = text.replace('_', "").to_ascii_lowercase();
        let parsed = match digits.get(..2) {
            Some("0x") => i64::from_str_radix(&digits[2..], 16),
            Some("0o") => i64::from_str_radix(&digits[2..], 8),
            Some("0b") => i64::from_str_radix(&digits[2..], 2),
            _ => digits.parse(),
        };
        match parsed {
            Ok(number) => self.value(Value::Int(number)),
            Err(_) if digits.ends_with('j') => self.unknown(Reason::Syntax),
            Err(_) => {
                let sym = self.sym(&digits);
                self.value(Value::BigInt(sym))
            }
        }
    }

    // ---- text ----

    fn string_literal(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        if let Some(text) = tree.string_value(node) {
            return self.string(&text);
        }
        let mut parts = Vec::new();
        if !self.template_parts(node, &mut parts) {
            let sym = self.sym(tree.text_of(node));
            return self.value(Value::Bytes(sym));
        }
        self.template(&parts)
    }

    /// The parts of a string with placeholders; false for bytes.
    fn template_parts(&mut self, node: NodeId, parts: &mut Vec<ValueId>) -> bool {
        let tree = self.tree();
        if tree.kind(node) == Kind::ConcatenatedString {
            let strings: Vec<NodeId> = tree.children(node).collect();
            return strings.into_iter().all(|s| self.template_parts(s, parts));
        }
        let prefix = tree
            .child_of_kind(node, Kind::StringStart)
            .map_or("", |start| tree.text_of(start))
            .trim_end_matches(['"', '\'']);
        if prefix.contains(['b', 'B']) {
            return false;
        }
        let raw = prefix.contains(['r', 'R']);
        let formatted = prefix.contains(['f', 'F', 't', 'T']);
        for piece in tree.children(node) {
            match tree.kind(piece) {
                Kind::StringContent => {
                    let text = tree.text_of(piece);
                    let text = if formatted {
                        text.replace("{{", "{").replace("}}", "}")
                    } else {
                        text.to_owned()
                    };
                    let text = if raw { text } else { unescape(&text) };
                    let part = self.string(&text);
                    parts.push(part);
                }
                Kind::Interpolation => {
                    let inner = tree
                        .child(piece, Field::Expression)
                        .or_else(|| tree.children(piece).next());
                    let value = match inner {
                        Some(inner) => self.eval(inner),
                        None => self.unknown(Reason::Syntax),
                    };
                    let plain = tree.child_of_kind(piece, Kind::FormatSpecifier).is_none()
                        && tree.child_of_kind(piece, Kind::TypeConversion).is_none();
                    let value = self.frozen(value);
                    let value = if plain {
                        value
                    } else {
                        // How it is formatted changes the text in a way that is not followed.
                        let written = tree.text_of(piece);
                        let written = self.string(written);
                        self.pure_call("format", &[value, written])
                    };
                    parts.push(value);
                }
                _ => {}
            }
        }
        true
    }

    /// Parts joined to a text, neighbouring literals as one.
    pub(super) fn template(&mut self, parts: &[ValueId]) -> ValueId {
        let mut joined: Vec<ValueId> = Vec::new();
        for &part in parts {
            let inner: Vec<ValueId> = match self.get(part) {
                Value::Template(inner) => inner.to_vec(),
                _ => vec![part],
            };
            for part in inner {
                let last = joined.last().map(|&l| self.get(l).clone());
                let text = match *self.get(part) {
                    Value::Str(s) => Some(self.text(s).to_owned()),
                    Value::Int(n) => Some(n.to_string()),
                    _ => None,
                };
                match (last, text) {
                    (Some(Value::Str(before)), Some(text)) => {
                        let whole = format!("{}{text}", self.text(before));
                        joined.pop();
                        joined.push(self.string(&whole));
                    }
                    (_, Some(text)) => joined.push(self.string(&text)),
                    _ => joined.push(part),
                }
            }
        }
        match joined.as_slice() {
            [] => self.string(""),
            [one] if matches!(self.get(*one), Value::Str(_)) => *one,
            _ => self.value(Value::Template(joined.into())),
        }
    }

    // ---- containers ----

    fn items(&mut self, node: NodeId) -> Vec<ValueId> {
        let tree = self.tree();
        let mut found = Vec::new();
        for child in tree.children(node) {
            let value = self.eval(child);
            match self.get(value) {
                &Value::Star(inner) => match self.elements(inner) {
                    Some(items) => found.extend(items),
                    None => found.push(value),
                },
                _ => found.push(value),
            }
        }
        found
    }

    /// The elements of a container when they are all known, one by one.
    pub(super) fn elements(&self, value: ValueId) -> Option<Vec<ValueId>> {
        let content = match self.get(value) {
            &Value::Ref(owner) => self.content(owner)?,
            other => other,
        };
        let items = match content {
            Value::List(items, false) | Value::Tuple(items, false) | Value::Set(items, false) => {
                items.to_vec()
            }
            Value::Dict(items, false) => items.iter().map(|&(k, _)| k).collect(),
            _ => return None,
        };
        let sure = |&i: &ValueId| !matches!(self.get(i), Value::Star(_) | Value::Each(..));
        items.iter().all(sure).then_some(items)
    }

    fn dictionary(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        let mut items: Vec<(ValueId, ValueId)> = Vec::new();
        let mut open = false;
        for child in tree.children(node) {
            match tree.kind(child) {
                Kind::Pair => {
                    let (Some(key), Some(value)) = (
                        tree.child(child, Field::Key),
                        tree.child(child, Field::Value),
                    ) else {
                        continue;
                    };
                    let key = self.eval(key);
                    let key = self.frozen(key);
                    let value = self.eval(value);
                    put(&mut items, key, value);
                }
                Kind::DictionarySplat => {
                    let Some(inner) = tree.children(child).next() else {
                        continue;
                    };
                    let inner = self.eval(inner);
                    self.spread_read(child, inner);
                    let known = match self.get(inner) {
                        &Value::Ref(owner) => match self.content(owner) {
                            Some(Value::Dict(more, o)) => Some((more.to_vec(), *o)),
                            _ => None,
                        },
                        _ => None,
                    };
                    match known {
                        Some((more, more_open)) => {
                            for (key, value) in more {
                                put(&mut items, key, value);
                            }
                            open |= more_open;
                        }
                        None => {
                            // Any of the keys before may be replaced by it.
                            let star = self.value(Value::Star(inner));
                            items.push((star, inner));
                        }
                    }
                }
                _ => {}
            }
        }
        self.container(Value::Dict(items.into(), open))
    }

    /// A config whose keys are all read at once.
    pub(super) fn spread_read(&mut self, node: NodeId, value: ValueId) {
        if let Some((root, path)) = self.config_path(value) {
            let at = self.config_at(root, &path);
            self.emit(node, What::Read(at, path.len() as u32, "spread", None));
        }
    }

    /// The elements a comprehension yields: pairs of key and value, one after the other, for dicts.
    fn comprehension(&mut self, node: NodeId) -> Vec<ValueId> {
        let tree = self.tree();
        let mut names: FxHashSet<Sym> = FxHashSet::default();
        let clauses: Vec<NodeId> = tree
            .children(node)
            .filter(|&c| matches!(tree.kind(c), Kind::ForInClause | Kind::IfClause))
            .collect();
        for &clause in &clauses {
            if let Some(left) = tree.child(clause, Field::Left) {
                for inner in tree.descendants(left) {
                    if tree.kind(inner) == Kind::Identifier {
                        names.insert(self.sym(tree.text_of(inner)));
                    }
                }
            }
        }
        let Some(body) = tree.child(node, Field::Body) else {
            return Vec::new();
        };
        let outer = self.frame;
        let owner = self.new_object();
        let module = self.frames[outer as usize].module;
        let function = self.frames[outer as usize].function;
        self.frames.push(Frame {
            owner,
            parent: Some(outer),
            module,
            scope: Scope::Some(Rc::new(names)),
            function,
        });
        self.frame = self.frames.len() as u32 - 1;
        let mut found = Vec::new();
        self.clauses(&clauses, body, &mut Vec::new(), &mut found);
        self.frame = outer;
        found
    }

    fn clauses(
        &mut self,
        clauses: &[NodeId],
        body: NodeId,
        loops: &mut Vec<u32>,
        found: &mut Vec<ValueId>,
    ) {
        let tree = self.tree();
        let Some((&clause, rest)) = clauses.split_first() else {
            let mut values = Vec::new();
            if tree.kind(body) == Kind::Pair {
                for field in [Field::Key, Field::Value] {
                    if let Some(part) = tree.child(body, field) {
                        values.push(self.eval(part));
                    }
                }
            } else {
                values.push(self.eval(body));
            }
            for mut value in values {
                for &id in loops.iter().rev() {
                    value = self.value(Value::Each(value, id));
                }
                found.push(value);
            }
            return;
        };
        if tree.kind(clause) == Kind::IfClause {
            let Some(test) = tree.children(clause).next() else {
                return;
            };
            let condition = self.eval(test);
            let condition = self.frozen(condition);
            let place = self.place(test);
            let none = self.none();
            let decided = self.decided(condition);
            if decided.is_none() {
                // Filtered elements are there for some iterations only.
                let id = self.new_loop("comprehension", condition, Some(clause));
                loops.push(id);
            }
            let depth = loops.len();
            self.fork(
                condition,
                place,
                &mut |this| {
                    this.clauses(rest, body, loops, found);
                    none
                },
                &mut |_| none,
            );
            loops.truncate(depth - usize::from(decided.is_none()));
            return;
        }
        let (Some(left), Some(right)) = (
            tree.child(clause, Field::Left),
            tree.child(clause, Field::Right),
        ) else {
            return;
        };
        let over = self.eval(right);
        if self.dead {
            return;
        }
        let id = self.new_loop("comprehension", over, Some(clause));
        let (depth, start) = (loops.len(), found.len());
        self.run_for(id, clause, over, &mut |this, element, one_of_many| {
            this.assign(left, element);
            loops.truncate(depth);
            if one_of_many {
                loops.push(id);
                // The first look at the loop must not leave elements behind.
                found.truncate(start);
            }
            this.clauses(rest, body, loops, found);
        });
        loops.truncate(depth);
    }

    /// A loop over a value: one by one where its elements are known, else one for all. The body
    /// gets the element, and whether it stands for many.
    pub(super) fn run_for(
        &mut self,
        id: u32,
        node: NodeId,
        over: ValueId,
        body: &mut dyn FnMut(&mut Self, ValueId, bool),
    ) -> Vec<u32> {
        if let Some((root, path)) = self.config_path(over) {
            let at = self.config_at(root, &path);
            self.emit(node, What::Read(at, path.len() as u32, "iterate", None));
        }
        if let Some(items) = self.elements(over)
            && items.len() <= MAX_UNROLL
        {
            return self.run_each(id, node, items.len(), &mut |this, n| {
                body(this, items[n], false);
            });
        }
        let ran = self.value(Value::Ran(id));
        self.run_loop(id, node, ran, false, &mut |this| {
            let element = this.element(over, id);
            body(this, element, true);
        })
    }

    /// An element of what a loop goes over.
    pub(super) fn element(&mut self, over: ValueId, id: u32) -> ValueId {
        if let Value::Call(callee, args, named, PURE) = self.get(over).clone()
            && let Value::Library(name) = *self.get(callee)
        {
            let name = self.text(name).to_owned();
            match (name.as_str(), &*args) {
                ("enumerate", [over, ..]) => {
                    let start = args
                        .get(1)
                        .or_else(|| named.first().map(|(_, v)| v))
                        .copied();
                    let start = match start {
                        Some(start) => start,
                        None => self.value(Value::Int(0)),
                    };
                    let index = self.value(Value::Index(start, id));
                    let element = self.element(*over, id);
                    return self.value(Value::Tuple([index, element].into(), false));
                }
                ("zip", _) => {
                    let parts = args.iter().map(|&a| self.element(a, id)).collect();
                    return self.value(Value::Tuple(parts, false));
                }
                (
                    "reversed" | "sorted" | "list" | "iter" | "tuple" | "set" | "tqdm",
                    [over, ..],
                ) => {
                    return self.element(*over, id);
                }
                ("items", [config]) => {
                    let key = self.value(Value::Key(*config, id));
                    let value = match self.config_path(*config) {
                        Some((root, mut path)) => {
                            path.push(key);
                            self.config_at(root, &path)
                        }
                        None => self.value(Value::Item(*config, key)),
                    };
                    return self.value(Value::Tuple([key, value].into(), false));
                }
                ("keys", [config]) => return self.value(Value::Key(*config, id)),
                ("values", [config]) => {
                    let key = self.value(Value::Key(*config, id));
                    if let Some((root, mut path)) = self.config_path(*config) {
                        path.push(key);
                        return self.config_at(root, &path);
                    }
                }
                _ => {}
            }
        }
        let content = match self.get(over) {
            &Value::Ref(owner) => self.content(owner).cloned(),
            other => Some(other.clone()),
        };
        if let Some(
            Value::List(items, false) | Value::Set(items, false) | Value::Tuple(items, false),
        ) = content
            && let [one] = *items
            && let Value::Each(inner, _) = *self.get(one)
        {
            return inner;
        }
        let over = self.frozen(over);
        self.value(Value::Element(over, id))
    }

    fn slice(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        let mut parts = [None; 3];
        let mut at = tree.span(node).start;
        let mut number = 0;
        let text = tree.text();
        for child in tree.children(node) {
            let span = tree.span(child);
            let between = text.get(at as usize..span.start as usize).unwrap_or("");
            number += between.matches(':').count();
            if let Some(part) = parts.get_mut(number) {
                *part = Some(child);
            }
            at = span.end;
        }
        let parts = parts.map(|part| {
            part.map(|node| {
                let value = self.eval(node);
                self.frozen(value)
            })
        });
        self.value(Value::Slice(parts))
    }

    // ---- operators ----

    pub(super) fn binary(&mut self, op: &str, a: ValueId, b: ValueId) -> ValueId {
        match (op, self.get(a), self.get(b)) {
            ("+", &Value::Int(x), &Value::Int(y)) => {
                if let Some(sum) = x.checked_add(y) {
                    return self.value(Value::Int(sum));
                }
            }
            ("-", &Value::Int(x), &Value::Int(y)) => {
                if let Some(difference) = x.checked_sub(y) {
                    return self.value(Value::Int(difference));
                }
            }
            ("*", &Value::Int(x), &Value::Int(y)) => {
                if let Some(product) = x.checked_mul(y) {
                    return self.value(Value::Int(product));
                }
            }
            ("+", Value::Str(_) | Value::Template(_), Value::Str(_) | Value::Template(_)) => {
                return self.template(&[a, b]);
            }
            // What is added to a text is a text, or the program ends there.
            ("+", Value::Str(_) | Value::Template(_), _)
            | ("+", _, Value::Str(_) | Value::Template(_)) => {
                let (a, b) = (self.frozen(a), self.frozen(b));
                return self.template(&[a, b]);
            }
            ("%", Value::Str(_), _) => {
                if let Some(text) = self.percent(a, b) {
                    return text;
                }
            }
            ("+", _, _) => {
                let (left, right) = (self.sequence(a), self.sequence(b));
                if let (Some((mut items, was_list)), Some((more, is_list))) = (left, right)
                    && was_list == is_list
                {
                    items.extend(more);
                    return if is_list {
                        self.container(Value::List(items.into(), false))
                    } else {
                        self.value(Value::Tuple(items.into(), false))
                    };
                }
            }
            _ => {}
        }
        let op = self.sym(op);
        let (a, b) = (self.frozen(a), self.frozen(b));
        self.value(Value::Binary(op, a, b))
    }

    /// The items of a closed list (true) or tuple (false).
    fn sequence(&self, value: ValueId) -> Option<(Vec<ValueId>, bool)> {
        match self.get(value) {
            &Value::Ref(owner) => match self.content(owner)? {
                Value::List(items, false) => Some((items.to_vec(), true)),
                _ => None,
            },
            Value::Tuple(items, false) => Some((items.to_vec(), false)),
            _ => None,
        }
    }

    /// `"…%s…" % values`, with plain placeholders only.
    fn percent(&mut self, format: ValueId, values: ValueId) -> Option<ValueId> {
        let Value::Str(format) = *self.get(format) else {
            return None;
        };
        let format = self.text(format).to_owned();
        let values = match self.get(values) {
            Value::Tuple(items, false) => items.to_vec(),
            _ => vec![values],
        };
        let pieces: Vec<&str> = format.split("%s").collect();
        if pieces.len() != values.len() + 1 || pieces.iter().any(|p| p.contains('%')) {
            return None;
        }
        Some(self.interleaved(&pieces, &values))
    }

    /// Texts with values between them.
    pub(super) fn interleaved(&mut self, pieces: &[&str], values: &[ValueId]) -> ValueId {
        let mut parts = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            if !piece.is_empty() {
                parts.push(self.string(piece));
            }
            if let Some(&value) = values.get(number) {
                parts.push(self.frozen(value));
            }
        }
        self.template(&parts)
    }

    fn boolean_operator(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        let (Some(left), Some(op), Some(right)) = (
            tree.child(node, Field::Left),
            tree.child(node, Field::Operator),
            tree.child(node, Field::Right),
        ) else {
            return self.unknown(Reason::Syntax);
        };
        let a = self.eval(left);
        let test = self.frozen(a);
        let place = self.place(left);
        if tree.text_of(op) == "and" {
            self.fork(test, place, &mut |this| this.eval(right), &mut |_| a)
        } else {
            self.fork(test, place, &mut |_| a, &mut |this| this.eval(right))
        }
    }

    fn comparison(&mut self, node: NodeId) -> ValueId {
        let tree = self.tree();
        let operators: Vec<NodeId> = tree.children_in(node, Field::Operators).collect();
        let operands: Vec<NodeId> = tree
            .children(node)
            .filter(|&c| tree.field(c) != Field::Operators)
            .collect();
        if operands.len() != operators.len() + 1 {
            return self.unknown(Reason::Syntax);
        }
        let first = self.eval(operands[0]);
        self.comparison_from(node, first, &operators, &operands[1..])
    }

    fn comparison_from(
        &mut self,
        node: NodeId,
        left: ValueId,
        operators: &[NodeId],
        operands: &[NodeId],
    ) -> ValueId {
        let tree = self.tree();
        let (Some((&op, operators)), Some((&right, operands))) =
            (operators.split_first(), operands.split_first())
        else {
            return self.unknown(Reason::Syntax);
        };
        let b = self.eval(right);
        let words: Vec<&str> = tree.text_of(op).split_whitespace().collect();
        let test = self.compare(node, &words.join(" "), left, b);
        if operators.is_empty() {
            return test;
        }
        let place = self.place(node);
        self.fork(
            test,
            place,
            &mut |this| this.comparison_from(node, b, operators, operands),
            &mut |_| test,
        )
    }

    /// One comparison.
    pub(super) fn compare(&mut self, node: NodeId, op: &str, a: ValueId, b: ValueId) -> ValueId {
        if let "in" | "not in" = op {
            let found = self.contains(node, a, b);
            return if op == "in" { found } else { self.not(found) };
        }
        let known = match (self.get(a), self.get(b)) {
            (&Value::Int(x), &Value::Int(y)) => match op {
                "<" => Some(x < y),
                "<=" => Some(x <= y),
                ">" => Some(x > y),
                ">=" => Some(x >= y),
                "==" => Some(x == y),
                "!=" => Some(x != y),
                _ => None,
            },
            (Value::Str(x), Value::Str(y)) => match op {
                "==" => Some(x == y),
                "!=" => Some(x != y),
                _ => None,
            },
            (x, y) if matches!(op, "is" | "==" | "is not" | "!=") => {
                let constant = |v: &Value| matches!(v, Value::None | Value::Bool(_));
                let object = |v: &Value| {
                    matches!(
                        v,
                        Value::Ref(_)
                            | Value::Instance(_)
                            | Value::Function(_)
                            | Value::Class(_)
                            | Value::Module(_)
                            | Value::Tuple(..)
                            | Value::Template(_)
                            | Value::Str(_)
                            | Value::Bound(..)
                    )
                };
                let same = (constant(x) && constant(y)).then_some(x == y);
                let apart =
                    matches!(x, Value::None) && object(y) || object(x) && matches!(y, Value::None);
                same.or(apart.then_some(false))
                    .map(|s| s != op.contains(['n', '!']))
            }
            _ => None,
        };
        if let Some(known) = known {
            return self.boolean(known);
        }
        let positive = match op {
            "!=" => "==",
            "is not" => "is",
            other => other,
        };
        let sym = self.sym(positive);
        let (a, b) = (self.frozen(a), self.frozen(b));
        let test = self.value(Value::Compare(sym, a, b));
        if positive == op { test } else { self.not(test) }
    }

    fn contains(&mut self, node: NodeId, key: ValueId, container: ValueId) -> ValueId {
        if let Some((root, mut path)) = self.config_path(container) {
            let held = path.len() as u32;
            path.push(self.frozen(key));
            let at = self.config_at(root, &path);
            self.emit(node, What::Read(at, held, "contains", None));
            return self.config_has(root, &path);
        }
        if let Value::Select(test, yes, no) = *self.get(container)
            && self.followed(container)
        {
            let place = self.place(node);
            return self.fork(
                test,
                place,
                &mut |this| this.contains(node, key, yes),
                &mut |this| this.contains(node, key, no),
            );
        }
        if let Some(items) = self.elements(container) {
            let literal = |v: ValueId| matches!(self.get(v), Value::Str(_) | Value::Int(_));
            if literal(key) {
                if items.contains(&key) {
                    return self.boolean(true);
                }
                let same_kind = |&i: &ValueId| {
                    std::mem::discriminant(self.get(i)) == std::mem::discriminant(self.get(key))
                };
                if items.iter().all(same_kind) {
                    return self.boolean(false);
                }
            }
        }
        let sym = self.sym("in");
        let (key, container) = (self.frozen(key), self.frozen(container));
        self.value(Value::Compare(sym, key, container))
    }

    // ---- configs ----

    /// The root and path of a config value.
    pub(super) fn config_path(&self, value: ValueId) -> Option<(u32, Vec<ValueId>)> {
        match self.get(value) {
            Value::Config { root, path, .. } => Some((*root, path.to_vec())),
            _ => None,
        }
    }

    /// What a config holds at a path now.
    pub(super) fn config_at(&mut self, root: u32, path: &[ValueId]) -> ValueId {
        let version = self.version;
        self.value(Value::Config {
            root,
            path: path.into(),
            version,
        })
    }

    /// Whether a config holds a path now.
    pub(super) fn config_has(&mut self, root: u32, path: &[ValueId]) -> ValueId {
        let version = self.version;
        self.value(Value::Has {
            root,
            path: path.into(),
            version,
        })
    }

    /// Whether a choice holds something whose identity is followed.
    pub(super) fn followed(&self, value: ValueId) -> bool {
        let mut left = MAX_CHOICES * 2;
        let mut stack = vec![value];
        while let Some(at) = stack.pop() {
            if left == 0 {
                return false;
            }
            left -= 1;
            match *self.get(at) {
                Value::Select(_, yes, no) => stack.extend([yes, no]),
                Value::Config { .. }
                | Value::Ref(_)
                | Value::Instance(_)
                | Value::Function(_)
                | Value::Bound(..)
                | Value::Class(_)
                | Value::Module(_)
                | Value::Library(_) => return true,
                _ => {}
            }
        }
        false
    }

    // ---- attributes and items ----

    /// A chain of attributes and items. `held` becomes the length of the config path that the
    /// chain starts from, if it goes through a config; the caller records the read as one.
    fn access(&mut self, node: NodeId, held: &mut Option<u32>) -> ValueId {
        let tree = self.tree();
        let attribute = tree.kind(node) == Kind::Attribute;
        let object = tree.child(
            node,
            if attribute {
                Field::Object
            } else {
                Field::Value
            },
        );
        let Some(object) = object else {
            return self.unknown(Reason::Syntax);
        };
        let base = match tree.kind(object) {
            Kind::Attribute | Kind::Subscript if self.nesting < 400 => {
                self.nesting += 1;
                let base = self.access(object, held);
                self.nesting -= 1;
                base
            }
            _ => self.eval(object),
        };
        if self.dead {
            return base;
        }
        let key = if attribute {
            match tree.child(node, Field::Attribute) {
                Some(name) => self.string(tree.text_of(name)),
                None => return self.unknown(Reason::Syntax),
            }
        } else {
            let keys: Vec<NodeId> = tree.children_in(node, Field::Subscript).collect();
            match keys.as_slice() {
                [one] => {
                    let key = self.eval(*one);
                    self.frozen(key)
                }
                _ => {
                    let items: Vec<ValueId> = keys.iter().map(|&k| self.eval(k)).collect();
                    let key = self.value(Value::Tuple(items.into(), false));
                    self.frozen(key)
                }
            }
        };
        if let Some((root, mut path)) = self.config_path(base)
            && !matches!(self.get(key), Value::Slice(_))
        {
            held.get_or_insert(path.len() as u32);
            path.push(key);
            return self.config_at(root, &path);
        }
        // The config part of the chain ends here.
        if let Some(held) = held.take()
            && self.config_path(base).is_some()
        {
            self.emit(object, What::Read(base, held, "attribute", None));
        }
        self.member(node, base, key, attribute)
    }

    /// An attribute (`attribute` true, the key a string) or element of a value.
    pub(super) fn member(
        &mut self,
        node: NodeId,
        base: ValueId,
        key: ValueId,
        attribute: bool,
    ) -> ValueId {
        if let Value::Select(test, yes, no) = *self.get(base)
            && self.followed(base)
        {
            let place = self.place(node);
            return self.fork(
                test,
                place,
                &mut |this| this.member(node, yes, key, attribute),
                &mut |this| this.member(node, no, key, attribute),
            );
        }
        if let Some((root, mut path)) = self.config_path(base) {
            let held = path.len() as u32;
            path.push(key);
            let at = self.config_at(root, &path);
            let how = if attribute { "attribute" } else { "item" };
            self.emit(node, What::Read(at, held, how, None));
            return at;
        }
        if attribute {
            let Value::Str(name) = *self.get(key) else {
                return self.unknown(Reason::Syntax);
            };
            return self.attribute(node, base, name);
        }
        self.item(node, base, key)
    }

    fn item(&mut self, node: NodeId, base: ValueId, key: ValueId) -> ValueId {
        let content = match self.get(base) {
            &Value::Ref(owner) => self.content(owner).cloned(),
            Value::Tuple(..) => Some(self.get(base).clone()),
            _ => None,
        };
        if let Some(content) = content
            && let Some(found) = self.item_of(&content, key, MAX_CHOICES)
        {
            return found;
        }
        let base = self.frozen(base);
        let by_name = matches!(
            self.get(key),
            Value::Str(_)
                | Value::Template(_)
                | Value::List(..)
                | Value::Element(..)
                | Value::Config { .. }
        );
        if by_name {
            self.emit(node, What::Lookup(base, key));
        }
        self.value(Value::Item(base, key))
    }

    fn item_of(&mut self, content: &Value, key: ValueId, choices: u32) -> Option<ValueId> {
        match content {
            Value::Dict(items, _) => match self.find_key(items, key) {
                Found::Value(value) => Some(value),
                _ => None,
            },
            Value::List(items, _) | Value::Tuple(items, _) => {
                let &Value::Int(n) = self.get(key) else {
                    return None;
                };
                let sure = |&i: &ValueId| !matches!(self.get(i), Value::Star(_) | Value::Each(..));
                let n = match (usize::try_from(n), content) {
                    (Ok(n), _) => n,
                    (Err(_), Value::List(_, false) | Value::Tuple(_, false)) => {
                        items.len().checked_sub(n.unsigned_abs() as usize)?
                    }
                    _ => return None,
                };
                let all = matches!(content, Value::List(_, true)) || items.iter().all(sure);
                (all && items.iter().take(n + 1).all(sure))
                    .then(|| items.get(n).copied())
                    .flatten()
            }
            &Value::Select(test, yes, no) => {
                let left = choices.checked_sub(1)?;
                let (a, b) = (self.get(yes).clone(), self.get(no).clone());
                let a = self.item_of(&a, key, left)?;
                let b = self.item_of(&b, key, left)?;
                Some(self.select(test, a, b))
            }
            _ => None,
        }
    }

    /// Looks a key up among a dict's items.
    pub(super) fn find_key(&self, items: &[(ValueId, ValueId)], key: ValueId) -> Found {
        let literal = |v: ValueId| {
            matches!(
                self.get(v),
                Value::Str(_) | Value::Int(_) | Value::Bool(_) | Value::None
            )
        };
        let mut sure = literal(key);
        for &(k, v) in items.iter().rev() {
            if k == key && !matches!(self.get(k), Value::Unknown(..)) {
                return Found::Value(v);
            }
            if !literal(k) {
                sure = false;
                break;
            }
        }
        if sure { Found::Absent } else { Found::Unknown }
    }

    /// An attribute of a value that is no config.
    pub(super) fn attribute(&mut self, node: NodeId, base: ValueId, name: Sym) -> ValueId {
        match *self.get(base) {
            Value::Library(library) => {
                let dotted = format!("{}.{}", self.text(library), self.text(name));
                if let Some(&number) = self.package.by_name.get(dotted.as_str()) {
                    let module = self.load(number, node);
                    return self.value(Value::Module(module));
                }
                self.library(&dotted)
            }
            Value::Module(module) => self.module_attribute(module, name, node),
            Value::Class(class) => {
                if let Some((found, owner)) = self.class_member(class, name) {
                    if self.classes[owner as usize].is_enum
                        && !matches!(self.get(found), Value::Function(_))
                    {
                        return self.value(Value::Attribute(base, name));
                    }
                    if let Value::Function(f) = *self.get(found)
                        && self.functions[f as usize].role == super::interp::Role::Class
                    {
                        return self.value(Value::Bound(base, f));
                    }
                    return found;
                }
                self.value(Value::Attribute(base, name))
            }
            Value::Instance(instance) => self.instance_attribute(node, base, instance, name),
            Value::Super(class, this) => {
                let order = self.order_behind(class, this);
                if let Some((found, _)) = self.member_among(&order, name)
                    && let Value::Function(f) = *self.get(found)
                {
                    return self.value(Value::Bound(this, f));
                }
                self.value(Value::Attribute(base, name))
            }
            // The raw value of an enum's member.
            Value::Attribute(of, member) if self.text(name) == "value" => {
                if let Value::Class(class) = *self.get(of)
                    && let Some((found, _)) = self.class_member(class, member)
                {
                    return found;
                }
                self.value(Value::Attribute(base, name))
            }
            _ => {
                let base = self.frozen(base);
                self.value(Value::Attribute(base, name))
            }
        }
    }

    fn instance_attribute(
        &mut self,
        node: NodeId,
        base: ValueId,
        instance: u32,
        name: Sym,
    ) -> ValueId {
        let cell = Cell {
            owner: instance,
            key: name.0,
        };
        if let Some(value) = self.store.get(cell) {
            return value;
        }
        let class = self.instances.get(&instance).copied();
        if let Some(class) = class
            && let Some((found, _)) = self.class_member(class, name)
        {
            if let Value::Function(f) = *self.get(found) {
                return match self.functions[f as usize].role {
                    super::interp::Role::Static => found,
                    super::interp::Role::Property => {
                        let args = Args::positional(vec![base]);
                        self.call_function(node, f, args)
                    }
                    super::interp::Role::Class => {
                        let class = self.value(Value::Class(class));
                        self.value(Value::Bound(class, f))
                    }
                    super::interp::Role::Plain => self.value(Value::Bound(base, f)),
                };
            }
            if !self.is_descriptor(found) {
                return found;
            }
        }
        self.value(Value::Attribute(base, name))
    }

    /// A name in a class or the package's classes it inherits from, with the class that has it.
    pub(super) fn class_member(&self, class: u32, name: Sym) -> Option<(ValueId, u32)> {
        self.member_among(&self.classes[class as usize].order, name)
    }

    /// The first of some classes of the package that has a name, with what it stands for.
    pub(super) fn member_among(&self, order: &[Ancestor], name: Sym) -> Option<(ValueId, u32)> {
        order.iter().find_map(|&ancestor| {
            let Ancestor::Own(at) = ancestor else {
                return None;
            };
            let cell = Cell {
                owner: self.classes[at as usize].owner,
                key: name.0,
            };
            self.store.get(cell).map(|found| (found, at))
        })
    }

    /// The first class outside the package that a class inherits from.
    pub(super) fn library_base(&self, class: u32) -> Option<ValueId> {
        let mut left = 64;
        let mut stack = vec![class];
        while let Some(at) = stack.pop() {
            left -= 1;
            if left == 0 {
                return None;
            }
            for &base in self.classes[at as usize].bases.iter().rev() {
                match *self.get(base) {
                    Value::Class(c) => stack.push(c),
                    _ => return Some(base),
                }
            }
        }
        None
    }

    // ---- names ----

    /// The cell of a name in the frame that holds it, as seen from the current one; `None` for
    /// builtins.
    fn cell_of(&self, name: Sym, assigning: bool) -> Cell {
        let mut at = self.frame;
        let mut first = true;
        loop {
            let frame = &self.frames[at as usize];
            let module = &self.modules[frame.module as usize];
            let global = Cell {
                owner: module.owner,
                key: name.0,
            };
            let holds = match &frame.scope {
                Scope::Function(definition) => {
                    if definition.globals.contains(&name) {
                        return global;
                    }
                    definition.locals.contains(&name)
                }
                Scope::Some(names) => names.contains(&name),
                // A class body's names are seen by its own statements only.
                Scope::All => {
                    first
                        && (assigning
                            || self
                                .store
                                .get(Cell {
                                    owner: frame.owner,
                                    key: name.0,
                                })
                                .is_some())
                }
            };
            if holds {
                return Cell {
                    owner: frame.owner,
                    key: name.0,
                };
            }
            // A walrus in a comprehension binds outside of it.
            first = matches!(frame.scope, Scope::Some(_)) && first;
            match frame.parent {
                Some(parent) => at = parent,
                None => return global,
            }
        }
    }

    pub(super) fn lookup(&mut self, name: Sym) -> ValueId {
        let cell = self.cell_of(name, false);
        if let Some(value) = self.store.get(cell) {
            return value;
        }
        let module = self.frames[self.frame as usize].module;
        let owner = self.modules[module as usize].owner;
        if cell.owner == owner {
            let text = self.text(name).to_owned();
            return match text.as_str() {
                "__file__" => {
                    let path = self.package.modules[self.source_number() as usize].path;
                    let path = self.string(path);
                    self.pure_call("__file__", &[path])
                }
                _ if super::library::is_builtin(&text) => self.library(&text),
                _ => self.unknown(Reason::Name),
            };
        }
        self.unknown(Reason::Name)
    }

    pub(super) fn assign_name(&mut self, name: Sym, value: ValueId) {
        let cell = self.cell_of(name, true);
        self.store.set(cell, Some(value));
    }

    pub(super) fn delete_name(&mut self, name: Sym) {
        let cell = self.cell_of(name, true);
        self.store.set(cell, None);
    }

    /// The definition at a node, made once.
    pub(super) fn definition(&mut self, node: NodeId) -> Option<Rc<Definition>> {
        let module = self.source_number();
        if let Some(known) = self.definitions.get(&(module, node)) {
            return Some(Rc::clone(known));
        }
        let tree = self.tree();
        let made = Rc::new(Definition::new(tree, node, module, &mut self.trace.names)?);
        self.definitions.insert((module, node), Rc::clone(&made));
        Some(made)
    }
}

/// What looking a key up gave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Value(ValueId),
    Absent,
    Unknown,
}

/// Sets a key among a dict's items, in its old place when it is there.
pub(super) fn put(items: &mut Vec<(ValueId, ValueId)>, key: ValueId, value: ValueId) {
    match items.iter_mut().find(|(k, _)| *k == key) {
        Some(item) => item.1 = value,
        None => items.push((key, value)),
    }
}
