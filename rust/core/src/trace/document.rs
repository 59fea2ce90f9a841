//! The document that crosses to Python, once per package. `python/explint/trace/facts.py` mirrors
//! it: a change to a field there or here raises [`TRACE_VERSION`] in both.

use serde::ser::SerializeTuple;
use serde::{Serialize, Serializer};

use super::value::{Labels, Names, Row, ValueId, Values};

/// Version of this document's layout.
pub const TRACE_VERSION: u32 = 3;

/// The traces of one package.
#[derive(Debug)]
pub struct TraceDocument {
    /// [`TRACE_VERSION`].
    pub version: u32,
    /// Paths of the Python files, which places refer to.
    pub files: Vec<String>,
    /// One trace per entry, in the order asked for; then, under an empty name and when asked for, the
    /// functions that no entry reaches.
    pub entries: Vec<EntryTrace>,
}

impl Serialize for TraceDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The name stands in front of each trace, so that a reader can pass over it.
        let entries: Vec<_> = (self.entries.iter())
            .map(|entry| (&entry.name, entry.found, entry))
            .collect();
        (self.version, &self.files, entries).serialize(serializer)
    }
}

/// A place in a file: its number, then line, column, end line and end column, 1-based characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place(pub u32, pub u32, pub u32, pub u32, pub u32);

/// A condition on the way to an event; guard 0 has no condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// The guard it adds to; 0 is its own parent.
    pub parent: u32,
    /// The condition.
    pub condition: ValueId,
    /// The truth it must have.
    pub expected: bool,
    /// Where it stands.
    pub place: Place,
}

/// A call on the way to an event; call 0 is the entry itself.
#[derive(Clone, Debug, Serialize)]
pub struct CallFrame {
    /// The call it was made from; 0 is its own parent.
    pub parent: u32,
    /// Dotted name of the function.
    pub function: String,
    /// Where it is called.
    pub place: Place,
}

/// How a config object came to be.
#[derive(Clone, Debug, Serialize)]
pub struct Root {
    /// `hydra`, `compose`, `load`, `create`, `merge`, `container`, `copy`, `cli` or `parameter`.
    pub kind: &'static str,
    /// What it was made from: the decorator's call, the merged configs, the loaded path.
    pub sources: Vec<ValueId>,
    /// The event that made it, if one did.
    pub event: Option<u32>,
}

/// A loop.
#[derive(Clone, Debug, Serialize)]
pub struct Loop {
    /// `for`, `while`, `comprehension`, `callback` or `generator`.
    pub kind: &'static str,
    /// What it goes over; for `while` the condition; for callbacks the callee.
    pub over: ValueId,
    /// Where it stands.
    pub place: Place,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A config key is read: the value (a config path), how many of its keys were held already,
    /// how (`attribute`, `item`, `get`, `getattr`, `select`, `contains`, `iterate`, `spread`,
    /// `pop`), and the default.
    Read(ValueId, u32, &'static str, Option<ValueId>),
    /// A config key is written: the path as a config value, what is written, how (`set`, `update`,
    /// `setdefault`, `delete`, `merge`).
    Write(ValueId, ValueId, &'static str),
    /// A flag is set (`struct`, `readonly`) on a config: the path, the flag, its value.
    Flag(ValueId, &'static str, ValueId),
    /// Config paths may have changed in earlier iterations of the loop that begins.
    Forget(Vec<ValueId>),
    /// A config object is made: the number of its root.
    Make(u32),
    /// A call that leaves the package: canonical name, callee, positional and named arguments.
    Call(String, ValueId, Vec<ValueId>, Vec<(String, ValueId)>),
    /// An attribute or element of a library object is set: object, key, value, how.
    Store(ValueId, ValueId, ValueId, &'static str),
    /// An element of something that is not followed is asked for by name: object, key.
    Lookup(ValueId, ValueId),
    /// A loop begins.
    Loop(u32),
    /// A loop ends.
    LoopEnd(u32),
    /// A loop is left by `break`.
    Break(u32),
    /// A function of the package returns a value.
    Return(ValueId),
    /// An exception is raised.
    Raise(ValueId),
    /// A module of the package, or a library, is imported.
    Import(String, bool),
    /// A call that the signature of the package's own function rejects: function, what is wrong.
    Mismatch(String, String),
    /// The trace stops following here, for this reason.
    Cut(&'static str),
}

/// One thing that happens, under a guard.
#[derive(Clone, Debug)]
pub struct Event {
    /// The guard.
    pub guard: u32,
    /// The call it happens in.
    pub call: u32,
    /// Where.
    pub place: Place,
    /// What.
    pub kind: Kind,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        macro_rules! row {
            ($tag:literal $(, $field:expr)*) => {{
                let count = 4 $(+ { let _ = stringify!($field); 1 })*;
                let mut tuple = serializer.serialize_tuple(count)?;
                tuple.serialize_element($tag)?;
                tuple.serialize_element(&self.guard)?;
                tuple.serialize_element(&self.call)?;
                tuple.serialize_element(&self.place)?;
                $(tuple.serialize_element($field)?;)*
                tuple.end()
            }};
        }
        match &self.kind {
            Kind::Read(at, held, how, default) => row!("read", at, held, how, default),
            Kind::Write(at, value, how) => row!("write", at, value, how),
            Kind::Flag(at, flag, value) => row!("flag", at, flag, value),
            Kind::Forget(paths) => row!("forget", paths),
            Kind::Make(root) => row!("make", root),
            Kind::Call(name, callee, args, named) => row!("call", name, callee, args, named),
            Kind::Store(of, key, value, how) => row!("store", of, key, value, how),
            Kind::Lookup(of, key) => row!("lookup", of, key),
            Kind::Loop(l) => row!("loop", l),
            Kind::LoopEnd(l) => row!("loop-end", l),
            Kind::Break(l) => row!("break", l),
            Kind::Return(value) => row!("return", value),
            Kind::Raise(value) => row!("raise", value),
            Kind::Import(name, own) => row!("import", name, own),
            Kind::Mismatch(function, problem) => row!("mismatch", function, problem),
            Kind::Cut(reason) => row!("cut", reason),
        }
    }
}

/// What one entry does.
#[derive(Debug, Default)]
pub struct EntryTrace {
    /// Dotted name of the module that is started.
    pub name: String,
    /// Whether the module was found and traced; always so of what no entry reaches.
    pub found: bool,
    /// The values.
    pub values: Values,
    /// The names in them.
    pub names: Names,
    /// What their identities stand for.
    pub labels: Labels,
    /// The guards.
    pub guards: Vec<Guard>,
    /// The calls.
    pub calls: Vec<CallFrame>,
    /// The config objects.
    pub roots: Vec<Root>,
    /// The loops.
    pub loops: Vec<Loop>,
    /// The events in program order.
    pub events: Vec<Event>,
}

impl Serialize for EntryTrace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Row<'_>> = (self.values.rows().iter())
            .map(|value| Row {
                value,
                names: &self.names,
                labels: &self.labels,
            })
            .collect();
        let mut tuple = serializer.serialize_tuple(7)?;
        tuple.serialize_element(&self.name)?;
        tuple.serialize_element(&rows)?;
        tuple.serialize_element(&self.guards)?;
        tuple.serialize_element(&self.calls)?;
        tuple.serialize_element(&self.roots)?;
        tuple.serialize_element(&self.loops)?;
        tuple.serialize_element(&self.events)?;
        tuple.end()
    }
}
