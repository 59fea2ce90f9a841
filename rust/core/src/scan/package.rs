//! One package: its files' analyses brought together, and the rules that look across files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cache::Scanner;
use super::facts::{
    FACTS_VERSION, FactFinding, FactRelated, FactUnknown, FileFacts, Outcome, PackageFacts,
};
use super::file::{FileAnalysis, not_text, sentence};
use crate::analysis::definitions::ClassUses;
use crate::analysis::package::{FileProtocol, FileState, PackageContext};
use crate::rules::{PackageFinding, PackageUnknown, complete, file_rules, structure};

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
    /// Whether text was cut out of it on the way here: what is missing is not the author's doing.
    pub cut: bool,
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
    /// Whether text was cut out of the record the package comes from.
    pub cut: bool,
}

impl<D: AsRef<[u8]>> PackageInput<D> {
    /// The Python files whose whole text is known: path and bytes.
    pub(super) fn traced_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        (self.files.iter())
            .filter(|f| f.path.ends_with(".py") && f.state != FileState::Withheld && !f.cut)
            .filter_map(|f| Some((f.path.as_str(), f.data.as_ref()?.as_ref())))
    }

    /// The same for packages whose traces are the same: of the Python files and the entries.
    pub fn trace_key(&self, entries: &[String]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for (path, data) in self.traced_files() {
            add(path.as_bytes());
            add(data);
        }
        add(b"");
        entries.iter().for_each(|entry| add(entry.as_bytes()));
        hasher.finalize().into()
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
    analyses: &'c HashMap<&str, FileAnalysis>,
) -> impl Iterator<Item = FactFinding> + 'c {
    let used = |of: fn(&ClassUses) -> &HashSet<Box<str>>, class: &str| {
        analyses.values().any(|a| of(&a.class_uses).contains(class))
    };
    analyses.iter().flat_map(move |(path, analysis)| {
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
        unknowns: Vec::new(),
        crashes: Vec::new(),
    };
    let mut context = PackageContext {
        protocol: &input.protocol,
        partial: input.partial,
        installs: input.files.iter().any(installs),
        cut: input.cut,
        paths: Vec::with_capacity(input.files.len()),
        states: HashMap::with_capacity(input.files.len()),
        analyses: HashMap::new(),
        failures: Vec::new(),
        skipped: HashMap::new(),
    };
    let mut analyses: HashMap<&str, FileAnalysis> = HashMap::new();
    for file in &input.files {
        let mut entry = FileFacts {
            path: file.path.clone(),
            outcome: Outcome::Scanned,
            reason: String::new(),
            lines: 0,
            directives: Vec::new(),
            hydra: None,
        };
        let mut state = file.state;
        if let Some(reason) = &file.failure {
            (entry.outcome, entry.reason) = (Outcome::Failed, reason.clone());
        } else if let Some(reason) = &file.skipped {
            (entry.outcome, entry.reason) = (Outcome::Skipped, reason.clone());
            context.skipped.insert(&file.path, reason);
        } else if let Some(data) = file.data.as_ref().filter(|_| file.path.ends_with(".py")) {
            let analysis = scanner.analyse(data.as_ref(), input.python_minor);
            entry.lines = analysis.lines;
            entry.directives.clone_from(&analysis.directives);
            if state != FileState::Withheld {
                entry.hydra.clone_from(&analysis.hydra);
            }
            if let Some(reason) = &analysis.failure {
                (entry.outcome, entry.reason) = (Outcome::Failed, reason.clone());
            } else if analysis.blank && state == FileState::Present {
                state = FileState::Empty;
            }
            let findings = (analysis.findings.iter())
                .filter(|f| !file.cut || judges_fragments(&f.rule))
                .map(|finding| {
                    let mut finding = finding.clone();
                    finding.path.clone_from(&file.path);
                    for related in &mut finding.related {
                        related.path.clone_from(&file.path);
                    }
                    finding
                });
            facts.findings.extend(findings);
            facts.crashes.extend(
                (analysis.crashes.iter())
                    .map(|(rule, what)| (rule.clone(), file.path.clone(), what.clone())),
            );
            let cut = file
                .cut
                .then_some("text was cut out of the file on its way here");
            if let Some(reason) = cut.or(analysis.undecided.as_deref()) {
                facts.unknowns.push(FactUnknown {
                    rule: "complete/undefined-name".to_owned(),
                    path: file.path.clone(),
                    reason: reason.to_owned(),
                    decided_by: "a trial run".to_owned(),
                });
            }
            if !file.cut {
                context
                    .analyses
                    .insert(&file.path, Arc::clone(&analysis.module));
                analyses.insert(&file.path, analysis);
            }
        } else if let Some(reason) = file.data.as_ref().and_then(|d| not_text(d.as_ref())) {
            (entry.outcome, entry.reason) = (Outcome::Failed, reason);
        }
        if entry.outcome == Outcome::Failed {
            context.failures.push((&file.path, entry.reason.clone()));
        }
        context.paths.push(&file.path);
        context.states.insert(&file.path, state);
        facts.files.push(entry);
    }
    facts
        .findings
        .extend(placeholders_of_made_classes(&analyses));
    let mut found = Vec::new();
    let mut open = Vec::new();
    structure::required_files(&context, &mut found, &mut open);
    structure::unexpected_files(&context, &mut found);
    structure::unreadable_files(&context, &mut found);
    structure::gutted_modules(&context, &mut found);
    complete::unresolved_imports(&context, &mut found, &mut open);
    facts.findings.extend(found.into_iter().map(finding_fact));
    facts.unknowns.extend(open.into_iter().map(unknown_fact));
    facts.findings.sort_by(|a, b| {
        let key = |f: &FactFinding| (f.path.clone(), f.line, f.column, f.rule.clone());
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
    facts
}

/// Whether a rule speaks of what stands in a text, and not of what the rest of it would hold.
fn judges_fragments(rule: &str) -> bool {
    (file_rules()).any(|r| r.rule.name == rule && r.tolerates_errors)
        && rule != "complete/syntax-error"
}

fn finding_fact(found: PackageFinding) -> FactFinding {
    let [line, column, end_line, end_column] = found.place;
    FactFinding {
        rule: found.rule.name.to_owned(),
        path: found.path,
        line,
        column,
        end_line,
        end_column,
        message: sentence(found.message),
        help: sentence(found.help),
        related: (found.related.into_iter())
            .map(|(path, line, message)| FactRelated {
                path,
                line,
                message,
            })
            .collect(),
    }
}

fn unknown_fact(open: PackageUnknown) -> FactUnknown {
    FactUnknown {
        rule: open.rule.name.to_owned(),
        path: open.path,
        reason: open.reason,
        decided_by: open.decided_by,
    }
}
