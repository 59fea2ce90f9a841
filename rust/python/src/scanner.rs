//! Packages in, documents of facts out, with the GIL released and Ctrl-C heard.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use explint_core::scan::{FileProtocol, FileState, InputFile, PackageInput, Recent};
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

/// (files, protocol as MessagePack, minor version of Python 3, partial, cut, entries to trace)
type PackageTuple = (Vec<FileTuple>, PyBackedBytes, u8, bool, bool, Vec<String>);

/// A package with the entries to trace.
type Work = (PackageInput<PyBackedBytes>, Vec<String>);

/// The facts of a package and, when entries were named, its trace.
type Documents = (Vec<u8>, Option<Arc<[u8]>>);

/// How often the waiting thread looks whether Ctrl-C was pressed.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(25);

/// Stack of a worker thread: enough for the deepest source that CPython itself accepts.
const WORKER_STACK: usize = 64 << 20;

/// The same as Python objects.
type Answer<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

/// Where the trace of a package is kept once it is made.
type TraceSlot = Arc<OnceLock<Arc<[u8]>>>;

/// Packages whose traces are kept per generation, some 50 KB each: versions of a package whose
/// Python files are the same often stand close together.
const TRACES: usize = 256;

/// Scans packages on a pool of threads; remembers every content it has seen.
#[pyclass(frozen, module = "explint._core")]
pub struct Scanner {
    engine: Arc<Engine>,
    pool: rayon::ThreadPool,
    protocols: Mutex<HashMap<Vec<u8>, Arc<FileProtocol>>>,
}

/// What the workers share.
struct Engine {
    scanner: explint_core::scan::Scanner,
    traces: Mutex<Recent<[u8; 32], TraceSlot>>,
}

impl Engine {
    fn documents(&self, (input, entries): &Work) -> PyResult<Documents> {
        let facts = encode(&self.scanner.scan(input))?;
        // A trace that fails is asked for again by name, and fails there for all to see.
        let trace = (!entries.is_empty()).then(|| self.trace(input, entries).ok());
        Ok((facts, trace.flatten()))
    }

    /// The trace of a package, made once for equal Python files and entries.
    fn trace(
        &self,
        input: &PackageInput<PyBackedBytes>,
        entries: &[String],
    ) -> PyResult<Arc<[u8]>> {
        let slot = self
            .traces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(input.trace_key(entries), Arc::default);
        if let Some(known) = slot.get() {
            return Ok(Arc::clone(known));
        }
        let traced = catch_unwind(AssertUnwindSafe(|| self.scanner.trace(input, entries)));
        let document = match traced {
            Ok(document) => encode(&document)?.into(),
            Err(_) => return Err(PyRuntimeError::new_err("the trace of the package failed")),
        };
        Ok(Arc::clone(slot.get_or_init(|| document)))
    }
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
            engine: Arc::new(Engine {
                scanner: explint_core::scan::Scanner::new(),
                traces: Mutex::new(Recent::new(TRACES)),
            }),
            pool,
            protocols: Mutex::default(),
        })
    }

    /// Scans packages and traces the entries named with each; the documents of its facts and its
    /// trace for each package, in the order given.
    fn scan<'py>(
        &self,
        py: Python<'py>,
        packages: Vec<PackageTuple>,
    ) -> PyResult<Vec<Answer<'py>>> {
        let work = packages
            .into_iter()
            .map(|package| self.work(package))
            .collect::<PyResult<Vec<_>>>()?;
        self.run(py, work)?
            .into_iter()
            .map(|documents| {
                let (facts, trace) = documents?;
                let trace = trace.map(|t| PyBytes::new(py, &t));
                Ok((PyBytes::new(py, &facts), trace))
            })
            .collect()
    }

    /// The trace of one package's entries, as one MessagePack document.
    fn trace<'py>(&self, py: Python<'py>, package: PackageTuple) -> PyResult<Bound<'py, PyBytes>> {
        let (input, entries) = self.work(package)?;
        // On the pool, whose threads have the stack that the interpreter's bounds are made for.
        let document = py.detach(|| {
            let engine = &self.engine;
            self.pool.install(|| engine.trace(&input, &entries))
        })?;
        Ok(PyBytes::new(py, &document))
    }
}

impl Scanner {
    fn work(&self, package: PackageTuple) -> PyResult<Work> {
        let (files, protocol, python_minor, partial, cut, entries) = package;
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
        let input = PackageInput {
            files,
            protocol: self.protocol(&protocol)?,
            python_minor,
            partial,
            cut,
        };
        Ok((input, entries))
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
    fn run(&self, py: Python<'_>, work: Vec<Work>) -> PyResult<Vec<PyResult<Documents>>> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        let engine = Arc::clone(&self.engine);
        let stop = Arc::clone(&cancelled);
        self.pool.spawn(move || {
            let documents: Vec<_> = work
                .par_iter()
                .map(|one| {
                    if stop.load(Ordering::Relaxed) {
                        return Ok((Vec::new(), None));
                    }
                    engine.documents(one)
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
