//! What a module amounts to: whether anything in it does work, or hands it on.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::FileContext;
use super::definitions::{empty_body, last_name, name};
use super::prose::prose;
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

/// What a module amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleShape {
    /// Some call does more than tell people something or call the module's own functions.
    pub calls: bool,
    /// Some function or method does more than return literals or tell people something.
    pub defines: bool,
    /// It imports from the package, or everything from somewhere: another module may do the job.
    pub delegates: bool,
    /// A docstring or comment of some length says what the module is.
    pub explained: bool,
}

/// Characters of prose from which on a module counts as explained.
const EXPLANATION: usize = 20;

impl ModuleShape {
    /// Looks at a file.
    pub fn of(file: &FileContext<'_>) -> Self {
        let tree = file.tree;
        let mut this = Self::default();
        let own: HashSet<&str> = tree
            .descendants(tree.root())
            .filter(|&n| tree.kind(n) == Kind::FunctionDefinition)
            .map(|n| name(tree, n))
            .collect();
        for node in tree.descendants(tree.root()) {
            match tree.kind(node) {
                Kind::Call => this.calls |= is_work(tree, node, &own),
                Kind::ImportStatement | Kind::ImportFromStatement => {
                    this.delegates |= hands_on(tree, node);
                }
                Kind::FunctionDefinition => this.defines |= is_substantial(tree, node),
                _ => {}
            }
            if this.calls && this.defines && this.delegates {
                break;
            }
        }
        this.explained = prose(file).any(|piece| piece.text.trim().len() >= EXPLANATION);
        this
    }
}

/// Calls that only tell people something, end the program, or turn values into text.
fn is_work(tree: &Tree<'_>, call: NodeId, own: &HashSet<&str>) -> bool {
    let in_decorator = tree
        .parent(call)
        .is_some_and(|p| tree.kind(p) == Kind::Decorator);
    let Some(function) = tree.child(call, Field::Function) else {
        return false;
    };
    let Some(last) = last_name(tree, function) else {
        return true;
    };
    let bare = tree.kind(function) == Kind::Identifier;
    let talk = matches!(
        last,
        "print"
            | "info"
            | "debug"
            | "warning"
            | "error"
            | "critical"
            | "exception"
            | "getLogger"
            | "basicConfig"
            | "exit"
            | "_exit"
            | "SystemExit"
            | "str"
            | "repr"
            | "len"
            | "int"
            | "float"
            | "range"
            | "format"
            | "join"
            | "to_yaml"
            | "super"
            | "NotImplementedError"
            | "ArgumentParser"
            | "add_argument"
            | "parse_args"
            | "write"
            | "flush"
            | "echo"
            | "sleep"
    );
    !(in_decorator || talk || (bare && own.contains(last)))
}

/// Whether an import makes another module of the package do the work.
fn hands_on(tree: &Tree<'_>, import: NodeId) -> bool {
    tree.descendants(import).any(|n| {
        matches!(tree.kind(n), Kind::RelativeImport | Kind::WildcardImport)
            || (tree.kind(n) == Kind::DottedName
                && (tree.text_of(n) == "src" || tree.text_of(n).starts_with("src.")))
    })
}

/// Whether a function does more than nothing, return literals, or tell people something.
fn is_substantial(tree: &Tree<'_>, function: NodeId) -> bool {
    if empty_body(tree, function).is_some() {
        return false;
    }
    let Some(body) = tree.child(function, Field::Body) else {
        return false;
    };
    tree.descendants(body).any(|n| {
        matches!(
            tree.kind(n),
            Kind::BinaryOperator
                | Kind::AugmentedAssignment
                | Kind::ComparisonOperator
                | Kind::Subscript
                | Kind::ListComprehension
                | Kind::DictionaryComprehension
                | Kind::GeneratorExpression
                | Kind::Yield
                | Kind::ForStatement
                | Kind::WhileStatement
        )
    })
}
