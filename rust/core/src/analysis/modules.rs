//! What a module imports and what it offers to others, as facts that outlive its tree.

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::FileContext;
use super::names::ImportSite;
use crate::source::{Source, Span};
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

/// `[line, column, end_line, end_column]`, 1-based.
pub type Place = [u32; 4];

/// One import of one module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Import {
    /// Dots before the module; 0 for an absolute import.
    pub level: u32,
    /// The dotted module, empty for `from . import x`.
    pub module: Box<str>,
    /// Where the module is named.
    pub place: Place,
    /// What is taken from it; `None` for `import module`.
    pub names: Option<Vec<ImportedName>>,
    /// Whether everything is taken from it.
    pub star: bool,
    /// Whether it stands in a `try` statement that handles a failing import.
    pub guarded: bool,
    /// Whether it stands under `if TYPE_CHECKING:` and never runs.
    pub typing_only: bool,
    /// Attributes read from the module under the name that `import module as name` gives it.
    pub attributes: Vec<(Box<str>, Place)>,
}

/// A name taken from a module.
#[derive(Debug, Serialize, Deserialize)]
pub struct ImportedName {
    /// The name in the other module.
    pub name: Box<str>,
    /// Where it is named.
    pub place: Place,
    /// Attributes read from it: they count when the name turns out to be a module.
    pub attributes: Vec<(Box<str>, Place)>,
}

/// What a module imports and offers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ModuleFacts {
    /// Its imports that may concern the package itself, in order.
    pub imports: Vec<Import>,
    /// The names it binds at module level, sorted.
    pub defined: Vec<Box<str>>,
    /// It may offer names that no statement binds.
    pub open: bool,
    /// It changes where modules are looked for, or mentions scripts by path, so that another folder
    /// than the root may stand first on `sys.path`.
    pub moves_path: bool,
    /// Modules of `src` that its text names, in imports, in command lines or elsewhere; sorted.
    pub mentions: Vec<Box<str>>,
}

/// Texts that tell of a changed module path.
const PATH_MARKS: &[&[u8]] = &[
    b"sys.path",
    b"PYTHONPATH",
    b"addsitedir",
    b"rootutils",
    b"import path",
    b".py\"",
    b".py'",
];

impl ModuleFacts {
    /// The facts of a file whose tree is sound.
    pub fn of(context: &FileContext<'_>) -> Self {
        let names = &context.names;
        let text = context.source.text().as_bytes();
        let mut imports = Vec::new();
        for site in &names.imports {
            collect(context, site, &mut imports);
        }
        Self {
            imports,
            defined: names.module.iter().map(|&name| name.into()).collect(),
            open: names.open || names.module.binary_search(&"__getattr__").is_ok(),
            moves_path: PATH_MARKS
                .iter()
                .any(|mark| memmem::find(text, mark).is_some()),
            mentions: mentions(context.source.text()),
        }
    }

    /// Whether it binds `name` at module level.
    pub fn defines(&self, name: &str) -> bool {
        self.defined.binary_search_by(|d| (**d).cmp(name)).is_ok()
    }
}

/// The names that follow `src.` or `src/` in a text.
fn mentions(text: &str) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = memmem::find_iter(text.as_bytes(), b"src")
        .filter_map(|at| text.get(at + 3..)?.strip_prefix(['.', '/']))
        .map(|rest| {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..word.unwrap_or(rest.len())].into()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn place(source: &Source<'_>, span: Span) -> Place {
    let (start, end) = (source.position(span.start), source.position(span.end));
    [start.line, start.column, end.line, end.column]
}

fn collect(context: &FileContext<'_>, site: &ImportSite, imports: &mut Vec<Import>) {
    let tree = context.tree;
    let at = |node| place(context.source, tree.span(node));
    let base = |module: &str, level, node| Import {
        level,
        module: module.into(),
        place: at(node),
        names: None,
        star: false,
        guarded: site.guarded,
        typing_only: site.typing_only,
        attributes: Vec::new(),
    };
    let named = || {
        tree.children_in(site.node, Field::Name).map(|node| {
            let name = match tree.kind(node) {
                Kind::AliasedImport => tree.child(node, Field::Name).unwrap_or(node),
                _ => node,
            };
            (name, tree.child(node, Field::Alias))
        })
    };
    if tree.kind(site.node) == Kind::ImportStatement {
        for (module, alias) in named() {
            let mut import = base(tree.text_of(module), 0, module);
            if let Some(alias) = alias
                && import.module.starts_with("src.")
            {
                import.attributes = attributes(context, alias);
            }
            imports.push(import);
        }
        return;
    }
    let Some(from) = tree.child(site.node, Field::ModuleName) else {
        return;
    };
    let prefix = tree.child_of_kind(from, Kind::ImportPrefix);
    let level = prefix.map_or(0, |p| tree.text_of(p).matches('.').count() as u32);
    let module = match tree.kind(from) {
        Kind::RelativeImport => tree
            .child_of_kind(from, Kind::DottedName)
            .map_or("", |m| tree.text_of(m)),
        _ => tree.text_of(from),
    };
    let mut import = base(module, level, from);
    import.star = tree
        .child_of_kind(site.node, Kind::WildcardImport)
        .is_some();
    // Only `from package import module` can bring a module in.
    let packages = (level == 0 && module == "src") || (level > 0 && module.is_empty());
    import.names = Some(
        named()
            .map(|(name, alias)| ImportedName {
                name: tree.text_of(name).into(),
                place: at(name),
                attributes: if packages {
                    attributes(context, alias.unwrap_or(name))
                } else {
                    Vec::new()
                },
            })
            .collect(),
    );
    imports.push(import);
}

/// The attributes read from a name that one import alone binds, outside `try` statements; none when
/// the file also writes an attribute of it.
fn attributes(context: &FileContext<'_>, name: NodeId) -> Vec<(Box<str>, Place)> {
    let tree: &Tree<'_> = context.tree;
    let name = tree.text_of(name);
    let mut found: Vec<(Box<str>, Place)> = Vec::new();
    if context.names.unambiguous.binary_search(&name).is_err() {
        return found;
    }
    for node in tree.descendants(tree.root()) {
        if tree.kind(node) != Kind::Attribute {
            continue;
        }
        let object = tree.child(node, Field::Object);
        let is_name =
            object.is_some_and(|o| tree.kind(o) == Kind::Identifier && tree.text_of(o) == name);
        let Some(attribute) = tree.child(node, Field::Attribute).filter(|_| is_name) else {
            continue;
        };
        if tree.field(node) == Field::Left {
            return Vec::new();
        }
        let guarded = tree.ancestor(node, |k| k == Kind::TryStatement).is_some();
        let text = tree.text_of(attribute);
        if !guarded && !found.iter().any(|(known, _)| **known == *text) {
            found.push((text.into(), place(context.source, tree.span(attribute))));
        }
    }
    found
}
