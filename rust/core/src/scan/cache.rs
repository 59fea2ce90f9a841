//! Each distinct content is parsed and analysed once per run.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::file::{FileAnalysis, Parsed};
use super::package::{self, PackageInput};
use crate::scan::PackageFacts;
use crate::trace::{PythonFile, TraceDocument, trace_package};

type Key = (blake3::Hash, u8);
/// What is kept of a content, as MessagePack: one small block, where the analysis itself is dozens
/// that lie scattered between those of the trees.
type Slot = Arc<OnceLock<Box<[u8]>>>;

/// Scans packages and remembers what it has seen. Shared freely between threads.
pub struct Scanner {
    // Two threads that meet the same new content must not both parse it: the map hands out a slot
    // under a short lock, and the slot's own lock makes the second thread wait for the first.
    slots: Mutex<Generations>,
    trees: Mutex<Recent<blake3::Hash, Arc<Parsed>>>,
    analysed: AtomicUsize,
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

/// The facts of contents seen lately, in two generations as [`Recent`] has them, whose length is
/// counted in bytes.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Slot>,
    old: HashMap<Key, Slot>,
    /// Bytes that the young one takes.
    size: usize,
}

/// Bytes per generation, which hold the facts of more than ten thousand files of ordinary size.
const GENERATION: usize = 16 << 20;
/// Bytes a content takes beside its facts: key, slot, its share of the table.
const ENTRY: usize = 160;
/// Bytes of a file whose tree is kept; a tree takes some ten times the memory of its text.
const LARGEST_KEPT: usize = 256 << 10;

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

impl Generations {
    fn slot(&mut self, key: Key) -> Slot {
        if let Some(slot) = self.young.get(&key) {
            return Arc::clone(slot);
        }
        let slot = self.old.remove(&key).unwrap_or_default();
        if self.size >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        self.size += ENTRY + slot.get().map_or(0, |kept| kept.len());
        self.young.insert(key, Arc::clone(&slot));
        slot
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            trees: Mutex::new(Recent::new(TREES)),
            analysed: AtomicUsize::new(0),
        }
    }
}

impl Scanner {
    /// A scanner that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn slots(&self) -> MutexGuard<'_, Generations> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The analysis of a Python file's bytes for Python 3.`python_minor`.
    pub fn analyse(&self, data: &[u8], python_minor: u8) -> FileAnalysis {
        let hash = blake3::hash(data);
        let analyse = || {
            self.analysed.fetch_add(1, Ordering::Relaxed);
            let parsed = self.parsed(hash, data);
            FileAnalysis::of(parsed.as_deref().map_err(Clone::clone), python_minor)
        };
        let slot = self.slots().slot((hash, python_minor));
        let mut fresh = None;
        let kept = slot.get_or_init(|| {
            let analysis = fresh.insert(analyse());
            rmp_serde::to_vec(analysis).unwrap_or_default().into()
        });
        match fresh {
            Some(analysis) => {
                self.slots().size += kept.len();
                analysis
            }
            None => rmp_serde::from_slice(kept).unwrap_or_else(|_| analyse()),
        }
    }

    /// How many times a content was judged.
    pub fn analysed(&self) -> usize {
        self.analysed.load(Ordering::Relaxed)
    }

    /// A file's text and tree, or why it has none.
    fn parsed(&self, hash: blake3::Hash, data: &[u8]) -> Result<Arc<Parsed>, String> {
        let trees = || self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = trees().find(&hash) {
            return Ok(known);
        }
        let parsed = Arc::new(Parsed::of(data)?);
        if data.len() > LARGEST_KEPT {
            return Ok(parsed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize) -> Vec<u8> {
        format!("import os\n\n\ndef f{number}(a):\n    return a + missing\n").into_bytes()
    }

    #[test]
    fn each_content_is_analysed_once_by_however_many_threads() {
        let scanner = Scanner::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in (0..50).chain(0..50) {
                        let findings = scanner.analyse(&text(number), 11).findings;
                        assert_eq!(findings.len(), 1);
                    }
                });
            }
        });
        assert_eq!(scanner.analysed(), 50);
        scanner.analyse(&text(0), 12);
        assert_eq!(scanner.analysed(), 51);
    }

    #[test]
    fn what_is_kept_says_what_the_analysis_said() {
        for text in [
            "x = y\n# explint: ignore\n",
            "x = (\n",
            "",
            "class A: pass\nA(z)\n\0",
        ] {
            let scanner = Scanner::new();
            let first = format!("{:?}", scanner.analyse(text.as_bytes(), 11));
            assert_eq!(format!("{:?}", scanner.analyse(text.as_bytes(), 11)), first);
            assert_eq!(scanner.analysed(), 1);
        }
    }

    #[test]
    fn memory_is_bounded_by_bytes() {
        let mut slots = Generations::default();
        for number in 0..(3 * GENERATION / 4096) {
            let slot = slots.slot((blake3::hash(&number.to_le_bytes()), 11));
            slots.size += slot.get_or_init(|| vec![0; 4096].into()).len();
        }
        let kept: usize = (slots.young.values().chain(slots.old.values()))
            .filter_map(|slot| slot.get())
            .map(|kept| kept.len())
            .sum();
        assert!(kept <= 2 * (GENERATION + 4096));
        assert!(kept >= GENERATION);
    }
}
