//! What the interpreter knows of a Python value, hash-consed so that equal values are one number.

use rustc_hash::FxHashMap;
use serde::ser::{Serialize, SerializeTuple, Serializer};

/// A name or string, by its number in [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sym(pub u32);

/// Every name and string of a trace, once.
#[derive(Debug, Default)]
pub struct Names {
    texts: Vec<Box<str>>,
    numbers: FxHashMap<Box<str>, Sym>,
}

impl Names {
    /// The number of a text.
    pub fn intern(&mut self, text: &str) -> Sym {
        if let Some(&known) = self.numbers.get(text) {
            return known;
        }
        let sym = Sym(self.texts.len() as u32);
        self.texts.push(text.into());
        self.numbers.insert(text.into(), sym);
        sym
    }

    /// The text of a number.
    pub fn text(&self, sym: Sym) -> &str {
        &self.texts[sym.0 as usize]
    }

    /// The number of a text that was met before.
    pub fn find(&self, text: &str) -> Option<Sym> {
        self.numbers.get(text).copied()
    }
}

/// A value, by its number in [`Values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl Serialize for ValueId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

/// Why nothing better is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It changes from one iteration of a loop to the next.
    Loop,
    /// It was assigned where an exception may have come between.
    Exception,
    /// The function was already being evaluated.
    Recursion,
    /// No scope defines the name.
    Name,
    /// The construct is beyond the interpreter.
    Syntax,
    /// It comes from a module of the package whose text is not known.
    Module,
    /// A bound on the work cut the trace.
    Cut,
    /// Too many alternatives.
    Choices,
    /// An argument whose value the caller hands over in a form the interpreter does not follow.
    Argument,
    /// An attribute or element that code unknown to the interpreter may have set.
    Content,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Exception => "exception",
            Self::Recursion => "recursion",
            Self::Name => "name",
            Self::Syntax => "syntax",
            Self::Module => "module",
            Self::Cut => "cut",
            Self::Choices => "choices",
            Self::Argument => "argument",
            Self::Content => "content",
        }
    }
}

/// What is known of a value.
///
/// `Ref`, `Function`, `Class`, `Module`, `Instance`, `Bound` and `Super` are identities that the
/// interpreter follows; before a value leaves it, `Ref` is replaced by what the object holds then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// `None`.
    None,
    /// `...`.
    Ellipsis,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that 64 bits hold.
    Int(i64),
    /// A larger integer, as it is written.
    BigInt(Sym),
    /// A float, by its bits.
    Float(u64),
    /// Text.
    Str(Sym),
    /// Bytes, as they are written.
    Bytes(Sym),
    /// What a config holds at a path after `version` events.
    Config {
        /// The config object.
        root: u32,
        /// The keys, each a value.
        path: Box<[ValueId]>,
        /// How many events came before the read.
        version: u32,
    },
    /// Whether a config holds a path after `version` events.
    Has {
        /// The config object.
        root: u32,
        /// The keys.
        path: Box<[ValueId]>,
        /// How many events came before.
        version: u32,
    },
    /// A key of the mapping a loop goes over.
    Key(ValueId, u32),
    /// An element of what a loop goes over.
    Element(ValueId, u32),
    /// The number of the iteration, counted from a start.
    Index(ValueId, u32),
    /// A value once per iteration of a loop, inside a container.
    Each(ValueId, u32),
    /// Strings of values joined to a text.
    Template(Box<[ValueId]>),
    /// A list; open when it may hold more after the elements seen.
    List(Box<[ValueId]>, bool),
    /// A tuple.
    Tuple(Box<[ValueId]>, bool),
    /// A set.
    Set(Box<[ValueId]>, bool),
    /// A dict in the order of insertion; open when it may hold more.
    Dict(Box<[(ValueId, ValueId)]>, bool),
    /// `*value` or `**value` inside a container or call.
    Star(ValueId),
    /// An object of a library or a builtin, by its canonical name.
    Library(Sym),
    /// A module of the package.
    Module(u32),
    /// A function object.
    Function(u32),
    /// A class of the package.
    Class(u32),
    /// An instance of a class of the package.
    Instance(u32),
    /// A method bound to its receiver.
    Bound(ValueId, u32),
    /// `super()` of a class and an instance.
    Super(u32, ValueId),
    /// A list, dict or set that can change.
    Ref(u32),
    /// The result of a call: callee, positional arguments, named arguments, and the event (or, for
    /// calls that have no effect, [`PURE`]).
    Call(ValueId, Box<[ValueId]>, Box<[(Sym, ValueId)]>, u32),
    /// An attribute of something that is not followed.
    Attribute(ValueId, Sym),
    /// An element of something that is not followed.
    Item(ValueId, ValueId),
    /// `a[low:high:step]`'s index.
    Slice([Option<ValueId>; 3]),
    /// An arithmetic operator.
    Binary(Sym, ValueId, ValueId),
    /// A unary operator other than `not`.
    Unary(Sym, ValueId),
    /// A comparison.
    Compare(Sym, ValueId, ValueId),
    /// `not`.
    Not(ValueId),
    /// All of these conditions have these truths.
    All(Box<[(ValueId, bool)]>),
    /// The first of two values when the test is true, else the second.
    Select(ValueId, ValueId, ValueId),
    /// An iteration of the loop takes place.
    Ran(u32),
    /// An exception is raised inside the `try` of this number.
    Raised(u32),
    /// A library calls back, or a generator is run, in the loop of this number.
    Called(u32),
    /// A parameter of a function that was entered from outside.
    Parameter(Sym, Sym),
    /// Nothing is known; the number keeps two unknowns apart.
    Unknown(Reason, u32),
}

/// The event number of a call that changes nothing and always gives the same.
pub const PURE: u32 = u32::MAX;

/// All values of a trace; equal values have one number.
#[derive(Debug, Default)]
pub struct Values {
    rows: Vec<Value>,
    numbers: FxHashMap<Value, ValueId>,
    stable: Vec<bool>,
}

impl Values {
    /// The number of a value.
    pub fn intern(&mut self, value: Value) -> ValueId {
        if let Some(&known) = self.numbers.get(&value) {
            return known;
        }
        let id = ValueId(self.rows.len() as u32);
        let stable = self.is_stable(&value);
        self.rows.push(value.clone());
        self.stable.push(stable);
        self.numbers.insert(value, id);
        id
    }

    /// Adds a value that is not there yet.
    pub(super) fn push(&mut self, value: Value) {
        self.rows.push(value);
    }

    /// The value of a number.
    pub fn get(&self, id: ValueId) -> &Value {
        &self.rows[id.0 as usize]
    }

    /// All values in the order of their numbers.
    pub fn rows(&self) -> &[Value] {
        &self.rows
    }

    /// Whether two evaluations that gave this very value also gave the same truth: not so for the
    /// attributes of library objects, which change behind the interpreter's back.
    pub fn stable(&self, id: ValueId) -> bool {
        self.stable[id.0 as usize]
    }

    fn is_stable(&self, value: &Value) -> bool {
        let all = |ids: &[ValueId]| ids.iter().all(|&i| self.stable(i));
        match value {
            Value::Attribute(..)
            | Value::Instance(_)
            | Value::Bound(..)
            | Value::Super(..)
            | Value::Ref(_) => false,
            Value::Item(of, key) => {
                !matches!(self.get(*of), Value::Call(..) | Value::Library(_)) && all(&[*of, *key])
            }
            Value::Template(v) | Value::List(v, _) | Value::Tuple(v, _) | Value::Set(v, _) => {
                all(v)
            }
            Value::Dict(v, _) => v.iter().all(|&(k, v)| all(&[k, v])),
            Value::Star(v)
            | Value::Not(v)
            | Value::Unary(_, v)
            | Value::Each(v, _)
            | Value::Element(v, _)
            | Value::Key(v, _)
            | Value::Index(v, _) => all(&[*v]),
            // A call with an event of its own is one evaluation; its result is one value.
            Value::Call(callee, args, named, event) => {
                *event != PURE
                    || self.stable(*callee)
                        && all(args)
                        && named.iter().all(|&(_, v)| self.stable(v))
            }
            Value::Binary(_, a, b) | Value::Compare(_, a, b) => all(&[*a, *b]),
            Value::Select(a, b, c) => all(&[*a, *b, *c]),
            Value::All(conditions) => conditions.iter().all(|&(c, _)| self.stable(c)),
            _ => true,
        }
    }

    /// The truth of a value that does not depend on anything unknown.
    pub fn truth(&self, id: ValueId) -> Option<bool> {
        match self.get(id) {
            Value::None => Some(false),
            Value::Bool(b) => Some(*b),
            Value::Int(n) => Some(*n != 0),
            Value::Float(bits) => Some(f64::from_bits(*bits) != 0.0),
            Value::Ellipsis | Value::Function(_) | Value::Class(_) | Value::Module(_) => Some(true),
            Value::Not(inner) => self.truth(*inner).map(|t| !t),
            Value::List(items, open) | Value::Tuple(items, open) | Value::Set(items, open) => {
                let sure = |i: &ValueId| !matches!(self.get(*i), Value::Star(_) | Value::Each(..));
                match (items.iter().any(sure), items.is_empty() && !open) {
                    (true, _) => Some(true),
                    (false, true) => Some(false),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// A value as Python decodes it: an array of a tag and the fields.
pub struct Row<'a> {
    /// The value.
    pub value: &'a Value,
    /// What its names stand for.
    pub names: &'a Names,
    /// What its identities stand for.
    pub labels: &'a Labels,
}

/// Readable names of the identities in values.
#[derive(Debug, Default)]
pub struct Labels {
    /// Dotted names of the package's modules.
    pub modules: Vec<String>,
    /// Qualified names of function objects, with the number of their module.
    pub functions: Vec<(String, u32)>,
    /// Qualified names of classes, with the number of their module.
    pub classes: Vec<(String, u32)>,
    /// The class of each instance, by the instance's number.
    pub instances: FxHashMap<u32, u32>,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |sym: &Sym| self.names.text(*sym);
        macro_rules! row {
            ($tag:literal $(, $field:expr)*) => {{
                let count = 1 $(+ { let _ = stringify!($field); 1 })*;
                let mut tuple = serializer.serialize_tuple(count)?;
                tuple.serialize_element($tag)?;
                $(tuple.serialize_element(&$field)?;)*
                tuple.end()
            }};
        }
        let function = |f: &u32| {
            let (name, module) = &self.labels.functions[*f as usize];
            format!("{}.{name}", self.labels.modules[*module as usize])
        };
        let class = |c: &u32| {
            let (name, module) = &self.labels.classes[*c as usize];
            format!("{}.{name}", self.labels.modules[*module as usize])
        };
        match self.value {
            Value::None => row!("literal", ()),
            Value::Bool(b) => row!("literal", b),
            Value::Int(n) => row!("literal", n),
            Value::Float(bits) => row!("literal", f64::from_bits(*bits)),
            Value::Str(s) => row!("literal", text(s)),
            Value::BigInt(s) => row!("integer", text(s)),
            Value::Bytes(s) => row!("bytes", text(s)),
            Value::Ellipsis => row!("ellipsis"),
            Value::Config {
                root,
                path,
                version,
            } => row!("config", root, path, version),
            Value::Has {
                root,
                path,
                version,
            } => row!("has", root, path, version),
            Value::Key(of, l) => row!("key", of, l),
            Value::Element(of, l) => row!("element", of, l),
            Value::Index(start, l) => row!("index", start, l),
            Value::Each(v, l) => row!("each", v, l),
            Value::Template(parts) => row!("template", parts),
            Value::List(items, open) => row!("list", items, open),
            Value::Tuple(items, open) => row!("tuple", items, open),
            Value::Set(items, open) => row!("set", items, open),
            Value::Dict(items, open) => row!("dict", items, open),
            Value::Star(v) => row!("star", v),
            Value::Library(s) => row!("library", text(s)),
            Value::Module(m) => row!("module", self.labels.modules[*m as usize]),
            Value::Function(f) => row!("function", function(f)),
            Value::Class(c) => row!("class", class(c)),
            Value::Instance(i) => {
                row!(
                    "instance",
                    self.labels.instances.get(i).map(class).unwrap_or_default(),
                    i
                )
            }
            Value::Bound(of, f) => row!("bound", of, function(f)),
            Value::Super(c, of) => row!("super", class(c), of),
            // A reference inside an identity that was never looked into.
            Value::Ref(_) => row!("unknown", "content", 0),
            Value::Call(callee, args, named, event) => {
                let named: Vec<(&str, ValueId)> =
                    named.iter().map(|(k, v)| (text(k), *v)).collect();
                let event = (*event != PURE).then_some(*event);
                row!("call", callee, args, named, event)
            }
            Value::Attribute(of, name) => row!("attribute", of, text(name)),
            Value::Item(of, key) => row!("item", of, key),
            Value::Slice(parts) => row!("slice", parts[0], parts[1], parts[2]),
            Value::Binary(op, a, b) => row!("binary", text(op), a, b),
            Value::Unary(op, a) => row!("unary", text(op), a),
            Value::Compare(op, a, b) => row!("compare", text(op), a, b),
            Value::Not(a) => row!("not", a),
            Value::All(conditions) => row!("all", conditions),
            Value::Select(test, yes, no) => row!("select", test, yes, no),
            Value::Ran(l) => row!("ran", l),
            Value::Raised(t) => row!("raised", t),
            Value::Called(l) => row!("called", l),
            Value::Parameter(function, name) => row!("parameter", text(function), text(name)),
            Value::Unknown(reason, n) => row!("unknown", reason.name(), n),
        }
    }
}
