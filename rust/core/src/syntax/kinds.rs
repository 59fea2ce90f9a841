//! The node kinds and fields of tree-sitter-python as enums, so that a misspelt kind does not
//! compile and a match costs a table look-up.

use std::sync::OnceLock;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $($variant:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the variants are the grammar's own names
        pub enum $name { None, $($variant,)* }

        impl $name {
            #[cfg(test)]
            pub(super) const NAMES: &[&str] = &[$($text,)*];

            /// The variant for the grammar's name, `None` for names explint does not use.
            pub fn from_name(name: &str) -> Self {
                match name { $($text => Self::$variant,)* _ => Self::None }
            }
        }
    };
}

vocabulary! {
    /// The kind of a node. `None` stands for punctuation and keywords, which the tree leaves out
    /// unless they carry meaning of their own.
    Kind,
    Error = "ERROR",
    Module = "module",
    Comment = "comment",
    Identifier = "identifier",
    Integer = "integer",
    Float = "float",
    True = "true",
    False = "false",
    NoneLiteral = "none",
    Ellipsis = "ellipsis",
    String = "string",
    StringStart = "string_start",
    StringContent = "string_content",
    StringEnd = "string_end",
    ConcatenatedString = "concatenated_string",
    Interpolation = "interpolation",
    FormatSpecifier = "format_specifier",
    FormatExpression = "format_expression",
    TypeConversion = "type_conversion",
    AliasedImport = "aliased_import",
    ArgumentList = "argument_list",
    AsPattern = "as_pattern",
    AsPatternTarget = "as_pattern_target",
    AssertStatement = "assert_statement",
    Assignment = "assignment",
    Attribute = "attribute",
    AugmentedAssignment = "augmented_assignment",
    Await = "await",
    BinaryOperator = "binary_operator",
    Block = "block",
    BooleanOperator = "boolean_operator",
    BreakStatement = "break_statement",
    Call = "call",
    CaseClause = "case_clause",
    CasePattern = "case_pattern",
    Chevron = "chevron",
    ClassDefinition = "class_definition",
    ClassPattern = "class_pattern",
    ComparisonOperator = "comparison_operator",
    ComplexPattern = "complex_pattern",
    ConditionalExpression = "conditional_expression",
    ConstrainedType = "constrained_type",
    ContinueStatement = "continue_statement",
    DecoratedDefinition = "decorated_definition",
    Decorator = "decorator",
    DefaultParameter = "default_parameter",
    DeleteStatement = "delete_statement",
    DictPattern = "dict_pattern",
    Dictionary = "dictionary",
    DictionaryComprehension = "dictionary_comprehension",
    DictionarySplat = "dictionary_splat",
    DictionarySplatPattern = "dictionary_splat_pattern",
    DottedName = "dotted_name",
    ElifClause = "elif_clause",
    ElseClause = "else_clause",
    ExceptClause = "except_clause",
    ExecStatement = "exec_statement",
    ExpressionList = "expression_list",
    ExpressionStatement = "expression_statement",
    FinallyClause = "finally_clause",
    ForInClause = "for_in_clause",
    ForStatement = "for_statement",
    FunctionDefinition = "function_definition",
    FutureImportStatement = "future_import_statement",
    GeneratorExpression = "generator_expression",
    GenericType = "generic_type",
    GlobalStatement = "global_statement",
    IfClause = "if_clause",
    IfStatement = "if_statement",
    ImportFromStatement = "import_from_statement",
    ImportPrefix = "import_prefix",
    ImportStatement = "import_statement",
    KeywordArgument = "keyword_argument",
    KeywordPattern = "keyword_pattern",
    KeywordSeparator = "keyword_separator",
    Lambda = "lambda",
    LambdaParameters = "lambda_parameters",
    List = "list",
    ListComprehension = "list_comprehension",
    ListPattern = "list_pattern",
    ListSplat = "list_splat",
    ListSplatPattern = "list_splat_pattern",
    MatchStatement = "match_statement",
    MemberType = "member_type",
    NamedExpression = "named_expression",
    NonlocalStatement = "nonlocal_statement",
    NotOperator = "not_operator",
    Pair = "pair",
    Parameters = "parameters",
    ParenthesizedExpression = "parenthesized_expression",
    ParenthesizedListSplat = "parenthesized_list_splat",
    PassStatement = "pass_statement",
    PatternList = "pattern_list",
    PositionalSeparator = "positional_separator",
    PrintStatement = "print_statement",
    RaiseStatement = "raise_statement",
    RelativeImport = "relative_import",
    ReturnStatement = "return_statement",
    Set = "set",
    SetComprehension = "set_comprehension",
    Slice = "slice",
    SplatPattern = "splat_pattern",
    SplatType = "splat_type",
    Subscript = "subscript",
    TryStatement = "try_statement",
    Tuple = "tuple",
    TuplePattern = "tuple_pattern",
    Type = "type",
    TypeAliasStatement = "type_alias_statement",
    TypeParameter = "type_parameter",
    TypedDefaultParameter = "typed_default_parameter",
    TypedParameter = "typed_parameter",
    UnaryOperator = "unary_operator",
    UnionPattern = "union_pattern",
    UnionType = "union_type",
    WhileStatement = "while_statement",
    WildcardImport = "wildcard_import",
    WithClause = "with_clause",
    WithItem = "with_item",
    WithStatement = "with_statement",
    Yield = "yield",
    // Keywords and signs that change the meaning of the node they stand in.
    AsyncKeyword = "async",
    FromKeyword = "from",
    Star = "*",
    Underscore = "_",
}

impl Kind {
    /// Whether no child of such a node fills a field, in any production of the grammar.
    pub(super) fn is_plain(self) -> bool {
        matches!(
            self,
            Self::ArgumentList
                | Self::ConcatenatedString
                | Self::Decorator
                | Self::Dictionary
                | Self::DottedName
                | Self::ExpressionStatement
                | Self::List
                | Self::Module
                | Self::Parameters
                | Self::ParenthesizedExpression
                | Self::ReturnStatement
                | Self::String
                | Self::Tuple
                | Self::Type
        )
    }

    /// Whether the last child of such a node is a bracket, which the tree leaves out.
    pub(super) fn is_bracketed(self) -> bool {
        matches!(
            self,
            Self::ArgumentList
                | Self::Dictionary
                | Self::Interpolation
                | Self::List
                | Self::Parameters
                | Self::ParenthesizedExpression
                | Self::Set
                | Self::Subscript
                | Self::Tuple
        )
    }
}

vocabulary! {
    /// The field a child fills in its parent.
    Field,
    Alias = "alias",
    Alternative = "alternative",
    Argument = "argument",
    Arguments = "arguments",
    Attribute = "attribute",
    Body = "body",
    Cause = "cause",
    Code = "code",
    Condition = "condition",
    Consequence = "consequence",
    Definition = "definition",
    Expression = "expression",
    Function = "function",
    Guard = "guard",
    Key = "key",
    Left = "left",
    ModuleName = "module_name",
    Name = "name",
    Object = "object",
    Operator = "operator",
    Operators = "operators",
    Parameters = "parameters",
    ReturnType = "return_type",
    Right = "right",
    Subject = "subject",
    Subscript = "subscript",
    Superclasses = "superclasses",
    Type = "type",
    TypeParameters = "type_parameters",
    Value = "value",
}

/// Tree-sitter's own number for what it could not make sense of, in every grammar.
const ERROR_ID: u16 = u16::MAX;

/// Kinds and fields by the grammar's numbers.
pub(super) struct Grammar {
    pub language: tree_sitter::Language,
    kinds: Vec<Kind>,
    /// Whether the tree leaves out every node of this number, whatever field it stands in.
    mute: Vec<bool>,
    fields: Vec<Field>,
}

/// Tokens that fill no field anywhere in the grammar and have no kind: two nodes in five.
const MUTE: [&str; 20] = [
    "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "=", "->", "def", "class", "return",
    "import", "if", "for", "with", "as",
];

impl Grammar {
    /// The grammar, prepared once per process.
    pub fn get() -> &'static Self {
        static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
        GRAMMAR.get_or_init(|| {
            let language = tree_sitter::Language::new(tree_sitter_python::LANGUAGE);
            let kinds = (0..language.node_kind_count() as u16)
                .map(|id| Kind::from_name(language.node_kind_for_id(id).unwrap_or("")))
                .collect();
            let mute = (0..language.node_kind_count() as u16)
                .map(|id| {
                    !language.node_kind_is_named(id)
                        && MUTE.contains(&language.node_kind_for_id(id).unwrap_or(""))
                })
                .collect();
            let fields = (0..=language.field_count() as u16)
                .map(|id| Field::from_name(language.field_name_for_id(id).unwrap_or("")))
                .collect();
            Self {
                language,
                kinds,
                mute,
                fields,
            }
        })
    }

    pub fn is_mute(&self, id: u16) -> bool {
        self.mute.get(id as usize).copied().unwrap_or(false)
    }

    pub fn kind(&self, id: u16) -> Kind {
        if id == ERROR_ID {
            return Kind::Error;
        }
        self.kinds.get(id as usize).copied().unwrap_or(Kind::None)
    }

    pub fn field(&self, id: Option<std::num::NonZeroU16>) -> Field {
        id.and_then(|id| self.fields.get(id.get() as usize).copied())
            .unwrap_or(Field::None)
    }
}
