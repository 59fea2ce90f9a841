//! Bodies that do nothing, and computations that compute nothing.

use std::sync::LazyLock;

use regex::Regex;

use crate::analysis::FileContext;
use crate::analysis::definitions::{
    Class, Classes, Nothing, class_of, decorator_names, empty_body, is_fallback, last_name, name,
    parameters,
};
use crate::declare_rule;
use crate::rules::{Finding, Findings};
use crate::source::Span;
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

declare_rule! {
    /// A function or class has no body beyond `pass`, `...`, a docstring or `raise NotImplementedError`.
    ///
    /// ## What it does
    /// Looks at every definition whose body does nothing. Silent are: abstract methods and classes,
    /// protocols, overloads and other decorated definitions, exception and marker classes, fallbacks
    /// for a missing library, methods that a subclass in the same file overrides, hooks, and no-ops
    /// whose docstring or comment says why they do nothing.
    ///
    /// ## Why is this bad
    /// The name promises work that nobody does: the call returns `None` or raises in the middle of a
    /// run.
    ///
    /// ## Example
    /// ```python
    /// def preprocess(batch):
    ///     pass
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// def preprocess(batch):
    ///     return {"text": [clean(text) for text in batch["text"]], "label": batch["label"]}
    /// ```
    ///
    /// ## References
    /// - Protocol, criterion 1: complete implementation
    /// - [Python documentation, `NotImplementedError`](https://docs.python.org/3/library/exceptions.html#NotImplementedError)
    PLACEHOLDER_BODY = "complete/placeholder-body", "CMP003", Error, [1]
}

declare_rule! {
    /// A function that promises a computation returns a constant and ignores its parameters.
    ///
    /// ## What it does
    /// Looks at functions named after a computation (`compute_…`, `evaluate…`, `…_accuracy`,
    /// `…_loss`, `predict…`) that read none of their parameters and return nothing but literals.
    /// Methods that another class of the file implements as well, overrides in a class with an
    /// unknown base, and parameters marked unused by an underscore are left alone.
    ///
    /// ## Why is this bad
    /// The number is the same whatever the model does, and it ends up in a table of results.
    ///
    /// ## Example
    /// ```python
    /// def compute_accuracy(predictions, labels):
    ///     return 0.95
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// def compute_accuracy(predictions, labels):
    ///     return sum(p == y for p, y in zip(predictions, labels)) / len(labels)
    /// ```
    ///
    /// ## References
    /// - Protocol, criterion 1: complete implementation
    CONSTANT_STUB = "complete/constant-stub", "CMP006", Warning, [1]
}

/// Words by which a docstring, a comment or a message says that doing nothing is meant.
static EXPLAINS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\bno[\s-]?ops?\b|nothing|\bnot? (?:need|use|require|support|applicable|available|allowed|relevant|necessary|possible)|unused|unneeded|unsupported|intentional|deliberate|by design|\boptional|subclass|overrid|overload|\bhooks?\b|interface|abstract|\bby default\b|\buse default|\bcalled (?:when|by|if|once|before|after|for)\b|default (?:behaviou?r|implementation)|\bignore|(?:must|should) (?:be )?(?:overrid|implemented (?:by|in)|implement )|compatib|disabled|unnecessary|\bdoes not|\bdoesn't|\bcannot\b|can't|\balready\b|\bhandled\b|derived class|child class|inherit|\bmarker\b|\bsentinel\b|\bnamespace\b|\bcontainer\b|\btag\b|base class|\bcallback\b|\buse \S+ instead|\binstead\b|\bonly\b",
    )
    .ok()
});

fn explains(text: &str) -> bool {
    (EXPLAINS.as_ref()).is_some_and(|words| words.is_match(text))
}

/// Bases from which a class inherits no finished job: a subclass without a body does nothing useful.
fn is_empty_base(base: &str) -> bool {
    matches!(
        base,
        "object"
            | "Module"
            | "LightningModule"
            | "Dataset"
            | "IterableDataset"
            | "LightningDataModule"
            | "Sampler"
    )
}

/// Decorators that leave a function's body to be the function.
fn is_plain_decorator(decorator: &str) -> bool {
    matches!(
        decorator,
        "staticmethod"
            | "classmethod"
            | "property"
            | "no_grad"
            | "inference_mode"
            | "main"
            | "enable_grad"
            | "lru_cache"
            | "cache"
            | "cached_property"
            | "override"
    )
}

/// Whether a class's name says that its methods do nothing or are there to be overridden.
fn names_a_stand_in(class: &str) -> bool {
    const PARTS: [&str; 18] = [
        "Base",
        "Abstract",
        "Interface",
        "Mixin",
        "Protocol",
        "Null",
        "NoOp",
        "Noop",
        "Dummy",
        "Fake",
        "Mock",
        "Stub",
        "Silent",
        "Disabled",
        "Empty",
        "Sentinel",
        "Missing",
        "Callback",
    ];
    // "Base" in "BaseModel" and "ModelBase", not in "Baseline".
    let whole_word = |part: &str| {
        class.match_indices(part).any(|(at, found)| {
            let next = class[at + found.len()..].chars().next();
            !next.is_some_and(char::is_lowercase)
        })
    };
    class.starts_with('_') || PARTS.iter().any(|part| whole_word(part))
}

/// Whether a function's name says that it may do nothing.
fn names_a_hook(function: &str) -> bool {
    const EXACT: [&str; 28] = [
        "close",
        "flush",
        "reset",
        "setup",
        "teardown",
        "cleanup",
        "clean_up",
        "shutdown",
        "finish",
        "start",
        "stop",
        "begin",
        "end",
        "noop",
        "no_op",
        "nop",
        "identity",
        "do_nothing",
        "log",
        "debug",
        "info",
        "write",
        "update",
        "callback",
        "register",
        "prepare_data",
        "finalize",
        "watch",
    ];
    const STARTS: [&str; 14] = [
        "on_",
        "before_",
        "after_",
        "pre_",
        "post_",
        "log_",
        "_noop",
        "visit_",
        "handle_",
        "null",
        "dummy",
        "ignore",
        "configure_",
        "reset_",
    ];
    const ENDS: [&str; 5] = ["_hook", "_callback", "_start", "_end", "_noop"];
    let bare = function.trim_start_matches('_');
    EXACT.contains(&bare)
        || STARTS
            .iter()
            .any(|s| function.starts_with(s) || bare.starts_with(s))
        || ENDS.iter().any(|s| bare.ends_with(s))
}

/// Whether a special method is one that does the object's work.
fn does_work(function: &str) -> bool {
    let special = function.starts_with("__") && function.ends_with("__");
    !special
        || matches!(
            function,
            "__call__" | "__getitem__" | "__len__" | "__iter__" | "__next__"
        )
}

/// Finds definitions without a body.
pub(super) fn placeholder_bodies(file: &FileContext<'_>, findings: &mut Findings) {
    for_each_placeholder(file, |finding, interface| {
        if interface.is_none() {
            findings.push(finding);
        }
    });
}

/// Finds methods without a body that are open by design if their class is an interface: each with
/// the name of its class. They are placeholders when the package makes objects of that class and
/// derives nothing from it, which one file alone does not show.
pub(crate) fn open_methods(file: &FileContext<'_>) -> Vec<(String, Finding)> {
    let mut open = Vec::new();
    for_each_placeholder(file, |finding, interface| {
        open.extend(interface.map(|class| (class.to_owned(), finding)));
    });
    open
}

/// Why an empty body may be right.
enum Meant<'t> {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is if this class is an interface.
    ByInterface(&'t str),
}

impl From<bool> for Meant<'_> {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

fn for_each_placeholder<'t>(
    file: &FileContext<'t>,
    mut found: impl FnMut(Finding, Option<&'t str>),
) {
    let tree = file.tree;
    let mut classes: Option<Classes<'_>> = None;
    for node in tree.descendants(tree.root()) {
        let kind = tree.kind(node);
        if !matches!(kind, Kind::FunctionDefinition | Kind::ClassDefinition) {
            continue;
        }
        let Some(parts) = empty_body(tree, node) else {
            continue;
        };
        let classes = classes.get_or_insert_with(|| Classes::of(tree));
        let meant = if kind == Kind::ClassDefinition {
            is_meant_class(file, classes, node, &parts).into()
        } else {
            is_meant_function(file, classes, node, &parts)
        };
        let interface = match meant {
            Meant::Yes => continue,
            Meant::No => None,
            Meant::ByInterface(class) => Some(class),
        };
        if says_why(file, node, &parts) {
            continue;
        }
        let what = if kind == Kind::ClassDefinition {
            "Class"
        } else if class_of(tree, node).is_some() {
            "Method"
        } else {
            "Function"
        };
        let title = name(tree, node);
        let body = match *parts.last().unwrap_or(&Nothing::Pass) {
            Nothing::Pass => "`pass`",
            Nothing::Ellipsis => "`...`",
            Nothing::Text(_) => "a docstring",
            Nothing::NotImplemented(_) => "`raise NotImplementedError`",
        };
        let finding = Finding {
            rule: &PLACEHOLDER_BODY,
            span: header(tree, node),
            message: format!("{what} `{title}` has no body beyond {body}"),
            help: format!(
                "Implement `{title}`, or remove it if nothing needs it; an abstract method is declared with `@abstractmethod`"
            ),
            related: Vec::new(),
        };
        found(finding, interface);
    }
}

/// A definition's first line, up to its name's end.
fn header(tree: &Tree<'_>, definition: NodeId) -> Span {
    let whole = tree.span(definition);
    let end = tree
        .child(definition, Field::Name)
        .map_or(whole.end, |n| tree.span(n).end);
    Span::new(whole.start, end)
}

/// Whether the docstring, a comment in the body or the exception's message explains the body.
fn says_why(file: &FileContext<'_>, definition: NodeId, parts: &[Nothing]) -> bool {
    let tree = file.tree;
    let told = parts.iter().any(|part| match *part {
        Nothing::Text(text) | Nothing::NotImplemented(text) => explains(tree.text_of(text)),
        Nothing::Pass | Nothing::Ellipsis => false,
    });
    if told {
        return true;
    }
    let span = tree.span(definition);
    let last_line = file
        .source
        .line_of(span.end.saturating_sub(1).max(span.start));
    let end = file.source.line_start(last_line + 1);
    let comments = tree.comments();
    let from = comments.partition_point(|c| c.start < span.start);
    comments[from..]
        .iter()
        .take_while(|c| c.start < end)
        .any(|&c| explains(file.source.slice(c)))
}

fn is_meant_class(
    file: &FileContext<'_>,
    classes: &Classes<'_>,
    node: NodeId,
    parts: &[Nothing],
) -> bool {
    let tree = file.tree;
    let Some(class) = classes.get(node) else {
        return true;
    };
    let documented = parts.iter().any(|p| matches!(p, Nothing::Text(_)));
    let inherits = class.has_arguments
        && !(class.bases.len() == 1 && class.bases.iter().all(|b| is_empty_base(b)));
    inherits
        || class.declares_abstract
        || names_a_stand_in(class.name)
        || tree.decorators(node).next().is_some()
        || tree.ancestor(node, |k| k == Kind::FunctionDefinition).is_some()
        || is_fallback(tree, node)
        || classes.subclasses(class).next().is_some()
        // `class Args: pass` is a plain way to make an object that takes any attribute.
        || (class.bases.is_empty() && !documented && holds_attributes(tree, class.name))
}

/// Whether the name is used as a bag of attributes: instantiated without arguments, or written to.
fn holds_attributes(tree: &Tree<'_>, class: &str) -> bool {
    tree.descendants(tree.root()).any(|n| match tree.kind(n) {
        Kind::Call => {
            tree.child(n, Field::Function)
                .is_some_and(|f| tree.text_of(f) == class)
                && (tree.child(n, Field::Arguments))
                    .is_some_and(|a| tree.children(a).next().is_none())
        }
        Kind::Attribute => {
            tree.field(n) == Field::Left
                && tree
                    .child(n, Field::Object)
                    .is_some_and(|o| tree.text_of(o) == class)
        }
        _ => false,
    })
}

fn is_meant_function<'t>(
    file: &FileContext<'t>,
    classes: &Classes<'t>,
    node: NodeId,
    parts: &[Nothing],
) -> Meant<'t> {
    let tree = file.tree;
    let title = name(tree, node);
    let raises = parts
        .iter()
        .any(|p| matches!(p, Nothing::NotImplemented(_)));
    if decorator_names(tree, node).any(|d| !is_plain_decorator(d))
        || is_fallback(tree, node)
        || !does_work(title)
    {
        return Meant::Yes;
    }
    let is_in_function = |n| {
        tree.ancestor(n, |k| k == Kind::FunctionDefinition)
            .is_some()
    };
    let Some(owner) = class_of(tree, node) else {
        let no_op = !raises && (names_a_hook(title) || is_handed_on(tree, title));
        return (is_in_function(node) || no_op).into();
    };
    let Some(class) = classes.get(owner) else {
        return Meant::Yes;
    };
    let meant = class.declares_abstract
        || names_a_stand_in(class.name)
        || tree.decorators(owner).any(|d| last_name(tree, d).is_none())
        || is_in_function(owner)
        || is_fallback(tree, owner)
        || has_unknown_base(class)
        || (!raises && (names_a_hook(title) || is_lightning_hook(class, title)))
        || is_overridden(classes, class, title);
    if !meant && class.bases.is_empty() && looks_like_interface(tree, class, raises) {
        return Meant::ByInterface(class.name);
    }
    meant.into()
}

/// Whether a function is handed on as a value, which is how a no-op stands in for another function.
fn is_handed_on(tree: &Tree<'_>, function: &str) -> bool {
    tree.descendants(tree.root()).any(|n| {
        tree.kind(n) == Kind::Identifier
            && !matches!(
                tree.field(n),
                Field::Name | Field::Function | Field::Attribute
            )
            && tree.text_of(n) == function
    })
}

/// Whether a method of a Lightning class is one that Lightning calls and does not need.
fn is_lightning_hook(class: &Class<'_>, method: &str) -> bool {
    class.bases.iter().any(|b| b.starts_with("Lightning"))
        && !matches!(
            method,
            "forward" | "training_step" | "validation_step" | "test_step"
        )
        && !method.ends_with("_dataloader")
}

/// Whether a class without bases may be an interface in all but name: nobody in the file makes an
/// object of it, and either its methods raise or most of what it declares is left open.
fn looks_like_interface(tree: &Tree<'_>, class: &Class<'_>, raises: bool) -> bool {
    let made = tree.descendants(tree.root()).any(|n| {
        tree.kind(n) == Kind::Call
            && tree
                .child(n, Field::Function)
                .is_some_and(|f| tree.text_of(f) == class.name)
    });
    let open = class
        .methods
        .iter()
        .filter(|&&(name, method)| does_work(name) && empty_body(tree, method).is_some())
        .count();
    !made && (raises || open >= 3)
}

/// Whether a class derives from something whose contract is not known here.
fn has_unknown_base(class: &Class<'_>) -> bool {
    class.has_arguments && (class.bases.is_empty() || class.bases.iter().any(|b| !is_empty_base(b)))
}

/// Whether a subclass in the file, however far down, defines the method.
fn is_overridden(classes: &Classes<'_>, class: &Class<'_>, method: &str) -> bool {
    let mut seen = vec![class.node];
    let mut pending = vec![class];
    while let Some(class) = pending.pop() {
        for below in classes.subclasses(class) {
            if below.methods.iter().any(|&(name, _)| name == method) {
                return true;
            }
            if !seen.contains(&below.node) {
                seen.push(below.node);
                pending.push(below);
            }
        }
    }
    false
}

/// Names that promise a computation.
static COMPUTES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^_*(?:(?:compute|calculate|calc|evaluate|eval|measure|estimate|predict|score)(?:_(?-u:\w)+)?|train(?:_(?:model|epoch|one_epoch|step|loop|and_evaluate))?|run_(?:training|evaluation|experiment)|(?:get|compute)_(?:(?-u:\w)+_)?metrics?|(?:(?-u:\w)+_)?(?:accuracy|loss|score|f1|perplexity|bleu|rouge|auc|mse|mae|metrics|reward|similarity|entropy))$",
    )
    .ok()
});

/// Finds computations that return a constant.
pub(super) fn constant_stubs(file: &FileContext<'_>, findings: &mut Findings) {
    let tree = file.tree;
    let Some(computes) = COMPUTES.as_ref() else {
        return;
    };
    let mut classes: Option<Classes<'_>> = None;
    for node in tree.descendants(tree.root()) {
        if tree.kind(node) != Kind::FunctionDefinition {
            continue;
        }
        let title = name(tree, node);
        if !computes.is_match(title)
            || decorator_names(tree, node).any(|d| !is_plain_decorator(d) || d == "property")
            || is_fallback(tree, node)
        {
            continue;
        }
        let own: Vec<&str> = parameters(tree, node)
            .into_iter()
            .filter(|p| !matches!(*p, "self" | "cls"))
            .collect();
        if own.is_empty() || own.iter().all(|p| p.starts_with('_')) {
            continue;
        }
        let Some(value) = constant_result(tree, node) else {
            continue;
        };
        if let Some(owner) = class_of(tree, node) {
            let classes = classes.get_or_insert_with(|| Classes::of(tree));
            let Some(class) = classes.get(owner) else {
                continue;
            };
            if class.declares_abstract
                || names_a_stand_in(class.name)
                || has_unknown_base(class)
                || classes.has_sibling_method(class, title)
            {
                continue;
            }
        } else if tree
            .ancestor(node, |k| k == Kind::FunctionDefinition)
            .is_some()
        {
            continue;
        }
        if says_why(file, node, &docstring(tree, node)) {
            continue;
        }
        let shown: String = tree
            .text_of(value)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let shown = if shown.chars().count() > 40 {
            shown.chars().take(39).chain(['…']).collect()
        } else {
            shown
        };
        findings.push(Finding {
            rule: &CONSTANT_STUB,
            span: header(tree, node),
            message: format!(
                "`{title}` returns the constant `{shown}` and reads none of its parameters"
            ),
            help: format!("Compute the result of `{title}` from its parameters"),
            related: Vec::new(),
        });
    }
}

fn docstring(tree: &Tree<'_>, function: NodeId) -> Vec<Nothing> {
    tree.child(function, Field::Body)
        .and_then(|body| tree.docstring(body))
        .map(Nothing::Text)
        .into_iter()
        .collect()
}

/// The returned expression when the body only names literals, tells people something and returns
/// literals.
fn constant_result(tree: &Tree<'_>, function: NodeId) -> Option<NodeId> {
    let body = tree.child(function, Field::Body)?;
    let mut result = None;
    let mut names: Vec<&str> = Vec::new();
    for statement in tree.statements(body) {
        match tree.kind(statement) {
            Kind::PassStatement => {}
            Kind::ReturnStatement => {
                let value = tree.children(statement).next()?;
                if !is_constant(tree, value, &names) || !says_something(tree, value, &names) {
                    return None;
                }
                result = result.or(Some(value));
            }
            Kind::ExpressionStatement => {
                let inner = tree.children(statement).next()?;
                match tree.kind(inner) {
                    Kind::Assignment => {
                        let left = tree.child(inner, Field::Left)?;
                        let right = tree.child(inner, Field::Right)?;
                        if tree.kind(left) != Kind::Identifier || !is_constant(tree, right, &names)
                        {
                            return None;
                        }
                        names.push(tree.text_of(left));
                    }
                    Kind::Call if tells(tree, inner) => {}
                    _ if tree.string_statement(statement).is_some() => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    result
}

/// Whether a call only prints or logs, and what it says holds no value of the program.
fn tells(tree: &Tree<'_>, call: NodeId) -> bool {
    let Some(function) = tree.child(call, Field::Function) else {
        return false;
    };
    let teller = matches!(
        last_name(tree, function),
        Some("print" | "info" | "debug" | "warning" | "warn")
    );
    let arguments = tree.child(call, Field::Arguments);
    teller
        && arguments.is_some_and(|a| {
            !tree
                .descendants(a)
                .any(|n| matches!(tree.kind(n), Kind::Identifier | Kind::Interpolation))
        })
}

/// Whether an expression is made of literals, the names given, and constructors of both.
fn is_constant(tree: &Tree<'_>, value: NodeId, names: &[&str]) -> bool {
    tree.descendants(value).all(|n| match tree.kind(n) {
        Kind::Identifier => {
            let text = tree.text_of(n);
            names.contains(&text)
                || tree.field(n) == Field::Attribute
                || tree.field(n) == Field::Function
                || matches!(text, "torch" | "np" | "numpy" | "math")
                || (tree.field(n) == Field::Name
                    && tree
                        .parent(n)
                        .is_some_and(|p| tree.kind(p) == Kind::KeywordArgument))
        }
        Kind::Call => tree.child(n, Field::Function).is_some_and(|f| {
            matches!(
                tree.text_of(f),
                "dict"
                    | "list"
                    | "tuple"
                    | "float"
                    | "int"
                    | "torch.tensor"
                    | "torch.zeros"
                    | "torch.ones"
                    | "np.array"
                    | "np.zeros"
                    | "np.ones"
            )
        }),
        Kind::Integer
        | Kind::Float
        | Kind::True
        | Kind::False
        | Kind::NoneLiteral
        | Kind::String
        | Kind::StringStart
        | Kind::StringContent
        | Kind::StringEnd
        | Kind::List
        | Kind::Tuple
        | Kind::Dictionary
        | Kind::Pair
        | Kind::UnaryOperator
        | Kind::BinaryOperator
        | Kind::ParenthesizedExpression
        | Kind::ExpressionList
        | Kind::Attribute
        | Kind::ArgumentList
        | Kind::KeywordArgument
        | Kind::None => true,
        _ => false,
    })
}

/// Whether a constant looks like a result: it holds a number, or is an empty collection.
fn says_something(tree: &Tree<'_>, value: NodeId, names: &[&str]) -> bool {
    let empty = matches!(tree.kind(value), Kind::Dictionary | Kind::List)
        && tree.children(value).next().is_none();
    empty
        || tree.descendants(value).any(|n| match tree.kind(n) {
            Kind::Integer | Kind::Float => true,
            Kind::Identifier => names.contains(&tree.text_of(n)),
            _ => false,
        })
}
