//! Each distinct content is analysed once per run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::file::FileAnalysis;
use super::package::{self, PackageInput};
use crate::scan::PackageFacts;

type Key = (blake3::Hash, u8);
type Slot = Arc<OnceLock<Arc<FileAnalysis>>>;

/// Scans packages and remembers what it has seen. Shared freely between threads.
#[derive(Default)]
pub struct Scanner {
    // Two threads that meet the same new content must not both parse it: the map hands out a slot
    // under a short lock, and the slot's own lock makes the second thread wait for the first.
    slots: Mutex<Generations>,
}

/// Contents seen lately, in two generations: when the young one is full it becomes the old one and
/// the old one is forgotten. Memory stays flat over millions of packages, and a content met again
/// within a generation's length is never parsed twice.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Slot>,
    old: HashMap<Key, Slot>,
}

/// Contents per generation. An analysis keeps about 14 KB, so both generations together stay near
/// 200 MB however many packages a run has.
const GENERATION: usize = 7_000;

impl Generations {
    fn slot(&mut self, key: Key) -> Slot {
        if let Some(slot) = self.young.get(&key) {
            return Arc::clone(slot);
        }
        let slot = self.old.remove(&key).unwrap_or_default();
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, Arc::clone(&slot));
        slot
    }
}

impl Scanner {
    /// A scanner that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The analysis of a Python file's bytes for Python 3.`python_minor`.
    pub fn analyse(&self, data: &[u8], python_minor: u8) -> Arc<FileAnalysis> {
        let key = (blake3::hash(data), python_minor);
        let slot = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .slot(key);
        Arc::clone(slot.get_or_init(|| Arc::new(FileAnalysis::of(data, python_minor))))
    }

    /// Everything the core says of one package.
    pub fn scan<D: AsRef<[u8]>>(&self, input: &PackageInput<D>) -> PackageFacts {
        package::scan(self, input)
    }
}
