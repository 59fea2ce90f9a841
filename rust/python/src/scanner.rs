//! Packages in, documents of facts out, with the GIL released and Ctrl-C heard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use explint_core::scan::{FileProtocol, FileState, InputFile, PackageInput};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use rayon::prelude::*;

/// (path, state, data, why it could not be read, why it was left out, whether text was cut out)
type FileTuple = (
    String,
    String,
    Option<PyBackedBytes>,
    Option<String>,
    Option<String>,
    bool,
);

/// (files, protocol as MessagePack, minor version of Python 3, partial, cut)
type PackageTuple = (Vec<FileTuple>, PyBackedBytes, u8, bool, bool);

/// How often the waiting thread looks whether Ctrl-C was pressed.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(25);

/// Stack of a worker thread: enough for the deepest source that CPython itself accepts.
const WORKER_STACK: usize = 64 << 20;

/// Scans packages on a pool of threads; remembers every content it has seen.
#[pyclass(frozen, module = "explint._core")]
pub struct Scanner {
    scanner: Arc<explint_core::scan::Scanner>,
    pool: rayon::ThreadPool,
    protocols: Mutex<HashMap<Vec<u8>, Arc<FileProtocol>>>,
}

#[pymethods]
impl Scanner {
    /// A scanner with `threads` workers; 0 means one per processor.
    #[new]
    #[pyo3(signature = (threads = 0))]
    fn new(threads: usize) -> PyResult<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(WORKER_STACK)
            .thread_name(|n| format!("explint-{n}"))
            .build()
            .map_err(|e| PyRuntimeError::new_err(format!("cannot start worker threads: {e}")))?;
        Ok(Self {
            scanner: Arc::new(explint_core::scan::Scanner::new()),
            pool,
            protocols: Mutex::default(),
        })
    }

    /// Scans packages; one MessagePack document per package, in the order given.
    fn scan<'py>(
        &self,
        py: Python<'py>,
        packages: Vec<PackageTuple>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let inputs = packages
            .into_iter()
            .map(|package| self.input(package))
            .collect::<PyResult<Vec<_>>>()?;
        let documents = self.run(py, inputs)?;
        documents
            .into_iter()
            .map(|document| Ok(PyBytes::new(py, &document?)))
            .collect()
    }

    /// Traces one package's Python files, (path, contents), from its entries, dotted module names;
    /// one MessagePack document.
    fn trace<'py>(
        &self,
        py: Python<'py>,
        files: Vec<(String, PyBackedBytes)>,
        entries: Vec<String>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        // On the pool, whose threads have the stack that the interpreter's bounds are made for.
        let document = py.detach(|| {
            self.pool
                .install(|| crate::trace::document(files, &entries))
        })?;
        Ok(PyBytes::new(py, &document))
    }
}

impl Scanner {
    fn input(&self, package: PackageTuple) -> PyResult<PackageInput<PyBackedBytes>> {
        let (files, protocol, python_minor, partial, cut) = package;
        let files = files
            .into_iter()
            .map(|(path, state, data, failure, skipped, cut)| {
                let state = FileState::from_name(&state)
                    .ok_or_else(|| PyValueError::new_err(format!("no file state {state:?}")))?;
                Ok(InputFile {
                    path,
                    state,
                    data,
                    failure,
                    skipped,
                    cut,
                })
            })
            .collect::<PyResult<_>>()?;
        Ok(PackageInput {
            files,
            protocol: self.protocol(&protocol)?,
            python_minor,
            partial,
            cut,
        })
    }

    /// The decoded protocol; a run has few, so each is decoded once.
    fn protocol(&self, document: &[u8]) -> PyResult<Arc<FileProtocol>> {
        let mut known = self
            .protocols
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(protocol) = known.get(document) {
            return Ok(Arc::clone(protocol));
        }
        let protocol: FileProtocol = rmp_serde::from_slice(document)
            .map_err(|e| PyValueError::new_err(format!("unreadable file protocol: {e}")))?;
        let protocol = Arc::new(protocol);
        known.insert(document.to_vec(), Arc::clone(&protocol));
        Ok(protocol)
    }

    /// Works on the pool while this thread listens for signals; on Ctrl-C the packages not yet begun
    /// are given up.
    fn run(
        &self,
        py: Python<'_>,
        inputs: Vec<PackageInput<PyBackedBytes>>,
    ) -> PyResult<Vec<PyResult<Vec<u8>>>> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        let scanner = Arc::clone(&self.scanner);
        let stop = Arc::clone(&cancelled);
        self.pool.spawn(move || {
            let documents: Vec<_> = inputs
                .par_iter()
                .map(|input| {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(Vec::new());
                    }
                    encode(&scanner.scan(input))
                })
                .collect();
            // The receiver is gone only after Ctrl-C, when nobody wants the answer.
            let _ = sender.send(documents);
        });
        loop {
            let answer = py.detach(|| {
                receiver
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .recv_timeout(SIGNAL_INTERVAL)
            });
            match answer {
                Ok(documents) => return Ok(documents),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Err(interrupt) = py.check_signals() {
                        cancelled.store(true, Ordering::Relaxed);
                        return Err(interrupt);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(PyRuntimeError::new_err(
                        "the scan broke off without an answer",
                    ));
                }
            }
        }
    }
}

/// As one MessagePack document; structs become arrays, as the typed structs in Python expect.
pub fn encode<T: serde::Serialize>(value: &T) -> PyResult<Vec<u8>> {
    rmp_serde::to_vec(value)
        .map_err(|e| PyRuntimeError::new_err(format!("cannot encode facts: {e}")))
}
