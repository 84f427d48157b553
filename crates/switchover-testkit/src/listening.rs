//! A listener on 127.0.0.1 that serves each client by itself, until it is dropped.
//!
//! Invariants: the port is free and its own; what works on its clients ends with it, in the middle of what it does.
//! Absent on purpose: everything that is said; that is its owner's.

use std::io::Result;

use tokio::net::{TcpListener, TcpStream};

/// A listener, and what works on it.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Its port.
    pub(crate) port: u16,
    _runtime: tokio::runtime::Runtime,
}

impl Listening {
    /// Begins to listen; each client is served by what `serve` gives.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<Listening> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // One that waits for more before it sends would only make a test slower.
                drop(client.set_nodelay(true));
                tokio::spawn(serve(client));
            }
        });
        Ok(Listening { port, _runtime: runtime })
    }
}
