//! A line to a Weaviate's gRPC that understands what passes, and lies about it.
//!
//! | lie | what happens |
//! |---|---|
//! | [`Lie::Dropped`], [`Lie::Half`] | a batch is not passed on, or half of it, and its answer is success |
//! | [`Lie::Twice`], [`Lie::Later`] | a batch is carried out twice, the second time at once or a moment later |
//! | [`Lie::FormerReply`] | a batch is carried out and answered as the one before it was |
//! | [`Lie::Blamed`] | a batch is carried out, and its answer names an object that was refused |
//! | [`Lie::FormerPage`] | a question is answered as an earlier one to the same collection was |
//! | [`Lie::Reversed`], [`Lie::Repeated`] | a page is in another order, or holds an object twice |
//! | [`Lie::Short`], [`Lie::Hole`], [`Lie::Empty`] | a page lacks its end, its middle, all of it |
//!
//! One batch can also be held, and be carried out when its sender is long gone.
//!
//! Invariants: the seed decides each choice; while it is honest everything passes unchanged; a lie is counted when it is told.
//! Absent on purpose: lies about counting and deleting, which are as many as those told here.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::listening::Listening;
use crate::sample::Random;
use crate::{Error, Result};

/// Of so many answers one is a lie.
const HONEST: u64 = 4;

/// What either side may send ahead.
const WINDOW: u32 = 64 << 20;

/// How much later a batch is carried out again.
const LATER: Duration = Duration::from_millis(200);

/// Answers that are remembered, to be given again.
const REMEMBERED: usize = 16;

const BATCH: &str = "/weaviate.v1.Weaviate/BatchObjects";
const SEARCH: &str = "/weaviate.v1.Weaviate/Search";

/// What is told that is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lie {
    /// A batch is not passed on.
    Dropped,
    /// Half of a batch is not passed on.
    Half,
    /// A batch is carried out twice.
    Twice,
    /// A batch is carried out a second time a moment later.
    Later,
    /// A batch is answered as the former one.
    FormerReply,
    /// An object is said to be refused.
    Blamed,
    /// A page of an earlier question.
    FormerPage,
    /// A page from its end to its beginning.
    Reversed,
    /// A page that holds an object twice.
    Repeated,
    /// A page without its last objects.
    Short,
    /// A page without one of its objects.
    Hole,
    /// A page without objects.
    Empty,
}

impl Lie {
    /// About batches.
    pub const BATCHES: [Lie; 6] =
        [Lie::Dropped, Lie::Half, Lie::Twice, Lie::Later, Lie::FormerReply, Lie::Blamed];
    /// About pages.
    pub const PAGES: [Lie; 6] =
        [Lie::FormerPage, Lie::Reversed, Lie::Repeated, Lie::Short, Lie::Hole, Lie::Empty];
}

/// The line. It is honest until it is told otherwise.
#[derive(Debug)]
pub struct Liar {
    listening: Listening,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: u16,
    lies: Mutex<Vec<Lie>>,
    told: Mutex<BTreeMap<Lie, u64>>,
    random: Mutex<Random>,
    former_reply: Mutex<Option<Bytes>>,
    pages: Mutex<HashMap<Vec<u8>, Vec<Bytes>>>,
    /// Whether the next batch to this collection is held.
    hold: Mutex<Option<String>>,
    holding: watch::Sender<bool>,
    release: Notify,
    carried_out: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Liar {
    /// A line to the gRPC of a server on this machine.
    pub fn start(server: u16, seed: u64) -> Result<Liar> {
        let failed = |e: std::io::Error| Error::new("cannot make a line to the server", e);
        let shared = Arc::new(Shared {
            server,
            lies: Mutex::default(),
            told: Mutex::default(),
            random: Mutex::new(Random::new(seed)),
            former_reply: Mutex::default(),
            pages: Mutex::default(),
            hold: Mutex::default(),
            holding: watch::Sender::new(false),
            release: Notify::new(),
            carried_out: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let listening =
            Listening::start(move |client| Arc::clone(&accepting).serve(client)).map_err(failed)?;
        Ok(Liar { listening, shared })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listening.port
    }

    /// Tells these lies from now on; none for the truth.
    pub fn tell(&self, lies: &[Lie]) {
        *locked(&self.shared.lies) = lies.to_vec();
    }

    /// How often each lie was told.
    pub fn told(&self) -> BTreeMap<Lie, u64> {
        locked(&self.shared.told).clone()
    }

    /// Holds the next batch to a collection, and leaves its sender without an answer.
    pub fn hold_next(&self, collection: &str) {
        self.shared.holding.send_replace(false);
        self.shared.carried_out.store(false, Ordering::SeqCst);
        *locked(&self.shared.hold) = Some(collection.to_owned());
    }

    /// Whether it holds one.
    pub fn is_holding(&self) -> bool {
        *self.shared.holding.borrow()
    }

    /// Has the held batch carried out now.
    pub fn release(&self) {
        self.shared.release.notify_one();
    }

    /// Whether the held batch was carried out.
    pub fn is_carried_out(&self) -> bool {
        self.shared.carried_out.load(Ordering::SeqCst)
    }
}

/// An answer of the server's.
struct Answer {
    head: http::response::Parts,
    message: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn is_ok(&self) -> bool {
        let status = self.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        status.is_some_and(|status| status == "0")
    }
}

impl Shared {
    /// One connection, with one of its own to the server.
    async fn serve(self: Arc<Self>, client: TcpStream) {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let Ok(mut client) = builder.handshake::<_, Bytes>(client).await else { return };
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)).await else { return };
        drop(server.set_nodelay(true));
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let Ok((send, connection)) = builder.handshake::<_, Bytes>(server).await else { return };
        // It lives as long as there are requests: one that is held outlives its sender.
        tokio::spawn(connection);
        while let Some(Ok((request, respond))) = client.accept().await {
            tokio::spawn(Arc::clone(&self).pass(send.clone(), request, respond));
        }
    }

    async fn pass(
        self: Arc<Self>,
        server: SendRequest<Bytes>,
        request: Request<RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
    ) {
        let (head, mut body) = request.into_parts();
        let Some(asked) = all(&mut body).await else { return };
        let path = head.uri.path().to_owned();
        let Some(answer) = self.answer(&server, &path, &head, asked).await else { return };
        let Ok(mut stream) = respond.send_response(Response::from_parts(answer.head, ()), false) else {
            return;
        };
        drop(finish(&mut stream, answer.message, answer.trailers));
    }

    /// What the client is told.
    async fn answer(
        &self,
        server: &SendRequest<Bytes>,
        path: &str,
        head: &http::request::Parts,
        asked: Bytes,
    ) -> Option<Answer> {
        if path == BATCH && self.holds(&asked) {
            self.holding.send_replace(true);
            self.release.notified().await;
            let answer = ask(server, head, asked).await;
            self.carried_out.store(true, Ordering::SeqCst);
            return answer;
        }
        match path {
            BATCH => self.batch(server, head, asked).await,
            SEARCH => self.page(server, head, asked).await,
            _ => ask(server, head, asked).await,
        }
    }

    fn holds(&self, asked: &Bytes) -> bool {
        let mut hold = locked(&self.hold);
        let place = |object: &Bytes| fields(object).into_iter().find(|field| field.number == 4);
        let first = fields(&message(asked)).into_iter().find(|field| field.number == 1);
        let collection = first.and_then(|object| place(&object.body)).map(|field| field.body);
        match (&*hold, collection) {
            (Some(wanted), Some(name)) if name == wanted.as_bytes() => {
                *hold = None;
                true
            }
            _ => false,
        }
    }

    /// Which lie is told now, of these.
    fn lie(&self, of: &[Lie]) -> Option<Lie> {
        let lies: Vec<Lie> = locked(&self.lies).iter().copied().filter(|lie| of.contains(lie)).collect();
        let chosen = {
            let mut random = locked(&self.random);
            let one = random.next_u64();
            let which = usize::try_from(random.next_u64() % lies.len().max(1) as u64).unwrap_or(0);
            if one.is_multiple_of(HONEST) { lies.get(which).copied() } else { None }
        };
        if let Some(lie) = chosen {
            *locked(&self.told).entry(lie).or_default() += 1;
        }
        chosen
    }

    async fn batch(
        &self,
        server: &SendRequest<Bytes>,
        head: &http::request::Parts,
        asked: Bytes,
    ) -> Option<Answer> {
        let lie = self.lie(&Lie::BATCHES);
        let passed = match lie {
            Some(Lie::Dropped) => parts(&asked, |_, _| false),
            Some(Lie::Half) => parts(&asked, |at, count| at < count / 2),
            _ => asked.clone(),
        };
        if lie == Some(Lie::Twice) {
            ask(server, head, asked.clone()).await?;
        }
        let mut answer = ask(server, head, passed).await?;
        if !answer.is_ok() {
            return Some(answer);
        }
        let former = locked(&self.former_reply).replace(answer.message.clone());
        match lie {
            Some(Lie::Later) => {
                let (server, head) = (server.clone(), head.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(LATER).await;
                    ask(&server, &head, asked).await.is_some()
                });
            }
            Some(Lie::FormerReply) => answer.message = former.unwrap_or_else(|| framed(&[])),
            Some(Lie::Blamed) => {
                let count = fields(&message(&asked)).iter().filter(|field| field.number == 1).count();
                let index = locked(&self.random).next_u64() % count.max(1) as u64;
                answer.message = framed(&blame(index));
            }
            // What is not there was not refused either.
            Some(Lie::Dropped | Lie::Half) => answer.message = framed(&[]),
            _ => {}
        }
        Some(answer)
    }

    async fn page(
        &self,
        server: &SendRequest<Bytes>,
        head: &http::request::Parts,
        asked: Bytes,
    ) -> Option<Answer> {
        let mut answer = ask(server, head, asked.clone()).await?;
        if !answer.is_ok() {
            return Some(answer);
        }
        let collection = fields(&message(&asked)).into_iter().find(|field| field.number == 1);
        let collection = collection.map(|field| field.body.to_vec()).unwrap_or_default();
        let earlier = {
            let mut pages = locked(&self.pages);
            let pages = pages.entry(collection).or_default();
            let earlier = pages.first().cloned();
            pages.push(answer.message.clone());
            if pages.len() > REMEMBERED {
                pages.remove(0);
            }
            earlier
        };
        let page = answer.message.clone();
        answer.message = match self.lie(&Lie::PAGES) {
            Some(Lie::FormerPage) => earlier.unwrap_or(page),
            Some(Lie::Reversed) => {
                let mut results = fields(&message(&page));
                results.reverse();
                joined(&results)
            }
            Some(Lie::Repeated) => {
                let mut results = fields(&message(&page));
                let first = results.iter().find(|field| field.number == 2).cloned();
                results.extend(first);
                joined(&results)
            }
            Some(Lie::Short) => results(&page, |at, count| at < count / 2),
            Some(Lie::Hole) => results(&page, |at, count| at != count / 3),
            Some(Lie::Empty) => results(&page, |_, _| false),
            _ => page,
        };
        Some(answer)
    }
}

/// Asks the server.
async fn ask(server: &SendRequest<Bytes>, head: &http::request::Parts, asked: Bytes) -> Option<Answer> {
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    let (response, mut stream) = server.clone().ready().await.ok()?.send_request(request, false).ok()?;
    stream.send_data(asked, true).ok()?;
    let (head, mut body) = response.await.ok()?.into_parts();
    let message = all(&mut body).await?;
    let trailers = body.trailers().await.ok()?;
    // An answer of a status alone has it in its head.
    let trailers =
        trailers.or_else(|| head.headers.contains_key("grpc-status").then(|| head.headers.clone()));
    Some(Answer { head, message, trailers })
}

fn finish(
    stream: &mut SendStream<Bytes>,
    message: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    match trailers {
        Some(trailers) => {
            stream.send_data(message, false)?;
            stream.send_trailers(trailers)
        }
        None => stream.send_data(message, true),
    }
}

async fn all(body: &mut RecvStream) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part.ok()?;
        body.flow_control().release_capacity(part.len()).ok()?;
        whole.extend_from_slice(&part);
    }
    Some(whole.freeze())
}

/// A field of a message, with its bytes as they stand there, and its body where it has a length.
#[derive(Debug, Clone)]
struct Field {
    number: u64,
    whole: Bytes,
    body: Bytes,
}

/// The message in its frame: a flag and its length go before it.
fn message(frame: &Bytes) -> Bytes {
    frame.slice(frame.len().min(5)..)
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}

fn joined(fields: &[Field]) -> Bytes {
    framed(&fields.iter().flat_map(|field| field.whole.to_vec()).collect::<Vec<u8>>())
}

/// A request with those of its objects that are wanted, by place and their number.
fn parts(frame: &Bytes, wanted: impl Fn(usize, usize) -> bool) -> Bytes {
    kept(frame, 1, wanted)
}

/// A page with those of its objects that are wanted.
fn results(frame: &Bytes, wanted: impl Fn(usize, usize) -> bool) -> Bytes {
    kept(frame, 2, wanted)
}

fn kept(frame: &Bytes, number: u64, wanted: impl Fn(usize, usize) -> bool) -> Bytes {
    let all = fields(&message(frame));
    let count = all.iter().filter(|field| field.number == number).count();
    let mut at = 0;
    let kept: Vec<Field> = all
        .into_iter()
        .filter(|field| {
            if field.number != number {
                return true;
            }
            at += 1;
            wanted(at - 1, count)
        })
        .collect();
    joined(&kept)
}

/// A reply that names one object: `errors` is the second field, its `index` the first and `error` the second.
fn blame(index: u64) -> Vec<u8> {
    let mut error = vec![8];
    varint(index, &mut error);
    let words = b"a lie";
    error.extend([18, words.len() as u8]);
    error.extend_from_slice(words);
    let mut reply = vec![18];
    varint(error.len() as u64, &mut reply);
    reply.extend(error);
    reply
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The fields of a message (protobuf's wire format); none of what is no message.
fn fields(message: &Bytes) -> Vec<Field> {
    let number = |at: &mut usize| -> Option<u64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = *message.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 || shift > 63 {
                return Some(value);
            }
        }
    };
    let (mut all, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let begin = at;
        let Some(key) = number(&mut at) else { return Vec::new() };
        let length = match key & 7 {
            0 => number(&mut at).map(|_| 0),
            1 => Some(8),
            2 => number(&mut at).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let Some(end) = length.map(|length| at + length).filter(|end| *end <= message.len()) else {
            return Vec::new();
        };
        all.push(Field { number: key >> 3, whole: message.slice(begin..end), body: message.slice(at..end) });
        at = end;
    }
    all
}
