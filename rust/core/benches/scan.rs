//! How long a scan takes beside a bare tree-sitter parse of the same Python files.
//!
//! ```text
//! cargo bench --package explint-core --bench scan -- FOLDER [THREADS,…] [ROUNDS]
//! ```
//!
//! Every folder in FOLDER is a package. Each round measures every combination once, one after the
//! other, so that a slow spell of the machine hits all of them. Writes one JSON object per
//! measurement: `{"what": "parse"|"scan"|"scan and trace", "threads": n, "seconds": [one per round], "bytes": n}`.

use std::cell::RefCell;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use explint_core::scan::{FileProtocol, FileState, InputFile, PackageInput, Scanner};
use rayon::prelude::*;

type Package = PackageInput<Vec<u8>>;

const REQUIRED: [&str; 7] = [
    "pyproject.toml",
    "config/config.yaml",
    "src/main.py",
    "src/train.py",
    "src/evaluate.py",
    "src/preprocess.py",
    "src/model.py",
];

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench` to the words of a benchmark.
    let words: Vec<String> = (std::env::args().skip(1))
        .filter(|word| word != "--bench")
        .collect();
    // `cargo test --benches` runs this without a folder; there is nothing to measure then.
    let Some(folder) = words.first() else {
        return Ok(());
    };
    let threads: Vec<usize> = match words.get(1) {
        Some(list) => list.split(',').map(str::parse).collect::<Result<_, _>>()?,
        None => vec![1, 2],
    };
    let rounds: usize = words.get(2).map_or(Ok(5), |word| word.parse())?;
    let packages = read(Path::new(folder))?;
    let bytes: usize = python(&packages).map(<[u8]>::len).sum();

    let mut seconds = vec![[const { Vec::new() }; 3]; threads.len()];
    for round in 0..=rounds {
        for (&count, times) in threads.iter().zip(&mut seconds) {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(count)
                .stack_size(64 << 20)
                .build()?;
            let parse = pool.install(|| timed(|| parse_all(&packages)));
            let scan = pool.install(|| timed(|| scan_all(&packages)));
            let trace = pool.install(|| timed(|| trace_all(&packages)));
            // The first round warms up caches and the allocator.
            if round > 0 {
                times[0].push(parse);
                times[1].push(scan);
                times[2].push(trace);
            }
        }
    }
    for (count, times) in threads.iter().zip(&seconds) {
        for (what, values) in ["parse", "scan", "scan and trace"].iter().zip(times) {
            println!(
                r#"{{"what": "{what}", "threads": {count}, "seconds": {values:?}, "bytes": {bytes}}}"#
            );
        }
    }
    Ok(())
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

/// What nobody can go below: each thread keeps a parser and parses.
fn parse_all(packages: &[Package]) {
    thread_local! {
        static PARSER: RefCell<tree_sitter::Parser> = RefCell::new(tree_sitter::Parser::new());
    }
    let language = tree_sitter::Language::new(tree_sitter_python::LANGUAGE);
    packages.par_iter().for_each(|package| {
        PARSER.with_borrow_mut(|parser| {
            if parser.language().is_none() && parser.set_language(&language).is_err() {
                return;
            }
            for data in python(std::slice::from_ref(package)) {
                black_box(parser.parse(data, None));
            }
        });
    });
}

/// The whole core: hashing, parsing, every rule, the document of facts.
fn scan_all(packages: &[Package]) {
    let scanner = Scanner::new();
    packages.par_iter().for_each(|package| {
        black_box(scanner.scan(package));
    });
}

/// The scan, and the trace of the protocol's entries from the same trees.
fn trace_all(packages: &[Package]) {
    let scanner = Scanner::new();
    let entries = ["src.main", "src.train", "src.evaluate"].map(str::to_owned);
    packages.par_iter().for_each(|package| {
        black_box(scanner.scan(package));
        black_box(scanner.trace(package, &entries));
    });
}

fn python(packages: &[Package]) -> impl Iterator<Item = &[u8]> {
    (packages.iter().flat_map(|package| &package.files))
        .filter(|file| file.path.ends_with(".py"))
        .filter_map(|file| file.data.as_deref())
}

fn read(folder: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    let mut protocol = FileProtocol::default();
    protocol.required = REQUIRED.iter().map(|&path| path.to_owned()).collect();
    protocol.unexpected = vec!["**/*.py".to_owned()];
    protocol.allowed.clone_from(&protocol.required);
    protocol.jobs = ["main", "train", "evaluate", "preprocess", "model"]
        .iter()
        .zip(["entry", "train", "evaluate", "preprocess", "model"])
        .map(|(module, job)| (format!("src/{module}.py"), job.to_owned()))
        .collect();
    let protocol = Arc::new(protocol);
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let root = entry?.path();
        if !root.is_dir() {
            continue;
        }
        let mut files = Vec::new();
        collect(&root, &root, &mut files)?;
        packages.push(PackageInput {
            files,
            protocol: Arc::clone(&protocol),
            python_minor: 11,
            partial: false,
            cut: false,
        });
    }
    Ok(packages)
}

fn collect(
    root: &Path,
    folder: &Path,
    files: &mut Vec<InputFile<Vec<u8>>>,
) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let data = std::fs::read(&path)?;
        files.push(InputFile {
            path: path.strip_prefix(root)?.to_string_lossy().into_owned(),
            state: if data.is_empty() {
                FileState::Empty
            } else {
                FileState::Present
            },
            data: Some(data),
            failure: None,
            skipped: None,
            cut: false,
        });
    }
    Ok(())
}
