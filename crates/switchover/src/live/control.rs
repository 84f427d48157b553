//! How other processes reach a running engine: a socket in the run's folder, one JSON line each way.
//!
//! Invariants: only who may read the run's folder can ask; a socket without an engine behind it is never
//! waited for. Absent: what requests do, which is the engine's.

use super::status::{Answer, Command, Request};
use crate::journal;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchover_core::error::Subject;
use switchover_core::{Error, Kind, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The socket's name in the run's folder.
const SOCKET: &str = "engine.sock";

/// Bytes of the longest request: the verbs with their options are some hundred.
const REQUEST_BYTES_MAX: u64 = 64 << 10;

/// What goes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Answer(Answer),
    Error(Told),
}

/// An error on its way to another process. Its cause stays behind.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    kind: Kind,
    operation: String,
    subject: Subject,
    why: String,
    hint: String,
}

impl Told {
    fn of(error: &Error) -> Told {
        let causes = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        Told {
            kind: error.kind(),
            operation: error.operation().to_owned(),
            subject: error.subject().clone(),
            why: format!("{}{causes}", error.why()),
            hint: error.what_to_do().to_owned(),
        }
    }

    fn error(self) -> Error {
        Error::new(self.kind, self.operation)
            .store(self.subject.store)
            .table(self.subject.table)
            .key(self.subject.key)
            .column(self.subject.column)
            .detail(self.why)
            .hint(self.hint)
    }
}

/// How long answers that are owed may take when the engine has ended: who asked reads them at once.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves requests until closed or dropped.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
    path: PathBuf,
    /// Ends when nobody is being answered any more.
    answering: mpsc::Receiver<()>,
}

impl Server {
    /// Takes no more requests, and waits until those that were taken are answered. The engine must have ended, or be
    /// about to: it is what answers.
    pub async fn close(mut self) {
        self.task.abort();
        // A client that never says what it wants is not waited for any longer.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.answering.recv()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // One that stays is not answered, and the next engine removes it.
        let _ = fs::remove_file(&self.path);
    }
}

fn io(path: &Path, operation: &str) -> impl FnOnce(std::io::Error) -> Error {
    move |cause| journal::file_error(operation, path, &cause).hint(hint(cause.kind()))
}

/// What helps where a socket cannot be made, or nobody be asked by it.
fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        // What the system library says of a path that is too long.
        ErrorKind::InvalidInput => "a socket's whole path has at most 107 bytes: a shorter --state-dir helps",
        ErrorKind::PermissionDenied => {
            "the run's folder is for the user who runs the engine: be that user, or give the right to write in it"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk of the state folder",
        _ => "`switchover status` shows the run, and whether an engine drives it",
    }
}

/// Serves the requests of other processes. The caller holds the run's journal, so that no other engine serves it.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(folder: &Path, commands: mpsc::Sender<Command>) -> Result<Server> {
    let path = folder.join(SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io(&path, "listen for requests")(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(io(&path, "listen for requests"))?;
    // Never sent on: each answer holds an end of it while it is owed.
    let (owed, answering) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        // An accept that fails (no handles are left) is tried again when the next one connects.
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let (commands, owed) = (commands.clone(), owed.clone());
                tokio::spawn(async move {
                    answer(stream, commands).await;
                    drop(owed);
                });
            }
        }
    });
    Ok(Server { task, path, answering })
}

async fn answer(mut stream: UnixStream, commands: mpsc::Sender<Command>) {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_BYTES_MAX));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let reply = match serde_json::from_str(&line) {
        Ok(request) => tokio::select! {
            reply = forward(request, &commands) => reply,
            // Who asked has gone: what was not begun yet is not wanted any more.
            _ = reader.read_u8() => return,
        },
        Err(error) => Err(Error::new(Kind::Config, "read the request")
            .detail(error.to_string())
            .hint("use the same release for the engine and for the command")),
    };
    let reply = match &reply {
        Ok(answer) => Reply::Answer(answer.clone()),
        Err(error) => Reply::Error(Told::of(error)),
    };
    if let Ok(mut text) = serde_json::to_vec(&reply) {
        text.push(b'\n');
        // Who asked may have gone; the run's status says what came of it.
        let _ = writer.write_all(&text).await;
    }
}

async fn forward(request: Request, commands: &mpsc::Sender<Command>) -> Result<Answer> {
    let ended = || Error::new(Kind::Unavailable, "ask the engine").detail("it ended before it answered");
    put(commands, request).await.ok_or_else(ended)?
}

/// Puts a request to the engine of this process; `None` when it ended before it answered.
pub(super) async fn put(commands: &mpsc::Sender<Command>, request: Request) -> Option<Result<Answer>> {
    let (reply, mut answer) = oneshot::channel();
    let asked = Instant::now();
    commands.send(Command { request, asked, reply }).await.ok()?;
    tokio::select! {
        biased;
        answered = &mut answer => answered.ok(),
        // A request that arrives while the engine ends stays in the channel, and with it the promise of an answer, for as
        // long as anybody could send another one: to wait for the answer alone would be to wait for ever.
        () = commands.closed() => answer.try_recv().ok(),
    }
}

/// Whether an engine of a run listens.
pub async fn listens(state_dir: &Path, run: Option<&str>) -> bool {
    match journal::folder_of(state_dir, run) {
        Ok(folder) => UnixStream::connect(folder.join(SOCKET)).await.is_ok(),
        Err(_) => false,
    }
}

/// The process that listens for the requests of a run, where one does and the system says which: what it wrote may be an earlier one's.
pub async fn driver(state_dir: &Path, run: Option<&str>) -> Option<u32> {
    let folder = journal::folder_of(state_dir, run).ok()?;
    let stream = UnixStream::connect(folder.join(SOCKET)).await.ok()?;
    u32::try_from(stream.peer_cred().ok()?.pid()?).ok()
}

/// Asks the engine of a run; `None` when no engine is running.
///
/// # Errors
/// What the engine answers, or why it could not be asked.
pub async fn ask(state_dir: &Path, run: Option<&str>, request: &Request) -> Result<Option<Answer>> {
    let folder = journal::folder_of(state_dir, run)?;
    ask_at(&folder.join(SOCKET), request).await
}

async fn ask_at(path: &Path, request: &Request) -> Result<Option<Answer>> {
    let fail = || io(path, "ask the engine");
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        // It listened, and ended before it took the connection up.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(ended()),
        Err(error) => return Err(fail()(error)),
    };
    let mut text = serde_json::to_vec(request)
        .map_err(|error| Error::new(Kind::Internal, "ask the engine").because(error))?;
    text.push(b'\n');
    let mut line = String::new();
    let exchanged = match stream.write_all(&text).await {
        Ok(()) => BufReader::new(stream).read_line(&mut line).await.map(drop),
        Err(error) => Err(error),
    };
    match exchanged {
        Ok(()) => {}
        // It was killed with the request in its hands, or what it had just begun held its socket a moment longer.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            line.clear();
        }
        Err(error) => return Err(fail()(error)),
    }
    if line.is_empty() {
        return Err(ended());
    }
    match serde_json::from_str(&line) {
        Ok(Reply::Answer(answer)) => Ok(Some(answer)),
        Ok(Reply::Error(told)) => Err(told.error()),
        Err(error) => Err(Error::new(Kind::Internal, "read the engine's answer").because(error)),
    }
}

fn ended() -> Error {
    Error::new(Kind::Unavailable, "ask the engine")
        .detail("it ended before it answered")
        .hint("`switchover status` shows what became of the run")
}

#[cfg(test)]
mod tests {
    //! Requests that meet the engine's end, and sockets that cannot be made.

    use super::*;

    #[tokio::test]
    async fn what_helps_is_said_by_what_went_wrong() {
        let of = |kind: ErrorKind| io(Path::new("engine.sock"), "listen for requests")(kind.into());
        let refused = of(ErrorKind::PermissionDenied);
        assert_eq!(refused.kind(), Kind::Permission);
        assert!(refused.what_to_do().contains("the user who runs the engine"), "{refused:?}");
        assert!(of(ErrorKind::StorageFull).what_to_do().contains("make room"));
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("x".repeat(110));
        fs::create_dir(&deep).expect("a folder");
        let long = serve(&deep, mpsc::channel(1).0).expect_err("the path is too long");
        assert!(long.what_to_do().contains("107 bytes"), "{long:?}");
    }

    /// Often enough that some listeners go between a connection and the look at it.
    const LISTENERS: usize = 5_000;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_engine_that_ends_before_it_takes_a_connection_up_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("engine.sock");
        for _ in 0..LISTENERS {
            let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
            let asking = path.clone();
            let asked = tokio::spawn(async move { ask_at(&asking, &Request::Stop).await });
            tokio::task::yield_now().await;
            drop(listener);
            match asked.await.expect("no panic") {
                Ok(answer) => assert!(answer.is_none()),
                Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
            }
            fs::remove_file(&path).expect("a socket's file");
        }
    }

    /// Often enough that some requests arrive just while the channel is closed.
    const ENDS: usize = 20_000;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_waits_for_an_engine_that_ends_while_it_is_asked() {
        for _ in 0..ENDS {
            let (commands, engine) = mpsc::channel(8);
            let asked = tokio::spawn(async move { put(&commands, Request::Stop).await });
            drop(engine);
            let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
            assert!(matches!(answer, Ok(Ok(None))), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_was_given_before_the_end_is_not_lost() {
        let (commands, mut engine) = mpsc::channel::<Command>(8);
        let asked = tokio::spawn(async move { put(&commands, Request::Stop).await });
        let command = engine.recv().await.expect("a request");
        command.reply.send(Ok(Answer::Ended)).expect("somebody waits");
        drop(engine);
        assert!(matches!(asked.await, Ok(Some(Ok(Answer::Ended)))));
    }
}
