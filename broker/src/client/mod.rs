//! An AMQP 0-9-1 client on the broker's own codec: links to other brokers, the
//! load generator, the drills and `warren migrate` use it.
//!
//! A [`Client`] is one connection with one channel: the handshake, calls that
//! wait for their answer, and [`Client::turn`] for loops that read and write
//! without ever waiting for one while the other could go on. What comes is taken
//! with [`Client::next_frame`], what goes is put into [`Client::out`]; nothing
//! is done a message that can be done a batch.

mod transport;
mod uri;

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use warren_amqp::{
    Arguments, FieldTable, Frame, FrameError, FrameReader, Method, OutBuffer, PROTOCOL_HEADER, Payload, ShortStr,
    Value, channel, connection,
};

pub use transport::Transport;
pub use uri::{TlsOptions, Uri, UriError};

/// The one channel of each client.
pub const CHANNEL: u16 = 1;

/// The largest frame that we offer to take.
const FRAME_MAX: u32 = 128 * 1024;
/// For connecting, and for each call.
const PATIENCE: Duration = Duration::from_secs(30);
/// Reads of one turn, so that a fast sender does not keep us from writing.
const READS: usize = 4;

/// Why a connection came to its end.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The network.
    #[error("{uri}: {error}")]
    Io {
        /// Where.
        uri: Box<Uri>,
        /// What the system said.
        error: io::Error,
    },
    /// The broker closed the connection or the channel.
    #[error("{uri}: closed by the broker: {code} {text}")]
    Closed {
        /// Where.
        uri: Box<Uri>,
        /// Reply code.
        code: u16,
        /// Reply text.
        text: ShortStr,
    },
    /// What came is not AMQP.
    #[error("{uri}: {error}")]
    Frame {
        /// Where.
        uri: Box<Uri>,
        /// What is wrong with it.
        error: FrameError,
    },
    /// What came is AMQP, but no answer to what was asked.
    #[error("{uri}: unexpected {method}")]
    Unexpected {
        /// Where.
        uri: Box<Uri>,
        /// What came.
        method: &'static str,
    },
    /// No answer, or no heartbeat.
    #[error("{uri}: no {what} for {} s", silence.as_secs())]
    Late {
        /// Where.
        uri: Box<Uri>,
        /// What was waited for.
        what: &'static str,
        /// How long.
        silence: Duration,
    },
}

/// How a client presents itself.
#[derive(Clone, Debug)]
pub struct Manner {
    /// `product`.
    pub product: &'static str,
    /// `connection_name`, to be seen in the broker's lists.
    pub name: Option<String>,
    /// Seconds between heartbeats that are asked for, unless the URI says; 0:
    /// none. With heartbeats, [`Client::keep_alive`] must be called now and then.
    pub heartbeat: u16,
}

/// One wait for a client's socket.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    only_writes: bool,
    waited: bool,
}

impl Turn {
    /// A wait that has not begun. With `only_writes` nothing is read: the caller
    /// has no room for it.
    #[must_use]
    pub const fn new(only_writes: bool) -> Self {
        Self { only_writes, waited: false }
    }
}

/// A connection with one channel.
#[derive(Debug)]
pub struct Client {
    uri: Uri,
    transport: Transport,
    reader: FrameReader,
    frame_max: u32,
    /// Zero: none.
    heartbeat: Duration,
    heard: Instant,
    said: Instant,
    server: FieldTable,
    /// What the next turn writes.
    pub out: OutBuffer,
}

impl Client {
    /// Connects over the network, logs in and opens the channel.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connect(uri: &Uri, manner: &Manner) -> Result<Self, ClientError> {
        match timeout(PATIENCE, Transport::connect(uri)).await {
            Ok(Ok(transport)) => Self::over(transport, uri, manner).await,
            Ok(Err(error)) => Err(ClientError::Io { uri: uri.clone().into(), error }),
            Err(_) => Err(ClientError::Late { uri: uri.clone().into(), what: "connection", silence: PATIENCE }),
        }
    }

    /// Logs in over what is connected already, and opens the channel.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn over(transport: Transport, uri: &Uri, manner: &Manner) -> Result<Self, ClientError> {
        let now = Instant::now();
        let mut client = Self {
            uri: uri.clone(),
            transport,
            reader: FrameReader::new(FRAME_MAX),
            frame_max: FRAME_MAX,
            heartbeat: Duration::ZERO,
            heard: now,
            said: now,
            server: FieldTable::default(),
            out: OutBuffer::new(),
        };
        client.handshake(manner).await?;
        Ok(client)
    }

    async fn handshake(&mut self, manner: &Manner) -> Result<(), ClientError> {
        self.out.raw(&PROTOCOL_HEADER);
        let Method::ConnectionStart(start) = self.answer(0).await? else {
            return Err(self.unexpected("answer to the header"));
        };
        self.server = start.server_properties.detached();
        let (user, password) = (self.uri.username.as_bytes(), self.uri.password.as_bytes());
        let capabilities = FieldTable::from([
            ("publisher_confirms", true.into()),
            ("basic.nack", true.into()),
            ("consumer_cancel_notify", true.into()),
            ("connection.blocked", true.into()),
            ("authentication_failure_close", true.into()),
        ]);
        let mut properties: Vec<(ShortStr, Value)> = vec![
            (ShortStr::truncated("product"), manner.product.into()),
            (ShortStr::truncated("capabilities"), capabilities.into()),
        ];
        properties.extend(manner.name.clone().map(|name| (ShortStr::truncated("connection_name"), Value::text(name))));
        let start_ok = connection::StartOk {
            client_properties: properties.into_iter().collect(),
            response: Bytes::from([&[0], user, &[0], password].concat()),
            ..Default::default()
        };
        self.out.arguments(0, &start_ok);
        let Method::ConnectionTune(tune) = self.answer(0).await? else {
            return Err(self.unexpected("answer to the login"));
        };
        if tune.frame_max != 0 {
            self.frame_max = tune.frame_max.min(FRAME_MAX);
        }
        let heartbeat = self.uri.heartbeat.unwrap_or(manner.heartbeat);
        self.heartbeat = Duration::from_secs(heartbeat.into());
        let tune_ok = connection::TuneOk { channel_max: tune.channel_max, frame_max: self.frame_max, heartbeat };
        self.out.arguments(0, &tune_ok);
        let virtual_host = ShortStr::truncated(&self.uri.vhost);
        let open = connection::Open { virtual_host, ..Default::default() };
        let Method::ConnectionOpenOk(_) = self.call(0, &open).await? else {
            return Err(self.unexpected("answer to connection.open"));
        };
        let Method::ChannelOpenOk(_) = self.call(CHANNEL, &channel::Open::default()).await? else {
            return Err(self.unexpected("answer to channel.open"));
        };
        Ok(())
    }

    /// Sends a method and waits for the next one on its channel.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call(&mut self, channel: u16, method: &impl Arguments) -> Result<Method, ClientError> {
        self.out.arguments(channel, method);
        self.answer(channel).await
    }

    async fn answer(&mut self, channel: u16) -> Result<Method, ClientError> {
        let wait = async {
            loop {
                while let Some(frame) = self.next_frame()? {
                    match frame.payload {
                        Payload::Method(method) if frame.channel == channel => return Ok(method),
                        _ => {}
                    }
                }
                self.turn(std::future::pending()).await?;
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(method) => method,
            Err(_) => Err(ClientError::Late { uri: self.uri.clone().into(), what: "answer", silence: PATIENCE }),
        }
    }

    /// What the broker says of itself: `cluster_name`, `product`, …
    #[must_use]
    pub const fn server_properties(&self) -> &FieldTable {
        &self.server
    }

    /// Where it is connected.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Sends a heartbeat if one is due. To be called at least every half second
    /// a second of heartbeat interval.
    ///
    /// # Errors
    /// If nothing was heard for two intervals.
    pub fn keep_alive(&mut self) -> Result<(), ClientError> {
        if self.heartbeat.is_zero() {
            return Ok(());
        }
        let silence = self.heard.elapsed();
        if silence > 2 * self.heartbeat {
            return Err(ClientError::Late { uri: self.uri.clone().into(), what: "heartbeat", silence });
        }
        if self.said.elapsed() >= self.heartbeat / 2 && self.out.is_empty() {
            self.out.heartbeat();
        }
        Ok(())
    }

    /// Largest frame to be sent.
    #[must_use]
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Waits until something was read, or written that could not be at once, or
    /// until `wake`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn turn(&mut self, wake: impl Future<Output = ()>) -> Result<(), ClientError> {
        let mut turn = Turn::new(false);
        tokio::select! {
            biased;
            moved = poll_fn(|cx| self.poll_turn(&mut turn, cx)) => moved,
            () = wake => Ok(()),
        }
    }

    /// A turn as a poll, for who drives two clients at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn poll_turn(&mut self, turn: &mut Turn, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        match self.exchange(turn, cx) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(ClientError::Io { uri: self.uri.clone().into(), error })),
        }
    }

    /// True if there is something new for the caller to do.
    fn exchange(&mut self, turn: &mut Turn, cx: &mut Context<'_>) -> io::Result<bool> {
        let wrote = self.write_now(cx)?;
        let read = !turn.only_writes && self.read_now(cx)?;
        // What could be written at once is nothing to return for: the caller has
        // nothing new to look at. Room after a wait is.
        let room = wrote && turn.waited;
        turn.waited = true;
        Ok(room || read)
    }

    /// True if anything was written.
    fn write_now(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut any = false;
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let count = self.out.chunks_vectored(&mut slices);
            let write = pin!(self.transport.write_vectored(slices.get(..count).unwrap_or_default()));
            match write.poll(cx) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.out.advance(written),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
            any = true;
        }
        if any {
            self.said = Instant::now();
        }
        // TLS keeps records back until it is told.
        if let Poll::Ready(Err(error)) = pin!(self.transport.flush()).poll(cx) {
            return Err(error);
        }
        Ok(any)
    }

    /// True if anything was read.
    fn read_now(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut any = false;
        for _ in 0..READS {
            let read = pin!(self.transport.read_buf(self.reader.buffer()));
            match read.poll(cx) {
                // What came before the end is looked at first: it may be the answer.
                Poll::Ready(Ok(0)) if any => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Ok(_)) => any = true,
                Poll::Ready(Err(_)) if any => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if any {
            self.heard = Instant::now();
        }
        Ok(any)
    }

    /// The next frame of what was read.
    ///
    /// # Errors
    /// What came is no frame, or says that the connection or channel is closed.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ClientError> {
        let frame =
            self.reader.next_frame().map_err(|error| ClientError::Frame { uri: self.uri.clone().into(), error })?;
        let (code, text) = match &frame {
            Some(Frame { payload: Payload::Method(Method::ConnectionClose(close)), .. }) => {
                (close.reply_code, &close.reply_text)
            }
            Some(Frame { payload: Payload::Method(Method::ChannelClose(close)), .. }) => {
                (close.reply_code, &close.reply_text)
            }
            _ => return Ok(frame),
        };
        Err(ClientError::Closed { uri: self.uri.clone().into(), code, text: text.clone() })
    }

    /// Writes all that is to be written and closes the connection in order, so
    /// that nothing sent before it is lost.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn close(mut self) -> Result<(), ClientError> {
        let close = connection::Close { reply_code: 200, ..Default::default() };
        self.call(0, &close).await.map(drop)
    }

    /// The error for an answer that does not fit.
    #[must_use]
    pub fn unexpected(&self, method: &'static str) -> ClientError {
        ClientError::Unexpected { uri: self.uri.clone().into(), method }
    }
}
