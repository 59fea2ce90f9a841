//! Names: which scope defines what, which reads nothing defines, and which come before their binding.
//!
//! `docs/names.md` says where the answers differ from those of pyflakes, and why.

mod bind;
mod builtins;
mod flow;

use rustc_hash::FxHashMap;

use crate::syntax::kinds::Kind;
use crate::syntax::tree::{NodeId, Tree};
use bind::{Binder, GUARDED, NONE, NameId, Op, ScopeKind, Variable};
use flow::Flow;

pub use bind::ImportSite;

/// Why a read finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No scope that the read can see binds the name.
    Nowhere,
    /// The place that binds the name runs later.
    Before(NodeId),
    /// The place took the name away: `del`, or the end of `except … as`.
    TakenAway(NodeId),
    /// The place binds the name on another path only.
    OtherPath(NodeId),
    /// The name is imported at the place, which only type checkers look at.
    TypingOnly(NodeId),
}

/// A name whose reads find nothing, with all of them: one root cause.
#[derive(Debug)]
pub struct MissingName<'t> {
    /// The name.
    pub name: &'t str,
    /// The reads, in order; never empty.
    pub reads: Vec<NodeId>,
    /// Why the first of them finds nothing.
    pub why: Missing,
    /// Names that could have been meant, best first: visible ones spelt almost the same.
    pub similar: Option<&'t str>,
    /// Whether the module binds a name that the local one hides.
    pub hides_module_name: bool,
}

/// The names of one file.
#[derive(Debug, Default)]
pub struct Names<'t> {
    /// Names that no scope defines.
    pub undefined: Vec<MissingName<'t>>,
    /// Locals of functions that are read on every path before they are bound.
    pub unbound: Vec<MissingName<'t>>,
    /// Names may appear at module level that no statement binds: `exec`, writes to `globals()`, or a
    /// tree that is not sound.
    pub open: bool,
    /// What the module binds, each name once, sorted.
    pub module: Vec<&'t str>,
    /// Those that one place binds, and no other scope of the file: a read of such a name means that
    /// place.
    pub unambiguous: Vec<&'t str>,
    /// Every import statement.
    pub imports: Vec<ImportSite>,
}

impl<'t> Names<'t> {
    /// Nothing is known: any name may be there.
    pub fn unknown() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }

    /// The names of a file whose tree is sound; an unsound tree tells nothing.
    pub fn of(tree: &Tree<'t>) -> Self {
        if tree.first_error().is_some() {
            return Self::unknown();
        }
        let binder = Binder::run(tree);
        if binder.too_deep {
            return Self::unknown();
        }
        let mut resolver = Resolver {
            tree,
            resolved: vec![NONE; binder.events.len()],
            builtin: vec![None; binder.names.len()],
            open: binder.open || binder.star,
            binder,
            undefined: Group::default(),
            unbound: Group::default(),
        };
        resolver.resolve();
        resolver.follow_paths();
        resolver.finish()
    }
}

/// Missing names of a file for which a name that could be meant is looked for: each look compares with
/// every visible name.
const SUGGESTIONS: usize = 50;

/// Findings by name and scope, in the order in which they were met.
#[derive(Default)]
struct Group {
    by_key: FxHashMap<(NameId, u32), usize>,
    items: Vec<Item>,
}

struct Item {
    name: NameId,
    /// The scope that reads.
    scope: u32,
    reads: Vec<(NodeId, Missing)>,
}

impl Group {
    fn add(&mut self, name: NameId, key: u32, scope: u32, read: NodeId, why: Missing) {
        let next = self.items.len();
        let at = *self.by_key.entry((name, key)).or_insert(next);
        if at == next {
            self.items.push(Item {
                name,
                scope,
                reads: Vec::new(),
            });
        }
        self.items[at].reads.push((read, why));
    }
}

struct Resolver<'a, 't> {
    tree: &'a Tree<'t>,
    binder: Binder<'a, 't>,
    /// Nothing can be said of names that no scope defines.
    open: bool,
    /// The variable of each read, by event.
    resolved: Vec<u32>,
    /// Whether a name is a builtin, by name, once asked.
    builtin: Vec<Option<bool>>,
    undefined: Group,
    unbound: Group,
}

impl<'t> Resolver<'_, 't> {
    fn is_builtin(&mut self, name: NameId) -> bool {
        let text = self.binder.names[name as usize];
        *self.builtin[name as usize].get_or_insert_with(|| {
            // CPython folds the spellings of names that are not ASCII, which is not done here.
            builtins::is_builtin(text) || !text.is_ascii()
        })
    }

    /// Finds the variable of each read, and the reads that have none.
    fn resolve(&mut self) {
        for at in 0..self.binder.events.len() {
            let event = self.binder.events[at];
            if event.op != Op::Read {
                continue;
            }
            let mut typing = NONE;
            let found = self
                .binder
                .lookup(event.scope)
                .filter_map(|scope| self.binder.variable(scope, event.what))
                .find(|&id| {
                    let variable = &self.binder.variables[id as usize];
                    let module = variable.scope == 0;
                    if module && variable.typing != NONE {
                        typing = variable.typing;
                    }
                    variable.bound != NONE || !module
                });
            if let Some(id) = found {
                self.resolved[at] = id;
                continue;
            }
            if self.open || event.flags & GUARDED != 0 || self.is_implicit(event.scope, event.what)
            {
                continue;
            }
            let why = if typing == NONE {
                Missing::Nowhere
            } else {
                Missing::TypingOnly(NodeId(typing))
            };
            self.undefined
                .add(event.what, 0, event.scope, NodeId(event.node), why);
        }
    }

    /// Whether a name is there without being bound: builtins, and what class bodies and methods get.
    fn is_implicit(&mut self, scope: u32, name: NameId) -> bool {
        if self.is_builtin(name) {
            return true;
        }
        let kind = self.binder.scopes[scope as usize].kind;
        match self.binder.names[name as usize] {
            "__module__" | "__qualname__" => kind == ScopeKind::Class,
            "__class__" => kind != ScopeKind::Module,
            _ => false,
        }
    }

    /// Finds the reads that come before their binding.
    fn follow_paths(&mut self) {
        for unit in 0..self.binder.units.len() as u32 {
            for read in Flow::run(&self.binder, &self.resolved, unit) {
                let variable = &self.binder.variables[read.variable as usize];
                let (name, scope) = (variable.name, variable.scope);
                let node = NodeId(read.node);
                let why = self.why(variable, node);
                // Outside functions a name that is not bound yet is looked for among the builtins.
                let dynamic =
                    unit == 0 || self.binder.scopes[scope as usize].kind == ScopeKind::Class;
                if dynamic {
                    // A branch of the module may ask for the platform or the version, and then read
                    // what only that one has.
                    let certain = !matches!(why, Missing::OtherPath(_));
                    if certain && !self.open && !self.is_implicit(scope, name) {
                        self.undefined.add(name, 0, scope, node, why);
                    }
                } else {
                    self.unbound.add(name, scope, scope, node, why);
                }
            }
        }
    }

    fn why(&self, variable: &Variable, read: NodeId) -> Missing {
        let bound = NodeId(variable.bound);
        if variable.bound == NONE {
            Missing::Nowhere
        } else if variable.unbound != NONE && variable.unbound < read.0 {
            Missing::TakenAway(NodeId(variable.unbound))
        } else if bound.0 < read.0 && !self.same_statement(bound, read) {
            Missing::OtherPath(bound)
        } else {
            Missing::Before(bound)
        }
    }

    /// Whether a target and a read stand in one statement, where the target comes first in the text
    /// and last in time.
    fn same_statement(&self, target: NodeId, read: NodeId) -> bool {
        let statement = |node| {
            self.tree.ancestor(node, |kind| {
                matches!(
                    kind,
                    Kind::ExpressionStatement | Kind::ForStatement | Kind::WithStatement
                )
            })
        };
        statement(target) == statement(read)
    }

    fn finish(mut self) -> Names<'t> {
        let undefined = std::mem::take(&mut self.undefined);
        let unbound = std::mem::take(&mut self.unbound);
        let undefined = self.all(undefined);
        let unbound = self.all(unbound);
        let mut scopes_of = vec![0_u32; self.binder.names.len()];
        for variable in &self.binder.variables {
            scopes_of[variable.name as usize] += 1;
        }
        let sorted = |wanted: &dyn Fn(&Variable) -> bool| {
            let mut names: Vec<&str> = (self.binder.variables.iter())
                .filter(|v| v.scope == 0 && v.bound != NONE && wanted(v))
                .map(|v| self.binder.names[v.name as usize])
                .collect();
            names.sort_unstable();
            names
        };
        let module = sorted(&|_| true);
        let unambiguous =
            sorted(&|v| !v.rebound && v.unbound == NONE && scopes_of[v.name as usize] == 1);
        Names {
            undefined,
            unbound,
            open: self.binder.open,
            module,
            unambiguous,
            imports: self.binder.imports,
        }
    }

    fn all(&self, group: Group) -> Vec<MissingName<'t>> {
        (group.items.into_iter().enumerate())
            .map(|(at, item)| self.missing(item, at < SUGGESTIONS))
            .collect()
    }

    fn missing(&self, mut item: Item, suggest: bool) -> MissingName<'t> {
        item.reads.sort_by_key(|&(node, _)| node);
        item.reads.dedup_by_key(|&mut (node, _)| node);
        let why = item.reads.first().map_or(Missing::Nowhere, |&(_, why)| why);
        let hides_module_name = item.scope != 0
            && (self.binder.variable(0, item.name))
                .is_some_and(|id| self.binder.variables[id as usize].bound != NONE);
        MissingName {
            name: self.binder.names[item.name as usize],
            similar: (suggest && why == Missing::Nowhere)
                .then(|| self.similar(item.scope, item.name))
                .flatten(),
            reads: item.reads.into_iter().map(|(node, _)| node).collect(),
            why,
            hides_module_name,
        }
    }

    /// The visible name spelt most like `name`.
    fn similar(&self, scope: u32, name: NameId) -> Option<&'t str> {
        let scopes: Vec<u32> = self.binder.lookup(scope).collect();
        let visible = (self.binder.variables.iter())
            .filter(|v| v.bound != NONE && v.name != name && scopes.contains(&v.scope))
            .map(|v| self.binder.names[v.name as usize]);
        let builtins = builtins::BUILTINS.iter().copied();
        nearest(self.binder.names[name as usize], visible.chain(builtins))
    }
}

/// The candidate spelt most like `name`, if one is close enough to be a slip of the hand.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let allowed = match name.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    candidates
        .filter(|c| c.len() > 2 && c.len().abs_diff(name.len()) <= allowed)
        .map(|c| (strsim::osa_distance(name, c), c))
        .filter(|&(distance, _)| distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Undefined names and unbound locals of a text, each in the order in which they were met.
    fn missing(text: &str) -> (Vec<String>, Vec<String>) {
        let tree = Tree::parse(text).expect("small texts parse");
        assert!(tree.first_error().is_none(), "{text}");
        let names = Names::of(&tree);
        let list = |found: &[MissingName<'_>]| found.iter().map(|m| m.name.to_owned()).collect();
        (list(&names.undefined), list(&names.unbound))
    }

    fn undefined(text: &str) -> Vec<String> {
        missing(text).0
    }

    fn unbound(body: &str) -> Vec<String> {
        let text = format!("def f(a, b):\n{}\n", body.replace('|', "\n"));
        let (undefined, unbound) = missing(&text);
        assert!(undefined.is_empty(), "{undefined:?}");
        unbound
    }

    #[test]
    fn scopes_hide_and_show_names() {
        let none: [&str; 0] = [];
        assert_eq!(
            undefined("class A:\n x = 1\n def f(self): return x\n"),
            ["x"]
        );
        assert_eq!(
            undefined("class A:\n x = 1\n y = [x for _ in (x,)]\n"),
            ["x"]
        );
        assert_eq!(undefined("class A:\n x = [1]\n y = [z for z in x]\n"), none);
        assert_eq!(undefined("[y := 1 for x in ()]\nprint(y)\n"), none);
        assert_eq!(undefined("[1 for x in ()]\nprint(x)\n"), ["x"]);
        assert_eq!(undefined("def f():\n global g\n g = 1\nprint(g)\n"), none);
        assert_eq!(
            undefined("def f[T](x: T) -> T: return x\nprint(T)\n"),
            ["T"]
        );
        assert_eq!(undefined("class C[T](list[T]):\n x: T\n"), none);
        assert_eq!(undefined("type L[T] = list[T] | Missing\n"), ["Missing"]);
        assert_eq!(
            undefined("print((lambda x, *y, z=w, **k: x + y + z + k + v))\n"),
            ["w", "v"]
        );
        assert_eq!(
            undefined("import a.b, c.d as e\nprint(a, b, c, e)\n"),
            ["b", "c"]
        );
    }

    #[test]
    fn patterns_bind_and_read() {
        let text = "def f(p):\n match p:\n  case [x, *r] | {'k': x, **r}: print(x, r)\n  \
                    case Color.RED | Point(x=0, y=v) as w if g: print(v, w)\n";
        assert_eq!(undefined(text), ["Color", "Point", "g"]);
    }

    #[test]
    fn the_module_is_followed_in_order() {
        let none: [&str; 0] = [];
        assert_eq!(undefined("print(x)\nx = 1\n"), ["x"]);
        assert_eq!(undefined("def f(): return x\nx = 1\n"), none);
        assert_eq!(undefined("for i in ():\n if i: print(x)\n x = 1\n"), none);
        assert_eq!(undefined("x = 1\ndel x\nprint(x)\n"), ["x"]);
        assert_eq!(undefined("max = max\n"), none);
        assert_eq!(undefined("class A:\n y = x\nx = 1\n"), ["x"]);
        assert_eq!(undefined("x: int\nprint(x)\n"), ["x"]);
        assert_eq!(undefined("print(µ)\n"), none);
    }

    #[test]
    fn branches_and_jumps() {
        let none: [&str; 0] = [];
        assert_eq!(unbound(" if a: x = 1| else: print(x)"), ["x"]);
        assert_eq!(
            unbound(" if a: x = 1| elif b: pass| else: return| print(x)"),
            none
        );
        assert_eq!(unbound(" if a:|  x = 1|  return| print(x)| x = 2"), ["x"]);
        assert_eq!(unbound(" if (x := a): pass| elif x: pass| print(x)"), none);
        assert_eq!(
            unbound(" if a: pass| elif (x := b): pass| else: print(x)"),
            none
        );
        assert_eq!(unbound(" return x| x = 1"), ["x"]);
        assert_eq!(unbound(" x = x if (x := a) else b| return x"), none);
    }

    #[test]
    fn loops_repeat() {
        let none: [&str; 0] = [];
        assert_eq!(unbound(" for i in a: s += i"), ["s"]);
        assert_eq!(unbound(" for i in a:|  for j in i: s = s + j"), ["s"]);
        assert_eq!(unbound(" for i in a:|  if i: print(p)|  p = i"), none);
        assert_eq!(
            unbound(" for i in a:|  if i:|   x = 1|   continue|  print(x)"),
            none
        );
        assert_eq!(
            unbound(" while True:|  if a:|   x = 1|   break| print(x)"),
            none
        );
        assert_eq!(
            unbound(" while True:|  if a: break|  x = 1| else: print(x)"),
            none
        );
        assert_eq!(unbound(" for i in a: pass| else: print(x)| x = 1"), ["x"]);
        assert_eq!(unbound(" for i in a:|  x = 1|  del x| print(x)"), ["x"]);
        assert_eq!(
            unbound(" while a:|  try: break|  finally: x = 1| print(x)"),
            none
        );
    }

    #[test]
    fn exceptions_leave_from_anywhere() {
        let none: [&str; 0] = [];
        assert_eq!(unbound(" try: x = a()| except OSError: print(x)"), none);
        assert_eq!(
            unbound(" try: a()| except ValueError: print(x)| x = 1"),
            ["x"]
        );
        assert_eq!(
            unbound(" try: a()| except ValueError as e: pass| print(e)"),
            ["e"]
        );
        assert_eq!(unbound(" try: x = a()| finally: print(x)"), none);
        assert_eq!(unbound(" try: pass| finally: x = 1| print(x)"), none);
        assert_eq!(
            unbound(" try: n += 1| except UnboundLocalError: n = 0| return n"),
            none
        );
        assert_eq!(unbound(" with a:|  x = b()|  return x| return x"), none);
        assert_eq!(
            unbound(" with a as x, x() as y: print(y)| print(z)| z = 1"),
            ["z"]
        );
    }

    #[test]
    fn what_runs_later_is_not_judged() {
        let none: [&str; 0] = [];
        assert_eq!(unbound(" g = (x for _ in a)| x = 1| return g"), none);
        assert_eq!(unbound(" def g(): return x| x = 1| return g"), none);
        assert_eq!(unbound(" y = [x for _ in a]| x = 1"), ["x"]);
    }

    #[test]
    fn one_root_cause_is_one_finding() {
        let tree = Tree::parse("def f(): return np.a\ndef g(): return np.b, nmupy\nnumpy = 1\n")
            .expect("small texts parse");
        let names = Names::of(&tree);
        assert_eq!(names.undefined.len(), 2);
        assert_eq!(names.undefined[0].reads.len(), 2);
        assert_eq!(names.undefined[1].similar, Some("numpy"));
    }

    #[test]
    fn nesting_costs_memory_and_no_stack() {
        let deep = format!("x = {}y{}\n", "(".repeat(20_000), ")".repeat(20_000));
        assert_eq!(undefined(&deep), ["y"]);
        let lambdas = format!("{}y\n", "lambda: ".repeat(2_000));
        assert!(undefined(&lambdas).is_empty());
        let mut loops = String::from("def f():\n");
        for depth in 0..60 {
            loops += &format!("{}for i{depth} in p{depth}:\n", " ".repeat(depth + 1));
            loops += &format!("{}p{} = 1\n", " ".repeat(depth + 2), depth + 1);
        }
        // Loops in loops multiply their rounds; the analysis gives up in time instead.
        let _ = missing(&loops);
    }
}
