//! A bound socket, and the loop that serves it with bounded time and connections.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// Longest time for a request's headers, and for a TLS handshake (RELIABILITY §4).
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Open connections per listener (RELIABILITY §4).
const CONNECTIONS_MAX: usize = 4096;

/// Header fields per request (RELIABILITY §4).
const HEADERS_MAX: usize = 100;

/// Bytes of header fields per request (RELIABILITY §4).
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Concurrent streams per HTTP/2 connection (RELIABILITY §4).
const STREAMS_MAX: u32 = 64;

/// How long open requests may finish after a stop.
const DRAIN: Duration = Duration::from_secs(5);

/// A bound socket that is not yet served.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

impl Endpoint {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The bound address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop`, then lets open requests finish for five seconds.
    pub async fn serve(
        self,
        router: Router,
        tls: Option<Arc<ServerConfig>>,
        stop: CancellationToken,
    ) {
        let server = Arc::new(builder());
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let acceptor = tls.map(TlsAcceptor::from);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = next(&self.listener, &slots) => accepted,
            };
            let Some((stream, slot)) = accepted else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let server = server.clone();
            let watcher = graceful.watcher();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Some(stream) = secured(stream, acceptor).await else {
                    return;
                };
                let connection = server.serve_connection_with_upgrades(stream, service);
                // A connection that breaks is the client's affair.
                let _ = watcher.watch(connection.into_owned()).await;
                drop(slot);
            });
        }
        drop(self.listener);
        let _ = timeout(DRAIN, graceful.shutdown()).await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX + (32 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("32 KiB"));
    builder
}

/// The next connection with its slot; waiting for a slot leaves the rest in the kernel's backlog.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            // Out of file descriptors, or a client that left already: do not spin.
            tracing::warn!("cannot accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// The stream itself, or with TLS once the handshake is done. `None` when it fails.
async fn secured(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> Option<TokioIo<Stream>> {
    let stream = match acceptor {
        None => Stream::Plain(stream),
        Some(acceptor) => {
            let handshake = timeout(HEADER_TIME, acceptor.accept(stream)).await.ok()?;
            Stream::Tls(Box::new(handshake.ok()?))
        }
    };
    Some(TokioIo::new(stream))
}

/// A connection of either kind.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
