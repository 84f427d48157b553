//! The shell process that ends a server when the process that started it is gone.
//!
//! A server outlives a killed test run, and a `static` is never dropped: both would leave servers and
//! folders behind. So each cluster has a shell that waits for the end of its standard input. The pipe's other
//! end is held by the starting process alone; however that process ends, the kernel closes it, and the
//! shell stops the server and removes the folder.
//!
//! Invariant: the shell has a process group of its own and ignores the terminal's signals, so that Ctrl-C
//! cannot end it before its work is done.
//! Absent on purpose: polling, and process identifiers, which can be reused.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::account::Account;
use crate::{Error, Result};

/// $1 is pg_ctl, $2 the data folder, $3 the folder to remove.
const SCRIPT: &str = r#"trap '' INT TERM HUP
cat >/dev/null
"$1" -D "$2" -m immediate -s -w stop >/dev/null 2>&1
rm -rf "$3""#;

/// The waiting shell of one cluster.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Starts to wait.
    pub(crate) fn start(account: Account, pg_ctl: &Path, data: &Path, folder: &Path) -> Result<Self> {
        account
            .command(Path::new("sh"))
            .args(["-c", SCRIPT, "watchdog"])
            .args([pg_ctl, data, folder])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|e| Error::new("cannot start the watchdog of a cluster", e))
    }

    /// Has the work done now, and waits for its end.
    pub(crate) fn finish(&mut self) {
        drop(self.0.stdin.take());
        // There is nothing to be done about a watchdog that is gone already.
        drop(self.0.wait());
    }
}
