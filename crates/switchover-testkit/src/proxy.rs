//! A bad line to a server: connections are cut, slowed, and their answers lost.
//!
//! While the line is bad, something happens to one of its connections every fraction of a second, as the seed decides:
//!
//! | fault | what happens |
//! |---|---|
//! | cut | both ends lose the connection |
//! | deaf | the next answer is lost, and with it the connection; what the server was asked it does |
//! | unconfirmed | the same with the next answer that confirms a commit |
//! | slow | for a while every answer of every connection is late |
//!
//! Invariants: what passes is passed unchanged and in order; the seed decides every choice (not the moments: those are the
//! machine's); a fault is counted when it hits a connection. Absent on purpose: an understanding of the protocol
//! beyond the one answer that it looks for.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sample::Random;
use crate::{Error, Result, Server};

/// Between two faults at least, and at most so much longer: work that waits a fifth of a second before it is tried again
/// comes to its end between them, if not at once.
const PAUSE_MS: (i64, i64) = (50, 500);

/// How late an answer is on a slow line: more than a network around the world.
const LATE: Duration = Duration::from_millis(15);

/// How long it is slow.
const SLOW: Duration = Duration::from_millis(400);

/// How long the server has to do what it was asked, before a connection that is deaf is cut.
const TO_ITS_END: Duration = Duration::from_millis(50);

/// How an answer begins that confirms a commit: its kind, its length, its words.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// How often each fault hit a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Connections cut.
    pub cut: u64,
    /// Answers lost.
    pub deaf: u64,
    /// Confirmations of a commit lost.
    pub unconfirmed: u64,
    /// Answers late.
    pub late: u64,
}

impl Faults {
    /// How often the rarest of them hit.
    pub fn least(&self) -> u64 {
        self.cut.min(self.deaf).min(self.unconfirmed).min(self.late)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Faults { cut, deaf, unconfirmed, late } = self;
        write!(
            f,
            "{cut} connections cut, {deaf} answers and {unconfirmed} commits' answers lost, {late} late"
        )
    }
}

/// The line. It is good until it is told otherwise; dropped, its connections go with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: Place,
    bad: AtomicBool,
    ended: AtomicBool,
    /// Whether the next confirmation of a commit is lost.
    unconfirmed: AtomicBool,
    slow_until: Mutex<Instant>,
    lines: Mutex<Vec<Arc<Line>>>,
    counts: [AtomicU64; 4],
}

/// Where a server is.
#[derive(Debug)]
enum Place {
    /// At this socket.
    Socket(PathBuf),
    /// At this port of 127.0.0.1.
    Port(u16),
}

/// A connection to a server.
#[derive(Debug)]
enum Stream {
    Socket(UnixStream),
    Port(TcpStream),
}

impl Stream {
    fn to(place: &Place) -> std::io::Result<Stream> {
        Ok(match place {
            Place::Socket(path) => Stream::Socket(UnixStream::connect(path)?),
            Place::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                drop(stream.set_nodelay(true));
                Stream::Port(stream)
            }
        })
    }

    fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Socket(stream) => (&*stream).read(buffer),
            Stream::Port(stream) => (&*stream).read(buffer),
        }
    }

    /// Passes on what the client asks, until one end goes.
    fn ask(&self, mut client: &TcpStream) {
        drop(match self {
            Stream::Socket(stream) => std::io::copy(&mut client, &mut &*stream),
            Stream::Port(stream) => std::io::copy(&mut client, &mut &*stream),
        });
    }

    fn shutdown(&self) {
        drop(match self {
            Stream::Socket(stream) => stream.shutdown(Shutdown::Both),
            Stream::Port(stream) => stream.shutdown(Shutdown::Both),
        });
    }
}

/// One connection.
#[derive(Debug)]
struct Line {
    client: TcpStream,
    server: Stream,
    deaf: AtomicBool,
}

impl Line {
    /// Ends it on both sides; one that has ended already stays so.
    fn cut(&self) {
        drop(self.client.shutdown(Shutdown::Both));
        self.server.shutdown();
    }
}

impl Proxy {
    /// To a server, by way of its socket.
    pub fn start(server: &Server, seed: u64) -> Result<Proxy> {
        let socket = Path::new(&server.host).join(format!(".s.PGSQL.{}", server.port));
        Proxy::to(Place::Socket(socket), seed)
    }

    /// To whatever listens at a port of 127.0.0.1. Nothing there confirms commits, so that fault hits nothing.
    pub fn to_port(port: u16, seed: u64) -> Result<Proxy> {
        Proxy::to(Place::Port(port), seed)
    }

    fn to(server: Place, seed: u64) -> Result<Proxy> {
        let failed = |e: std::io::Error| Error::new("cannot make a line to the server", e);
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let shared = Arc::new(Shared {
            server,
            bad: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            unconfirmed: AtomicBool::new(false),
            slow_until: Mutex::new(Instant::now()),
            lines: Mutex::default(),
            counts: Default::default(),
        });
        let (accepting, ailing) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || accepting.accept(&listener));
        thread::spawn(move || ailing.ail(Random::new(seed)));
        Ok(Proxy { port, shared })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the line is bad from now on.
    pub fn set_bad(&self, bad: bool) {
        self.shared.bad.store(bad, Ordering::SeqCst);
        if !bad {
            self.shared.unconfirmed.store(false, Ordering::SeqCst);
            *held(&self.shared.slow_until) = Instant::now();
        }
    }

    /// What happened so far.
    pub fn faults(&self) -> Faults {
        let [cut, deaf, unconfirmed, late] =
            [0, 1, 2, 3].map(|at: usize| self.shared.counts[at].load(Ordering::SeqCst));
        Faults { cut, deaf, unconfirmed, late }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Whoever waits for connections is woken by one.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        held(&self.shared.lines).iter().for_each(|line| line.cut());
    }
}

/// The state is simple enough to be right whoever panicked.
fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn count(&self, at: usize) {
        self.counts[at].fetch_add(1, Ordering::SeqCst);
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            // A server that is down is a connection that ends at once.
            let Ok(server) = Stream::to(&self.server) else { continue };
            drop(client.set_nodelay(true));
            let line = Arc::new(Line { client, server, deaf: AtomicBool::new(false) });
            held(&self.lines).push(Arc::clone(&line));
            let (asking, shared) = (Arc::clone(&line), Arc::clone(self));
            thread::spawn(move || {
                asking.server.ask(&asking.client);
                asking.cut();
            });
            thread::spawn(move || {
                shared.answer(&line);
                line.cut();
                held(&shared.lines).retain(|other| !Arc::ptr_eq(other, &line));
            });
        }
    }

    /// Passes answers on until one end goes, or one is to be lost.
    fn answer(&self, line: &Line) {
        let mut buffer = [0; 16 << 10];
        while let Ok(bytes @ 1..) = line.server.read(&mut buffer) {
            let answer = &buffer[..bytes];
            let unconfirmed = answer.windows(COMMITTED.len()).any(|part| part == COMMITTED)
                && self.unconfirmed.swap(false, Ordering::SeqCst);
            if unconfirmed || line.deaf.load(Ordering::SeqCst) {
                self.count(if unconfirmed { 2 } else { 1 });
                thread::sleep(TO_ITS_END);
                return;
            }
            if *held(&self.slow_until) > Instant::now() {
                self.count(3);
                thread::sleep(LATE);
            }
            if (&line.client).write_all(answer).is_err() {
                return;
            }
        }
    }

    /// Makes the line bad, while it is to be.
    fn ail(&self, mut random: Random) {
        while !self.ended.load(Ordering::SeqCst) {
            let (least, more) = PAUSE_MS;
            thread::sleep(Duration::from_millis((least + random.below(more)).unsigned_abs()));
            let (fault, which) = (random.below(4), random.next_u64());
            if !self.bad.load(Ordering::SeqCst) {
                continue;
            }
            let lines = held(&self.lines);
            let at = usize::try_from(which % lines.len().max(1) as u64).unwrap_or_default();
            let Some(line) = lines.get(at) else { continue };
            match fault {
                0 => {
                    line.cut();
                    self.count(0);
                }
                1 => line.deaf.store(true, Ordering::SeqCst),
                2 => self.unconfirmed.store(true, Ordering::SeqCst),
                _ => *held(&self.slow_until) = Instant::now() + SLOW,
            }
        }
    }
}
