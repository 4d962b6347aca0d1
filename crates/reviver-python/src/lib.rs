//! `reviver._engine`: the data plane as Python sees it. `python/reviver/_engine.pyi` documents it.
//!
//! Rule: no decision is made here; this file only turns types into each other and lets go of the interpreter
//! while something blocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use reviver_engine::{EngineError, Host, PasswordCheck};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pyo3::create_exception!(_engine, EngineFailure, PyException, "The engine could not do what was asked.");
pyo3::create_exception!(_engine, PlanError, EngineFailure, "A plan was refused; the running one is unchanged.");

fn raise(error: EngineError) -> PyErr {
    match error {
        EngineError::Plan(text) => PlanError::new_err(text),
        other => EngineFailure::new_err(other.to_string()),
    }
}

/// Asks Python whether a password fits a hash. Called on a worker's side threads only.
struct Checker(Py<PyAny>);

impl PasswordCheck for Checker {
    fn check(&self, hash: &str, password: &[u8]) -> bool {
        Python::attach(|py| {
            let password = PyBytes::new(py, password);
            let answer = self.0.call1(py, (hash, password)).and_then(|a| a.extract::<bool>(py));
            // A hash that cannot be checked fits no password.
            answer.unwrap_or(false)
        })
    }
}

fn release_memory() {
    // Without force the allocator keeps what it has until the thread allocates again, and an idle one does not.
    // SAFETY: collecting the calling thread's heap has no preconditions.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[pyfunction]
fn schema() -> String {
    reviver_plan::schema()
}

#[pyfunction]
fn fingerprint() -> String {
    reviver_plan::fingerprint()
}

#[pyfunction]
fn phases() -> PyResult<String> {
    json(&reviver_flow::PHASES)
}

#[pyfunction]
fn reasons() -> PyResult<String> {
    json(&reviver_flow::SLUGS)
}

#[pyfunction]
fn explain(plan: &str, request: &str) -> PyResult<String> {
    let refuse = |text: String| PlanError::new_err(text);
    let plan = reviver_plan::parse(plan).map_err(|e| refuse(e.to_string()))?;
    let snapshot = reviver_plan::Snapshot::build(plan).map_err(|e| refuse(e.to_string()))?;
    let request =
        serde_json::from_str(request).map_err(|e| refuse(format!("the request is not of the expected form: {e}")))?;
    let explanation = reviver_flow::explain(&snapshot, &request, Instant::now()).map_err(|e| refuse(e.to_string()))?;
    json(&explanation)
}

#[pyfunction]
fn demo_origins(names: Vec<String>) -> PyResult<Vec<String>> {
    let start = |name: &String| match reviver_engine::origins::start(name) {
        Ok(address) => Ok(address.to_string()),
        Err(error) => Err(EngineFailure::new_err(format!("cannot start the origin {name}: {error}"))),
    };
    names.iter().map(start).collect()
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|e| EngineFailure::new_err(e.to_string()))
}

#[pyclass(frozen, module = "reviver._engine")]
struct Engine(reviver_engine::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (plan, check_password, inherited = None))]
    fn new(plan: &str, check_password: Py<PyAny>, inherited: Option<Vec<(String, i32)>>) -> PyResult<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| EngineFailure::new_err(format!("no random numbers: {e}")))?;
        let inherited: HashMap<String, i32> = inherited.unwrap_or_default().into_iter().collect();
        let checker = Arc::new(Checker(check_password));
        let host = Host { checker, secret, release_memory };
        reviver_engine::Engine::new(plan, inherited, host).map(Self).map_err(raise)
    }

    fn start(&self) -> PyResult<()> {
        self.0.start().map_err(raise)
    }

    fn apply(&self, py: Python<'_>, plan: &str) -> PyResult<u64> {
        py.detach(|| self.0.apply(plan)).map_err(raise)
    }

    fn status(&self) -> PyResult<String> {
        json(&self.0.status())
    }

    fn cache_stats(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.cache_stats()).map_err(raise)?)
    }

    fn cache_purge(&self, py: Python<'_>, request: &str) -> PyResult<String> {
        json(&py.detach(|| self.0.cache_purge(request)).map_err(raise)?)
    }

    fn cache_get(&self, py: Python<'_>, request: &str) -> PyResult<String> {
        json(&py.detach(|| self.0.cache_get(request)).map_err(raise)?)
    }

    fn pool_status(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.pool_status()))
    }

    fn pool_drain(&self, py: Python<'_>, pool: &str, server: &str, drained: bool) -> PyResult<()> {
        py.detach(|| self.0.pool_drain(pool, server, drained)).map_err(raise)
    }

    fn split_status(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.split_status()))
    }

    fn split_set(&self, py: Python<'_>, name: &str, weights: Vec<u32>) -> PyResult<()> {
        py.detach(|| self.0.split_set(name, &weights)).map_err(raise)
    }

    fn mirror_status(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.mirror_status()))
    }

    fn events(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.events()))
    }

    fn reopen_logs(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.reopen_logs()).map_err(raise)
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    fn drain(&self, py: Python<'_>, seconds: f64) -> bool {
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| self.0.drain(patience))
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add("EngineError", module.py().get_type::<EngineFailure>())?;
    module.add("PlanError", module.py().get_type::<PlanError>())?;
    module.add_function(wrap_pyfunction!(schema, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprint, module)?)?;
    module.add_function(wrap_pyfunction!(phases, module)?)?;
    module.add_function(wrap_pyfunction!(reasons, module)?)?;
    module.add_function(wrap_pyfunction!(explain, module)?)?;
    module.add_function(wrap_pyfunction!(demo_origins, module)?)?;
    Ok(())
}
