//! One package: its files' analyses brought together, and the rules that look across files.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use super::cache::Scanner;
use super::facts::{
    FACTS_VERSION, FactFinding, FactRelated, FactUnknown, FileFacts, Outcome, PackageFacts,
};
use super::file::{FileAnalysis, not_text};
use crate::analysis::definitions::ClassUses;
use crate::rules::{Rule, complete, structure};

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

/// One file as the source layer hands it over.
#[derive(Debug)]
pub struct InputFile<D> {
    /// Path in the package, with forward slashes.
    pub path: String,
    /// What is known of it.
    pub state: FileState,
    /// Its bytes, unless it was not read.
    pub data: Option<D>,
    /// Why it could not be read.
    pub failure: Option<String>,
    /// Why it was left out on purpose.
    pub skipped: Option<String>,
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

/// A package to scan.
#[derive(Debug)]
pub struct PackageInput<D> {
    /// Its files.
    pub files: Vec<InputFile<D>>,
    /// What the profile says of files.
    pub protocol: Arc<FileProtocol>,
    /// Minor version of the Python 3 the package targets.
    pub python_minor: u8,
    /// Whether files that are absent here may exist elsewhere.
    pub partial: bool,
}

/// What rules across files may ask.
pub struct PackageContext<'a> {
    /// What the profile says of files.
    pub protocol: &'a FileProtocol,
    /// Whether files that are absent here may exist elsewhere.
    pub partial: bool,
    /// Whether `uv run` installs the package itself, whose modules are then found from anywhere.
    pub installs: bool,
    paths: Vec<&'a str>,
    states: HashMap<&'a str, FileState>,
    analyses: HashMap<&'a str, Arc<FileAnalysis>>,
    failures: Vec<(&'a str, String)>,
    skipped: HashSet<&'a str>,
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
            && !self.skipped.contains(path)
    }

    /// Files that could not be read or judged, with the reason.
    pub fn failures(&self) -> &[(&'a str, String)] {
        &self.failures
    }

    /// The analysis of a Python file that was scanned.
    pub fn analysis(&self, path: &str) -> Option<&FileAnalysis> {
        self.analyses.get(path).map(Arc::as_ref)
    }
}

/// A violation found by looking across files.
#[derive(Debug)]
pub struct PackageFinding {
    fact: FactFinding,
}

impl PackageFinding {
    /// A finding about a file as a whole, whether it exists or not.
    pub fn whole_file(rule: &'static Rule, path: &str, message: String, help: String) -> Self {
        Self::at(rule, path, [1, 1, 1, 1], message, help)
    }

    /// A finding at `[line, column, end_line, end_column]`, all 1-based.
    pub fn at(
        rule: &'static Rule,
        path: &str,
        [line, column, end_line, end_column]: [u32; 4],
        message: String,
        help: String,
    ) -> Self {
        Self {
            fact: FactFinding {
                rule: rule.name.to_owned(),
                path: path.to_owned(),
                line,
                column,
                end_line,
                end_column,
                message,
                help,
                related: Vec::new(),
            },
        }
    }

    /// The finding with other places of the same root cause: path, 1-based line, what is there.
    pub fn with_related<'p>(
        mut self,
        places: impl Iterator<Item = (&'p str, u32, &'p str)>,
    ) -> Self {
        (self.fact.related).extend(places.map(|(path, line, message)| FactRelated {
            path: path.to_owned(),
            line,
            message: message.to_owned(),
        }));
        self
    }
}

/// Whether a file is a `pyproject.toml` that makes a package of the folder, or may be one.
fn installs<D: AsRef<[u8]>>(file: &InputFile<D>) -> bool {
    if file.path != "pyproject.toml" {
        return false;
    }
    let Some(data) = &file.data else {
        return true;
    };
    let says = |mark: &str| memchr::memmem::find(data.as_ref(), mark.as_bytes()).is_some();
    file.state == FileState::Withheld || says("[build-system]") || says("package = true")
}

/// The methods left open in classes that look like interfaces and are none: the package makes objects
/// of them and derives nothing from them.
fn placeholders_of_made_classes<'c>(
    package: &'c PackageContext<'_>,
) -> impl Iterator<Item = FactFinding> + 'c {
    let used = |of: fn(&ClassUses) -> &HashSet<Box<str>>, class: &str| {
        package
            .analyses
            .values()
            .any(|a| of(&a.class_uses).contains(class))
    };
    package.analyses.iter().flat_map(move |(path, analysis)| {
        analysis
            .open_methods
            .iter()
            .filter(move |(class, _)| used(|u| &u.made, class) && !used(|u| &u.derived, class))
            .map(|(_, finding)| FactFinding {
                path: (*path).to_owned(),
                ..finding.clone()
            })
    })
}

/// Scans one package.
pub(super) fn scan<D: AsRef<[u8]>>(scanner: &Scanner, input: &PackageInput<D>) -> PackageFacts {
    let mut facts = PackageFacts {
        version: FACTS_VERSION,
        files: Vec::with_capacity(input.files.len()),
        findings: Vec::new(),
        unknowns: Vec::<FactUnknown>::new(),
        crashes: Vec::new(),
    };
    let mut context = PackageContext {
        protocol: &input.protocol,
        partial: input.partial,
        installs: input.files.iter().any(installs),
        paths: Vec::with_capacity(input.files.len()),
        states: HashMap::with_capacity(input.files.len()),
        analyses: HashMap::new(),
        failures: Vec::new(),
        skipped: HashSet::new(),
    };
    for file in &input.files {
        let mut entry = FileFacts {
            path: file.path.clone(),
            outcome: Outcome::Scanned,
            reason: String::new(),
            lines: 0,
            directives: Vec::new(),
        };
        let mut state = file.state;
        if let Some(reason) = &file.failure {
            (entry.outcome, entry.reason) = (Outcome::Failed, reason.clone());
        } else if let Some(reason) = &file.skipped {
            (entry.outcome, entry.reason) = (Outcome::Skipped, reason.clone());
        } else if let Some(data) = file.data.as_ref().filter(|_| file.path.ends_with(".py")) {
            let analysis = scanner.analyse(data.as_ref(), input.python_minor);
            entry.lines = analysis.lines;
            entry.directives.clone_from(&analysis.directives);
            if let Some(reason) = &analysis.failure {
                (entry.outcome, entry.reason) = (Outcome::Failed, reason.clone());
            } else if analysis.blank && state == FileState::Present {
                state = FileState::Empty;
            }
            facts
                .findings
                .extend(analysis.findings.iter().map(|finding| {
                    let mut finding = finding.clone();
                    finding.path.clone_from(&file.path);
                    for related in &mut finding.related {
                        related.path.clone_from(&file.path);
                    }
                    finding
                }));
            facts.crashes.extend(
                (analysis.crashes.iter())
                    .map(|(rule, what)| ((*rule).to_owned(), file.path.clone(), what.clone())),
            );
            if let Some(reason) = analysis.undecided {
                facts.unknowns.push(FactUnknown {
                    rule: "complete/undefined-name".to_owned(),
                    path: file.path.clone(),
                    reason: reason.to_owned(),
                    decided_by: "a trial run".to_owned(),
                });
            }
            context.analyses.insert(&file.path, analysis);
        } else if let Some(reason) = file.data.as_ref().and_then(|d| not_text(d.as_ref())) {
            (entry.outcome, entry.reason) = (Outcome::Failed, reason);
        }
        match entry.outcome {
            Outcome::Failed => context.failures.push((&file.path, entry.reason.clone())),
            Outcome::Skipped => {
                context.skipped.insert(&file.path);
            }
            Outcome::Scanned => {}
        }
        context.paths.push(&file.path);
        context.states.insert(&file.path, state);
        facts.files.push(entry);
    }
    facts
        .findings
        .extend(placeholders_of_made_classes(&context));
    let mut found = Vec::new();
    structure::required_files(&context, &mut found);
    structure::unexpected_files(&context, &mut found);
    structure::unreadable_files(&context, &mut found);
    structure::gutted_modules(&context, &mut found);
    complete::unresolved_imports(&context, &mut found, &mut facts.unknowns);
    facts.findings.extend(found.into_iter().map(|f| f.fact));
    facts.findings.sort_by(|a, b| {
        let key = |f: &FactFinding| (f.path.clone(), f.line, f.column, f.rule.clone());
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
    facts
}
