//! Modules put into `sys.modules` by hand.

use crate::analysis::FileContext;
use crate::analysis::definitions::last_name;
use crate::declare_rule;
use crate::rules::{Finding, Findings};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

declare_rule! {
    /// `sys.modules` is patched so that a missing module seems to exist.
    ///
    /// ## What it does
    /// Looks at assignments to `sys.modules[…]`, `sys.modules.setdefault` and `sys.modules.update`
    /// that put in an invented module: `types.ModuleType(…)`, a mock, or an object of one's own. Left
    /// alone are reads and deletions, a module that replaces itself (`sys.modules[__name__]`), a module
    /// loaded by `importlib`, and another name for a module that is really imported.
    ///
    /// ## Why is this bad
    /// The import succeeds and what was imported is hollow: the experiment runs without the library or
    /// the file whose effect it measures.
    ///
    /// ## Example
    /// ```python
    /// sys.modules["src.model"] = types.ModuleType("src.model")
    /// ```
    ///
    /// ## Use instead
    /// Write the missing module, or declare the missing library in `pyproject.toml`.
    ///
    /// ## References
    /// - [Python documentation, `sys.modules`](https://docs.python.org/3/library/sys.html#sys.modules)
    MODULE_SHIM = "structure/module-shim", "STR007", Error, [5]
}

/// Finds invented modules.
pub(super) fn module_shims(file: &FileContext<'_>, findings: &mut Findings) {
    // Hardly any file speaks of `sys.modules`; the walk is for those that do.
    if memchr::memmem::find(file.source.text().as_bytes(), b"modules").is_none() {
        return;
    }
    let tree = file.tree;
    for node in tree.descendants(tree.root()) {
        let put = match tree.kind(node) {
            Kind::Assignment => by_subscript(tree, node).into_iter().collect(),
            Kind::Call => by_method(tree, node),
            _ => continue,
        };
        for (key, value) in put {
            if !names_other_module(tree, key) || !is_invented(tree, value, node, 0) {
                continue;
            }
            let title = tree
                .string_value(key)
                .unwrap_or_else(|| tree.text_of(key).to_owned());
            findings.push(Finding {
                rule: &MODULE_SHIM,
                span: tree.span(node),
                message: format!("An invented module is put into `sys.modules` as `{title}`"),
                help: format!("Write the module `{title}` or declare the library that holds it"),
                related: Vec::new(),
            });
        }
    }
}

fn is_sys_modules(tree: &Tree<'_>, node: NodeId) -> bool {
    tree.kind(node) == Kind::Attribute
        && matches!(tree.text_of(node), "sys.modules" | "_sys.modules")
}

/// `sys.modules[key] = value`.
fn by_subscript(tree: &Tree<'_>, assignment: NodeId) -> Option<(NodeId, NodeId)> {
    let left = tree.child(assignment, Field::Left)?;
    let value = tree.child(assignment, Field::Right)?;
    let object = tree.child(left, Field::Value)?;
    let key = tree.child(left, Field::Subscript)?;
    (tree.kind(left) == Kind::Subscript && is_sys_modules(tree, object)).then_some((key, value))
}

/// `sys.modules.setdefault(key, value)` and `sys.modules.update({key: value})`.
fn by_method(tree: &Tree<'_>, call: NodeId) -> Vec<(NodeId, NodeId)> {
    let parts = || {
        let function = tree.child(call, Field::Function)?;
        let object = tree.child(function, Field::Object)?;
        let method = tree.child(function, Field::Attribute)?;
        let arguments = tree.child(call, Field::Arguments)?;
        is_sys_modules(tree, object).then_some((tree.text_of(method), arguments))
    };
    let Some((method, arguments)) = parts() else {
        return Vec::new();
    };
    let mut arguments = tree.children(arguments);
    match (method, arguments.next(), arguments.next()) {
        ("setdefault" | "__setitem__", Some(key), Some(value)) => vec![(key, value)],
        ("update", Some(mapping), None) => tree
            .children(mapping)
            .filter(|&pair| tree.kind(pair) == Kind::Pair)
            .filter_map(|pair| {
                Some((
                    tree.child(pair, Field::Key)?,
                    tree.child(pair, Field::Value)?,
                ))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether a key spells out another module's name. A name handed in from elsewhere is a loader's:
/// it makes the module and then fills it.
fn names_other_module(tree: &Tree<'_>, key: NodeId) -> bool {
    match tree.kind(key) {
        Kind::String | Kind::ConcatenatedString => !matches!(
            tree.string_value(key).as_deref(),
            Some("__main__" | "__mp_main__")
        ),
        Kind::BinaryOperator => tree.descendants(key).any(|n| tree.kind(n) == Kind::String),
        Kind::Identifier => {
            let name = tree.text_of(key);
            let mut at = key;
            while let Some(lp) = tree.ancestor(at, |k| k == Kind::ForStatement) {
                let listed = tree
                    .child(lp, Field::Right)
                    .is_some_and(|r| matches!(tree.kind(r), Kind::List | Kind::Tuple | Kind::Set));
                if listed
                    && tree
                        .child(lp, Field::Left)
                        .is_some_and(|l| tree.text_of(l) == name)
                {
                    return true;
                }
                at = lp;
            }
            false
        }
        _ => false,
    }
}

/// How many names a value is followed through.
const HOPS: u32 = 3;

/// Whether a value is a module made up on the spot.
fn is_invented(tree: &Tree<'_>, value: NodeId, before: NodeId, hops: u32) -> bool {
    match tree.kind(value) {
        Kind::Call => tree
            .child(value, Field::Function)
            .and_then(|f| last_name(tree, f))
            .is_some_and(|f| is_maker(tree, f)),
        Kind::Identifier if hops < HOPS => {
            let wanted = tree.text_of(value);
            let last = tree
                .descendants(tree.root())
                .take_while(|&n| n < before)
                .filter(|&n| tree.kind(n) == Kind::Assignment)
                .filter(|&n| {
                    tree.child(n, Field::Left)
                        .is_some_and(|l| tree.text_of(l) == wanted)
                })
                .last();
            last.and_then(|n| tree.child(n, Field::Right))
                .is_some_and(|v| v != value && is_invented(tree, v, before, hops + 1))
        }
        _ => false,
    }
}

/// Whether a call of this name makes an object that is no loaded module.
fn is_maker(tree: &Tree<'_>, function: &str) -> bool {
    matches!(
        function,
        "ModuleType" | "new_module" | "MagicMock" | "Mock" | "SimpleNamespace" | "NonCallableMock"
    ) || tree.descendants(tree.root()).any(|n| {
        tree.kind(n) == Kind::ClassDefinition
            && tree
                .child(n, Field::Name)
                .is_some_and(|c| tree.text_of(c) == function)
    })
}
