//! Each distinct content is parsed and analysed once per run.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::file::{FileAnalysis, Parsed};
use super::package::{self, PackageInput};
use crate::scan::PackageFacts;
use crate::trace::{PythonFile, TraceDocument, trace_package};

type Key = (blake3::Hash, u8);
type Slot = Arc<OnceLock<Arc<FileAnalysis>>>;

/// Scans packages and remembers what it has seen. Shared freely between threads.
pub struct Scanner {
    // Two threads that meet the same new content must not both parse it: the map hands out a slot
    // under a short lock, and the slot's own lock makes the second thread wait for the first.
    slots: Mutex<Recent<Key, Slot>>,
    trees: Mutex<Recent<blake3::Hash, Arc<Parsed>>>,
}

/// What was used lately, in two generations: when the young one is full it becomes the old one and
/// the old one is forgotten. Memory stays flat over millions of packages, and what is met again
/// within a generation's length is never made twice.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

/// Contents whose analyses are kept per generation. An analysis keeps about 14 KB, so both
/// generations together stay near 200 MB however many packages a run has.
const ANALYSES: usize = 7_000;

/// Contents whose trees are kept per generation, about 50 KB each: those of a batch of packages,
/// which are traced right after their scan, and of their next of kin.
const TREES: usize = 256;

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps at least the last `generation` keys, and at most twice as many.
    pub fn new(generation: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation,
        }
    }

    /// The value kept under a key, or the one that `make` gives, which is kept from now on.
    pub fn get(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.young.get(&key) {
            return value.clone();
        }
        let value = self.old.remove(&key).unwrap_or_else(make);
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value.clone());
        value
    }

    /// The value kept under a key.
    fn find(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            slots: Mutex::new(Recent::new(ANALYSES)),
            trees: Mutex::new(Recent::new(TREES)),
        }
    }
}

impl Scanner {
    /// A scanner that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The analysis of a Python file's bytes for Python 3.`python_minor`.
    pub fn analyse(&self, data: &[u8], python_minor: u8) -> Arc<FileAnalysis> {
        let hash = blake3::hash(data);
        let slot = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get((hash, python_minor), Slot::default);
        Arc::clone(slot.get_or_init(|| {
            let parsed = self.parsed(hash, data);
            let parsed = parsed.as_deref().map_err(Clone::clone);
            Arc::new(FileAnalysis::of(parsed, python_minor))
        }))
    }

    /// A file's text and tree, or why it has none.
    fn parsed(&self, hash: blake3::Hash, data: &[u8]) -> Result<Arc<Parsed>, String> {
        let trees = || self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = trees().find(&hash) {
            return Ok(known);
        }
        let parsed = Arc::new(Parsed::of(data)?);
        Ok(trees().get(hash, || parsed))
    }

    /// Everything the core says of one package.
    pub fn scan<D: AsRef<[u8]>>(&self, input: &PackageInput<D>) -> PackageFacts {
        package::scan(self, input)
    }

    /// What the entries of a package do, as [`trace_package`] tells it.
    ///
    /// A Python file whose whole text is not known is no part of the trace: what depends on it is
    /// unknown there. One that is no sound text is followed as far as it goes.
    pub fn trace<D: AsRef<[u8]>>(
        &self,
        input: &PackageInput<D>,
        entries: &[String],
    ) -> TraceDocument {
        let known: Vec<(&str, Arc<Parsed>)> = (input.traced_files())
            .filter_map(|(path, data)| {
                let parsed = self.parsed(blake3::hash(data), data);
                let parsed = parsed.or_else(|_| Parsed::lossy(data).map(Arc::new));
                Some((path, parsed.ok()?))
            })
            .collect();
        let files = (known.iter())
            .map(|(path, parsed)| PythonFile {
                path,
                tree: parsed.tree(),
            })
            .collect();
        trace_package(files, entries)
    }
}
