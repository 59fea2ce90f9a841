//! From text to a tree, and to CPython's verdict on it.

pub mod kinds;
pub(crate) mod strings;
pub mod tree;
pub mod verdict;
