//! What the functions and classes of a file are: abstract, decorated, overridden, nested.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

/// A class of the file.
#[derive(Debug)]
pub struct Class<'t> {
    /// The definition.
    pub node: NodeId,
    /// Its name.
    pub name: &'t str,
    /// The last part of each base's name (`Module` for `torch.nn.Module`); a base that is no name
    /// (a call, a subscript's index) is left out.
    pub bases: Vec<&'t str>,
    /// Whether it has arguments between its parentheses at all.
    pub has_arguments: bool,
    /// Names of the methods it defines itself, with their definitions.
    pub methods: Vec<(&'t str, NodeId)>,
    /// Whether it, or one of its methods, is declared abstract.
    pub declares_abstract: bool,
}

/// The classes of a file, in document order.
#[derive(Debug)]
pub struct Classes<'t> {
    classes: Vec<Class<'t>>,
}

impl<'t> Classes<'t> {
    /// Collects the classes of a file.
    pub fn of(tree: &Tree<'t>) -> Self {
        let classes = tree
            .descendants(tree.root())
            .filter(|&n| tree.kind(n) == Kind::ClassDefinition)
            .filter_map(|n| class(tree, n))
            .collect();
        Self { classes }
    }

    /// The class a definition node stands for.
    pub fn get(&self, node: NodeId) -> Option<&Class<'t>> {
        let at = self.classes.binary_search_by_key(&node, |c| c.node).ok()?;
        self.classes.get(at)
    }

    /// The classes of the file that derive from `class` by name, directly.
    pub fn subclasses(&self, class: &Class<'t>) -> impl Iterator<Item = &Class<'t>> {
        let name = class.name;
        self.classes.iter().filter(move |c| c.bases.contains(&name))
    }

    /// Whether another class of the file defines a method of the same name, be it above, below or
    /// beside `class`.
    pub fn has_sibling_method(&self, class: &Class<'t>, method: &str) -> bool {
        self.classes
            .iter()
            .any(|c| c.node != class.node && c.methods.iter().any(|&(name, _)| name == method))
    }
}

fn class<'t>(tree: &Tree<'t>, node: NodeId) -> Option<Class<'t>> {
    let name = tree.text_of(tree.child(node, Field::Name)?);
    let mut this = Class {
        node,
        name,
        bases: Vec::new(),
        has_arguments: false,
        methods: Vec::new(),
        declares_abstract: false,
    };
    if let Some(arguments) = tree.child(node, Field::Superclasses) {
        for argument in tree.children(arguments) {
            this.has_arguments = true;
            if tree.kind(argument) == Kind::KeywordArgument {
                let value = tree.child(argument, Field::Value);
                this.declares_abstract |= value.is_some_and(|v| tree.text_of(v).contains("ABC"));
            } else if let Some(base) = last_name(tree, argument) {
                this.bases.push(base);
            }
        }
    }
    this.declares_abstract |= this
        .bases
        .iter()
        .any(|b| matches!(*b, "ABC" | "Protocol" | "Interface"));
    if let Some(body) = tree.child(node, Field::Body) {
        for method in tree.statements(body).filter_map(|s| tree.definition(s)) {
            if tree.kind(method) != Kind::FunctionDefinition {
                continue;
            }
            if let Some(name) = tree.child(method, Field::Name) {
                this.methods.push((tree.text_of(name), method));
            }
            this.declares_abstract |=
                decorator_names(tree, method).any(|name| name.starts_with("abstract"));
        }
    }
    Some(this)
}

/// Names of classes that a file makes objects of, and of those it derives classes from. Whatever is
/// called by a name with a capital counts as a class.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ClassUses {
    /// Called.
    pub made: HashSet<Box<str>>,
    /// Named as a base.
    pub derived: HashSet<Box<str>>,
}

impl ClassUses {
    /// Collects the uses of a file.
    pub fn of(tree: &Tree<'_>) -> Self {
        let mut this = Self::default();
        for node in tree.descendants(tree.root()) {
            match tree.kind(node) {
                Kind::Call => {
                    let function = tree.child(node, Field::Function);
                    let name = function.and_then(|f| last_name(tree, f));
                    let class = name.filter(|n| n.starts_with(char::is_uppercase));
                    this.made.extend(class.map(Box::from));
                }
                Kind::ArgumentList if tree.field(node) == Field::Superclasses => {
                    let bases = tree.children(node).filter_map(|b| last_name(tree, b));
                    this.derived.extend(bases.map(Box::from));
                }
                _ => {}
            }
        }
        this
    }
}

/// The last part of the name an expression refers to: `Module` for `nn.Module`, `Generic` for
/// `Generic[T]`, `group` for `click.group()`.
pub fn last_name<'t>(tree: &Tree<'t>, mut node: NodeId) -> Option<&'t str> {
    loop {
        node = match tree.kind(node) {
            Kind::Identifier => return Some(tree.text_of(node)),
            Kind::Attribute => return tree.child(node, Field::Attribute).map(|n| tree.text_of(n)),
            Kind::Call => tree.child(node, Field::Function)?,
            Kind::Subscript => tree.child(node, Field::Value)?,
            _ => return None,
        };
    }
}

/// The last parts of a definition's decorators' names; `""` for a decorator that is no name.
pub fn decorator_names<'a, 't>(
    tree: &'a Tree<'t>,
    definition: NodeId,
) -> impl Iterator<Item = &'t str> + 'a {
    tree.decorators(definition)
        .map(|d| last_name(tree, d).unwrap_or(""))
}

/// The name of a function or class.
pub fn name<'t>(tree: &Tree<'t>, definition: NodeId) -> &'t str {
    tree.child(definition, Field::Name)
        .map_or("", |n| tree.text_of(n))
}

/// The class whose method a function is.
pub fn class_of(tree: &Tree<'_>, function: NodeId) -> Option<NodeId> {
    let mut at = tree.parent(function)?;
    if tree.kind(at) == Kind::DecoratedDefinition {
        at = tree.parent(at)?;
    }
    // A method may stand under `if` in its class; a function inside a method is no method.
    while !matches!(
        tree.kind(at),
        Kind::ClassDefinition | Kind::FunctionDefinition | Kind::Module
    ) {
        at = tree.parent(at)?;
    }
    (tree.kind(at) == Kind::ClassDefinition).then_some(at)
}

/// The names of a function's parameters, `self` and `cls` included, stars left out.
pub fn parameters<'t>(tree: &Tree<'t>, function: NodeId) -> Vec<&'t str> {
    let Some(list) = tree.child(function, Field::Parameters) else {
        return Vec::new();
    };
    tree.children(list)
        .filter_map(|p| match tree.kind(p) {
            Kind::Identifier => Some(p),
            Kind::DefaultParameter | Kind::TypedDefaultParameter => tree.child(p, Field::Name),
            Kind::TypedParameter | Kind::ListSplatPattern | Kind::DictionarySplatPattern => tree
                .descendants(p)
                .find(|&n| tree.kind(n) == Kind::Identifier),
            _ => None,
        })
        .map(|n| tree.text_of(n))
        .collect()
}

/// Whether the node stands where the program may never come or only as a stand-in: under
/// `if TYPE_CHECKING`, in an `except` clause, or in the `else` of such a statement.
pub fn is_fallback(tree: &Tree<'_>, node: NodeId) -> bool {
    let mut at = node;
    while let Some(parent) = tree.parent(at) {
        match tree.kind(parent) {
            Kind::ExceptClause => return true,
            Kind::TryStatement => return true,
            Kind::IfStatement | Kind::ElseClause | Kind::ElifClause => return true,
            _ => at = parent,
        }
    }
    false
}

/// What a statement that does nothing looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// `pass`
    Pass,
    /// `...`
    Ellipsis,
    /// A string.
    Text(NodeId),
    /// `raise NotImplementedError`, with the exception expression.
    NotImplemented(NodeId),
}

/// Which kind of nothing a statement is, if it is one.
pub fn nothing(tree: &Tree<'_>, statement: NodeId) -> Option<Nothing> {
    match tree.kind(statement) {
        Kind::PassStatement => Some(Nothing::Pass),
        Kind::RaiseStatement => {
            let raised = tree.children(statement).next()?;
            let is_it = matches!(
                last_name(tree, raised),
                Some("NotImplementedError" | "NotImplemented")
            );
            is_it.then_some(Nothing::NotImplemented(raised))
        }
        Kind::ExpressionStatement => {
            if let Some(text) = tree.string_statement(statement) {
                return Some(Nothing::Text(text));
            }
            let value = tree.unparenthesized(tree.children(statement).next()?);
            (tree.kind(value) == Kind::Ellipsis).then_some(Nothing::Ellipsis)
        }
        _ => None,
    }
}

/// The statements of a body when every one of them is a kind of nothing and there is at least one.
pub fn empty_body(tree: &Tree<'_>, definition: NodeId) -> Option<Vec<Nothing>> {
    let body = tree.child(definition, Field::Body)?;
    let parts: Option<Vec<_>> = tree.statements(body).map(|s| nothing(tree, s)).collect();
    parts.filter(|p| !p.is_empty())
}
