//! Imports between the modules of the package.

use std::collections::HashSet;

use crate::analysis::modules::{Import, ModuleFacts, Place};
use crate::analysis::names::nearest;
use crate::analysis::package::{FileState, PackageContext};
use crate::declare_rule;
use crate::rules::{PackageFinding, PackageUnknown};

declare_rule! {
    /// A module of the package, or a name in it, is imported and does not exist.
    ///
    /// ## What it does
    /// Resolves every import that stays inside the package: `from src.model import Net`,
    /// `from .model import Net`, `from . import model`, `import src.model as m` with `m.Net`. The root
    /// of the package is where Python starts (`python -m src.main`), so `src` needs no `__init__.py`
    /// and relative imports inside it are legal, while `from model import Net` in `src/train.py` finds
    /// nothing.
    ///
    /// Silent: imports inside `try` with a handler for the failure, imports under
    /// `if TYPE_CHECKING:`, modules with `__getattr__` or star imports from elsewhere. An import from a
    /// required file that is missing, empty or withheld stays unknown, for the missing file has its own
    /// finding. Which third-party packages exist is not asked here.
    ///
    /// ## Why is this bad
    /// The import raises `ImportError` before the first line of the experiment runs.
    ///
    /// ## Example
    /// ```python
    /// # src/model.py defines build_model
    /// from src.model import create_model
    /// ```
    ///
    /// ## Use instead
    /// ```python
    /// from src.model import build_model
    /// ```
    ///
    /// ## References
    /// - Python language reference, 5: the import system
    /// - PEP 420: implicit namespace packages
    UNRESOLVED_IMPORT = "complete/unresolved-import", "CMP008", Error, [1]
}

/// Attributes that every module has.
const MODULE_ATTRIBUTES: &[&str] = &[
    "__annotations__",
    "__builtins__",
    "__cached__",
    "__dict__",
    "__doc__",
    "__file__",
    "__loader__",
    "__name__",
    "__package__",
    "__path__",
    "__spec__",
];

/// Star imports that are followed for one name before the question is left open.
const STAR_IMPORTS: u32 = 100;

/// What a dotted name stands for in the package.
enum Module<'a> {
    /// A file, or a folder's `__init__.py`.
    File {
        path: String,
        facts: &'a ModuleFacts,
        /// The folder whose modules it also offers, when it is an `__init__.py`.
        folder: Option<String>,
    },
    /// A folder without `__init__.py`.
    Folder(String),
    /// A file that cannot be looked into, and why.
    Closed { path: String, why: &'static str },
    /// Nothing.
    Absent,
}

/// Finds the imports between modules of the package that fail.
pub(crate) fn unresolved_imports(
    package: &PackageContext<'_>,
    findings: &mut Vec<PackageFinding>,
    unknowns: &mut Vec<PackageUnknown>,
) {
    let mut folders = HashSet::new();
    for path in package.paths() {
        let mut at = *path;
        while let Some((folder, _)) = at.rsplit_once('/')
            && folders.insert(folder)
        {
            at = folder;
        }
    }
    let resolver = Resolver {
        package,
        folders,
        source_folder: (package.paths().iter())
            .any(|path| path.starts_with("src/") && path.ends_with(".py")),
        paths: package.paths().iter().copied().collect(),
        // The protocol's commands start modules of `src` from the root.
        mandated: (package.protocol.required.iter()).any(|path| path.starts_with("src/")),
        moves_path: package.paths().iter().any(|path| {
            (package.analysis(path)).is_some_and(|a| a.module.as_ref().is_none_or(|m| m.moves_path))
        }),
    };
    for path in package.paths() {
        let Some(facts) = package.analysis(path).and_then(|a| a.module.as_ref()) else {
            continue;
        };
        let mut file = Importer {
            resolver: &resolver,
            path,
            findings,
            unknowns,
            asked: HashSet::new(),
        };
        for import in &facts.imports {
            if !import.guarded && !import.typing_only {
                file.judge(import);
            }
        }
    }
}

struct Resolver<'p, 'a> {
    package: &'p PackageContext<'a>,
    paths: HashSet<&'a str>,
    folders: HashSet<&'a str>,
    /// Whether `src` holds Python files.
    source_folder: bool,
    mandated: bool,
    moves_path: bool,
}

impl<'p> Resolver<'p, '_> {
    fn is_required(&self, path: &str) -> bool {
        self.package.protocol.required.iter().any(|r| r == path)
    }

    /// The module at `base`, a path without `.py`.
    fn module(&self, base: &str) -> Module<'p> {
        let init = format!("{base}/__init__.py");
        // A folder with `__init__.py` comes before a file of the same name.
        if self.package.state(&init) != FileState::Absent {
            return self.file(init, Some(base.to_owned()));
        }
        let file = format!("{base}.py");
        if self.package.state(&file) != FileState::Absent {
            return self.file(file, None);
        }
        if self.folders.contains(base) {
            return Module::Folder(base.to_owned());
        }
        if self.is_required(&file) {
            return Module::Closed {
                path: file,
                why: "is not there",
            };
        }
        let compiled = [".so", ".pyd", ".pyx", ".c", ".cpp"].iter().any(|suffix| {
            (self.paths.iter()).any(|p| p.starts_with(&format!("{base}.")) && p.ends_with(suffix))
        });
        if compiled {
            Module::Closed {
                path: file,
                why: "is compiled from another language",
            }
        } else {
            Module::Absent
        }
    }

    fn file(&self, path: String, folder: Option<String>) -> Module<'p> {
        let state = self.package.state(&path);
        let facts = self.package.analysis(&path).and_then(|a| a.module.as_ref());
        match facts {
            _ if state == FileState::Withheld => Module::Closed {
                path,
                why: "was not handed over",
            },
            _ if state == FileState::Empty && self.is_required(&path) => Module::Closed {
                path,
                why: "is empty",
            },
            Some(facts) => Module::File {
                path,
                facts,
                folder,
            },
            None => Module::Closed {
                path,
                why: "could not be read as Python",
            },
        }
    }

    /// Whether a module offers a name; `None` when that cannot be known.
    fn offers(&self, module: &Module<'p>, name: &str, budget: &mut u32) -> Option<bool> {
        let submodule = |folder: &str| match self.module(&format!("{folder}/{name}")) {
            Module::Absent => Some(false),
            Module::Closed { .. } => None,
            Module::File { .. } | Module::Folder(_) => Some(true),
        };
        match module {
            Module::Folder(folder) => submodule(folder),
            Module::File {
                path,
                facts,
                folder,
            } => {
                if facts.defines(name) || MODULE_ATTRIBUTES.contains(&name) {
                    return Some(true);
                }
                let inside = folder.as_deref().map_or(Some(false), submodule);
                if inside != Some(false) || facts.open {
                    return inside.filter(|&yes| yes);
                }
                for star in facts.imports.iter().filter(|i| i.star) {
                    *budget = budget.checked_sub(1)?;
                    let source = self.target(path, star)?;
                    match self.offers(&source, name, budget) {
                        Some(false) => {}
                        answer => return answer,
                    }
                }
                Some(false)
            }
            Module::Closed { .. } | Module::Absent => None,
        }
    }

    /// The module an import names, if it lies in the package.
    fn target(&self, importer: &str, import: &Import) -> Option<Module<'p>> {
        self.base(importer, import).map(|base| self.module(&base))
    }

    /// The path, without `.py`, of the module an import names; `None` outside the package.
    fn base(&self, importer: &str, import: &Import) -> Option<String> {
        let dotted = import.module.replace('.', "/");
        if import.level == 0 {
            return self.is_ours(&import.module).then_some(dotted);
        }
        let mut parts: Vec<&str> = importer.split('/').collect();
        for _ in 0..import.level {
            parts.pop()?;
        }
        if parts.is_empty() {
            return None;
        }
        if !dotted.is_empty() {
            parts.push(&dotted);
        }
        Some(parts.join("/"))
    }

    /// Whether an absolute import surely means a module of the package.
    fn is_ours(&self, module: &str) -> bool {
        let top = module.split('.').next().unwrap_or(module);
        // A folder without `__init__.py` yields to an installed package of the same name; nobody
        // installs one named `src`.
        self.paths.contains(format!("{top}.py").as_str())
            || self.paths.contains(format!("{top}/__init__.py").as_str())
            || (top == "src" && (self.mandated || self.source_folder))
    }
}

struct Importer<'r, 'p, 'a> {
    resolver: &'r Resolver<'p, 'a>,
    path: &'r str,
    findings: &'r mut Vec<PackageFinding>,
    unknowns: &'r mut Vec<PackageUnknown>,
    asked: HashSet<String>,
}

impl<'p> Importer<'_, 'p, '_> {
    fn find(&mut self, place: Place, message: String, help: String) {
        self.findings.push(PackageFinding::at(
            &UNRESOLVED_IMPORT,
            self.path,
            place,
            message,
            help,
        ));
    }

    fn leave_open(&mut self, target: &str, why: &str) {
        if self.asked.insert(target.to_owned()) {
            self.unknowns.push(PackageUnknown {
                rule: &UNRESOLVED_IMPORT,
                path: self.path.to_owned(),
                reason: format!("`{target}`, which `{}` imports from, {why}", self.path),
                decided_by: format!("`{target}`"),
            });
        }
    }

    fn judge(&mut self, import: &Import) {
        if import.level > 0 && self.leaves_package(import) {
            return;
        }
        let Some(base) = self.resolver.base(self.path, import) else {
            if import.level == 0 {
                self.sibling(import);
            }
            return;
        };
        // Every package on the way is imported first.
        let dotted = base.replace('/', ".");
        let module = self.resolver.module(&base);
        match &module {
            Module::Closed { path, why } => self.leave_open(path, why),
            Module::Absent => {
                let written = format!("{}{}", ".".repeat(import.level as usize), import.module);
                let near = self.near_module(&base);
                self.find(
                    import.place,
                    format!("`{written}` is imported here, but the package has no `{base}.py`."),
                    near.map_or_else(
                        || {
                            format!(
                                "Add `{base}.py`, or import `{dotted}` from where it really is."
                            )
                        },
                        |near| format!("Did you mean `{near}`? Otherwise add `{base}.py`."),
                    ),
                );
            }
            Module::File { .. } | Module::Folder(_) => {
                for name in import.names.iter().flatten() {
                    self.name(&module, &base, &name.name, name.place, false);
                    if let Module::Folder(folder) = &module {
                        let inner = format!("{folder}/{}", name.name);
                        let module = self.resolver.module(&inner);
                        for (attribute, place) in &name.attributes {
                            self.name(&module, &inner, attribute, *place, true);
                        }
                    }
                }
                for (attribute, place) in &import.attributes {
                    self.name(&module, &base, attribute, *place, true);
                }
            }
        }
    }

    fn name(&mut self, module: &Module<'p>, base: &str, name: &str, place: Place, attribute: bool) {
        if attribute && !matches!(module, Module::File { folder: None, .. }) {
            // What a package offers as an attribute depends on what has been imported by then.
            return;
        }
        let offered = self.resolver.offers(module, name, &mut { STAR_IMPORTS });
        match offered {
            Some(true) => {}
            None => {
                let inner = format!("{base}/{name}");
                if let Module::Closed { path, why } = self.resolver.module(&inner) {
                    self.leave_open(&path, why);
                }
            }
            Some(false) => {
                let verb = if attribute { "read" } else { "imported" };
                let (message, near, add) = match module {
                    Module::File { path, facts, .. } => (
                        format!("`{name}` is {verb} here from `{path}`, which does not define it."),
                        nearest(name, facts.defined.iter().map(AsRef::as_ref)).map(str::to_owned),
                        format!("define `{name}` in `{path}`"),
                    ),
                    _ => (
                        format!(
                            "`{name}` is {verb} here from `{base}/`, which holds no such module."
                        ),
                        self.near_module(&format!("{base}/{name}")),
                        format!("add `{base}/{name}.py`"),
                    ),
                };
                let help = near.map_or_else(
                    || format!("Use a name that is there, or {add}."),
                    |near| format!("Did you mean `{near}`? Otherwise {add}."),
                );
                self.find(place, message, help);
            }
        }
    }

    /// A module of the same folder spelt almost the same.
    fn near_module(&self, base: &str) -> Option<String> {
        let (folder, name) = base.rsplit_once('/')?;
        let stems = (self.resolver.paths.iter()).filter_map(|path| {
            let (in_folder, file) = path.rsplit_once('/')?;
            file.strip_suffix(".py").filter(|_| in_folder == folder)
        });
        nearest(name, stems).map(|stem| format!("{}.{stem}", folder.replace('/', ".")))
    }

    /// Judges a relative import that climbs out of the package it may climb in.
    fn leaves_package(&mut self, import: &Import) -> bool {
        let depth = self.path.matches('/').count() as u32;
        if import.level <= depth {
            return false;
        }
        // Without the protocol's commands the root may itself lie in a package.
        if self.resolver.mandated && !self.resolver.paths.contains("__init__.py") {
            let dots = ".".repeat(import.level as usize);
            let (why, instead) = if depth == 0 {
                (
                    "in a module that lies in no package",
                    import.module.to_string(),
                )
            } else {
                let dots = ".".repeat(depth as usize);
                (
                    "that climbs out of the top-level package",
                    format!("{dots}{}", import.module),
                )
            };
            self.find(
                import.place,
                format!(
                    "`{dots}{}` is a relative import {why}, which Python refuses.",
                    import.module
                ),
                format!(
                    "Write `from {instead} import …`: the commands start Python at the root of the package."
                ),
            );
        }
        true
    }

    /// Judges `from model import x` where only `src/model.py` exists.
    fn sibling(&mut self, import: &Import) {
        let resolver = self.resolver;
        let Some((folder, _)) = self.path.rsplit_once('/') else {
            return;
        };
        if !resolver.mandated || import.module.contains('.') || folder != "src" {
            return;
        }
        let base = format!("{folder}/{}", import.module);
        let file = format!("{base}.py");
        if !resolver.paths.contains(file.as_str()) && !resolver.is_required(&file) {
            return;
        }
        if resolver.moves_path || resolver.package.installs {
            return;
        }
        let certain = match (&resolver.module(&base), &import.names) {
            // The module's own names are taken from it: no installed package of that name is meant.
            (Module::File { facts, .. }, Some(names)) => {
                !names.is_empty() && names.iter().all(|n| facts.defines(&n.name))
            }
            (Module::File { .. }, None) => matches!(&*import.module, "model" | "preprocess"),
            _ => false,
        };
        if certain {
            let module = &import.module;
            let importer = self.path.trim_end_matches(".py").replace('/', ".");
            self.find(
                import.place,
                format!("`{module}` is imported here, but `python -m {importer}` looks for modules in the root, not in `{folder}/`."),
                format!("Write `{folder}.{module}` (or `.{module}`) for `{module}`."),
            );
        }
    }
}
