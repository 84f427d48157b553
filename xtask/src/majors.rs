//! The server programs of another major version, for `SWITCHOVER_PG_BIN=… cargo xtask test` by way of
//! `cargo xtask pg fetch MAJOR`, and for the tests that run on a second one each time.
//!
//! They come as a Java archive that the Zonky project publishes for every version (licence: PostgreSQL's),
//! by its coordinates and the machine's own Maven. It holds the server alone; `psql` and the like are
//! linked from the installed version. Only for tests: nobody's data should live in such a server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use switchover_testkit::Binaries;

use crate::{Result, paths};

/// Majors and the versions that are fetched for them.
const VERSIONS: [(u32, &str); 6] =
    [(13, "13.23.0"), (14, "14.20.0"), (15, "15.15.0"), (16, "16.11.0"), (17, "17.7.0"), (18, "18.1.0")];

/// Programs that the archive lacks.
const CLIENTS: [&str; 3] = ["psql", "pg_dump", "pg_restore"];

/// Fetches a major version, unless it is there; gives the folder of its programs.
pub(crate) fn fetch(major: u32) -> Result<PathBuf> {
    let Some((_, version)) = VERSIONS.iter().find(|(known, _)| *known == major) else {
        let known: Vec<String> = VERSIONS.iter().map(|(known, _)| known.to_string()).collect();
        return Err(format!("no version {major} is known here; there are {}", known.join(", ")).into());
    };
    let folder = paths::target().join("pg-majors").join(major.to_string());
    if !folder.join("bin/postgres").is_file() {
        unpack(version, &folder)?;
    }
    let installed = Binaries::find()?;
    for client in CLIENTS {
        let link = folder.join("bin").join(client);
        if !link.exists() {
            std::os::unix::fs::symlink(installed.tool(client), &link)?;
        }
    }
    Ok(folder.join("bin"))
}

fn unpack(version: &str, folder: &PathBuf) -> Result {
    let machine = if cfg!(target_arch = "aarch64") { "arm64v8" } else { "amd64" };
    let artifact = format!("embedded-postgres-binaries-linux-{machine}");
    let archives = paths::target().join("pg-majors");
    fs::create_dir_all(folder)?;
    paths::run(Command::new("mvn").args([
        "--quiet",
        "dependency:copy",
        &format!("-Dartifact=io.zonky.test.postgres:{artifact}:{version}"),
        &format!("-DoutputDirectory={}", archives.display()),
    ]))?;
    let jar = archives.join(format!("{artifact}-{version}.jar"));
    let script = "unzip -qo \"$1\" '*.txz' -d \"$2\" && tar -xJf \"$2\"/*.txz -C \"$2\" && rm \"$2\"/*.txz && chmod -R a+rX \"$2\"";
    paths::run(Command::new("sh").args(["-c", script, "sh"]).arg(&jar).arg(folder))?;
    fs::remove_file(jar)?;
    Ok(())
}
