//! explint's core: parses the Python files of an experiment package once, judges structure and
//! completeness, and hands everything over as one document of facts.
//!
//! Modules depend on each other one way only: `source` → `syntax` → `analysis` → `rules` → `scan`;
//! `trace` stands on `syntax` beside the rules, and `scan` starts both.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod rules;
pub mod scan;
pub mod source;
pub mod syntax;
pub mod trace;
