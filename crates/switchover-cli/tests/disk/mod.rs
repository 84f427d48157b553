//! A disk that is full, which is a real one.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk. Mounting needs root; elsewhere this says that it was not tested, except in CI.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn mount(folder: &Path, kib: u32) -> Option<Disk> {
        let owner = Command::new("stat").args(["-c", "uid=%u,gid=%g"]).arg(folder).output();
        let owner = owner.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let options = format!("size={kib}k,{}", owner.unwrap_or_default());
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Disk(folder.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a small disk");
        eprintln!("NOT TESTED: a full disk, because mounting one needs root");
        None
    }

    /// Leaves no space on it, and gives the file back that takes it.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let status = Command::new("dd")
            .args(["if=/dev/zero", "bs=4k", &format!("of={}", path.display())])
            .stderr(std::process::Stdio::null())
            .status();
        assert!(!status.expect("dd").success(), "the disk has an end");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server may hold files there until its own end.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
