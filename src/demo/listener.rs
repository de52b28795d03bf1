//! Sockets that can be cut, reset, refused and slowed: for faults, for the knob `bandwidth`, and so that stopping
//! the server leaves nothing open.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::admin;
use super::dispatch::Demo;
use super::pace::Pacer;

/// Accepts connections that end when `stopped` turns true.
pub(super) struct CuttableListener {
    inner: TcpListener,
    stopped: watch::Receiver<bool>,
    demo: Arc<Demo>,
}

impl CuttableListener {
    pub(super) fn new(inner: TcpListener, stopped: watch::Receiver<bool>, demo: Arc<Demo>) -> Self {
        Self { inner, stopped, demo }
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // axum's own accept for TCP waits out a lack of file descriptors.
        let (stream, address) = Listener::accept(&mut self.inner).await;
        // A small answer must not wait for the acknowledgement of the one before; on failure it is only slower.
        let _slower = stream.set_nodelay(true);
        let mut stopped = self.stopped.clone();
        let stream = CuttableStream {
            inner: stream,
            scissors: Scissors::default(),
            stopped: Box::pin(async move {
                // An error means that the server is gone, which is as good a reason.
                let _gone = stopped.wait_for(|stopped| *stopped).await;
            }),
            refused: self.demo.faults.refuses_connection(),
            pacer: Pacer::default(),
            recent: 0,
            demo: Arc::clone(&self.demo),
        };
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

const CUT: u8 = 1;
const RESET: u8 = 2;

/// What answers do to their connection.
#[derive(Debug, Default)]
struct Grip {
    state: AtomicU8,
    /// Sent behind an answer, outside its framing.
    tail: Mutex<Bytes>,
    /// Bytes a second of the next head; 0 is not slowed.
    slow_head: AtomicU64,
    /// True while the admin API answers, which no condition touches.
    free: AtomicBool,
}

/// Cuts, resets and slows one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Scissors(Arc<Grip>);

impl Scissors {
    /// The next write fails, and with it the connection ends.
    pub(super) fn cut(&self) {
        self.0.state.store(CUT, Ordering::Relaxed);
    }

    /// The same, and the peer sees a reset (RST) in place of an end.
    pub(super) fn reset(&self) {
        self.0.state.store(RESET, Ordering::Relaxed);
    }

    /// The next head comes at so many bytes a second.
    pub(super) fn slow_head(&self, bytes_per_second: u64) {
        self.0.slow_head.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Sends these bytes as soon as what was answered so far is written.
    pub(super) fn append(&self, bytes: Bytes) {
        *self.0.tail.lock() = bytes;
    }

    /// Lifts the knob `bandwidth` from the next answer, or puts it back.
    pub(super) fn set_free(&self, free: bool) {
        self.0.free.store(free, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.state.load(Ordering::Relaxed) == 0 {
            Ok(())
        } else {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().scissors.clone()
    }
}

/// A TCP stream with scissors.
pub(super) struct CuttableStream {
    inner: TcpStream,
    scissors: Scissors,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Reset at the first byte, unless it asks the admin API.
    refused: bool,
    pacer: Pacer,
    /// The last four bytes of a head that is sent slowly.
    recent: u32,
    demo: Arc<Demo>,
}

/// The end of a head.
const HEAD_END: u32 = u32::from_be_bytes(*b"\r\n\r\n");

/// How many of these bytes belong to the head, where it ends in them; `recent` are the four before.
fn head_end(mut recent: u32, bytes: &[u8]) -> Option<usize> {
    let place = bytes.iter().position(|byte| {
        recent = (recent << 8) | u32::from(*byte);
        recent == HEAD_END
    });
    place.map(|place| place + 1)
}

impl CuttableStream {
    /// The bytes a second that hold for the next write; 0: all of them.
    fn rate(&self) -> u64 {
        let slow = self.scissors.0.slow_head.load(Ordering::Relaxed);
        if slow > 0 {
            slow
        } else if self.scissors.0.free.load(Ordering::Relaxed) {
            0
        } else {
            self.demo.knobs.now().bandwidth
        }
    }

    /// Writes as much as the pace allows.
    fn poll_paced(&mut self, context: &mut Context<'_>, bytes: &[u8], rate: u64) -> Poll<io::Result<usize>> {
        let slow_head = self.scissors.0.slow_head.load(Ordering::Relaxed) > 0;
        let most = if slow_head {
            head_end(self.recent, bytes).unwrap_or(bytes.len())
        } else {
            bytes.len()
        };
        let grant = ready!(self.pacer.poll_grant(context, rate, most)).min(bytes.len());
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, &bytes[..grant]))?;
        self.pacer.spent(written, rate);
        if slow_head {
            if head_end(self.recent, &bytes[..written]).is_some() {
                self.scissors.slow_head(0);
                self.recent = 0;
            } else {
                let bytes = bytes[..written].iter();
                self.recent = bytes.fold(self.recent, |recent, byte| (recent << 8) | u32::from(*byte));
            }
        }
        Poll::Ready(Ok(written))
    }
}

impl Drop for CuttableStream {
    fn drop(&mut self) {
        if self.scissors.0.state.load(Ordering::Relaxed) == RESET {
            // Where the system refuses, the peer sees an end: broken off all the same.
            let _ended = self.inner.set_zero_linger();
        }
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.scissors.check()?;
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if std::mem::take(&mut self.refused) && !admin::is_asked(&buffer.filled()[before..]) {
                    self.scissors.reset();
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Poll::Ready(result)
            }
            Poll::Pending => match self.stopped.as_mut().poll(context) {
                Poll::Ready(()) => {
                    self.scissors.cut();
                    Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.scissors.check()?;
        match self.rate() {
            0 => Pin::new(&mut self.inner).poll_write(context, bytes),
            rate => self.poll_paced(context, bytes, rate),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.scissors.check()?;
        match self.rate() {
            0 => Pin::new(&mut self.inner).poll_write_vectored(context, buffers),
            rate => {
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                self.poll_paced(context, first.map_or(&[][..], |buffer| &**buffer), rate)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // All that was answered is written when a flush is asked for; now comes what follows it unasked.
        let this = &mut *self;
        let mut tail = this.scissors.0.tail.lock();
        while tail.has_remaining() {
            let written = ready!(Pin::new(&mut this.inner).poll_write(context, &tail))?;
            tail.advance(written);
        }
        drop(tail);
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
