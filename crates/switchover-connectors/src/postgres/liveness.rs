//! How it is noticed that the other end of a TCP connection is gone without a word: a machine that lost its power, a link that broke,
//! a firewall that forgot the connection. Else an answer would be waited for as long as the system's defaults say, which is for hours.
//!
//! What the connection's text says, in libpq's parameters, holds. Zero is the system's default, as there.

use super::parameters::bad;
use std::time::Duration;
use switchover_core::Result;
use tokio::net::TcpSocket;

/// Silence after which the other end is asked whether it is there: an index build is minutes of silence, and firewalls forget
/// connections that are silent for longer.
const IDLE: Duration = Duration::from_secs(30);

/// How often it is asked again, and how many questions stay without an answer before the connection is given up: a minute in all,
/// the time of a fail-over.
const INTERVAL: Duration = Duration::from_secs(10);
const COUNT: u32 = 3;

/// How long what was sent may stay unacknowledged. Longer than the minute, because it counts as well while the server lives and takes nothing
/// from a full connection, as where its disk stalls.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// The longest that can be said: a week, far below what the systems' fields hold.
const LONGEST: u64 = 604_800;

/// What a socket is set to; `None` leaves the system's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// Whether a silent connection is asked at all.
    pub asks: bool,
    /// Silence before the first question.
    pub idle: Option<Duration>,
    /// Between two questions.
    pub interval: Option<Duration>,
    /// Questions without an answer.
    pub count: Option<u32>,
    /// How long what was sent may stay unacknowledged.
    pub unacknowledged: Option<Duration>,
}

impl Default for Liveness {
    fn default() -> Liveness {
        Liveness {
            asks: true,
            idle: Some(IDLE),
            interval: Some(INTERVAL),
            count: Some(COUNT),
            unacknowledged: Some(UNACKNOWLEDGED),
        }
    }
}

impl Liveness {
    /// By the parameters of a connection's text.
    pub(super) fn read(given: impl Fn(&str) -> Option<String>) -> Result<Liveness> {
        let number = |name: &str, most: u64| -> Result<Option<u64>> {
            let Some(text) = given(name) else { return Ok(None) };
            match text.trim().parse::<u64>() {
                Ok(number) if number <= most => Ok(Some(number)),
                _ => Err(bad(format!("{name} is not a whole number from 0 to {most}"))
                    .hint(format!("leave {name} out, or write 0 for the system's default"))),
            }
        };
        let usual = Liveness::default();
        // Zero is the system's default.
        let time = |name: &str, most: u64, unit: fn(u64) -> Duration, usual: Option<Duration>| {
            let said = number(name, most)?;
            Ok(said.map_or(usual, |said| (said > 0).then(|| unit(said))))
        };
        let count = number("keepalives_count", 127)?.map(|said| u32::try_from(said).unwrap_or(COUNT));
        Ok(Liveness {
            asks: number("keepalives", 1)? != Some(0),
            idle: time("keepalives_idle", LONGEST, Duration::from_secs, usual.idle)?,
            interval: time("keepalives_interval", LONGEST, Duration::from_secs, usual.interval)?,
            count: count.map_or(usual.count, |said| (said > 0).then_some(said)),
            unacknowledged: time(
                "tcp_user_timeout",
                LONGEST * 1_000,
                Duration::from_millis,
                usual.unacknowledged,
            )?,
        })
    }

    /// Sets a socket that is not connected yet.
    pub(super) fn set(&self, socket: &TcpSocket) -> std::io::Result<()> {
        use rustix::net::sockopt;
        socket.set_keepalive(self.asks)?;
        if self.asks {
            if let Some(idle) = self.idle {
                sockopt::set_tcp_keepidle(socket, idle)?;
            }
            if let Some(interval) = self.interval {
                sockopt::set_tcp_keepintvl(socket, interval)?;
            }
            if let Some(count) = self.count {
                sockopt::set_tcp_keepcnt(socket, count)?;
            }
        }
        #[cfg(target_os = "linux")]
        if let Some(unacknowledged) = self.unacknowledged {
            sockopt::set_tcp_user_timeout(
                socket,
                u32::try_from(unacknowledged.as_millis()).unwrap_or(u32::MAX),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use rustix::net::sockopt;

    fn of(pairs: &[(&str, &str)]) -> Result<Liveness> {
        Liveness::read(|name| {
            pairs.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_the_text_says_holds() {
        assert_eq!(of(&[]).unwrap(), Liveness::default());
        let said =
            of(&[("keepalives_idle", "7"), ("keepalives_count", "0"), ("tcp_user_timeout", "1500")]).unwrap();
        let expected = Liveness {
            idle: Some(Duration::from_secs(7)),
            count: None,
            unacknowledged: Some(Duration::from_millis(1500)),
            ..Liveness::default()
        };
        assert_eq!(said, expected);
        assert!(!of(&[("keepalives", "0")]).unwrap().asks);
        for wrong in [("keepalives", "2"), ("keepalives_idle", "-1"), ("tcp_user_timeout", "soon")] {
            let error = of(&[wrong]).unwrap_err();
            assert!(error.why().contains(wrong.0), "{error}");
        }
    }

    #[tokio::test]
    async fn a_socket_has_them() {
        let socket = TcpSocket::new_v4().unwrap();
        Liveness::default().set(&socket).unwrap();
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), IDLE);
        assert_eq!(sockopt::tcp_keepintvl(&socket).unwrap(), INTERVAL);
        assert_eq!(sockopt::tcp_keepcnt(&socket).unwrap(), COUNT);
        #[cfg(target_os = "linux")]
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&socket).unwrap()), UNACKNOWLEDGED.as_millis());
        let socket = TcpSocket::new_v4().unwrap();
        of(&[("keepalives", "0")]).unwrap().set(&socket).unwrap();
        assert!(!sockopt::socket_keepalive(&socket).unwrap());
    }
}
