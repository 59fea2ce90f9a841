//! A package as rules across files see it: its files' states, the protocol's list, every module.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::modules::ModuleFacts;
use super::shape::ModuleShape;

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It has contents.
    Present,
    /// It is there and holds nothing.
    Empty,
    /// It is not there.
    Absent,
    /// A record names it and gives no text.
    Withheld,
}

impl FileState {
    /// The state by the name Python gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "present" => Self::Present,
            "empty" => Self::Empty,
            "absent" => Self::Absent,
            "withheld" => Self::Withheld,
            _ => return None,
        })
    }
}

/// The part of a protocol profile that structure rules need; `explint.core.FileProtocol` mirrors it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FileProtocol {
    /// Exact paths that must be there.
    pub required: Vec<String>,
    /// Globs of files that are never unexpected.
    pub allowed: Vec<String>,
    /// Globs of files that the protocol does not allow.
    pub unexpected: Vec<String>,
    /// Module path to the job it must do.
    pub jobs: HashMap<String, String>,
    /// Modules that may be stubs when they say why.
    pub explained_stubs: Vec<String>,
    #[serde(skip)]
    globs: OnceLock<Globs>,
}

/// The globs of a profile, compiled once for all packages that are judged by it.
#[derive(Clone, Debug, Default)]
struct Globs {
    allowed: GlobSet,
    unexpected: GlobSet,
}

impl FileProtocol {
    /// Whether the protocol does not allow a file at `path`.
    ///
    /// `*` stays inside a folder, `**` does not. A pattern that is no glob matches nothing: the
    /// profile's own check names it.
    pub fn is_unexpected(&self, path: &str) -> bool {
        let globs = self.globs.get_or_init(|| Globs {
            allowed: glob_set(&self.allowed),
            unexpected: glob_set(&self.unexpected),
        });
        globs.unexpected.is_match(path)
            && !globs.allowed.is_match(path)
            && !self.required.iter().any(|required| required == path)
    }
}

fn glob_set(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_default()
}

/// What is known of one module beyond its findings.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ModuleAnalysis {
    /// What the module amounts to; `None` when CPython rejects it.
    pub shape: Option<ModuleShape>,
    /// What the module imports and what it offers; `None` when CPython rejects it.
    pub module: Option<ModuleFacts>,
    /// Whether a body in it is only a placeholder, which is then the root cause of what it lacks.
    pub has_placeholder: bool,
}

/// What rules across files may ask.
pub struct PackageContext<'a> {
    /// What the profile says of files.
    pub protocol: &'a FileProtocol,
    /// Whether files that are absent here may exist elsewhere.
    pub partial: bool,
    /// Whether `uv run` installs the package itself, whose modules are then found from anywhere.
    pub installs: bool,
    /// Whether text was cut out of the record the package comes from.
    pub cut: bool,
    pub(crate) paths: Vec<&'a str>,
    pub(crate) states: HashMap<&'a str, FileState>,
    pub(crate) analyses: HashMap<&'a str, Arc<ModuleAnalysis>>,
    pub(crate) failures: Vec<(&'a str, String)>,
    pub(crate) skipped: HashMap<&'a str, &'a str>,
}

impl<'a> PackageContext<'a> {
    /// The state of a file.
    pub fn state(&self, path: &str) -> FileState {
        self.states.get(path).copied().unwrap_or(FileState::Absent)
    }

    /// Every path of the package, in the order of the input.
    pub fn paths(&self) -> &[&'a str] {
        &self.paths
    }

    /// Whether the package really holds a file, and it was not left out on purpose.
    pub fn is_there(&self, path: &str) -> bool {
        matches!(self.state(path), FileState::Present | FileState::Empty)
            && !self.skipped.contains_key(path)
    }

    /// Whether a module of the package imports the module at `path`, or names it otherwise.
    pub fn names(&self, path: &str) -> bool {
        let Some(module) = path
            .strip_prefix("src/")
            .and_then(|p| p.strip_suffix(".py"))
        else {
            return true;
        };
        (self.analyses.iter())
            .filter(|(other, _)| **other != path)
            .filter_map(|(_, analysis)| analysis.module.as_ref())
            .any(|facts| {
                facts.mentions.iter().any(|m| **m == *module)
                    || facts
                        .imports
                        .iter()
                        .any(|i| i.level == 1 && *i.module == *module)
            })
    }

    /// Why a source file was left out although it is there (a named pipe, a link out of the package).
    pub fn left_out(&self, path: &str) -> Option<&str> {
        let source = [".py", ".yaml", ".yml", ".toml"];
        self.skipped
            .get(path)
            .copied()
            .filter(|_| source.iter().any(|suffix| path.ends_with(suffix)))
    }

    /// The folder above `path` that could not be read, with the reason: what lies in it is not known.
    pub fn unread_folder(&self, path: &str) -> Option<(&'a str, &str)> {
        let above = |folder: &str| {
            folder == "."
                || path
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.failures
            .iter()
            .find(|(failed, _)| above(failed))
            .map(|(failed, reason)| (*failed, reason.as_str()))
    }

    /// Files that could not be read or judged, with the reason.
    pub fn failures(&self) -> &[(&'a str, String)] {
        &self.failures
    }

    /// The analysis of a Python file that was scanned.
    pub fn analysis(&self, path: &str) -> Option<&ModuleAnalysis> {
        self.analyses.get(path).map(Arc::as_ref)
    }
}
