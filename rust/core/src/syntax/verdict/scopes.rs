//! The errors CPython finds after parsing: its future statements, symbol table and compiler.
//!
//! One walk over the tree follows `Python/future.c`, `Python/symtable.c` and `Python/compile.c` of
//! CPython 3.11, with the later versions' changes where they decide a verdict. CPython runs the
//! three one after another over the whole file, so the first error of each is kept apart.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use ruff_python_ast::{
    Arguments, Comprehension, ElifElseClause, ExceptHandler, Expr, ExprContext,
    InterpolatedStringElement, ModModule, Number, Parameters, Pattern, Stmt, StmtTry,
    StringLiteralValue, TypeParam, TypeParams,
};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::{Layer, PythonVersion, SyntaxProblem};

/// `CO_MAXBLOCKS`: loops, `try` and `with` blocks inside one another in one scope.
const MAX_BLOCKS: usize = 20;

const PARAM: u16 = 1;
const LOCAL: u16 = 1 << 1;
const USE: u16 = 1 << 2;
const GLOBAL: u16 = 1 << 3;
const NONLOCAL: u16 = 1 << 4;
const ANNOTATED: u16 = 1 << 5;
const IMPORT: u16 = 1 << 6;
const ITERATION: u16 = 1 << 7;
const TYPE_PARAM: u16 = 1 << 8;

const FUTURES: [&str; 10] = [
    "nested_scopes",
    "generators",
    "division",
    "absolute_import",
    "with_statement",
    "print_function",
    "unicode_literals",
    "barry_as_FLUFL",
    "generator_stop",
    "annotations",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Module,
    Class,
    Function,
    AsyncFunction,
    Lambda,
    /// What the comprehension is called in messages; only a generator expression is lazy.
    Comprehension(&'static str),
    /// A scope where `yield`, `await` and `:=` are refused; the text says where that is.
    Typing(&'static str),
}

impl Kind {
    /// Whether names bound here can be reached by `nonlocal` and statements may `yield`.
    fn is_function(self) -> bool {
        !matches!(self, Self::Module | Self::Class | Self::Typing(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Loop,
    ExceptStar,
    Other,
}

struct Scope<'a> {
    kind: Kind,
    names: HashMap<Cow<'a, str>, u16>,
    /// `nonlocal` declarations of scopes inside this one that no function has bound yet.
    pending: Vec<(Cow<'a, str>, TextRange, &'a Layer)>,
    blocks: Vec<Block>,
    generator: bool,
    coroutine: bool,
    return_value: Option<TextRange>,
    /// How many iterables of comprehensions the walk is in.
    iterables: usize,
    /// Whether the walk is in the target of a comprehension's `for`.
    iteration_target: bool,
    class_name: Option<&'a str>,
}

/// The first error of each of CPython's stages, in its order.
#[derive(Debug, Default)]
pub(super) struct Found {
    grammar: Option<SyntaxProblem>,
    future: Option<SyntaxProblem>,
    symbols: Option<SyntaxProblem>,
    compile: Option<SyntaxProblem>,
    /// How deep statements and expressions nest, counted as CPython's recursion limit does.
    pub depth: usize,
}

impl Found {
    pub(super) fn first(self) -> Option<SyntaxProblem> {
        self.grammar
            .or(self.future)
            .or(self.symbols)
            .or(self.compile)
    }
}

struct Walker<'a> {
    version: PythonVersion,
    source: &'a str,
    layer: &'a Layer,
    scopes: Vec<Scope<'a>>,
    found: Found,
    depth: usize,
    /// Names matter only where a declaration or an assignment expression can clash with them.
    track: bool,
    debug_name: bool,
    future_annotations: bool,
    /// Where the last future statement ends that stands where it may.
    futures_end: TextSize,
    /// Above 0 while in an expression that CPython never compiles.
    uncompiled: usize,
}

/// Walks `module`, the tree of `layer`'s text.
pub(super) fn check(
    module: &ModModule,
    layer: &Layer,
    source: &str,
    version: PythonVersion,
) -> Found {
    let contains = |word: &str| memchr::memmem::find(source.as_bytes(), word.as_bytes()).is_some();
    let mut walker = Walker {
        version,
        source,
        layer,
        scopes: Vec::new(),
        found: Found::default(),
        depth: 0,
        track: contains("global") || contains("nonlocal") || contains(":="),
        debug_name: contains("__debug__"),
        future_annotations: false,
        futures_end: TextSize::new(0),
        uncompiled: 0,
    };
    walker.push(Kind::Module, None);
    walker.futures(&module.body);
    walker.body(&module.body);
    walker.pop();
    walker.found
}

impl<'a> Walker<'a> {
    // --- reporting -------------------------------------------------------------------------

    fn problem(&self, range: TextRange, message: impl Into<String>) -> SyntaxProblem {
        self.layer.problem(range, message.into())
    }

    /// An error that CPython finds while parsing and the parser used here lets pass.
    fn grammar_error(&mut self, range: TextRange, message: impl Into<String>) {
        if self.found.grammar.is_none() {
            self.found.grammar = Some(self.problem(range, message));
        }
    }

    fn symbol_error(&mut self, range: TextRange, message: impl Into<String>) {
        if self.found.symbols.is_none() {
            self.found.symbols = Some(self.problem(range, message));
        }
    }

    fn compile_error(&mut self, range: TextRange, message: impl Into<String>) {
        if self.found.compile.is_none() && self.uncompiled == 0 {
            self.found.compile = Some(self.problem(range, message));
        }
    }

    // --- scopes ----------------------------------------------------------------------------

    fn push(&mut self, kind: Kind, class_name: Option<&'a str>) {
        let outer = self.scopes.last();
        let scope = Scope {
            kind,
            names: HashMap::new(),
            pending: Vec::new(),
            blocks: Vec::new(),
            generator: false,
            coroutine: kind == Kind::AsyncFunction,
            return_value: None,
            iterables: outer.map_or(0, |scope| scope.iterables),
            iteration_target: false,
            class_name: class_name.or(outer.and_then(|scope| scope.class_name)),
        };
        self.scopes.push(scope);
    }

    fn scope(&mut self) -> &mut Scope<'a> {
        // The module's scope is pushed first and popped last, so there always is one.
        let last = self.scopes.len().saturating_sub(1);
        &mut self.scopes[last]
    }

    fn kind(&self) -> Kind {
        self.scopes.last().map_or(Kind::Module, |scope| scope.kind)
    }

    fn pop(&mut self) {
        let Some(mut scope) = self.scopes.pop() else {
            return;
        };
        if scope.kind == Kind::AsyncFunction
            && scope.generator
            && let Some(range) = scope.return_value
        {
            self.compile_error(range, "'return' with value in async generator");
        }
        // A name this scope declares nonlocal must be bound in a function further out, and so
        // must what its inner scopes declare nonlocal and it does not bind.
        let mut pending = Vec::new();
        for (name, range, layer) in std::mem::take(&mut scope.pending) {
            let flags = scope.names.get(&name).copied().unwrap_or(0);
            let bound = match scope.kind {
                Kind::Module => Some(false),
                Kind::Class if name == "__class__" => Some(true),
                Kind::Class => None,
                Kind::Typing(_) if flags & TYPE_PARAM != 0 => {
                    let message =
                        format!("nonlocal binding not allowed for type parameter '{name}'");
                    self.unbound(range, layer, message);
                    continue;
                }
                Kind::Typing(_) => None,
                _ if flags & NONLOCAL != 0 => None,
                _ if flags & GLOBAL != 0 => Some(false),
                _ if flags & (LOCAL | PARAM | IMPORT) != 0 => Some(true),
                _ => None,
            };
            match bound {
                Some(true) => {}
                Some(false) => {
                    let message = format!("no binding for nonlocal '{name}' found");
                    self.unbound(range, layer, message);
                }
                None => pending.push((name, range, layer)),
            }
        }
        if let Some(outer) = self.scopes.last_mut() {
            outer.pending.extend(pending);
        }
    }

    fn unbound(&mut self, range: TextRange, layer: &Layer, message: String) {
        if self.found.symbols.is_none() {
            self.found.symbols = Some(layer.problem(range, message));
        }
    }

    /// The name as the compiler sees it: `__x` inside class `C` is `_C__x`.
    fn mangled(&self, name: &'a str) -> Cow<'a, str> {
        let class_name = self.scopes.last().and_then(|scope| scope.class_name);
        match class_name.map(|class_name| class_name.trim_start_matches('_')) {
            Some(class_name)
                if !class_name.is_empty()
                    && name.starts_with("__")
                    && !name.ends_with("__")
                    && !name.contains('.') =>
            {
                Cow::Owned(format!("_{class_name}{name}"))
            }
            _ => Cow::Borrowed(name),
        }
    }

    fn flags(&mut self, name: &str) -> u16 {
        self.scope().names.get(name).copied().unwrap_or(0)
    }

    fn define(&mut self, name: &'a str, range: TextRange, mut flag: u16) {
        if !self.track {
            return;
        }
        let name = self.mangled(name);
        let known = self.flags(&name);
        if self.scope().iteration_target && flag & LOCAL != 0 {
            if known & (GLOBAL | NONLOCAL) != 0 {
                self.symbol_error(
                    range,
                    format!(
                        "comprehension inner loop cannot rebind assignment expression target \
                         '{name}'"
                    ),
                );
            }
            flag |= ITERATION;
        }
        *self.scope().names.entry(name).or_insert(0) |= flag;
    }

    fn bind(&mut self, name: &'a str, range: TextRange, flag: u16) {
        self.store_name(name, range);
        self.define(name, range, flag);
    }

    fn store_name(&mut self, name: &str, range: TextRange) {
        if self.debug_name && name == "__debug__" {
            self.compile_error(range, "cannot assign to __debug__");
        }
    }

    // --- statements ------------------------------------------------------------------------

    fn futures(&mut self, body: &'a [Stmt]) {
        let mut beginning = true;
        for (index, stmt) in body.iter().enumerate() {
            match stmt {
                Stmt::ImportFrom(import)
                    if beginning
                        && import
                            .module
                            .as_ref()
                            .is_some_and(|name| name == "__future__") =>
                {
                    self.futures_end = import.range.end();
                    for alias in &import.names {
                        let message = match alias.name.as_str() {
                            "annotations" => {
                                self.future_annotations = true;
                                continue;
                            }
                            "braces" => "not a chance".to_owned(),
                            name if FUTURES.contains(&name) => continue,
                            name => format!("future feature {name} is not defined"),
                        };
                        if self.found.future.is_none() {
                            self.found.future = Some(self.problem(import.range, message));
                        }
                    }
                }
                Stmt::Expr(expression) if index == 0 => {
                    beginning = match &*expression.value {
                        Expr::StringLiteral(literal) => !self.is_fstring(&literal.value),
                        _ => false,
                    };
                }
                _ => beginning = false,
            }
        }
    }

    /// Whether a literal stands for an f-string (see [`Layer`]).
    fn is_fstring(&self, value: &StringLiteralValue) -> bool {
        value
            .iter()
            .any(|part| self.layer.fields(part.range.start()).is_some())
    }

    fn body(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn deeper(&mut self, levels: usize) {
        self.depth += levels;
        if self.depth > self.found.depth {
            self.found.depth = self.depth;
        }
    }

    fn block(&mut self, block: Block, range: TextRange) {
        self.scope().blocks.push(block);
        if self.scope().blocks.len() > MAX_BLOCKS {
            self.compile_error(range, "too many statically nested blocks");
        }
    }

    fn end_block(&mut self) {
        self.scope().blocks.pop();
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        self.deeper(1);
        match stmt {
            Stmt::FunctionDef(def) => {
                for decorator in &def.decorator_list {
                    self.expr(&decorator.expression);
                }
                self.bind(def.name.as_str(), def.name.range, LOCAL);
                self.defaults(&def.parameters);
                self.type_params(def.type_params.as_deref());
                self.annotations(&def.parameters);
                if let Some(returns) = &def.returns {
                    self.annotation(returns);
                }
                let kind = if def.is_async {
                    Kind::AsyncFunction
                } else {
                    Kind::Function
                };
                self.push(kind, None);
                self.parameters(&def.parameters);
                self.body(&def.body);
                self.pop();
                if def.type_params.is_some() {
                    self.pop();
                }
            }
            Stmt::ClassDef(def) => {
                for decorator in &def.decorator_list {
                    self.expr(&decorator.expression);
                }
                self.bind(def.name.as_str(), def.name.range, LOCAL);
                self.type_params(def.type_params.as_deref());
                if let Some(arguments) = &def.arguments {
                    self.arguments(arguments);
                }
                self.push(Kind::Class, Some(def.name.as_str()));
                self.body(&def.body);
                self.pop();
                if def.type_params.is_some() {
                    self.pop();
                }
            }
            Stmt::Return(ret) => {
                if let Some(value) = &ret.value {
                    self.expr(value);
                    self.scope().return_value.get_or_insert(ret.range);
                }
                if !self.kind().is_function() {
                    self.compile_error(ret.range, "'return' outside function");
                } else if self.scope().blocks.contains(&Block::ExceptStar) {
                    self.leaves_except_star(ret.range);
                }
            }
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    self.expr(target);
                }
            }
            Stmt::TypeAlias(alias) => {
                self.expr(&alias.name);
                self.type_params(alias.type_params.as_deref());
                self.push(Kind::Typing("a type alias"), None);
                self.expr(&alias.value);
                self.pop();
                if alias.type_params.is_some() {
                    self.pop();
                }
            }
            Stmt::Assign(assign) => {
                self.expr(&assign.value);
                for target in &assign.targets {
                    self.expr(target);
                }
            }
            Stmt::AugAssign(assign) => {
                self.expr(&assign.target);
                self.expr(&assign.value);
            }
            Stmt::AnnAssign(assign) => self.annotated_assignment(assign),
            Stmt::For(stmt) => {
                if stmt.is_async && self.kind() != Kind::AsyncFunction {
                    self.compile_error(stmt.range, "'async for' outside async function");
                }
                self.expr(&stmt.target);
                self.expr(&stmt.iter);
                self.block(Block::Loop, stmt.range);
                self.body(&stmt.body);
                self.end_block();
                self.body(&stmt.orelse);
            }
            Stmt::While(stmt) => {
                self.expr(&stmt.test);
                self.block(Block::Loop, stmt.range);
                self.body(&stmt.body);
                self.end_block();
                self.body(&stmt.orelse);
            }
            Stmt::If(stmt) => {
                self.expr(&stmt.test);
                self.body(&stmt.body);
                self.clauses(&stmt.elif_else_clauses);
            }
            Stmt::With(with) => {
                if with.is_async && self.kind() != Kind::AsyncFunction {
                    self.compile_error(with.range, "'async with' outside async function");
                }
                for item in &with.items {
                    self.expr(&item.context_expr);
                    self.block(Block::Other, with.range);
                    if let Some(target) = &item.optional_vars {
                        self.expr(target);
                    }
                }
                self.body(&with.body);
                for _ in &with.items {
                    self.end_block();
                }
            }
            Stmt::Match(stmt) => {
                self.expr(&stmt.subject);
                for (index, case) in stmt.cases.iter().enumerate() {
                    let last = index + 1 == stmt.cases.len();
                    let mut names = Vec::new();
                    self.pattern(&case.pattern, last || case.guard.is_some(), &mut names);
                    if let Some(guard) = &case.guard {
                        self.expr(guard);
                    }
                    self.body(&case.body);
                }
            }
            Stmt::Raise(raise) => {
                self.optional(raise.exc.as_deref());
                self.optional(raise.cause.as_deref());
            }
            Stmt::Try(stmt) => self.try_stmt(stmt),
            Stmt::Assert(assert) => {
                self.expr(&assert.test);
                self.optional(assert.msg.as_deref());
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = match &alias.asname {
                        Some(name) => name.as_str(),
                        None => alias.name.as_str().split('.').next().unwrap_or_default(),
                    };
                    self.bind(name, alias.range, IMPORT);
                }
            }
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::Global(global) => {
                for name in &global.names {
                    self.declare(name.as_str(), global.range, GLOBAL, "global");
                }
            }
            Stmt::Nonlocal(nonlocal) => {
                if self.kind() == Kind::Module {
                    self.symbol_error(
                        nonlocal.range,
                        "nonlocal declaration not allowed at module level",
                    );
                }
                for name in &nonlocal.names {
                    self.declare(name.as_str(), nonlocal.range, NONLOCAL, "nonlocal");
                    // Looked up from the scope around this one, which a module does not have.
                    let mangled = self.mangled(name.as_str());
                    let layer = self.layer;
                    if let [.., outer, _] = self.scopes.as_mut_slice() {
                        outer.pending.push((mangled, nonlocal.range, layer));
                    }
                }
            }
            Stmt::Expr(stmt) => self.expr(&stmt.value),
            Stmt::Break(stmt) => self.leaves_loop(stmt.range, "'break' outside loop"),
            Stmt::Continue(stmt) => {
                self.leaves_loop(stmt.range, "'continue' not properly in loop");
            }
            Stmt::Pass(_) | Stmt::IpyEscapeCommand(_) => {}
        }
        self.depth -= 1;
    }

    /// `elif` nests: the second branch is a statement inside the first one's `else`.
    fn clauses(&mut self, clauses: &'a [ElifElseClause]) {
        let mut levels = 0;
        for clause in clauses {
            if let Some(test) = &clause.test {
                levels += 1;
                self.deeper(1);
                self.expr(test);
            }
            self.body(&clause.body);
        }
        self.depth -= levels;
    }

    fn leaves_except_star(&mut self, range: TextRange) {
        self.compile_error(
            range,
            "'break', 'continue' and 'return' cannot appear in an except* block",
        );
    }

    fn leaves_loop(&mut self, range: TextRange, outside: &str) {
        let blocks = &self.scope().blocks;
        match blocks.iter().rev().find(|block| **block != Block::Other) {
            Some(Block::ExceptStar) => self.leaves_except_star(range),
            Some(_) => {}
            None => self.compile_error(range, outside),
        }
    }

    fn try_stmt(&mut self, stmt: &'a StmtTry) {
        let finally = !stmt.finalbody.is_empty();
        if stmt.handlers.is_empty() && !stmt.orelse.is_empty() {
            self.grammar_error(stmt.range, "expected 'except' or 'finally' block");
        }
        if finally {
            self.block(Block::Other, stmt.range);
        }
        if !stmt.handlers.is_empty() {
            self.block(Block::Other, stmt.range);
        }
        self.body(&stmt.body);
        if !stmt.handlers.is_empty() {
            self.end_block();
            let handler_block = if stmt.is_star {
                Block::ExceptStar
            } else {
                Block::Other
            };
            self.block(handler_block, stmt.range);
            for (index, handler) in stmt.handlers.iter().enumerate() {
                let ExceptHandler::ExceptHandler(handler) = handler;
                match &handler.type_ {
                    Some(type_) => self.expr(type_),
                    None if index + 1 < stmt.handlers.len() => {
                        self.compile_error(handler.range, "default 'except:' must be last");
                    }
                    None => {}
                }
                if let Some(name) = &handler.name {
                    self.bind(name.as_str(), name.range, LOCAL);
                }
                self.block(Block::Other, handler.range);
                self.body(&handler.body);
                self.end_block();
            }
            self.end_block();
        }
        self.body(&stmt.orelse);
        if finally {
            self.end_block();
            self.block(Block::Other, stmt.range);
            self.body(&stmt.finalbody);
            self.end_block();
        }
    }

    fn annotated_assignment(&mut self, assign: &'a ruff_python_ast::StmtAnnAssign) {
        match &*assign.target {
            Expr::Name(name) => {
                if self.track && assign.simple && self.kind() != Kind::Module {
                    let flags = {
                        let mangled = self.mangled(name.id.as_str());
                        self.flags(&mangled)
                    };
                    let declared = match flags {
                        _ if flags & GLOBAL != 0 => Some("global"),
                        _ if flags & NONLOCAL != 0 => Some("nonlocal"),
                        _ => None,
                    };
                    if let Some(declared) = declared {
                        self.symbol_error(
                            assign.range,
                            format!("annotated name '{}' can't be {declared}", name.id),
                        );
                    }
                }
                if assign.value.is_some() || assign.simple {
                    self.store_name(name.id.as_str(), name.range);
                }
                if assign.simple {
                    self.define(name.id.as_str(), name.range, ANNOTATED | LOCAL);
                } else if assign.value.is_some() {
                    self.define(name.id.as_str(), name.range, LOCAL);
                }
            }
            target => self.expr(target),
        }
        // Annotations of a function's local variables are never evaluated.
        let local = self.kind().is_function();
        self.uncompiled += usize::from(local);
        self.annotation(&assign.annotation);
        self.uncompiled -= usize::from(local);
        self.optional(assign.value.as_deref());
    }

    fn import_from(&mut self, import: &'a ruff_python_ast::StmtImportFrom) {
        let future = import
            .module
            .as_ref()
            .is_some_and(|name| name == "__future__");
        if future && import.range.end() > self.futures_end {
            self.compile_error(
                import.range,
                "from __future__ imports must occur at the beginning of the file",
            );
        }
        for alias in &import.names {
            if alias.name.as_str() == "*" {
                if self.kind() != Kind::Module {
                    self.symbol_error(import.range, "import * only allowed at module level");
                }
                continue;
            }
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            self.bind(name.as_str(), alias.range, IMPORT);
        }
    }

    fn declare(&mut self, name: &'a str, range: TextRange, flag: u16, word: &str) {
        if !self.track {
            return;
        }
        let mangled = self.mangled(name);
        let flags = self.flags(&mangled);
        let message = match flags {
            _ if flags & PARAM != 0 => Some(format!("name '{name}' is parameter and {word}")),
            _ if flags & USE != 0 => {
                Some(format!("name '{name}' is used prior to {word} declaration"))
            }
            _ if flags & ANNOTATED != 0 => Some(format!("annotated name '{name}' can't be {word}")),
            _ if flags & LOCAL != 0 => Some(format!(
                "name '{name}' is assigned to before {word} declaration"
            )),
            _ if (flags | flag) & (GLOBAL | NONLOCAL) == GLOBAL | NONLOCAL => {
                Some(format!("name '{name}' is nonlocal and global"))
            }
            _ => None,
        };
        if let Some(message) = message {
            self.symbol_error(range, message);
        }
        *self.scope().names.entry(mangled).or_insert(0) |= flag;
    }

    // --- functions -------------------------------------------------------------------------

    fn defaults(&mut self, parameters: &'a Parameters) {
        for parameter in parameters.iter_non_variadic_params() {
            self.optional(parameter.default.as_deref());
        }
    }

    fn annotations(&mut self, parameters: &'a Parameters) {
        for parameter in parameters {
            if let Some(annotation) = parameter.annotation() {
                match annotation {
                    // `*args: *Ts`
                    Expr::Starred(starred) => self.annotation(&starred.value),
                    annotation => self.annotation(annotation),
                }
            }
        }
    }

    fn annotation(&mut self, annotation: &'a Expr) {
        let deferred = self.future_annotations || self.version >= PythonVersion::PY314;
        if deferred {
            self.push(Kind::Typing("an annotation"), None);
        }
        // As text under the future import; not evaluated where it stands from 3.14 on.
        self.uncompiled += usize::from(self.future_annotations);
        self.expr(annotation);
        self.uncompiled -= usize::from(self.future_annotations);
        if deferred {
            self.pop();
        }
    }

    fn parameters(&mut self, parameters: &'a Parameters) {
        let mut seen: Vec<Cow<'a, str>> = Vec::new();
        let mut set: HashSet<Cow<'a, str>> = HashSet::new();
        for parameter in parameters {
            let name = parameter.name();
            self.bind(name.as_str(), name.range, PARAM);
            let mangled = self.mangled(name.as_str());
            // Most functions have few parameters; a set pays only for the others.
            let duplicate = if seen.len() < 16 {
                let duplicate = seen.contains(&mangled);
                seen.push(mangled);
                duplicate
            } else {
                set.extend(
                    seen.iter()
                        .filter(|_| set.is_empty())
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                !set.insert(mangled)
            };
            if duplicate {
                self.symbol_error(
                    name.range,
                    format!("duplicate argument '{name}' in function definition"),
                );
            }
        }
    }

    /// Opens the scope of type parameters when there are any; the caller closes it.
    fn type_params(&mut self, params: Option<&'a TypeParams>) {
        let Some(params) = params else { return };
        self.push(Kind::Typing("the definition of a generic"), None);
        let mut seen = HashSet::new();
        let mut defaults = false;
        for param in &params.type_params {
            let name = param.name();
            self.define(name.as_str(), name.range, TYPE_PARAM | LOCAL);
            if !seen.insert(name.as_str()) {
                self.symbol_error(name.range, format!("duplicate type parameter '{name}'"));
            }
            let (bound, default) = match param {
                TypeParam::TypeVar(param) => (param.bound.as_deref(), param.default.as_deref()),
                TypeParam::TypeVarTuple(param) => (None, param.default.as_deref()),
                TypeParam::ParamSpec(param) => (None, param.default.as_deref()),
            };
            if default.is_none() && defaults {
                self.symbol_error(
                    param.range(),
                    format!("non-default type parameter '{name}' follows default type parameter"),
                );
            }
            if default.is_some() && self.version < PythonVersion::PY313 {
                self.grammar_error(
                    param.range(),
                    "type parameter defaults came with Python 3.13",
                );
            }
            defaults |= default.is_some();
            self.push(Kind::Typing("a TypeVar bound"), None);
            self.optional(bound);
            match default {
                // `[*Ts = *tuple[int]]`
                Some(Expr::Starred(starred)) => self.expr(&starred.value),
                default => self.optional(default),
            }
            self.pop();
        }
    }

    // --- expressions -----------------------------------------------------------------------

    fn optional(&mut self, expr: Option<&'a Expr>) {
        if let Some(expr) = expr {
            self.expr(expr);
        }
    }

    /// An element of a display or an argument, where a starred expression may stand.
    fn element(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Starred(starred) => {
                self.deeper(1);
                self.expr(&starred.value);
                self.depth -= 1;
            }
            expr => self.expr(expr),
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        self.deeper(1);
        match expr {
            Expr::Name(name) => match name.ctx {
                ExprContext::Load | ExprContext::Invalid => {
                    self.define(name.id.as_str(), name.range, USE);
                }
                ExprContext::Store => self.bind(name.id.as_str(), name.range, LOCAL),
                ExprContext::Del => {
                    if self.debug_name && name.id == "__debug__" {
                        self.compile_error(name.range, "cannot delete __debug__");
                    }
                    self.define(name.id.as_str(), name.range, LOCAL);
                }
            },
            Expr::Attribute(attribute) => {
                if attribute.ctx == ExprContext::Store {
                    self.store_name(attribute.attr.as_str(), attribute.range);
                }
                self.expr(&attribute.value);
            }
            Expr::Call(call) => {
                self.expr(&call.func);
                self.arguments(&call.arguments);
            }
            Expr::StringLiteral(literal) => {
                if !self.layer.is_plain() {
                    self.masked_fstring(&literal.value);
                }
            }
            Expr::NumberLiteral(_)
            | Expr::BytesLiteral(_)
            | Expr::BooleanLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_)
            | Expr::IpyEscapeCommand(_) => {}
            Expr::BinOp(binary) => {
                self.expr(&binary.left);
                self.expr(&binary.right);
            }
            Expr::UnaryOp(unary) => self.expr(&unary.operand),
            Expr::BoolOp(boolean) => {
                for value in &boolean.values {
                    self.expr(value);
                }
            }
            Expr::Compare(compare) => {
                self.expr(&compare.left);
                for comparator in &compare.comparators {
                    self.expr(comparator);
                }
            }
            Expr::Subscript(subscript) => {
                self.expr(&subscript.value);
                self.expr(&subscript.slice);
            }
            Expr::Slice(slice) => {
                self.optional(slice.lower.as_deref());
                self.optional(slice.upper.as_deref());
                self.optional(slice.step.as_deref());
            }
            Expr::Tuple(tuple) => self.sequence(&tuple.elts, tuple.ctx, tuple.range),
            Expr::List(list) => self.sequence(&list.elts, list.ctx, list.range),
            Expr::Set(set) => {
                for element in &set.elts {
                    self.element(element);
                }
            }
            Expr::Dict(dict) => {
                for item in &dict.items {
                    self.optional(item.key.as_ref());
                    self.expr(&item.value);
                }
            }
            Expr::If(ternary) => {
                self.expr(&ternary.test);
                self.expr(&ternary.body);
                self.expr(&ternary.orelse);
            }
            Expr::Lambda(lambda) => {
                if let Some(parameters) = &lambda.parameters {
                    self.defaults(parameters);
                }
                self.push(Kind::Lambda, None);
                if let Some(parameters) = &lambda.parameters {
                    self.parameters(parameters);
                }
                self.expr(&lambda.body);
                self.pop();
            }
            Expr::ListComp(comp) => {
                let kind = Kind::Comprehension("list comprehension");
                self.comprehension(kind, &comp.generators, &comp.elt, None, comp.range);
            }
            Expr::SetComp(comp) => {
                let kind = Kind::Comprehension("set comprehension");
                self.comprehension(kind, &comp.generators, &comp.elt, None, comp.range);
            }
            Expr::DictComp(comp) => {
                let kind = Kind::Comprehension("dict comprehension");
                let key = comp.key.as_deref();
                self.comprehension(kind, &comp.generators, &comp.value, key, comp.range);
            }
            Expr::Generator(comp) => {
                let kind = Kind::Comprehension("generator expression");
                self.comprehension(kind, &comp.generators, &comp.elt, None, comp.range);
            }
            Expr::Named(named) => self.named(named),
            Expr::Yield(yielded) => {
                self.yields(yielded.range, "yield expression");
                self.optional(yielded.value.as_deref());
                if yielded.value.is_none() && self.continues_after(yielded.range) {
                    self.grammar_error(yielded.range, "invalid syntax");
                }
                if !self.kind().is_function() {
                    self.compile_error(yielded.range, "'yield' outside function");
                }
            }
            Expr::YieldFrom(yielded) => {
                self.yields(yielded.range, "yield expression");
                self.expr(&yielded.value);
                match self.kind() {
                    Kind::AsyncFunction => {
                        self.compile_error(yielded.range, "'yield from' inside async function");
                    }
                    kind if !kind.is_function() => {
                        self.compile_error(yielded.range, "'yield' outside function");
                    }
                    _ => {}
                }
            }
            Expr::Await(awaited) => {
                self.refused_in_typing(awaited.range, "await expression");
                match self.kind() {
                    Kind::AsyncFunction | Kind::Comprehension(_) => {}
                    kind if kind.is_function() => {
                        self.compile_error(awaited.range, "'await' outside async function");
                    }
                    _ => self.compile_error(awaited.range, "'await' outside function"),
                }
                self.scope().coroutine = true;
                self.expr(&awaited.value);
            }
            Expr::Starred(starred) => {
                let message = match starred.ctx {
                    ExprContext::Store => "starred assignment target must be in a list or tuple",
                    _ => "can't use starred expression here",
                };
                self.compile_error(starred.range, message);
                self.expr(&starred.value);
            }
            Expr::FString(fstring) => {
                for element in fstring.value.elements() {
                    self.interpolation(element);
                }
            }
            Expr::TString(tstring) => {
                for element in tstring.value.elements() {
                    self.interpolation(element);
                }
            }
        }
        self.depth -= 1;
    }

    fn interpolation(&mut self, element: &'a InterpolatedStringElement) {
        let InterpolatedStringElement::Interpolation(element) = element else {
            return;
        };
        self.deeper(1);
        self.expr(&element.expression);
        if let Some(spec) = &element.format_spec {
            for element in &spec.elements {
                self.interpolation(element);
            }
        }
        self.depth -= 1;
    }

    fn masked_fstring(&mut self, value: &'a StringLiteralValue) {
        let layer = self.layer;
        for part in value {
            let Some((next, fields)) = layer.fields(part.range.start()) else {
                continue;
            };
            self.layer = next;
            self.deeper(1);
            for stmt in fields {
                if let Stmt::Expr(stmt) = stmt {
                    self.expr(&stmt.value);
                }
            }
            self.depth -= 1;
            self.layer = layer;
        }
    }

    fn sequence(&mut self, elts: &'a [Expr], ctx: ExprContext, range: TextRange) {
        let mut starred = false;
        for (index, element) in elts.iter().enumerate() {
            if element.is_starred_expr() && ctx == ExprContext::Store {
                if starred {
                    self.compile_error(range, "multiple starred expressions in assignment");
                } else if index >= 256 {
                    self.compile_error(range, "too many expressions in star-unpacking assignment");
                }
                starred = true;
            }
            self.element(element);
        }
    }

    fn arguments(&mut self, arguments: &'a Arguments) {
        for argument in &arguments.args {
            self.element(argument);
        }
        let mut set: HashSet<&str> = HashSet::new();
        for (index, keyword) in arguments.keywords.iter().enumerate() {
            if let Some(name) = &keyword.arg {
                self.store_name(name.as_str(), keyword.range);
                let earlier = &arguments.keywords[..index];
                let repeated = if index < 16 {
                    earlier
                        .iter()
                        .any(|earlier| earlier.arg.as_ref().is_some_and(|arg| arg == name.as_str()))
                } else {
                    if set.is_empty() {
                        set.extend(earlier.iter().filter_map(|word| word.arg.as_deref()));
                    }
                    !set.insert(name.as_str())
                };
                if repeated {
                    self.compile_error(keyword.range, format!("keyword argument repeated: {name}"));
                }
            }
            self.expr(&keyword.value);
        }
    }

    fn comprehension(
        &mut self,
        kind: Kind,
        generators: &'a [Comprehension],
        element: &'a Expr,
        key: Option<&'a Expr>,
        range: TextRange,
    ) {
        if let Some(first) = generators.first() {
            self.scope().iterables += 1;
            self.expr(&first.iter);
            self.scope().iterables -= 1;
        }
        self.push(kind, None);
        for (index, generator) in generators.iter().enumerate() {
            self.scope().coroutine |= generator.is_async;
            self.scope().iteration_target = true;
            self.expr(&generator.target);
            self.scope().iteration_target = false;
            if index > 0 {
                self.scope().iterables += 1;
                self.expr(&generator.iter);
                self.scope().iterables -= 1;
            }
            for test in &generator.ifs {
                self.expr(test);
            }
        }
        // 3.15 unpacks into comprehensions; earlier versions refuse the star while parsing.
        self.optional(key);
        self.element(element);
        let coroutine = self.scope().coroutine;
        self.pop();
        let eager = kind != Kind::Comprehension("generator expression");
        if coroutine && eager {
            if !matches!(self.kind(), Kind::AsyncFunction | Kind::Comprehension(_)) {
                self.compile_error(
                    range,
                    "asynchronous comprehension outside of an asynchronous function",
                );
            }
            self.scope().coroutine = true;
        }
    }

    fn named(&mut self, named: &'a ruff_python_ast::ExprNamed) {
        self.refused_in_typing(named.range, "named expression");
        if self.scope().iterables > 0 {
            self.symbol_error(
                named.range,
                "assignment expression cannot be used in a comprehension iterable expression",
            );
        }
        if let (Kind::Comprehension(_), Expr::Name(name)) = (self.kind(), &*named.target) {
            self.extend_to_function(name.id.as_str(), named.range);
        }
        self.expr(&named.value);
        self.expr(&named.target);
    }

    /// Binds the target of an assignment expression inside a comprehension in the scope around.
    fn extend_to_function(&mut self, name: &'a str, range: TextRange) {
        let name = self.mangled(name);
        for index in (0..self.scopes.len()).rev() {
            let scope = &mut self.scopes[index];
            let flags = scope.names.get(&name).copied().unwrap_or(0);
            match scope.kind {
                Kind::Comprehension(_) => {
                    if flags & ITERATION != 0 && flags & LOCAL != 0 {
                        let message = format!(
                            "assignment expression cannot rebind comprehension iteration \
                             variable '{name}'"
                        );
                        self.symbol_error(range, message);
                        return;
                    }
                }
                Kind::Class => {
                    self.symbol_error(
                        range,
                        "assignment expression within a comprehension cannot be used in a class \
                         body",
                    );
                    return;
                }
                Kind::Typing(place) => {
                    let message = format!(
                        "assignment expression within a comprehension cannot be used within {place}"
                    );
                    self.symbol_error(range, message);
                    return;
                }
                Kind::Module | Kind::Function | Kind::AsyncFunction | Kind::Lambda => {
                    let outside = scope.kind == Kind::Module || flags & GLOBAL != 0;
                    *scope.names.entry(name.clone()).or_insert(0) |=
                        if outside { GLOBAL } else { LOCAL };
                    let here = if outside { GLOBAL } else { NONLOCAL };
                    *self.scope().names.entry(name).or_insert(0) |= here;
                    return;
                }
            }
        }
    }

    /// Whether a `yield` without a value is followed by more of an expression, which the parser
    /// lets pass: `yield == 1`, `(yield, 1)`.
    fn continues_after(&self, range: TextRange) -> bool {
        let end = self.layer.origin(range.end().to_usize());
        let rest = self.source.get(end..).unwrap_or_default();
        let rest = rest.trim_start_matches([' ', '\t', '\x0c']).as_bytes();
        match rest.first() {
            None | Some(b')' | b'\n' | b'\r' | b';' | b'#' | b'\\' | b'}' | b':') => false,
            // The conversion or the `=` of a replacement field.
            Some(b'!' | b'=') => rest.get(1) == Some(&b'='),
            Some(_) => true,
        }
    }

    fn yields(&mut self, range: TextRange, what: &str) {
        self.refused_in_typing(range, what);
        if let Kind::Comprehension(kind) = self.kind() {
            self.symbol_error(range, format!("'yield' inside {kind}"));
        }
        self.scope().generator = true;
    }

    fn refused_in_typing(&mut self, range: TextRange, what: &str) {
        if let Kind::Typing(place) = self.kind() {
            let verb = if self.version < PythonVersion::PY312 {
                "can not"
            } else {
                "cannot"
            };
            let message = if self.version < PythonVersion::PY313 {
                format!("'{what}' {verb} be used within {place}")
            } else {
                format!("{what} {verb} be used within {place}")
            };
            self.symbol_error(range, message);
        }
    }

    // --- patterns --------------------------------------------------------------------------

    /// `irrefutable` tells whether a pattern that always matches may stand here; `names` collects
    /// what the whole `case` captures.
    fn pattern(&mut self, pattern: &'a Pattern, irrefutable: bool, names: &mut Vec<&'a str>) {
        self.deeper(1);
        match pattern {
            Pattern::MatchValue(value) => {
                self.refuse_fstring(
                    &value.value,
                    "patterns may only match literals and attribute lookups",
                );
                self.expr(&value.value);
            }
            Pattern::MatchSingleton(_) => {}
            Pattern::MatchSequence(sequence) => {
                let mut starred = false;
                for (index, pattern) in sequence.patterns.iter().enumerate() {
                    if pattern.is_match_star() {
                        if starred {
                            self.compile_error(
                                sequence.range,
                                "multiple starred expressions in sequence pattern",
                            );
                        } else if index >= 256 {
                            self.compile_error(
                                sequence.range,
                                "too many expressions in star-unpacking sequence pattern",
                            );
                        }
                        starred = true;
                    }
                    self.pattern(pattern, true, names);
                }
            }
            Pattern::MatchMapping(mapping) => {
                let mut seen = HashSet::new();
                for key in &mapping.keys {
                    self.refuse_fstring(
                        key,
                        "mapping pattern keys may only match literals and attribute lookups",
                    );
                    if constant_key(key).is_some_and(|constant| !seen.insert(constant)) {
                        self.compile_error(mapping.range, "mapping pattern checks duplicate key");
                    }
                    self.expr(key);
                }
                for pattern in &mapping.patterns {
                    self.pattern(pattern, true, names);
                }
                if let Some(rest) = &mapping.rest {
                    self.capture(rest.as_str(), rest.range, names);
                }
            }
            Pattern::MatchClass(class) => {
                self.expr(&class.cls);
                for pattern in &class.arguments.patterns {
                    self.pattern(pattern, true, names);
                }
                let mut seen = HashSet::new();
                for keyword in &class.arguments.keywords {
                    let attr = keyword.attr.as_str();
                    self.store_name(attr, keyword.range);
                    if !seen.insert(attr) {
                        self.compile_error(
                            keyword.range,
                            format!("attribute name repeated in class pattern: {attr}"),
                        );
                    }
                    self.pattern(&keyword.pattern, true, names);
                }
            }
            Pattern::MatchStar(star) => {
                if let Some(name) = &star.name {
                    self.capture(name.as_str(), name.range, names);
                }
            }
            Pattern::MatchAs(capture) => {
                match (&capture.pattern, &capture.name) {
                    (Some(inner), _) => self.pattern(inner, irrefutable, names),
                    (None, _) if irrefutable => {}
                    (None, Some(name)) => {
                        let message =
                            format!("name capture '{name}' makes remaining patterns unreachable");
                        self.compile_error(capture.range, message);
                    }
                    (None, None) => self.compile_error(
                        capture.range,
                        "wildcard makes remaining patterns unreachable",
                    ),
                }
                if let Some(name) = &capture.name {
                    self.capture(name.as_str(), name.range, names);
                }
            }
            Pattern::MatchOr(or) => {
                // Alternatives capture the same names, each of them once.
                let before = names.len();
                let mut first: Option<Vec<&'a str>> = None;
                for (index, pattern) in or.patterns.iter().enumerate() {
                    let last = index + 1 == or.patterns.len();
                    let mut own = names[..before].to_vec();
                    self.pattern(pattern, irrefutable && last, &mut own);
                    let mut captured = own.split_off(before);
                    captured.sort_unstable();
                    match &first {
                        None => first = Some(captured),
                        Some(expected) if *expected != captured => self
                            .compile_error(or.range, "alternative patterns bind different names"),
                        Some(_) => {}
                    }
                }
                names.extend(first.unwrap_or_default());
            }
        }
        self.depth -= 1;
    }

    fn refuse_fstring(&mut self, value: &Expr, message: &str) {
        let refused = match value {
            Expr::StringLiteral(literal) => self.is_fstring(&literal.value),
            Expr::FString(_) | Expr::TString(_) => true,
            _ => false,
        };
        if refused {
            self.grammar_error(value.range(), message);
        }
    }

    fn capture(&mut self, name: &'a str, range: TextRange, names: &mut Vec<&'a str>) {
        if names.contains(&name) {
            self.compile_error(
                range,
                format!("multiple assignments to name '{name}' in pattern"),
            );
        }
        names.push(name);
        self.bind(name, range, LOCAL);
    }
}

/// A key of a mapping pattern in a form in which equal constants are equal: `1`, `1.0`, `True`.
fn constant_key(key: &Expr) -> Option<String> {
    match key {
        Expr::StringLiteral(literal) => Some(format!("s{}", literal.value.to_str())),
        Expr::BytesLiteral(literal) => {
            Some(format!("b{:?}", literal.value.bytes().collect::<Vec<_>>()))
        }
        Expr::BooleanLiteral(literal) => Some(format!("n{}", u8::from(literal.value))),
        Expr::NoneLiteral(_) => Some("none".to_owned()),
        Expr::NumberLiteral(literal) => Some(match &literal.value {
            Number::Int(int) => format!("n{int}"),
            Number::Float(float) => format!("n{float}"),
            Number::Complex { real, imag } if *imag == 0.0 => format!("n{real}"),
            Number::Complex { real, imag } => format!("c{real},{imag}"),
        }),
        Expr::UnaryOp(unary) => constant_key(&unary.operand).map(|operand| format!("-{operand}")),
        _ => None,
    }
}
