//! Where a Python with Weaviate's official client is on this machine: a reader that shares nothing with the product.
//!
//! Invariants: the client is of one version, in an environment of its own in the user's cache; a missing one is an error
//! that says what to do, never a test that is skipped.
//! Absent on purpose: making it, which is `cargo xtask weaviate install`.

use std::env;
use std::path::PathBuf;

use super::binary::cache;
use crate::{Error, Result};

/// The version of `weaviate-client`. The environment's folder bears it, so a new one is made beside.
pub const CLIENT_VERSION: &str = "4.23.1";

/// The environment variable that names another Python that has the client.
pub const PYTHON_ENV: &str = "SWITCHOVER_WEAVIATE_PYTHON";

/// The Python that has the client: the named one, else the one of the cached environment.
pub fn python() -> Result<PathBuf> {
    let named = env::var_os(PYTHON_ENV).filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = match named {
        Some(named) => named,
        None => cached_environment()?.join("bin/python"),
    };
    if !path.is_file() {
        let detail = format!("there is no {}", path.display());
        return Err(Error::new(format!("weaviate-client {CLIENT_VERSION} is not installed"), detail).hint(
            "run `cargo xtask weaviate install` or `./x setup`, which need Python 3.10 or newer with venv and pip; \
             or set SWITCHOVER_WEAVIATE_PYTHON to a Python that has it",
        ));
    }
    Ok(path)
}

/// Where the environment is, or would be.
pub fn cached_environment() -> Result<PathBuf> {
    Ok(cache()?.join(format!("weaviate-client-{CLIENT_VERSION}")))
}
