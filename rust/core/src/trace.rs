//! The symbolic trace: what an experiment's entry points do, as a flat list of guarded events.
//!
//! An abstract interpretation of the package's own modules that knows no run config. Values stay
//! symbolic (config paths, parameters, results of calls), conditions become guards, and whatever
//! the interpreter cannot follow is an unknown with its reason. Python decides the guards for each
//! run and mode.

mod call;
mod class;
mod compact;
mod document;
mod expression;
mod interp;
mod library;
mod scope;
mod state;
mod statement;
mod value;

use rustc_hash::{FxHashMap, FxHashSet};

pub use document::{
    CallFrame, EntryTrace, Event, Guard, Kind, Loop, Place, Root, TRACE_VERSION, TraceDocument,
};
pub use value::{PURE, Reason, Value, ValueId};

use crate::source::Source;
use crate::syntax::tree::{NodeId, Tree};
use interp::{Frame, Interp, Loaded, Role, Scope};
use state::Cell;
use value::Sym;

/// A Python file of a package: where it stands, and its text and tree.
#[derive(Clone, Debug)]
pub struct PythonFile<'t> {
    /// Path in the package, with forward slashes.
    pub path: &'t str,
    /// What it holds.
    pub tree: Tree<'t>,
}

/// A Python file of a package, with its dotted name.
pub(crate) struct ModuleSource<'t> {
    path: &'t str,
    name: String,
    source: Source<'t>,
    tree: Tree<'t>,
}

/// The Python files of a package.
pub(crate) struct Package<'t> {
    modules: Vec<ModuleSource<'t>>,
    by_name: FxHashMap<String, u32>,
}

impl<'t> Package<'t> {
    fn new(files: Vec<PythonFile<'t>>) -> Self {
        let mut modules = Vec::with_capacity(files.len());
        let mut by_name = FxHashMap::default();
        for PythonFile { path, tree } in files {
            let name = dotted_name(path);
            by_name.insert(name.clone(), modules.len() as u32);
            modules.push(ModuleSource {
                path,
                name,
                source: Source::new(tree.text()),
                tree,
            });
        }
        Self { modules, by_name }
    }

    /// Whether modules of the package lie below a dotted name.
    fn has_below(&self, dotted: &str) -> bool {
        self.modules.iter().any(|m| {
            m.name
                .strip_prefix(dotted)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }
}

/// The module name of a path: `src/train.py` is `src.train`.
fn dotted_name(path: &str) -> String {
    let stem = path.strip_suffix(".py").unwrap_or(path);
    let stem = stem.strip_suffix("/__init__").unwrap_or(stem);
    stem.replace('/', ".")
}

/// Modules that share their name with a library that experiments use: `import evaluate` next to
/// `src/evaluate.py` means the library.
const LIBRARIES: &[&str] = &["datasets", "evaluate"];

/// Traces a package's entries.
///
/// `files` are the package's Python files whose text is known; `entries` dotted names of the modules
/// that are started as `python -m NAME`. An entry that is no module of the package gives an empty
/// trace with `found` false. The empty name asks for the functions that no other entry reaches,
/// each evaluated once. Needs a stack of some megabytes.
pub fn trace_package(files: Vec<PythonFile<'_>>, entries: &[String]) -> TraceDocument {
    let package = Package::new(files);
    let mut reached = FxHashSet::default();
    let mut traces: Vec<EntryTrace> = entries
        .iter()
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let mut interp = Interp::new(&package, entry);
            if let Some(&number) = package.by_name.get(entry) {
                interp.trace.found = true;
                interp.run_module(number, true);
            }
            reached.extend(interp.reached.iter().copied());
            interp.finish()
        })
        .collect();
    if entries.iter().any(String::is_empty) {
        let mut interp = Interp::new(&package, "");
        interp.reached = reached;
        interp.trace.found = true;
        interp.run_unreached();
        traces.push(interp.finish());
    }
    TraceDocument {
        version: TRACE_VERSION,
        files: (package.modules.iter())
            .map(|m| m.path.to_owned())
            .collect(),
        entries: traces,
    }
}

impl<'p> Interp<'p> {
    fn finish(mut self) -> EntryTrace {
        compact::compact(&mut self.trace);
        self.trace
    }

    /// Evaluates a module's body, as `__main__` or as it is imported.
    fn run_module(&mut self, source: u32, main: bool) -> u32 {
        let number = self.modules.len() as u32;
        let owner = self.new_object();
        let frame = self.frames.len() as u32;
        self.modules.push(Loaded {
            source,
            owner,
            frame,
        });
        let name = self.package.modules[source as usize].name.clone();
        self.trace.labels.modules.push(name.clone());
        self.frames.push(Frame {
            owner,
            parent: None,
            module: number,
            scope: Scope::All,
            function: None,
        });
        let dunder = self.sym("__name__");
        let as_name = self.string(if main { "__main__" } else { &name });
        self.store.set(
            Cell {
                owner,
                key: dunder.0,
            },
            Some(as_name),
        );
        if !main {
            self.module_numbers.insert(source, number);
        }
        self.run_module_body(number);
        number
    }

    fn run_module_body(&mut self, number: u32) {
        let Loaded { source, frame, .. } = self.modules[number as usize];
        let outer = std::mem::replace(&mut self.frame, frame);
        let loops = std::mem::take(&mut self.open_loops);
        let root = self.package.modules[source as usize].tree.root();
        let module = &self.package.modules[source as usize];
        let loaded = self.loaded_cell(number);
        let yes = self.boolean(true);
        self.store.set(loaded, Some(yes));
        // What stands after a syntax error is not what the author wrote.
        if module.tree.first_error().is_none() {
            self.block(root);
        } else {
            self.emit(root, Kind::Cut("syntax"));
        }
        self.open_loops = loops;
        self.frame = outer;
    }

    /// The cell that says a module's body was evaluated; undone with the branch that imported it.
    fn loaded_cell(&self, number: u32) -> Cell {
        Cell {
            owner: self.modules[number as usize].owner,
            key: state::CONTENT - 1,
        }
    }

    /// A module of the package, evaluated when it is met for the first time.
    pub(crate) fn load(&mut self, source: u32, node: NodeId) -> u32 {
        if let Some(&number) = self.module_numbers.get(&source) {
            let loaded = self.loaded_cell(number);
            if self.store.get(loaded).is_none() {
                let dunder = self.sym("__name__");
                let name = self.trace.labels.modules[number as usize].clone();
                let name = self.string(&name);
                let owner = self.modules[number as usize].owner;
                let cell = Cell {
                    owner,
                    key: dunder.0,
                };
                self.store.set(cell, Some(name));
                self.deeper(|this| this.run_module_body(number));
            }
            return number;
        }
        let name = self.package.modules[source as usize].name.clone();
        self.emit(node, Kind::Import(name, true));
        self.run_module(source, false)
    }

    /// What `import dotted` gives access to.
    pub(crate) fn import(&mut self, node: NodeId, dotted: &str) -> ValueId {
        if let Some(&source) = self.package.by_name.get(dotted) {
            let number = self.load(source, node);
            return self.value(Value::Module(number));
        }
        if self.package.has_below(dotted) {
            return self.library(dotted);
        }
        let here = &self.package.modules[self.source_number() as usize].name;
        if let Some((folder, _)) = here.rsplit_once('.') {
            let sibling = format!("{folder}.{dotted}");
            if !LIBRARIES.contains(&dotted)
                && let Some(&source) = self.package.by_name.get(&sibling)
            {
                let number = self.load(source, node);
                return self.value(Value::Module(number));
            }
        }
        let top = dotted.split('.').next().unwrap_or(dotted);
        if dotted.is_empty() || (top != dotted && self.package.has_below(top)) {
            self.emit(node, Kind::Import(dotted.to_owned(), true));
            return self.unknown(Reason::Module);
        }
        self.emit(node, Kind::Import(dotted.to_owned(), false));
        self.library(dotted)
    }

    /// A name of a module of the package, or the module of that name below it.
    pub(crate) fn module_attribute(&mut self, module: u32, name: Sym, node: NodeId) -> ValueId {
        let owner = self.modules[module as usize].owner;
        let cell = Cell { owner, key: name.0 };
        if let Some(value) = self.store.get(cell) {
            return value;
        }
        let source = self.modules[module as usize].source;
        let below = format!(
            "{}.{}",
            self.package.modules[source as usize].name,
            self.text(name)
        );
        if let Some(&source) = self.package.by_name.get(&below) {
            let number = self.load(source, node);
            return self.value(Value::Module(number));
        }
        self.unknown(Reason::Name)
    }

    /// `from module import *`.
    pub(crate) fn import_all(&mut self, module: ValueId) {
        let Value::Module(number) = *self.get(module) else {
            return;
        };
        let source = self.modules[number as usize].source;
        let from = self.modules[number as usize].owner;
        let tree = &self.package.modules[source as usize].tree;
        let mut seen = FxHashSet::default();
        for node in tree.descendants(tree.root()) {
            if tree.kind(node) != crate::syntax::kinds::Kind::Identifier {
                continue;
            }
            let text = tree.text_of(node);
            if text.starts_with('_') || !seen.insert(text) {
                continue;
            }
            let name = self.sym(text);
            let cell = Cell {
                owner: from,
                key: name.0,
            };
            if let Some(value) = self.store.get(cell) {
                self.assign_name(name, value);
            }
        }
    }

    /// Evaluates every function that no entry reaches, with unknown arguments.
    fn run_unreached(&mut self) {
        let already = std::mem::take(&mut self.reached);
        self.dry = true;
        for source in 0..self.package.modules.len() as u32 {
            if !self.module_numbers.contains_key(&source) {
                self.run_module(source, false);
            }
            (self.dead, self.guard) = (false, 0);
            self.exits.clear();
        }
        self.dry = false;
        self.dry_writes.clear();
        self.reached = already;
        self.once = true;
        let known = self.functions.len() as u32;
        let mut order: Vec<u32> = (0..known).collect();
        order.sort_by_key(|&f| {
            let definition = &self.functions[f as usize].definition;
            (definition.module, definition.node)
        });
        for number in order {
            let function = self.functions[number as usize].clone();
            let definition = &function.definition;
            if definition.is_lambda || !self.reached.insert((definition.module, definition.node)) {
                continue;
            }
            let mark = self.store.mark();
            let module = self.frames[function.frame as usize].module;
            self.frame = self.modules[module as usize].frame;
            let value = self.value(Value::Function(number));
            let id = self.new_loop("unreached", value, Some(definition.node));
            let called = self.value(Value::Called(id));
            let place = self.place(definition.node);
            self.assume(called, true, place);
            let mut args = call::Args::default();
            for (position, parameter) in definition.parameters.iter().enumerate() {
                let argument = match function.class {
                    Some(class) if position == 0 && function.role != Role::Static => {
                        if function.role == Role::Class {
                            self.value(Value::Class(class))
                        } else {
                            let instance = self.new_object();
                            self.instances.insert(instance, class);
                            self.trace.labels.instances.insert(instance, class);
                            self.value(Value::Instance(instance))
                        }
                    }
                    _ => {
                        let value = self.value(Value::Parameter(definition.name, parameter.name));
                        if parameter.config {
                            self.new_root(definition.node, "parameter", vec![value])
                        } else {
                            value
                        }
                    }
                };
                match parameter.kind {
                    scope::ParameterKind::KeywordOnly => {
                        args.named.push((parameter.name, argument));
                    }
                    scope::ParameterKind::Positionals | scope::ParameterKind::Keywords => {}
                    _ => args.positional.push(argument),
                }
            }
            self.call_function(definition.node, number, args);
            self.store.undo(mark);
            self.exits.clear();
            self.attempts.clear();
            (self.guard, self.call, self.frame, self.dead) = (0, 0, 0, false);
        }
    }
}

#[cfg(test)]
mod tests;
