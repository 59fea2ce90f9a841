//! What is known of one file beyond its tree: names and scopes, imports, definitions.

pub mod definitions;
pub mod modules;
pub mod names;
pub mod prose;
pub mod shape;

use crate::source::Source;
use crate::syntax::tree::Tree;

/// Everything a rule over one file may ask.
pub struct FileContext<'t> {
    /// The decoded text.
    pub source: &'t Source<'t>,
    /// Its tree.
    pub tree: &'t Tree<'t>,
    /// Whether CPython accepts the file.
    pub accepted: bool,
    /// Its names, or nothing but `open` when CPython rejects it.
    pub names: names::Names<'t>,
}
