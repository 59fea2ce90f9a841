//! How a module starts Hydra, as its text gives it: only literal arguments are read, and names of
//! the module that are assigned a literal once. The trace knows more, and costs more.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::FileContext;
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

/// The use of Hydra that starts a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HydraUse {
    /// `main`, `initialize` or `initialize_config_dir`.
    pub way: String,
    /// 1-based line of the decorator or call.
    pub line: u32,
    /// 1-based column of it.
    pub column: u32,
    /// Its arguments in order; none for a bare decorator.
    pub arguments: Vec<Argument>,
    /// The config name that the first `hydra.compose` call gets; nothing without such a call.
    pub composed: Option<Argument>,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// The keyword, `**` for what is spread, nothing for a positional argument.
    pub name: Option<String>,
    /// Whether it is a text or `None`, written out.
    pub known: bool,
    /// The text.
    pub value: Option<String>,
}

/// A literal, as far as it matters here.
enum Literal {
    Text(Option<String>),
    Other,
}

impl HydraUse {
    /// The first use of Hydra in a sound file: a decorated function goes before other calls, outer
    /// ones before inner ones.
    pub fn of(context: &FileContext<'_>) -> Option<Self> {
        let tree = context.tree;
        memchr::memmem::find(tree.text().as_bytes(), b"hydra")?;
        let aliases = aliases(tree);
        let canonical = |node| {
            let dotted = tree.dotted(tree.unparenthesized(node))?;
            let (first, rest) = dotted.split_once('.').unwrap_or((&dotted, ""));
            let known = aliases.get(first)?;
            Some(match rest {
                "" => known.clone(),
                rest => format!("{known}.{rest}"),
            })
        };
        let called = |node| match tree.kind(node) {
            Kind::Call => tree.child(node, Field::Function),
            _ => None,
        };
        let outermost = |found: &mut dyn Iterator<Item = NodeId>| {
            found.min_by_key(|&node| {
                (std::iter::successors(Some(node), |&n| tree.parent(n))).count()
            })
        };
        let is = |node, name: &str| canonical(node).is_some_and(|found| found == name);
        let all = || tree.descendants(tree.root());
        let calls = |name: &'static str| {
            outermost(&mut all().filter(|&n| called(n).is_some_and(|f| is(f, name))))
        };
        let mut decorators = all()
            .filter(|&n| tree.kind(n) == Kind::FunctionDefinition)
            .flat_map(|n| tree.decorators(n))
            .filter(|&d| is(called(d).unwrap_or(d), "hydra.main"));
        let (at, way) = match outermost(&mut decorators).or_else(|| calls("hydra.main")) {
            Some(at) => (at, "main"),
            None => ["initialize", "initialize_config_dir"]
                .into_iter()
                .filter_map(|way| {
                    let name = if way == "initialize" {
                        "hydra.initialize"
                    } else {
                        "hydra.initialize_config_dir"
                    };
                    Some((calls(name)?, way))
                })
                .min_by_key(|(at, _)| at.0)?,
        };
        let constants = constants(tree);
        let composed = (way != "main")
            .then(|| calls("hydra.compose"))
            .flatten()
            .map(|call| {
                let given = arguments(tree, call, &constants);
                let named = given
                    .iter()
                    .find(|a| a.name.as_deref() == Some("config_name"));
                let first = || given.first().filter(|a| a.name.is_none());
                named.or_else(first).cloned().unwrap_or(Argument {
                    name: None,
                    known: true,
                    value: None,
                })
            });
        let place = context.source.position(tree.span(at).start);
        Some(Self {
            way: way.to_owned(),
            line: place.line,
            column: place.column,
            arguments: arguments(tree, at, &constants),
            composed,
        })
    }
}

/// What names of Hydra stand for: `from hydra import main as start` makes `start` `hydra.main`.
fn aliases(tree: &Tree<'_>) -> HashMap<String, String> {
    let mut found = HashMap::from([("hydra".to_owned(), "hydra".to_owned())]);
    let is_hydra = |name: &str| name == "hydra" || name.starts_with("hydra.");
    for node in tree.descendants(tree.root()) {
        let names = tree.children_in(node, Field::Name).map(|name| {
            let inner = tree.child(name, Field::Name).unwrap_or(name);
            let alias = tree.child(name, Field::Alias);
            (tree.text_of(inner), alias.map(|a| tree.text_of(a)))
        });
        match tree.kind(node) {
            Kind::ImportStatement => {
                for (name, alias) in names {
                    if let Some(alias) = alias.filter(|_| is_hydra(name)) {
                        found.insert(alias.to_owned(), name.to_owned());
                    }
                }
            }
            // What a submodule such as hydra.main offers is the package's own function.
            Kind::ImportFromStatement
                if (tree.child(node, Field::ModuleName))
                    .is_some_and(|module| is_hydra(tree.text_of(module))) =>
            {
                for (name, alias) in names {
                    found.insert(alias.unwrap_or(name).to_owned(), format!("hydra.{name}"));
                }
            }
            _ => {}
        }
    }
    found
}

/// The module's names that are assigned a literal once.
fn constants(tree: &Tree<'_>) -> HashMap<String, Literal> {
    let mut found: HashMap<String, Option<Literal>> = HashMap::new();
    for statement in tree.statements(tree.root()) {
        let mut targets = Vec::new();
        let mut at = tree.child_of_kind(statement, Kind::Assignment);
        let mut value = None;
        while let Some(assignment) = at {
            targets.extend(tree.child(assignment, Field::Left));
            value = tree.child(assignment, Field::Right);
            at = value.filter(|&v| tree.kind(v) == Kind::Assignment);
        }
        let Some(value) = value else {
            continue;
        };
        for target in targets {
            if tree.kind(target) == Kind::Identifier
                && let Some(literal) = literal(tree, value)
            {
                (found.entry(tree.text_of(target).to_owned()))
                    .and_modify(|known| *known = None)
                    .or_insert(Some(literal));
            }
        }
    }
    (found.into_iter())
        .filter_map(|(name, literal)| Some((name, literal?)))
        .collect()
}

fn literal(tree: &Tree<'_>, node: NodeId) -> Option<Literal> {
    let node = tree.unparenthesized(node);
    match tree.kind(node) {
        Kind::NoneLiteral => Some(Literal::Text(None)),
        Kind::True | Kind::False | Kind::Integer | Kind::Float | Kind::Ellipsis => {
            Some(Literal::Other)
        }
        Kind::String | Kind::ConcatenatedString => {
            let formatted = tree.descendants(node).any(|part| {
                tree.kind(part) == Kind::StringStart
                    && tree.text_of(part).contains(['f', 'F', 't', 'T'])
            });
            (!formatted).then(|| match tree.string_value(node) {
                Some(text) => Literal::Text(Some(text)),
                None => Literal::Other,
            })
        }
        _ => None,
    }
}

/// The arguments of a call; none of what is no call.
fn arguments(tree: &Tree<'_>, call: NodeId, constants: &HashMap<String, Literal>) -> Vec<Argument> {
    let Some(list) = tree.child(call, Field::Arguments) else {
        return Vec::new();
    };
    let argument = |name: Option<&str>, value: Option<NodeId>| {
        let value = value.map(|v| tree.unparenthesized(v));
        let own = value.and_then(|v| literal(tree, v));
        let known = match (&own, value) {
            (Some(own), _) => Some(own),
            (None, Some(v)) if tree.kind(v) == Kind::Identifier => constants.get(tree.text_of(v)),
            _ => None,
        };
        let text = match known {
            Some(Literal::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Argument {
            name: name.map(str::to_owned),
            known: text.is_some(),
            value: text.flatten(),
        }
    };
    if tree.kind(list) != Kind::ArgumentList {
        return vec![argument(None, Some(list))];
    }
    tree.children(list)
        .map(|child| match tree.kind(child) {
            Kind::KeywordArgument => argument(
                tree.child(child, Field::Name).map(|n| tree.text_of(n)),
                tree.child(child, Field::Value),
            ),
            Kind::DictionarySplat => argument(Some("**"), None),
            _ => argument(None, Some(child)),
        })
        .collect()
}
