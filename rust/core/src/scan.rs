//! One package in, one document of facts out: parse each distinct content once, run every rule.

mod cache;
mod facts;
mod file;
mod package;

pub use crate::analysis::package::{FileProtocol, FileState};
pub use cache::{Recent, Scanner};
pub use facts::{
    Directive, FACTS_VERSION, FactFinding, FactRelated, FactUnknown, FileFacts, Outcome,
    PackageFacts,
};
pub use file::{FileAnalysis, Parsed};
pub use package::{InputFile, PackageInput};
