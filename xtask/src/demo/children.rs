//! The demo's processes beside itself, which end with it, however it ends.
//!
//! Invariant: each has a shell that waits for the end of a pipe which only the demo holds, and then asks the process to
//! end; so a demo that is killed leaves nobody behind. Absent: killing by name.

use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// $1 is the process. It is a child of the demo, so its number is nobody else's while the demo waits for it.
const WATCH: &str = r#"trap '' INT TERM HUP
cat >/dev/null
kill -TERM "$1" 2>/dev/null"#;

/// How long a process may take to end that was asked to.
const END_MAX: Duration = Duration::from_secs(20);

/// A process that ends with its owner.
pub(super) struct Beside {
    child: Child,
    watch: Option<Child>,
}

impl Beside {
    /// Starts a process. Its standard input is a pipe that stays open until it is to end.
    pub(super) fn start(command: &mut Command) -> Result<Beside> {
        use std::os::unix::process::CommandExt;
        // A group of its own: Ctrl-C goes to the demo, which then ends it in its turn.
        let child = command.stdin(Stdio::piped()).process_group(0).spawn()?;
        let watch = Command::new("sh")
            .args(["-c", WATCH, "watch", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Beside { child, watch: Some(watch) })
    }

    /// How it ended, when it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Closes its standard input, and waits for its end.
    pub(super) fn finish(&mut self) -> Result<ExitStatus> {
        drop::<Option<ChildStdin>>(self.child.stdin.take());
        self.wait_for(END_MAX)
    }

    /// Waits for its end.
    pub(super) fn wait_for(&mut self, time: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > time {
                return Err(format!("process {} does not end", self.child.id()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // The shell asks it to end now, unless it has.
        if let Some(mut watch) = self.watch.take() {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                // Its number may be another's by now.
                drop(watch.kill());
            }
            drop(watch.stdin.take());
            drop(watch.wait());
        }
        if self.wait_for(END_MAX).is_err() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
