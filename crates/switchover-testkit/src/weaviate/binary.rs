//! Where the server's program is on this machine.
//!
//! Invariants: `SWITCHOVER_WEAVIATE_BIN` wins, and is an error when it is wrong; otherwise it is the one of this
//! project's version, in the user's cache; another version, such as one in `PATH`, is never taken by chance.
//! Absent on purpose: installing it, which is `cargo xtask weaviate install`.

use std::env;
use std::path::PathBuf;

use crate::{Error, Result};

/// The version that the project is tested against. The cache's folder bears it, so a new one is installed beside.
pub const VERSION: &str = "1.39.0";

/// The environment variable that names the program, to test another version.
pub const BINARY_ENV: &str = "SWITCHOVER_WEAVIATE_BIN";

const INSTALL_HINT: &str = "run `cargo xtask weaviate install` or `./x setup`, which need Go 1.26 or newer, or Docker on Linux; \
or set SWITCHOVER_WEAVIATE_BIN to a weaviate-server";

/// The program: the named one, else the cached one.
pub fn find() -> Result<PathBuf> {
    if let Some(named) = env::var_os(BINARY_ENV).filter(|v| !v.is_empty()) {
        let path = PathBuf::from(named);
        if !path.is_file() {
            return Err(Error::new(format!("{BINARY_ENV} names no file"), path.display()).hint(INSTALL_HINT));
        }
        return Ok(path);
    }
    let path = cached()?;
    if !path.is_file() {
        return Err(Error::new(
            format!("Weaviate {VERSION} is not installed"),
            format!("there is no {}", path.display()),
        )
        .hint(INSTALL_HINT));
    }
    Ok(path)
}

/// Where the installed program is, or would be.
pub fn cached() -> Result<PathBuf> {
    Ok(cache()?.join(format!("weaviate-{VERSION}")).join("weaviate-server"))
}

/// The project's folder in the user's cache.
pub(super) fn cache() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .ok_or_else(|| Error::new("there is no folder for what is installed", "HOME is not set"))?;
    Ok(cache.join("switchover"))
}
