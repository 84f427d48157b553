//! A target that is not up to date: changes are taken until it was equal to the source once.
//!
//! Invariant: a target that was set back is noticed here as while it follows, for one that owned the data then takes writes beside the
//! source. Absent: copying, which is `copying`, and following, which is `follow`.

use super::engine::{Engine, Turn};
use super::follow::RESTING;
use super::link::Link;
use super::requests::{not_ready, refuse};
use super::status::{Command, Request};
use switchover_core::{Kind, Result};

impl Engine {
    /// Takes changes until the target was equal to the source once.
    pub(super) async fn catch_up(&mut self, link: &mut Link) -> Result<Option<Turn>> {
        loop {
            self.parts.shutdown.check("take changes")?;
            if self.is_to_look() && self.is_set_back().await {
                return Ok(Some(Turn::Again));
            }
            if let Ok(command) = self.commands.try_recv() {
                match self.while_behind(command).await? {
                    None => continue,
                    turn => return Ok(turn),
                }
            }
            // A pause ends with a request, and a limit may hold it back for long: both are heard.
            let (pace, stop) = (self.pace.clone(), self.parts.shutdown.clone());
            tokio::select! {
                biased;
                waited = pace.wait() => waited?,
                () = stop.requested() => continue,
                Some(command) = self.commands.recv() => match self.while_behind(command).await? {
                    None => continue,
                    turn => return Ok(turn),
                },
                () = tokio::time::sleep(RESTING) => continue,
            }
            let step = match link.step(None, false).await {
                Ok(step) => step,
                // A row that nothing can follow, for as long as it is there.
                Err(error) if error.kind() == Kind::Refused => {
                    self.hold(link, error).await?;
                    continue;
                }
                Err(error) if self.sends_back(link, &error) => return Err(error),
                // Nor can this be followed; what was copied again for it is held by who asks for the copy.
                Err(error) if error.kind() == Kind::Rejected && self.unstuck.is_empty() => {
                    self.hold(link, error).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if link.astray {
                return Ok(Some(self.astray(link)));
            }
            self.took(&step).await;
            self.goes_on();
            self.bear(link).await?;
            if step.changes.complete {
                return Ok(None);
            }
        }
    }

    /// Carries out what was asked for while the target is not up to date.
    async fn while_behind(&mut self, command: Command) -> Result<Option<Turn>> {
        let Some(command) = self.simple(command).and_then(|command| self.unless_it_waits(command)) else {
            return Ok(None);
        };
        match command.request {
            Request::Rollback(_) | Request::Stop => return self.end_by(command).await,
            _ => refuse(command, not_ready("the target is not up to date yet")),
        }
        Ok(None)
    }
}
