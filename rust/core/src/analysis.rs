//! What is known of one file beyond its tree: names and scopes, imports, definitions, how
//! it starts Hydra.

pub mod definitions;
pub mod hydra;
pub mod modules;
pub mod names;
pub mod package;
pub mod prose;
pub mod shape;

use crate::source::Source;
use crate::syntax::tree::Tree;
use crate::syntax::verdict::Verdict;

/// Everything a rule over one file may ask.
pub struct FileContext<'t> {
    /// The decoded text.
    pub source: &'t Source<'t>,
    /// Its tree.
    pub tree: &'t Tree<'t>,
    /// What CPython's compiler says of the file.
    pub verdict: &'t Verdict,
    /// Whether CPython accepts the file and the tree is whole, so that what the tree does not show
    /// is really not there.
    pub accepted: bool,
    /// Its names, or nothing but `open` when CPython rejects it.
    pub names: names::Names<'t>,
}
