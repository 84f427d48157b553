//! `cargo xtask weaviate`: installing the server's program and its official client, and a server to work with by hand.
//!
//! Invariants: the version is the test kit's; what is installed is complete, because it is built beside its place and
//! then renamed; the modules and objects that only the build needs, some gigabytes, are removed with it, and the
//! user's own Go caches are not touched; a server that runs is this working tree's own.
//! Absent on purpose: running it in a container. The tests restart and kill the server's process, which they must own; so
//! where Docker runs and Go does not, the program is copied out of the project's image.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use clap::Subcommand;
use serde_json::{Value, json};
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::{
    BINARY_ENV, CLIENT_VERSION, PYTHON_ENV, VERSION, cached, cached_environment, python,
};

use crate::{Result, paths};

/// The module that holds the program.
const MODULE: &str = "github.com/weaviate/weaviate/cmd/weaviate-server";

/// The image that holds it too, and where. The program there is linked statically, so it runs on any Linux.
const IMAGE: &str = "cr.weaviate.io/semitechnologies/weaviate";
const IN_IMAGE: &str = "/bin/weaviate";

/// The first version of Go that builds it; an older one with toolchain downloads enabled fetches it by itself.
const GO_NEEDED: &str = "1.26";

/// What to do with the server.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Build the server of the project's version into the user's cache (without Go, copy it out of its image), and a Python environment with its client,
    /// where they are not there yet.
    Install,
    /// Start a server that stays, kept under target/weaviate.
    Start,
    /// Print its URL; exit code 1 when it does not run.
    Url,
    /// End it.
    Stop {
        /// Remove its data too.
        #[arg(long)]
        remove: bool,
    },
}

/// Does it.
pub(crate) fn run(verb: &Verb) -> Result {
    match verb {
        Verb::Install => install().and_then(|()| install_client()),
        Verb::Start => start(),
        Verb::Url => {
            let url = running()?.ok_or("it does not run; `cargo xtask weaviate start` starts it")?.url;
            println!("{url}");
            Ok(())
        }
        Verb::Stop { remove } => stop(*remove),
    }
}

/// Makes the Python environment where it is missing.
fn install_client() -> Result {
    if env::var_os(PYTHON_ENV).is_some_and(|named| !named.is_empty()) {
        println!("{PYTHON_ENV} names {}", python()?.display());
        return Ok(());
    }
    let folder = cached_environment()?;
    if folder.join("bin/python").is_file() {
        println!("weaviate-client {CLIENT_VERSION} is installed: {}", folder.display());
        return Ok(());
    }
    // An environment knows its own place, so it is made there; one without its client is thrown away.
    let installed = paths::run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).and_then(|()| {
        let mut command = Command::new(folder.join("bin/python"));
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        paths::run(command.arg(format!("weaviate-client=={CLIENT_VERSION}")))
    });
    if installed.is_err() && folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    installed.map_err(|error| {
        format!(
            "{error}\nweaviate-client {CLIENT_VERSION} needs Python 3.10 or newer with venv and pip \
             (Debian: apt-get install python3-venv); or set {PYTHON_ENV} to a Python that has it"
        )
        .into()
    })
}

/// Installs the program where it is missing.
fn install() -> Result {
    if env::var_os(BINARY_ENV).is_some_and(|named| !named.is_empty()) {
        let named = switchover_testkit::weaviate::find()?;
        println!("{BINARY_ENV} names {}", named.display());
        return Ok(());
    }
    let program = cached()?;
    if program.is_file() {
        println!("Weaviate {VERSION} is installed: {}", program.display());
        return Ok(());
    }
    let folder = program.parent().ok_or("the cache has no folder")?;
    fs::create_dir_all(folder)?;
    let work = folder.join(format!("build-{}", std::process::id()));
    let built = build(&work);
    let moved = built.and_then(|built| Ok(fs::rename(built, &program)?));
    let removed = fs::remove_dir_all(&work);
    moved?;
    removed?;
    println!("Weaviate {VERSION} is installed: {}", program.display());
    Ok(())
}

/// Whether a command runs and succeeds.
fn works(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Copies the program out of the project's image to below `work`, and returns its path.
fn copy_from_image(work: &Path) -> Result<PathBuf> {
    let image = format!("{IMAGE}:{VERSION}");
    println!("there is no Go: copying Weaviate {VERSION} out of {image}");
    let bin = work.join("bin");
    fs::create_dir_all(&bin)?;
    let program = bin.join("weaviate-server");
    // A container that never runs; fetching the image says its progress on standard error.
    let output = Command::new("docker").args(["create", &image]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("docker does not give the image {image}").into());
    }
    let container = String::from_utf8(output.stdout)?.trim().to_owned();
    let from = format!("{container}:{IN_IMAGE}");
    let copied = paths::run(Command::new("docker").arg("cp").arg(from).arg(&program));
    let removed = paths::run(Command::new("docker").args(["rm", "--force", &container]));
    copied?;
    removed?;
    // One of another system, or linked to what this one lacks, does not even begin.
    Command::new(&program).arg("--help").stdin(Stdio::null()).output().map_err(|error| {
        format!("the image's program does not run here ({error}): install Go {GO_NEEDED} (https://go.dev/dl)")
    })?;
    Ok(program)
}

/// Builds it below `work`, with caches there, and returns the program's path.
fn build(work: &Path) -> Result<PathBuf> {
    if !works("go", &["version"]) {
        // The image's program is one of Linux.
        if cfg!(target_os = "linux") && works("docker", &["version"]) {
            return copy_from_image(work);
        }
        return Err(format!(
            "building Weaviate {VERSION} needs Go {GO_NEEDED} or newer, and there is no `go`, nor a Docker that runs on \
             Linux and has its image: install Go (https://go.dev/dl), or set {BINARY_ENV} to a weaviate-server"
        )
        .into());
    }
    println!("building Weaviate {VERSION} (some minutes, and some gigabytes that are removed afterwards)");
    let bin = work.join("bin");
    let mut command = Command::new("go");
    command
        .args(["install", "-modcacherw", "-ldflags=-s -w"])
        .arg(format!("{MODULE}@v{VERSION}"))
        .envs([
            ("GOBIN", bin.as_os_str()),
            ("GOMODCACHE", work.join("modules").as_os_str()),
            ("GOCACHE", work.join("objects").as_os_str()),
            ("CGO_ENABLED", OsStr::new("0")),
        ])
        .stdin(Stdio::null());
    paths::run(&mut command)?;
    Ok(bin.join("weaviate-server"))
}

/// A server that was started by hand.
struct Running {
    url: String,
    process: String,
}

fn folder() -> PathBuf {
    paths::target().join("weaviate")
}

fn note() -> PathBuf {
    folder().join("running.json")
}

/// The server that the note names, if it answers.
fn running() -> Result<Option<Running>> {
    let Ok(text) = fs::read_to_string(note()) else { return Ok(None) };
    let note: Value = serde_json::from_str(&text)?;
    let field =
        |name: &str| note[name].as_str().map(str::to_owned).ok_or("the note in target/weaviate is damaged");
    let running = Running { url: field("url")?, process: field("process")? };
    let address = switchover_testkit::weaviate::Address::from_url(&running.url)?;
    Ok(address.is_ready().then_some(running))
}

fn start() -> Result {
    if let Some(running) = running()? {
        println!("Weaviate {VERSION} runs: {}", running.url);
        return Ok(());
    }
    let server = Weaviate::builder().persistent(&folder()).start()?;
    let process = server.process_id().map(|id| id.to_string()).unwrap_or_default();
    fs::write(note(), json!({ "url": server.url(), "process": process }).to_string())?;
    println!("Weaviate {VERSION} runs: {}", server.url());
    Ok(())
}

fn stop(remove: bool) -> Result {
    if let Some(running) = running()? {
        // It answers at the port of the note, so the number is still the server's.
        paths::run(Command::new("kill").args(["-TERM", &running.process]))?;
        fs::remove_file(note())?;
    }
    if remove && folder().exists() {
        fs::remove_dir_all(folder())?;
    }
    Ok(())
}
