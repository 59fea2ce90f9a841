//! A flat copy of the tree-sitter tree: plain arrays of small nodes in document order.
//!
//! The copy is made once, without recursion, so that rules can walk it by index, in any order and
//! from any thread, and so that a file nested a hundred thousand deep costs memory but no stack.

use std::sync::Arc;

use super::kinds::{Field, Grammar, Kind};
use crate::source::Span;

/// Index of a node in its tree. The root is node 0; children come after their parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Why a source could not be turned into a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// The parser gave up within its bound on work.
    TooComplex,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    span: Span,
    parent: u32,
    /// Index of the first node after this one's subtree.
    next: u32,
    depth: u32,
    kind: Kind,
    field: Field,
    missing: bool,
}

/// The tree of one file. Clones share the nodes.
#[derive(Clone, Debug)]
pub struct Tree<'t> {
    text: &'t str,
    nodes: Arc<[Node]>,
    comments: Arc<[Span]>,
    max_depth: u32,
    first_error: Option<NodeId>,
}

/// A node above the one the walk is at.
struct Ancestor {
    /// Its index, or that of the nearest kept node above it when it was left out.
    at: u32,
    /// How many of its children the walk has to come to yet.
    left: u32,
    /// Whether none of its children fills a field.
    plain: bool,
    /// Whether the name of an attribute is to be added at its end.
    attribute: bool,
}

/// Steps tree-sitter may take for one byte of input before the parse is given up. Sound code needs
/// far less than one; only input made to defeat error recovery comes near.
const WORK_PER_BYTE: usize = 64;
/// Steps a parse may take however large its input is: seconds, and some hundred megabytes. No file
/// that a person or a model writes comes near.
const MOST_WORK: usize = 8_000_000;
/// Steps between two calls of the progress callback, `OP_COUNT_PER_PARSER_CALLBACK_CHECK` of
/// tree-sitter.
const WORK_PER_CALL: usize = 100;

/// A tree in the making.
struct Flat<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    comments: Vec<Span>,
    max_depth: u32,
    first_error: Option<NodeId>,
}

impl Flat<'_> {
    /// Adds a node below the one it names as its parent; its depth and end are filled in here.
    fn push(&mut self, mut node: Node) -> u32 {
        let at = self.nodes.len() as u32;
        if at > 0 {
            node.depth = self.nodes[node.parent as usize].depth + 1;
        }
        node.next = at + 1;
        self.max_depth = self.max_depth.max(node.depth);
        if (node.missing || node.kind == Kind::Error) && self.first_error.is_none() {
            self.first_error = Some(NodeId(at));
        }
        self.nodes.push(node);
        at
    }

    /// Adds the parts of a string literal that holds no placeholders, which follow from its text:
    /// a walk costs far more, and strings are many. False when the literal has to be walked.
    fn plain_string(&mut self, at: u32, span: Span) -> bool {
        let bytes = self.text.as_bytes().get(span.range()).unwrap_or_default();
        let prefix = bytes.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let plain = |b: &u8| matches!(b, b'r' | b'R' | b'b' | b'B' | b'u' | b'U');
        let Some(&quote) = bytes.get(prefix) else {
            return false;
        };
        let literal = &bytes[prefix..];
        let width = if literal.len() >= 6 && literal.starts_with(&[quote; 3]) {
            3
        } else {
            1
        };
        let closed = literal.len() >= 2 * width && literal.ends_with(&[quote; 3][..width]);
        // Where error recovery lets a literal go on over the end of its line, comments stand in it.
        let runs_on = width == 1 && memchr::memchr2(b'\n', b'\r', literal).is_some();
        if !closed || runs_on || !bytes[..prefix].iter().all(plain) {
            return false;
        }
        let start = span.start + (prefix + width) as u32;
        let end = span.end - width as u32;
        let parts = [
            (Kind::StringStart, Span::new(span.start, start)),
            (Kind::StringContent, Span::new(start, end)),
            (Kind::StringEnd, Span::new(end, span.end)),
        ];
        for (kind, span) in parts {
            if span.start < span.end {
                self.push(Node {
                    span,
                    parent: at,
                    next: 0,
                    depth: 0,
                    kind,
                    field: Field::None,
                    missing: false,
                });
            }
        }
        self.nodes[at as usize].next = self.nodes.len() as u32;
        true
    }

    /// Adds the name that ends an attribute.
    fn attribute_name(&mut self, at: u32) {
        let span = self.nodes[at as usize].span;
        let text = self.text.get(span.range()).unwrap_or_default();
        // Nothing but blanks stands between the dot and the name.
        let name = text.rfind(['.', ' ', '\t', '\n', '\r', '\x0c', '\\']);
        self.push(Node {
            span: Span::new(span.start + name.map_or(0, |n| n as u32 + 1), span.end),
            parent: at,
            next: 0,
            depth: 0,
            kind: Kind::Identifier,
            field: Field::Attribute,
            missing: false,
        });
    }

    /// Moves on to the next node that is no descendant; false when there is none.
    ///
    /// The children left are counted, because a move to a sibling that is not there is the dearest of
    /// all.
    fn step(
        &mut self,
        cursor: &mut tree_sitter::TreeCursor<'_>,
        ancestors: &mut Vec<Ancestor>,
    ) -> bool {
        while let Some(ancestor) = ancestors.last_mut() {
            if ancestor.left > 0 && cursor.goto_next_sibling() {
                ancestor.left -= 1;
                return true;
            }
            let Ancestor { at, attribute, .. } = *ancestor;
            if attribute {
                self.attribute_name(at);
            }
            self.nodes[at as usize].next = self.nodes.len() as u32;
            ancestors.pop();
            cursor.goto_parent();
        }
        false
    }
}

impl<'t> Tree<'t> {
    /// Parses `text`.
    ///
    /// Tree-sitter always yields a tree; where the text is no Python, the tree holds
    /// [`Kind::Error`] nodes.
    pub fn parse(text: &'t str) -> Result<Self, TreeError> {
        use std::cell::RefCell;
        use std::ops::ControlFlow;
        thread_local! {
            // Creating a parser costs as much as parsing a small file.
            static PARSER: RefCell<tree_sitter::Parser> = RefCell::new(tree_sitter::Parser::new());
        }
        let grammar = Grammar::get();
        let parsed = PARSER.with_borrow_mut(|parser| {
            if parser.language().is_none() && parser.set_language(&grammar.language).is_err() {
                return None;
            }
            parser.reset();
            let bytes = text.as_bytes();
            let mut budget = ((bytes.len() + 4096) * WORK_PER_BYTE).min(MOST_WORK);
            let mut progress = |_: &tree_sitter::ParseState| {
                budget = budget.saturating_sub(WORK_PER_CALL);
                if budget == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let options = tree_sitter::ParseOptions::new().progress_callback(&mut progress);
            parser.parse_with_options(
                &mut |at, _| bytes.get(at..).unwrap_or_default(),
                None,
                Some(options),
            )
        });
        match parsed {
            Some(tree) => Ok(Self::flatten(text, &tree, grammar)),
            None => Err(TreeError::TooComplex),
        }
    }

    fn flatten(text: &'t str, tree: &tree_sitter::Tree, grammar: &Grammar) -> Self {
        let mut this = Flat {
            text,
            nodes: Vec::with_capacity(text.len() / 6 + 8),
            comments: Vec::new(),
            max_depth: 0,
            first_error: None,
        };
        let mut cursor = tree.walk();
        let mut ancestors: Vec<Ancestor> = Vec::new();
        loop {
            let node = cursor.node();
            let id = node.kind_id();
            if grammar.is_mute(id) {
                if !this.step(&mut cursor, &mut ancestors) {
                    break;
                }
                continue;
            }
            let kind = grammar.kind(id);
            let above = ancestors.last().map(|a| a.at);
            let field = match ancestors.last() {
                Some(a) if !a.plain => grammar.field(cursor.field_id()),
                _ => Field::None,
            };
            let span = Span::new(node.start_byte() as u32, node.end_byte() as u32);
            let keep = kind != Kind::None || field != Field::None;
            let parent = above.unwrap_or(0);
            let mut at = parent;
            let mut children = 0;
            if kind == Kind::Comment {
                this.comments.push(span);
            } else {
                if keep {
                    // What tree-sitter invents has no width.
                    let missing = span.start == span.end && node.is_missing();
                    at = this.push(Node {
                        span,
                        parent,
                        next: 0,
                        depth: 0,
                        kind,
                        field,
                        missing,
                    });
                }
                children = match kind {
                    Kind::StringContent | Kind::Identifier | Kind::Integer => 0,
                    Kind::String if !node.has_error() && this.plain_string(at, span) => 0,
                    _ => node.child_count(),
                };
            }
            if children > 0 && cursor.goto_first_child() {
                let mut ancestor = Ancestor {
                    at,
                    left: children - 1,
                    plain: kind.is_plain(),
                    attribute: false,
                };
                // The closing bracket comes last and is left out, and the name of an attribute
                // follows from the text.
                if kind.is_bracketed() && ancestor.left > 0 && !node.has_error() {
                    ancestor.left -= 1;
                } else if kind == Kind::Attribute && ancestor.left == 2 && !node.has_error() {
                    (ancestor.left, ancestor.attribute) = (0, true);
                }
                ancestors.push(ancestor);
                continue;
            }
            if !this.step(&mut cursor, &mut ancestors) {
                break;
            }
        }
        Self {
            text,
            nodes: this.nodes.into(),
            comments: this.comments.into(),
            max_depth: this.max_depth,
            first_error: this.first_error,
        }
    }

    /// The same tree over an equal text that lives elsewhere.
    pub fn over<'u>(&self, text: &'u str) -> Tree<'u> {
        Tree {
            text,
            nodes: Arc::clone(&self.nodes),
            comments: Arc::clone(&self.comments),
            max_depth: self.max_depth,
            first_error: self.first_error,
        }
    }

    /// The root, a [`Kind::Module`] unless the whole file is an error.
    pub const fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the tree holds no node at all, which no parse yields.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Depth of the deepest node; the root has depth 0.
    pub fn max_depth(&self) -> u32 {
        self.max_depth
    }

    /// The first node that tree-sitter could not make sense of, or had to invent.
    pub fn first_error(&self) -> Option<NodeId> {
        self.first_error
    }

    /// Every comment, in order, from its `#` to the end of its line.
    pub fn comments(&self) -> &[Span] {
        &self.comments
    }

    /// The whole text.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// A node's kind.
    pub fn kind(&self, id: NodeId) -> Kind {
        self.nodes[id.0 as usize].kind
    }

    /// The field the node fills in its parent.
    pub fn field(&self, id: NodeId) -> Field {
        self.nodes[id.0 as usize].field
    }

    /// A node's place.
    pub fn span(&self, id: NodeId) -> Span {
        self.nodes[id.0 as usize].span
    }

    /// Whether tree-sitter invented the node to go on after an error.
    pub fn is_missing(&self, id: NodeId) -> bool {
        self.nodes[id.0 as usize].missing
    }

    /// The node's text.
    pub fn text_of(&self, id: NodeId) -> &'t str {
        self.text.get(self.span(id).range()).unwrap_or("")
    }

    /// The parent; `None` for the root.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        (id.0 != 0).then(|| NodeId(self.nodes[id.0 as usize].parent))
    }

    /// The children in order.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = self.nodes[id.0 as usize].next;
        let mut at = id.0 + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let child = NodeId(at);
                at = self.nodes[at as usize].next;
                child
            })
        })
    }

    /// The children that fill `field`, in order.
    pub fn children_in(&self, id: NodeId, field: Field) -> impl Iterator<Item = NodeId> + '_ {
        self.children(id).filter(move |&c| self.field(c) == field)
    }

    /// The first child that fills `field`.
    pub fn child(&self, id: NodeId, field: Field) -> Option<NodeId> {
        self.children_in(id, field).next()
    }

    /// The first child of a kind.
    pub fn child_of_kind(&self, id: NodeId, kind: Kind) -> Option<NodeId> {
        self.children(id).find(|&c| self.kind(c) == kind)
    }

    /// The node and everything below it, in document order (parents before children).
    pub fn descendants(&self, id: NodeId) -> impl Iterator<Item = NodeId> + use<> {
        (id.0..self.nodes[id.0 as usize].next).map(NodeId)
    }

    /// The first node after `id`'s subtree, in document order: to skip a subtree in a walk by index.
    pub fn after(&self, id: NodeId) -> NodeId {
        NodeId(self.nodes[id.0 as usize].next)
    }

    /// The nearest ancestor (not the node itself) that satisfies `wanted`.
    pub fn ancestor(&self, id: NodeId, wanted: impl Fn(Kind) -> bool) -> Option<NodeId> {
        let mut at = self.parent(id);
        while let Some(node) = at {
            if wanted(self.kind(node)) {
                return Some(node);
            }
            at = self.parent(node);
        }
        None
    }

    /// The statements of a block or module.
    pub fn statements(&self, block: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.children(block)
    }

    /// The node's expression without the parentheses around it.
    pub fn unparenthesized(&self, mut id: NodeId) -> NodeId {
        while self.kind(id) == Kind::ParenthesizedExpression {
            match self.children(id).next() {
                Some(inner) => id = inner,
                None => break,
            }
        }
        id
    }

    /// For a definition or a decorated one: the [`Kind::FunctionDefinition`] or
    /// [`Kind::ClassDefinition`] itself.
    pub fn definition(&self, id: NodeId) -> Option<NodeId> {
        match self.kind(id) {
            Kind::FunctionDefinition | Kind::ClassDefinition => Some(id),
            Kind::DecoratedDefinition => self.child(id, Field::Definition),
            _ => None,
        }
    }

    /// The decorators of a definition (their expressions), in order.
    pub fn decorators(&self, definition: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.parent(definition)
            .filter(|&p| self.kind(p) == Kind::DecoratedDefinition)
            .into_iter()
            .flat_map(|p| self.children(p))
            .filter(|&d| self.kind(d) == Kind::Decorator)
            .filter_map(|d| self.children(d).next())
    }

    /// The dotted text of a name or a chain of attributes (`np.random.rand`), else `None`.
    pub fn dotted(&self, id: NodeId) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = id;
        loop {
            match self.kind(at) {
                Kind::Identifier => {
                    parts.push(self.text_of(at));
                    parts.reverse();
                    return Some(parts.join("."));
                }
                Kind::DottedName => {
                    parts.reverse();
                    let mut names: Vec<&str> = self.children(at).map(|c| self.text_of(c)).collect();
                    names.extend(parts);
                    return Some(names.join("."));
                }
                Kind::Attribute => {
                    parts.push(self.text_of(self.child(at, Field::Attribute)?));
                    at = self.child(at, Field::Object)?;
                }
                _ => return None,
            }
        }
    }

    /// The docstring expression of a module, class or function body: the string node, if the body
    /// starts with a plain string statement.
    pub fn docstring(&self, body: NodeId) -> Option<NodeId> {
        let first = self.statements(body).next()?;
        self.string_statement(first)
    }

    /// The string node when a statement is only a string, which makes it a docstring or a comment.
    pub fn string_statement(&self, statement: NodeId) -> Option<NodeId> {
        if self.kind(statement) != Kind::ExpressionStatement {
            return None;
        }
        let mut children = self.children(statement);
        let value = self.unparenthesized(children.next()?);
        let is_string = matches!(self.kind(value), Kind::String | Kind::ConcatenatedString);
        (is_string && children.next().is_none()).then_some(value)
    }

    /// The value of a string literal without placeholders, escapes resolved; `None` for f-strings
    /// with placeholders, bytes, and anything that is no string.
    pub fn string_value(&self, id: NodeId) -> Option<String> {
        match self.kind(id) {
            Kind::ConcatenatedString => {
                let mut whole = String::new();
                for part in self.children(id) {
                    whole.push_str(&self.string_value(part)?);
                }
                Some(whole)
            }
            Kind::String => {
                let start = self.child_of_kind(id, Kind::StringStart)?;
                let prefix = self.text_of(start).trim_end_matches(['"', '\'']);
                if prefix.contains(['b', 'B'])
                    || self.child_of_kind(id, Kind::Interpolation).is_some()
                {
                    return None;
                }
                let inner: String = self
                    .children(id)
                    .filter(|&c| self.kind(c) == Kind::StringContent)
                    .map(|c| self.text_of(c))
                    .collect();
                if prefix.contains(['r', 'R']) {
                    Some(inner)
                } else {
                    Some(super::strings::unescape(&inner))
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree<'_> {
        Tree::parse(text).expect("small texts parse")
    }

    type Told = (Kind, Span, Field, bool);

    /// Every node that has a kind or a field, walked one by one.
    fn walked(text: &str) -> Vec<Told> {
        let grammar = Grammar::get();
        let mut parser = tree_sitter::Parser::new();
        (parser.set_language(&grammar.language)).expect("the grammar fits the library");
        let parsed = parser.parse(text, None).expect("no bound is set");
        let mut cursor = parsed.walk();
        let mut found = Vec::new();
        loop {
            let node = cursor.node();
            let kind = grammar.kind(node.kind_id());
            let field = grammar.field(cursor.field_id());
            let leaf = matches!(kind, Kind::StringContent | Kind::Identifier | Kind::Integer);
            let told = kind != Kind::None || field != Field::None;
            if told && kind != Kind::Comment && !grammar.is_mute(node.kind_id()) {
                let span = Span::new(node.start_byte() as u32, node.end_byte() as u32);
                found.push((kind, span, field, node.is_missing()));
            }
            if !leaf && cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return found;
                }
            }
        }
    }

    fn flat(text: &str) -> Vec<Told> {
        let tree = tree(text);
        let told = |n| {
            (
                tree.kind(n),
                tree.span(n),
                tree.field(n),
                tree.is_missing(n),
            )
        };
        tree.descendants(tree.root()).map(told).collect()
    }

    fn find(tree: &Tree<'_>, kind: Kind) -> NodeId {
        tree.descendants(tree.root())
            .find(|&n| tree.kind(n) == kind)
            .expect("the node is there")
    }

    #[test]
    fn the_copy_holds_what_tree_sitter_says() {
        for text in [
            "x = ['', \"\", 'a', rb\"\\d\", u'é', \"\"\"\"\"\", '''a\n'b''', 'a' \"b\" f'{c}d']\n",
            "f\"{a!r:>{b}}{{}}\" '\\n\\'' b'\\x00' Rb'''\\''' \"\\N{DASH}\"\n",
            "def f(a, *b, c: int = 1, **d) -> x:\n    '''doc'''\n    return a.b[c](d=1) # e\n",
            "x = 'open\ny = \"a\" \"\"\"b\nc = (1, 'd'\n",
            "class A(B, metaclass=C):\n  @p.q\n  async def f(self): await g()\n\n\n# end",
            "81'  # one\n  b'\n'c'\n",
            "def f(:\n  'a\\\nb' 'c\n print 'x' >> y\n",
            "match a:\n  case {'k': [1, *_], **r} if b: pass\n  case -1 | 'x': pass\n",
            "x = (a  # one\n  .b\n  . c.print.match)\n{1, (2,), (3), *d, {}} # }\n",
            "f(a for a in b)(\n  c, # )\n  d=[e], *[], **{}\n)\nx = a.é.\\\n b\n",
        ] {
            assert_eq!(flat(text), walked(text), "{text}");
        }
    }

    #[test]
    fn work_is_bounded() {
        let dense = format!("x = [{}]\n", "1, ".repeat(3_000_000));
        assert!(matches!(Tree::parse(&dense), Err(TreeError::TooComplex)));
        assert!(Tree::parse(&format!("x = '{}'\n", "a".repeat(9_000_000))).is_ok());
    }

    #[test]
    fn children_and_fields() {
        let tree = tree("def f(a, b=1):\n    return a + b  # sum\n");
        let f = find(&tree, Kind::FunctionDefinition);
        let name = tree.child(f, Field::Name).map(|n| tree.text_of(n));
        assert_eq!(name, Some("f"));
        let parameters = tree.child(f, Field::Parameters).expect("parameters");
        assert_eq!(tree.children(parameters).count(), 2);
        assert_eq!(tree.parent(parameters), Some(f));
        assert_eq!(tree.comments().len(), 1);
        assert!(tree.first_error().is_none());
    }

    #[test]
    fn strings_and_names() {
        let tree = tree("a.b.c('x\\n' 'y', f'{z}', r'\\d', b'q')\n");
        let call = find(&tree, Kind::Call);
        let function = tree.child(call, Field::Function).expect("function");
        assert_eq!(tree.dotted(function).as_deref(), Some("a.b.c"));
        let arguments = tree.child(call, Field::Arguments).expect("arguments");
        let values: Vec<_> = tree
            .children(arguments)
            .map(|a| tree.string_value(a))
            .collect();
        assert_eq!(
            values,
            [Some("x\ny".to_owned()), None, Some("\\d".to_owned()), None]
        );
    }

    #[test]
    fn nesting_of_any_depth_costs_no_stack() {
        let text = "(".repeat(100_000);
        let tree = tree(&text);
        assert!(tree.first_error().is_some());
    }

    #[test]
    fn every_kind_and_field_name_is_the_grammars_own() {
        let language = &Grammar::get().language;
        for name in Kind::NAMES {
            let known = ["ERROR"].contains(name)
                || language.id_for_node_kind(name, true) != 0
                || language.id_for_node_kind(name, false) != 0;
            assert!(known, "no kind {name:?} in the grammar");
        }
        for name in Field::NAMES {
            assert!(
                language.field_id_for_name(name).is_some(),
                "no field {name:?}"
            );
        }
    }
}
