//! Everything that can change while a program runs, in cells that can be put back.

use rustc_hash::FxHashMap;

use super::value::ValueId;

/// A place that holds a value: an object (a frame, module, class, instance or container) and a
/// name in it. Containers hold their whole contents under [`CONTENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub owner: u32,
    pub key: u32,
}

/// The key of a container's contents.
pub(super) const CONTENT: u32 = u32::MAX;

/// Cells and what they hold now; nothing for a cell that was deleted.
pub(super) type Delta = Vec<(Cell, Option<ValueId>)>;

/// The cells, with a trail of what they held before.
#[derive(Debug, Default)]
pub(super) struct Store {
    cells: FxHashMap<Cell, ValueId>,
    trail: Vec<(Cell, Option<ValueId>)>,
}

impl Store {
    pub fn get(&self, cell: Cell) -> Option<ValueId> {
        self.cells.get(&cell).copied()
    }

    pub fn set(&mut self, cell: Cell, value: Option<ValueId>) {
        let before = match value {
            Some(value) => self.cells.insert(cell, value),
            None => self.cells.remove(&cell),
        };
        if before != value {
            self.trail.push((cell, before));
        }
    }

    /// A point that [`Store::undo`] can go back to.
    pub fn mark(&self) -> usize {
        self.trail.len()
    }

    /// The cells changed since a mark, in the order of their first change, with what they hold.
    pub fn changed(&self, mark: usize) -> Delta {
        let mut seen = rustc_hash::FxHashSet::default();
        self.trail[mark..]
            .iter()
            .filter(|(cell, _)| seen.insert(*cell))
            .map(|&(cell, _)| (cell, self.get(cell)))
            .collect()
    }

    /// Puts every cell back to what it held at the mark.
    pub fn undo(&mut self, mark: usize) {
        while self.trail.len() > mark {
            if let Some((cell, before)) = self.trail.pop() {
                match before {
                    Some(value) => self.cells.insert(cell, value),
                    None => self.cells.remove(&cell),
                };
            }
        }
    }

    pub fn apply(&mut self, delta: &[(Cell, Option<ValueId>)]) {
        for &(cell, value) in delta {
            self.set(cell, value);
        }
    }
}
