//! Family *structure*: the files of a package against the protocol's list.

mod shim;

use std::collections::{BTreeMap, HashMap};

use super::{FileRule, PackageFinding, PackageUnknown, Rule};
use crate::analysis::package::{FileState, PackageContext};
use crate::declare_rule;

declare_rule! {
    /// A file the protocol requires is absent.
    ///
    /// ## What it does
    /// Compares the package's files with the list of the protocol profile in force.
    ///
    /// ## Why is this bad
    /// The mandated commands start `src.main` and `src.evaluate`, which import the others; without
    /// one of them nothing runs.
    ///
    /// ## Example
    /// ```text
    /// pyproject.toml
    /// config/config.yaml
    /// src/main.py
    /// src/train.py
    /// ```
    ///
    /// ## Use instead
    /// Add the missing files (here `src/evaluate.py`, `src/model.py` and `src/preprocess.py`).
    ///
    /// ## References
    /// - Protocol, criterion 5: file structure
    MISSING_FILE = "structure/missing-file", "STR001", Error, [5]
}

declare_rule! {
    /// A required file is empty, or holds only white space and comments.
    ///
    /// ## What it does
    /// Looks at every file the profile requires. In a record or a partial package an empty text means
    /// that the file was not handed over: the finding is the same, and whatever depends on the file's
    /// contents stays unknown.
    ///
    /// ## Why is this bad
    /// An empty module defines nothing of what the other modules import from it.
    ///
    /// ## Example
    /// ```python
    /// # src/model.py
    /// ```
    ///
    /// ## Use instead
    /// Write the module, complete.
    ///
    /// ## References
    /// - Protocol, criterion 5: file structure
    EMPTY_FILE = "structure/empty-file", "STR002", Error, [5, 1]
}

declare_rule! {
    /// A file stands in the package that the protocol does not allow.
    ///
    /// ## What it does
    /// Compares every file with the profile's list of what is required, allowed and unexpected. What
    /// every repository carries (README, LICENSE, lock files, `.github/`) is allowed. A folder that
    /// holds nothing but unexpected files is one finding.
    ///
    /// ## Why is this bad
    /// The protocol fixes the files so that every package is run and read in the same way. An extra
    /// module hides code from those who read the required ones, and `src/__init__.py` changes how the
    /// modules are imported.
    ///
    /// ## Example
    /// ```text
    /// src/__init__.py
    /// src/utils.py
    /// ```
    ///
    /// ## Use instead
    /// Move the code into the required module that uses it, and delete the file.
    ///
    /// ## References
    /// - Protocol, criterion 5: file structure
    UNEXPECTED_FILE = "structure/unexpected-file", "STR003", Error, [5]
}

declare_rule! {
    /// A file of the package cannot be read as text.
    ///
    /// ## What it does
    /// Names every file that is not UTF-8, holds NUL bytes, is over the size limit, may not be opened,
    /// or is nested too deeply to be parsed, with the reason. A required file that is a named pipe, a
    /// device, a link out of the package or a Git LFS pointer is named too.
    ///
    /// ## Why is this bad
    /// Python cannot read it either, or what it holds is no source code; and nothing else can be said
    /// of the file.
    ///
    /// ## Example
    /// A `src/model.py` saved in Latin-1 with an `é` in a comment and no coding line.
    ///
    /// ## Use instead
    /// Save the file as UTF-8 text.
    ///
    /// ## References
    /// - [Python documentation, encoding declarations](https://docs.python.org/3/reference/lexical_analysis.html#encoding-declarations)
    UNREADABLE_FILE = "structure/unreadable-file", "STR005", Error, [5]
}

declare_rule! {
    /// A required module holds nothing that could do its job.
    ///
    /// ## What it does
    /// Looks at each module to which the profile gives a job: the entry point, training, evaluation,
    /// preprocessing, the model. A module is gutted when it neither calls anything beyond `print` and
    /// logging, nor defines a function or class that computes something, nor imports from the package
    /// so that another module may do the work. Modules that the profile lets be stubs are left alone
    /// when they say why.
    ///
    /// ## Why is this bad
    /// The file is there, the command runs and ends with success, and no experiment took place.
    ///
    /// ## Example
    /// ```python
    /// # src/main.py
    /// print("Experiment finished")
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// @hydra.main(version_base=None, config_path="../config", config_name="config")
    /// def main(cfg):
    ///     train(cfg)
    /// ```
    ///
    /// ## References
    /// - Protocol, criterion 5: file structure
    GUTTED_MODULE = "structure/gutted-module", "STR006", Error, [5, 1]
}

/// The family's rows.
pub(super) static ROWS: &[&Rule] = &[
    &MISSING_FILE,
    &EMPTY_FILE,
    &UNEXPECTED_FILE,
    &UNREADABLE_FILE,
    &GUTTED_MODULE,
    &shim::MODULE_SHIM,
];

/// The family's rules over one file.
pub(super) static FILE_RULES: &[FileRule] = &[FileRule {
    rule: &shim::MODULE_SHIM,
    tolerates_errors: false,
    check: shim::module_shims,
}];

/// Required files that are absent or empty. One that may be a stub is missed only by a module that
/// names it: a task without training needs no train.py.
pub(crate) fn required_files(
    package: &PackageContext<'_>,
    findings: &mut Vec<PackageFinding>,
    open: &mut Vec<PackageUnknown>,
) {
    for path in &package.protocol.required {
        if package.protocol.explained_stubs.contains(path) && !package.names(path) {
            continue;
        }
        if package.cut && package.state(path) == FileState::Absent {
            open.push(PackageUnknown {
                rule: &MISSING_FILE,
                path: path.clone(),
                reason: "text was cut out of the record, and the file with it, perhaps".to_owned(),
                decided_by: "the whole record".to_owned(),
            });
            continue;
        }
        if let Some((folder, reason)) = package.unread_folder(path) {
            open.push(PackageUnknown {
                rule: &MISSING_FILE,
                path: path.clone(),
                reason: format!("it may lie in `{folder}`: {reason}"),
                decided_by: format!("`{folder}`"),
            });
            continue;
        }
        match package.state(path) {
            FileState::Absent => findings.push(PackageFinding::whole_file(
                &MISSING_FILE,
                path,
                format!("`{path}` is required by the protocol and is not there"),
                format!("Add `{path}` with its complete implementation"),
            )),
            FileState::Empty | FileState::Withheld => findings.push(PackageFinding::whole_file(
                &EMPTY_FILE,
                path,
                format!("`{path}` is required by the protocol and is empty"),
                format!("Write the complete contents of `{path}`"),
            )),
            FileState::Present => {
                if let Some(reason) = package.left_out(path) {
                    findings.push(PackageFinding::whole_file(
                        &UNREADABLE_FILE,
                        path,
                        format!(
                            "`{path}` is required by the protocol and cannot be read: {reason}"
                        ),
                        format!("Put the file itself at `{path}`"),
                    ));
                }
            }
        }
    }
}

/// Files that could not be read or judged.
pub(crate) fn unreadable_files(package: &PackageContext<'_>, findings: &mut Vec<PackageFinding>) {
    for (path, reason) in package.failures() {
        findings.push(PackageFinding::whole_file(
            &UNREADABLE_FILE,
            path,
            format!("`{path}` cannot be read: {reason}"),
            format!("Make `{path}` readable: plain UTF-8 text, of a size that a person writes"),
        ));
    }
}

/// Files that the protocol does not allow; a folder of nothing else is one finding.
pub(crate) fn unexpected_files(package: &PackageContext<'_>, findings: &mut Vec<PackageFinding>) {
    let present: Vec<&str> = package
        .paths()
        .iter()
        .copied()
        .filter(|path| package.is_there(path))
        .collect();
    let (bad, good): (Vec<&str>, Vec<&str>) = present
        .into_iter()
        .partition(|path| package.protocol.is_unexpected(path));
    // How many files that may stay each folder holds, at any depth.
    let mut kept: HashMap<&str, usize> = HashMap::new();
    for path in good {
        for folder in folders(path) {
            *kept.entry(folder).or_default() += 1;
        }
    }
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in bad {
        let whole = folders(path).find(|folder| !kept.contains_key(folder));
        groups.entry(whole.unwrap_or(path)).or_default().push(path);
    }
    for (group, mut paths) in groups {
        paths.sort_unstable();
        let Some((first, others)) = paths.split_first() else {
            continue;
        };
        if others.is_empty() {
            findings.push(PackageFinding::whole_file(
                &UNEXPECTED_FILE,
                first,
                format!("`{first}` is not a file of the protocol"),
                format!("Move what the experiment needs of `{first}` into a required module and delete it"),
            ));
        } else {
            let message = format!(
                "`{group}/` holds {} files and none of them is a file of the protocol",
                paths.len()
            );
            let help = format!(
                "Move what the experiment needs of `{group}/` into the required modules and delete the folder"
            );
            let finding = PackageFinding::whole_file(&UNEXPECTED_FILE, first, message, help);
            findings.push(
                finding.with_related(
                    others
                        .iter()
                        .map(|path| (*path, 1, "not a file of the protocol either")),
                ),
            );
        }
    }
}

/// The folders above a path, the outermost first.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Required modules that do nothing.
pub(crate) fn gutted_modules(package: &PackageContext<'_>, findings: &mut Vec<PackageFinding>) {
    let mut jobs: Vec<(&String, &String)> = package.protocol.jobs.iter().collect();
    jobs.sort();
    for (path, job) in jobs {
        if package.state(path) != FileState::Present {
            continue;
        }
        let Some(analysis) = package.analysis(path) else {
            continue;
        };
        // A file that is no Python is unknown; a placeholder already named is the root cause.
        let Some(shape) = analysis.shape else {
            continue;
        };
        let named = analysis.has_placeholder;
        let may_be_stub = package.protocol.explained_stubs.contains(path) && shape.explained;
        let works = shape.calls || shape.delegates || (shape.defines && job != "entry");
        if works || named || may_be_stub {
            continue;
        }
        let (lacks, duty) = match job.as_str() {
            "entry" => (
                "starts nothing",
                "start the training of the run it is given",
            ),
            "train" => ("trains nothing", "hold the training loop"),
            "evaluate" => (
                "evaluates nothing",
                "read the runs and write their metrics and figures",
            ),
            "preprocess" => ("prepares no data", "load and preprocess the dataset"),
            "model" => ("defines no model", "define the models of the experiment"),
            _ => ("does nothing", "do the job the protocol gives it"),
        };
        findings.push(PackageFinding::whole_file(
            &GUTTED_MODULE,
            path,
            format!("`{path}` {lacks}: it holds no call or definition that does any work"),
            format!("`{path}` has to {duty}"),
        ));
    }
}
