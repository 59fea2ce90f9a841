//! Errors that are caught and forgotten.

use crate::analysis::FileContext;
use crate::analysis::definitions::{last_name, name};
use crate::declare_rule;
use crate::rules::{Finding, Findings};
use crate::source::Span;
use crate::syntax::kinds::{Field, Kind};
use crate::syntax::tree::{NodeId, Tree};

declare_rule! {
    /// A broad `except` passes, continues or puts a default in place of the result.
    ///
    /// ## What it does
    /// Looks at `except:`, `except Exception` and `except BaseException` whose body only passes or
    /// continues, without a word, or returns or assigns a number or an empty collection. Left alone
    /// are: imports, cleaning up, drawing and logging, conversions and other one-call look-ups,
    /// retries, and handlers that raise, exit or hand the error on.
    ///
    /// ## Why is this bad
    /// A failure that hits every batch looks like a result: an accuracy of 0.0, an empty history, a
    /// loop that ends without having trained.
    ///
    /// ## Example
    /// ```python
    /// try:
    ///     loss = train_step(model, batch)
    /// except Exception:
    ///     continue
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// try:
    ///     loss = train_step(model, batch)
    /// except torch.cuda.OutOfMemoryError as error:
    ///     raise RuntimeError(f"batch {index} does not fit: lower training.batch_size") from error
    /// ```
    ///
    /// ## References
    /// - [Python documentation, errors and exceptions](https://docs.python.org/3/tutorial/errors.html#handling-exceptions)
    /// - Protocol, criterion 1: complete implementation
    SWALLOWED_ERROR = "complete/swallowed-error", "CMP011", Warning, [1]
}

/// What a handler does instead of handling.
enum Instead {
    /// `pass`, `continue` or nothing.
    GoesOn(&'static str),
    /// Returns or assigns a constant.
    Default(NodeId, &'static str),
}

/// Finds broad handlers that swallow the error.
pub(super) fn swallowed_errors(file: &FileContext<'_>, findings: &mut Findings) {
    let tree = file.tree;
    for clause in tree.descendants(tree.root()) {
        if tree.kind(clause) != Kind::ExceptClause || !is_broad(tree, clause) {
            continue;
        }
        let Some(instead) = instead(tree, clause) else {
            continue;
        };
        if is_harmless(tree, clause) {
            continue;
        }
        let whole = file.source.slice(tree.span(clause));
        let head = whole.split(':').next().unwrap_or("except").trim_end();
        let start = tree.span(clause).start;
        let does = match instead {
            Instead::GoesOn("continue") => "goes on with the next item".to_owned(),
            Instead::GoesOn(_) => "goes on as if nothing had happened".to_owned(),
            Instead::Default(value, verb) => format!("{verb} `{}`", tree.text_of(value)),
        };
        findings.push(Finding {
            rule: &SWALLOWED_ERROR,
            span: Span::new(start, start + head.len() as u32),
            message: format!(
                "`{head}` catches every error and {does}: a systematic failure looks like a result"
            ),
            help: "Catch only the exception that is expected here, and raise or report every other"
                .to_owned(),
            related: Vec::new(),
        });
    }
}

/// Whether the clause catches everything.
fn is_broad(tree: &Tree<'_>, clause: NodeId) -> bool {
    let Some(caught) = tree.children(clause).find(|&c| tree.kind(c) != Kind::Block) else {
        return true;
    };
    let caught = match tree.kind(caught) {
        Kind::AsPattern => tree.children(caught).next().unwrap_or(caught),
        _ => caught,
    };
    tree.descendants(tree.unparenthesized(caught))
        .filter(|&n| matches!(tree.kind(n), Kind::Identifier | Kind::Attribute))
        .any(|n| matches!(tree.text_of(n), "Exception" | "BaseException"))
}

/// What the handler's body does, if it swallows the error.
fn instead(tree: &Tree<'_>, clause: NodeId) -> Option<Instead> {
    let body = tree.child_of_kind(clause, Kind::Block)?;
    let mut default = None;
    let mut word = "pass";
    let mut tells = false;
    for statement in tree.statements(body) {
        match tree.kind(statement) {
            Kind::PassStatement => {}
            Kind::ContinueStatement => word = "continue",
            Kind::ReturnStatement => match tree.children(statement).next() {
                Some(value) => default = Some((default_value(tree, value)?, "returns")),
                None => word = "return",
            },
            Kind::ExpressionStatement => {
                let inner = tree.children(statement).next()?;
                match tree.kind(inner) {
                    Kind::Ellipsis => {}
                    Kind::Assignment => {
                        let value = tree.child(inner, Field::Right)?;
                        default = Some((default_value(tree, value)?, "goes on with"));
                    }
                    Kind::Call if is_report(tree, inner) => tells = true,
                    _ if tree.string_statement(statement).is_some() => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    match default {
        // An empty collection with a message is a visible gap; a number is a result all the same.
        Some((value, _)) if tells && !is_number(tree, value) => None,
        Some((value, verb)) => Some(Instead::Default(value, verb)),
        None if tells || word == "return" => None,
        None => Some(Instead::GoesOn(word)),
    }
}

fn is_number(tree: &Tree<'_>, value: NodeId) -> bool {
    let value = match tree.kind(value) {
        Kind::UnaryOperator => tree.child(value, Field::Argument).unwrap_or(value),
        _ => value,
    };
    matches!(tree.kind(value), Kind::Integer | Kind::Float)
}

/// The value when it can pass for a result: a number, or an empty list or dictionary.
fn default_value(tree: &Tree<'_>, value: NodeId) -> Option<NodeId> {
    let empty = matches!(tree.kind(value), Kind::List | Kind::Dictionary)
        && tree.children(value).next().is_none();
    (empty || is_number(tree, value)).then_some(value)
}

/// Whether a call tells someone about the error.
fn is_report(tree: &Tree<'_>, call: NodeId) -> bool {
    tree.child(call, Field::Function)
        .and_then(|f| last_name(tree, f))
        .is_some_and(|f| {
            matches!(
                f,
                "print"
                    | "debug"
                    | "info"
                    | "warning"
                    | "warn"
                    | "error"
                    | "exception"
                    | "critical"
                    | "log"
                    | "print_exc"
                    | "write"
                    | "echo"
            )
        })
}

/// Calls whose failure costs no result.
fn is_side_matter(function: &str) -> bool {
    const EXACT: [&str; 62] = [
        "finish",
        "close",
        "flush",
        "empty_cache",
        "synchronize",
        "collect",
        "show",
        "plot",
        "savefig",
        "tight_layout",
        "legend",
        "watch",
        "unlink",
        "remove",
        "rmtree",
        "rmdir",
        "kill",
        "terminate",
        "join",
        "shutdown",
        "cleanup",
        "register",
        "print",
        "info",
        "debug",
        "warning",
        "warn",
        "error",
        "set_start_method",
        "set_float32_matmul_precision",
        "compile",
        "setlocale",
        "reconfigure",
        "use",
        "register_new_resolver",
        "set_struct",
        "update_layout",
        "add_artifact",
        "log_artifact",
        "write",
        "basicConfig",
        "set_verbosity_error",
        "getLogger",
        "hasattr",
        "filterwarnings",
        "simplefilter",
        "manual_seed_all",
        "set_num_threads",
        "display",
        "exists",
        "format",
        "str",
        "Path",
        "download",
        "alert",
        "init_process_group",
        "destroy_process_group",
        "gradient_checkpointing_enable",
        "enable_input_require_grads",
        "release",
        "cancel",
        "use_deterministic_algorithms",
    ];
    const STARTS: [&str; 10] = [
        "log",
        "set_",
        "disable_",
        "enable_",
        "plot_",
        "draw_",
        "print_",
        "_log",
        "register_",
        "close_",
    ];
    EXACT.contains(&function) || STARTS.iter().any(|s| function.starts_with(s))
}

/// Single look-ups and conversions: their failure means that the value is not there.
fn is_look_up(function: &str) -> bool {
    matches!(
        function,
        "int"
            | "float"
            | "str"
            | "bool"
            | "len"
            | "getattr"
            | "literal_eval"
            | "loads"
            | "dumps"
            | "item"
            | "get"
            | "select"
            | "eval"
            | "strptime"
            | "fromisoformat"
            | "strip"
            | "split"
            | "replace"
            | "lower"
            | "group"
            | "search"
            | "match"
            | "findall"
            | "isnan"
            | "isinstance"
            | "next"
            | "iter"
            | "version"
            | "parse"
            | "Fraction"
            | "Decimal"
            | "list"
            | "dict"
            | "getsource"
            | "signature"
            | "keys"
            | "values"
            | "items"
            | "repr"
            | "round"
    )
}

/// Whether the error that is swallowed could not have spoilt a result.
fn is_harmless(tree: &Tree<'_>, clause: NodeId) -> bool {
    let Some(statement) = tree.parent(clause) else {
        return true;
    };
    let Some(body) = tree.child(statement, Field::Body) else {
        return true;
    };
    let mut calls = 0;
    let mut serious = 0;
    for n in tree.descendants(body) {
        match tree.kind(n) {
            Kind::ImportStatement | Kind::ImportFromStatement => return true,
            Kind::Call => {
                calls += 1;
                let function = tree
                    .child(n, Field::Function)
                    .and_then(|f| last_name(tree, f));
                let light = function.is_some_and(|f| is_side_matter(f) || is_look_up(f));
                serious += u32::from(!light);
            }
            _ => {}
        }
    }
    // `try: return fast() except Exception: pass` with another way below, and `else:` for success.
    let mut parts = tree.children(statement);
    let has_else = tree.child_of_kind(statement, Kind::ElseClause).is_some();
    let returns = tree
        .descendants(body)
        .any(|n| tree.kind(n) == Kind::ReturnStatement)
        && tree.parent(statement).is_some_and(|block| {
            tree.children(block).any(|s| s > statement) && !clause_returns(tree, clause)
        });
    if has_else || returns || parts.any(|p| raises(tree, p)) {
        return true;
    }
    // Without a call that could fail in earnest, what fails is a look-up that has a default.
    if calls == 0 || serious == 0 {
        return true;
    }
    // A later clause or an `else` that raises, or a loop that tries again, deals with the failure.
    if tree
        .ancestor(clause, |k| {
            matches!(k, Kind::ForStatement | Kind::WhileStatement)
        })
        .is_some_and(|l| is_retry(tree, l) || fails_after_all(tree, l, body))
    {
        return true;
    }
    tree.ancestor(clause, |k| k == Kind::FunctionDefinition)
        .is_some_and(|f| is_probe_or_cleanup(name(tree, f)))
}

fn clause_returns(tree: &Tree<'_>, clause: NodeId) -> bool {
    tree.descendants(clause)
        .any(|n| tree.kind(n) == Kind::ReturnStatement)
}

/// Whether a `finally` raises, and with it whatever was caught.
fn raises(tree: &Tree<'_>, part: NodeId) -> bool {
    tree.kind(part) == Kind::FinallyClause
        && tree
            .descendants(part)
            .any(|n| tree.kind(n) == Kind::RaiseStatement)
}

/// Whether a loop tries the same thing several times, or several ways until one works.
fn is_retry(tree: &Tree<'_>, lp: NodeId) -> bool {
    let head_end = tree
        .child(lp, Field::Body)
        .map_or(tree.span(lp).end, |b| tree.span(b).start);
    let head = tree
        .text()
        .get(tree.span(lp).start as usize..head_end as usize)
        .unwrap_or("")
        .to_ascii_lowercase();
    [
        "attempt",
        "retr",
        "tries",
        "trial",
        "candidate",
        "fallback",
        "backend",
        "encoding",
        "format",
        "pattern",
    ]
    .iter()
    .any(|w| head.contains(w))
        || tree.descendants(lp).any(|n| {
            tree.kind(n) == Kind::Call
                && tree
                    .child(n, Field::Function)
                    .and_then(|f| last_name(tree, f))
                    == Some("sleep")
        })
}

/// Whether a loop leaves at its first success, and what comes after it raises when there was none.
fn fails_after_all(tree: &Tree<'_>, lp: NodeId, tried: NodeId) -> bool {
    let leaves = tree
        .statements(tried)
        .last()
        .is_some_and(|s| tree.kind(s) == Kind::BreakStatement);
    let raises = |n: NodeId| {
        tree.descendants(n)
            .any(|d| tree.kind(d) == Kind::RaiseStatement)
    };
    let or_else = tree.child_of_kind(lp, Kind::ElseClause);
    let next = tree
        .parent(lp)
        .and_then(|block| tree.statements(block).find(|&s| s > lp))
        .filter(|&s| tree.kind(s) == Kind::IfStatement);
    leaves && (or_else.is_some_and(raises) || next.is_some_and(raises))
}

/// Whether a function's name says that it asks, cleans up, or is the program whose result is an exit
/// status.
fn is_probe_or_cleanup(function: &str) -> bool {
    const STARTS: [&str; 14] = [
        "is_",
        "has_",
        "can_",
        "check_",
        "supports_",
        "_is_",
        "_has_",
        "_can_",
        "_check_",
        "close",
        "cleanup",
        "shutdown",
        "teardown",
        "plot_",
    ];
    matches!(
        function,
        "__del__" | "__exit__" | "__repr__" | "__str__" | "finish" | "_cleanup"
    ) || STARTS.iter().any(|s| function.starts_with(s))
        || function.ends_with("_available")
        || function.contains("safe_")
        || function.contains("try_")
}
