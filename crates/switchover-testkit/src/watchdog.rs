//! The shell process that ends a server when the process that started it is gone.
//!
//! A server outlives a killed test run, and a `static` is never dropped: both would leave servers and
//! folders behind. So each cluster has a shell that waits for the end of its standard input. The pipe's other
//! end is held by the starting process alone; however that process ends, the kernel closes it, and the
//! shell stops the server and removes the folder.
//!
//! Invariant: the shell has a process group of its own and ignores the terminal's signals, so that Ctrl-C
//! cannot end it before its work is done.
//! Absent on purpose: polling; and, for PostgreSQL, process identifiers, which can be reused. A server without a
//! program that stops it is ended by its number, which this process tells before it lets the number go.

use std::io::Write;
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

/// $1 is the folder to remove; each line of the input is the number of the process to end, or empty. A process that
/// is being ended may still make a file, so the removal is tried twice.
const PROCESS_SCRIPT: &str = r#"trap '' INT TERM HUP
pid=
while read -r said; do pid=$said; done
[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
rm -rf "$1" 2>/dev/null || { sleep 1; rm -rf "$1"; }"#;

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

    /// Starts to wait for the end of this process, to end a child of it and to remove `folder`; see [`Self::tell`].
    pub(crate) fn of_process(folder: &Path) -> Result<Self> {
        Account::Own
            .command(Path::new("sh"))
            .args(["-c", PROCESS_SCRIPT, "watchdog"])
            .arg(folder)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|e| Error::new("cannot start the watchdog of a server", e))
    }

    /// Says which process is the server's now, if any. Said before a process is waited for, because its number is
    /// free for others from then on.
    pub(crate) fn tell(&mut self, process: Option<u32>) -> Result<()> {
        let said = process.map(|id| id.to_string()).unwrap_or_default();
        let pipe = self.0.stdin.as_mut().ok_or_else(|| Error::new("the watchdog is gone", "no pipe"))?;
        pipe.write_all(format!("{said}\n").as_bytes()).map_err(|e| Error::new("the watchdog is gone", e))
    }

    /// Has the work done now, and waits for its end.
    pub(crate) fn finish(&mut self) {
        drop(self.0.stdin.take());
        // There is nothing to be done about a watchdog that is gone already.
        drop(self.0.wait());
    }
}
