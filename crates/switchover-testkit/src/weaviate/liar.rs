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
//! One batch can also be held, and be carried out when its sender is long gone; a number of batches can be refused as by a
//! server that is away for a moment; a collection can be counted wrong, and one of its objects kept from every page; its
//! objects can be kept from being deleted. The line also tells what came by it ([`Liar::sent`]).
//!
//! Invariants: the seed decides each choice; while it is honest everything passes unchanged; a lie is counted when it is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::seen::{Read, Seen, Sent, collection_of};
use super::wire::{
    blame, count_of, counted, deleted, fields, framed, joined, message, only_seen, parts, results, uuid_of,
};
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
const AGGREGATE: &str = "/weaviate.v1.Weaviate/Aggregate";
const BATCH_DELETE: &str = "/weaviate.v1.Weaviate/BatchDelete";

/// gRPC's status of a server that is away.
const UNAVAILABLE: &str = "14";

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
    seen: Seen,
    /// So many batches to come are refused.
    refuse: AtomicU64,
    /// How much later every batch is passed on.
    late: Mutex<Duration>,
    /// A collection that is counted wrong, and by how much.
    miscount: Mutex<Option<(String, i64)>>,
    /// An object that no page shows.
    /// An object, and from how many pages it is still kept.
    hidden: Mutex<Option<(Vec<u8>, u64)>>,
    /// A collection of which nothing is deleted, and whether that is said.
    kept: Mutex<Option<(String, bool)>>,
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
            seen: Seen::default(),
            refuse: AtomicU64::new(0),
            late: Mutex::default(),
            miscount: Mutex::default(),
            hidden: Mutex::default(),
            kept: Mutex::default(),
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

/// What is not so each time, and what came by.
impl Liar {
    /// Refuses so many batches to come, as a server does that is away; they are not passed on. Those of the runs' own
    /// collections pass.
    pub fn refuse(&self, batches: u64) {
        self.shared.refuse.store(batches, Ordering::SeqCst);
    }

    /// Passes every batch on so much later.
    pub fn late(&self, by: Duration) {
        *locked(&self.shared.late) = by;
    }

    /// Counts a collection wrong by so many objects; by none it is counted as it is.
    pub fn miscount(&self, collection: &str, by: i64) {
        *locked(&self.shared.miscount) = Some((collection.to_owned(), by));
    }

    /// Keeps the object of this UUID from every page; an empty text for all to be shown.
    pub fn hide(&self, uuid: &str) {
        self.hide_for(uuid, u64::MAX);
    }

    /// Keeps the object of this UUID from so many pages that it is on, and shows it again.
    pub fn hide_for(&self, uuid: &str, pages: u64) {
        let number = u128::from_str_radix(&uuid.replace('-', ""), 16);
        *locked(&self.shared.hidden) = number.ok().map(|number| (number.to_be_bytes().to_vec(), pages));
    }

    /// Deletes nothing of a collection: the answer counts what it was asked to delete and nothing that it did delete, or
    /// else says that it did. An empty name for all to be deleted.
    pub fn keep(&self, collection: &str, says_deleted: bool) {
        *locked(&self.shared.kept) = Some((collection.to_owned(), says_deleted));
    }

    /// The batches that came, in their order; not those of the runs' own collections.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.seen.sent()
    }

    /// How many of these batches were under way at once, at most.
    pub fn under_way_max(&self) -> usize {
        self.shared.seen.most()
    }

    /// What was read of a collection until now.
    pub fn read(&self, collection: &str) -> Read {
        self.shared.seen.read(collection)
    }

    /// How often objects of a collection were asked for by their ids.
    pub fn asked_by_id(&self, collection: &str) -> u64 {
        self.shared.seen.by_id(collection)
    }
}

/// An answer of the server's.
struct Answer {
    head: http::response::Parts,
    message: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    /// The answer of a server that is away.
    fn away() -> Answer {
        let (mut head, ()) = Response::new(()).into_parts();
        head.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(UNAVAILABLE));
        trailers.insert("grpc-message", HeaderValue::from_static("refused by the line"));
        Answer { head, message: Bytes::new(), trailers: Some(trailers) }
    }

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
            AGGREGATE => self.count(server, head, asked).await,
            BATCH_DELETE => self.deletion(server, head, asked).await,
            _ => ask(server, head, asked).await,
        }
    }

    fn holds(&self, asked: &Bytes) -> bool {
        let mut hold = locked(&self.hold);
        let collection = collection_of(asked);
        match (&*hold, collection) {
            (Some(wanted), Some(name)) if name == *wanted => {
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
        let refuse = || {
            let one_less = |left: u64| left.checked_sub(1);
            self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        };
        let under_way = self.seen.batch(&asked, refuse);
        let late = *locked(&self.late);
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        if under_way.as_ref().is_some_and(|(_, refused)| *refused) {
            return Some(Answer::away());
        }
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
        let collection = collection_asked(&asked).unwrap_or_default();
        self.seen.page(&collection, &asked, answer.message.len());
        if let Some((hidden, pages)) = locked(&self.hidden).as_mut().filter(|(_, pages)| *pages > 0) {
            let mut all = fields(&message(&answer.message));
            let before = all.len();
            all.retain(|field| field.number != 2 || uuid_of(field).is_none_or(|uuid| uuid != *hidden));
            if all.len() < before {
                *pages -= 1;
                answer.message = joined(&all);
            }
        }
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

impl Shared {
    async fn count(
        &self,
        server: &SendRequest<Bytes>,
        head: &http::request::Parts,
        asked: Bytes,
    ) -> Option<Answer> {
        let mut answer = ask(server, head, asked.clone()).await?;
        let collection = collection_asked(&asked)?;
        let wrong = locked(&self.miscount).clone();
        if let Some((_, by)) = wrong.filter(|(name, _)| answer.is_ok() && name.as_bytes() == collection) {
            let count = count_of(&answer.message).unwrap_or_default();
            answer.message = framed(&counted(count.saturating_add_signed(by)));
        }
        Some(answer)
    }
}

impl Shared {
    async fn deletion(
        &self,
        server: &SendRequest<Bytes>,
        head: &http::request::Parts,
        asked: Bytes,
    ) -> Option<Answer> {
        let collection = collection_asked(&asked)?;
        let kept = locked(&self.kept).clone().filter(|(name, _)| name.as_bytes() == collection);
        let Some((_, says_deleted)) = kept else { return ask(server, head, asked).await };
        let mut answer = ask(server, head, only_seen(&asked)).await?;
        answer.message = deleted(&answer.message, says_deleted);
        Some(answer)
    }
}

/// The name of the collection that a request asks for.
fn collection_asked(asked: &Bytes) -> Option<Vec<u8>> {
    let collection = fields(&message(asked)).into_iter().find(|field| field.number == 1);
    collection.map(|field| field.body.to_vec())
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
