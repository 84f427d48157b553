//! The binary `switchover`: arguments in, exit code out.
//!
//! Code map: [`args`] parses, [`config`] resolves, [`commands`] does, [`render`] shows, [`registry`]
//! names connectors. Exit codes: 0 done and verified; 1 a definite no; 2 failed or unproven, which a
//! mistyped command line is too.

mod args;
mod commands;
mod config;
mod logging;
mod registry;
mod render;
mod signals;

use clap::Parser;
use render::output;
use render::progress::Screen;
use std::io::IsTerminal;
use std::process::ExitCode;
use switchover_core::{Error, Kind};

/// Threads that drive sockets and timers: SQLite has threads of its own, and more of these would
/// only compete with them.
const WORKERS: usize = 2;

/// Threads for blocking calls (files, SQLite readers); idle ones cost their stacks.
const BLOCKING_MAX: usize = 16;

fn main() -> ExitCode {
    // Places to be killed at are read from FAILPOINTS once, before any of them is reached.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut screen = Screen::new(early_mode());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli, &mut screen)),
        Err(error) => Err(Error::new(Kind::Exhausted, "start the program's threads").because(error)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let error = config::preset::advise(error);
            screen.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// How errors look before the configuration is known.
fn early_mode() -> config::ProgressMode {
    let mut words = std::env::args_os().skip_while(|word| word != "--progress" && word != "--progress=json");
    let mut word = || words.next().and_then(|word| word.into_string().ok());
    match (word().as_deref(), word().as_deref()) {
        (Some("--progress=json"), _) | (Some("--progress"), Some("json")) => config::ProgressMode::Json,
        _ => config::ProgressMode::None,
    }
}

/// Help, version, or what is wrong with the command line, which may quote a URL with a password.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    let colours = std::env::var_os("NO_COLOR").is_none();
    if error.use_stderr() {
        let ansi = colours && std::io::stderr().is_terminal();
        let text = if ansi { text.ansi().to_string() } else { text.to_string() };
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
        output::note(config::scrub_quoted(&text, arguments).trim_end());
        return ExitCode::from(2);
    }
    let ansi = colours && std::io::stdout().is_terminal();
    let text = if ansi { text.ansi().to_string() } else { text.to_string() };
    match output::data(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}
