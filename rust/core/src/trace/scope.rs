//! Functions as they are written: parameters, and which names are their own.

use rustc_hash::FxHashSet;

use super::value::{Names, Sym};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

/// How a parameter takes arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterKind {
    PositionalOnly,
    Ordinary,
    KeywordOnly,
    /// `*args`
    Positionals,
    /// `**kwargs`
    Keywords,
}

#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub name: Sym,
    pub kind: ParameterKind,
    pub default: Option<NodeId>,
    /// Whether the annotation or the name says that it takes a config.
    pub config: bool,
}

/// A `def` or `lambda`.
#[derive(Debug)]
pub(super) struct Definition {
    pub module: u32,
    pub node: NodeId,
    pub name: Sym,
    pub parameters: Vec<Parameter>,
    /// Names that the body binds, without those it declares global or nonlocal.
    pub locals: FxHashSet<Sym>,
    /// Names declared global.
    pub globals: FxHashSet<Sym>,
    pub body: NodeId,
    pub is_lambda: bool,
    pub is_generator: bool,
}

impl Definition {
    pub fn new(tree: &Tree<'_>, node: NodeId, module: u32, names: &mut Names) -> Option<Self> {
        let is_lambda = tree.kind(node) == Kind::Lambda;
        let body = tree.child(node, Field::Body)?;
        let name = match tree.child(node, Field::Name) {
            Some(name) => names.intern(tree.text_of(name)),
            None => names.intern("<lambda>"),
        };
        let parameters = match tree.child(node, Field::Parameters) {
            Some(list) => parameters(tree, list, names),
            None => Vec::new(),
        };
        let mut binder = Binder {
            tree,
            names,
            locals: parameters.iter().map(|p| p.name).collect(),
            globals: FxHashSet::default(),
            nonlocals: FxHashSet::default(),
            is_generator: false,
        };
        if is_lambda {
            binder.expressions(body);
        } else {
            binder.block(body);
        }
        let Binder {
            mut locals,
            globals,
            nonlocals,
            is_generator,
            ..
        } = binder;
        locals.retain(|name| !globals.contains(name) && !nonlocals.contains(name));
        Some(Self {
            module,
            node,
            name,
            parameters,
            locals,
            globals,
            body,
            is_lambda,
            is_generator,
        })
    }
}

/// What stands after the `*` of a starred expression, target or parameter.
pub(super) fn starred(tree: &Tree<'_>, node: NodeId) -> Option<NodeId> {
    tree.children(node).find(|&c| tree.kind(c) != Kind::Star)
}

fn parameters(tree: &Tree<'_>, list: NodeId, names: &mut Names) -> Vec<Parameter> {
    let mut found: Vec<Parameter> = Vec::new();
    let mut kind = ParameterKind::Ordinary;
    for child in tree.children(list) {
        let is_config = |name: &str| {
            let annotation = tree
                .child(child, Field::Type)
                .map_or("", |t| tree.text_of(t));
            annotation.contains("DictConfig")
                || annotation.is_empty() && matches!(name, "cfg" | "config" | "conf")
        };
        let mut push = |name: NodeId, kind, default, names: &mut Names| {
            let text = tree.text_of(name);
            found.push(Parameter {
                name: names.intern(text),
                kind,
                default,
                config: is_config(text),
            });
        };
        match tree.kind(child) {
            Kind::Identifier => push(child, kind, None, names),
            Kind::DefaultParameter | Kind::TypedDefaultParameter => {
                if let Some(name) = tree.child(child, Field::Name) {
                    push(name, kind, tree.child(child, Field::Value), names);
                }
            }
            Kind::TypedParameter => {
                if let Some(inner) = tree.children(child).next() {
                    match (tree.kind(inner), starred(tree, inner)) {
                        (Kind::ListSplatPattern, Some(name)) => {
                            push(name, ParameterKind::Positionals, None, names);
                            kind = ParameterKind::KeywordOnly;
                        }
                        (Kind::DictionarySplatPattern, Some(name)) => {
                            push(name, ParameterKind::Keywords, None, names);
                        }
                        _ => push(inner, kind, None, names),
                    }
                }
            }
            Kind::ListSplatPattern => {
                if let Some(name) = starred(tree, child) {
                    push(name, ParameterKind::Positionals, None, names);
                }
                kind = ParameterKind::KeywordOnly;
            }
            Kind::DictionarySplatPattern => {
                if let Some(name) = starred(tree, child) {
                    push(name, ParameterKind::Keywords, None, names);
                }
            }
            Kind::KeywordSeparator => kind = ParameterKind::KeywordOnly,
            Kind::PositionalSeparator => {
                for before in &mut found {
                    before.kind = ParameterKind::PositionalOnly;
                }
            }
            _ => {}
        }
    }
    found
}

/// Collects the names a function body binds, without entering inner functions and classes.
struct Binder<'a, 't> {
    tree: &'a Tree<'t>,
    names: &'a mut Names,
    locals: FxHashSet<Sym>,
    globals: FxHashSet<Sym>,
    nonlocals: FxHashSet<Sym>,
    is_generator: bool,
}

impl Binder<'_, '_> {
    fn bind(&mut self, name: NodeId) {
        let sym = self.names.intern(self.tree.text_of(name));
        self.locals.insert(sym);
    }

    /// The names in an assignment's target.
    fn target(&mut self, target: NodeId) {
        let tree = self.tree;
        let mut at = target;
        let end = tree.after(target);
        while at < end {
            match tree.kind(at) {
                Kind::Identifier => self.bind(at),
                // Their names are read, not bound.
                Kind::Attribute | Kind::Subscript => {
                    at = tree.after(at);
                    continue;
                }
                _ => {}
            }
            at = NodeId(at.0 + 1);
        }
    }

    fn block(&mut self, block: NodeId) {
        self.walk(block, false);
    }

    fn expressions(&mut self, expression: NodeId) {
        self.walk(expression, true);
    }

    fn walk(&mut self, start: NodeId, only_expression: bool) {
        let tree = self.tree;
        let end = tree.after(start);
        let mut at = start;
        while at < end {
            let kind = tree.kind(at);
            match kind {
                Kind::FunctionDefinition | Kind::ClassDefinition => {
                    if let Some(name) = tree.child(at, Field::Name) {
                        self.bind(name);
                    }
                    at = tree.after(at);
                    continue;
                }
                Kind::Lambda => {
                    at = tree.after(at);
                    continue;
                }
                // A comprehension's targets are its own.
                Kind::ForInClause if !only_expression => {}
                Kind::Assignment | Kind::AugmentedAssignment | Kind::ForStatement => {
                    if let Some(left) = tree.child(at, Field::Left) {
                        self.target(left);
                    }
                }
                Kind::NamedExpression => {
                    if let Some(name) = tree.child(at, Field::Name) {
                        self.bind(name);
                    }
                }
                Kind::AsPatternTarget => self.target(at),
                Kind::ExceptClause => {
                    if let Some(alias) = tree.child(at, Field::Alias) {
                        self.target(alias);
                    }
                }
                Kind::CasePattern => {
                    for inner in tree.descendants(at) {
                        if tree.kind(inner) == Kind::Identifier {
                            self.bind(inner);
                        }
                    }
                }
                Kind::AliasedImport => {
                    if let Some(alias) = tree.child(at, Field::Alias) {
                        self.bind(alias);
                    }
                }
                Kind::ImportStatement | Kind::ImportFromStatement => {
                    for name in tree.children_in(at, Field::Name) {
                        if tree.kind(name) == Kind::DottedName
                            && let Some(first) = tree.children(name).next()
                        {
                            self.bind(first);
                        }
                    }
                }
                Kind::DeleteStatement => {
                    if let Some(first) = tree.children(at).next() {
                        self.target(first);
                    }
                }
                Kind::GlobalStatement | Kind::NonlocalStatement => {
                    for name in tree.children(at) {
                        let sym = self.names.intern(tree.text_of(name));
                        if kind == Kind::GlobalStatement {
                            self.globals.insert(sym);
                        } else {
                            self.nonlocals.insert(sym);
                        }
                    }
                }
                Kind::Yield => self.is_generator = true,
                _ => {}
            }
            at = NodeId(at.0 + 1);
        }
    }
}
