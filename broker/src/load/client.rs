//! One connection of the load generator: the handshake, calls that wait for
//! their answer, and the turn of its hot loops, which reads and writes without
//! ever waiting for one while the other could go on.

use std::future::Future;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;
use warren_amqp::{
    Arguments, FieldTable, Frame, FrameError, FrameReader, Method, OutBuffer, PROTOCOL_HEADER, Payload, ShortStr,
    channel, connection,
};

use super::Uri;

/// The one channel of each connection.
pub const CHANNEL: u16 = 1;

/// The largest frame that we offer to take.
const FRAME_MAX: u32 = 128 * 1024;
/// For connecting, and for each call.
const PATIENCE: Duration = Duration::from_secs(30);
/// Reads of one turn, so that a fast sender does not keep us from writing.
const READS: usize = 4;

/// Why a connection of the load generator came to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
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
    /// No answer.
    #[error("{uri}: no answer for {} s", PATIENCE.as_secs())]
    Late {
        /// Where.
        uri: Box<Uri>,
    },
    /// A task of the load generator itself failed.
    #[error("the load generator failed: {0}")]
    Task(String),
}

/// A connection with one channel.
#[derive(Debug)]
pub struct Client {
    uri: Uri,
    stream: TcpStream,
    reader: FrameReader,
    frame_max: u32,
    /// What the next turn writes.
    pub out: OutBuffer,
}

impl Client {
    /// Connects, logs in and opens the channel.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn connect(uri: &Uri) -> Result<Self, LoadError> {
        let stream = match timeout(PATIENCE, TcpStream::connect(&uri.authority)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(LoadError::Io { uri: uri.clone().into(), error }),
            Err(_) => return Err(LoadError::Late { uri: uri.clone().into() }),
        };
        stream.set_nodelay(true).map_err(|error| LoadError::Io { uri: uri.clone().into(), error })?;
        let reader = FrameReader::new(FRAME_MAX);
        let mut client = Self { uri: uri.clone(), stream, reader, frame_max: FRAME_MAX, out: OutBuffer::new() };
        client.handshake().await?;
        Ok(client)
    }

    async fn handshake(&mut self) -> Result<(), LoadError> {
        self.out.raw(&PROTOCOL_HEADER);
        let Method::ConnectionStart(_) = self.answer(0).await? else {
            return Err(self.unexpected("answer to the header"));
        };
        let (user, password) = (self.uri.username.as_bytes(), self.uri.password.as_bytes());
        let capabilities = FieldTable::from([
            ("publisher_confirms", true.into()),
            ("basic.nack", true.into()),
            ("consumer_cancel_notify", true.into()),
            ("connection.blocked", true.into()),
            ("authentication_failure_close", true.into()),
        ]);
        let start_ok = connection::StartOk {
            client_properties: FieldTable::from([
                ("product", "warren load generator".into()),
                ("capabilities", capabilities.into()),
            ]),
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
        // No heartbeats: the generator runs for a while, not for days.
        let tune_ok = connection::TuneOk { channel_max: tune.channel_max, frame_max: self.frame_max, heartbeat: 0 };
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
    /// See [`LoadError`].
    pub async fn call(&mut self, channel: u16, method: &impl Arguments) -> Result<Method, LoadError> {
        self.out.arguments(channel, method);
        self.answer(channel).await
    }

    async fn answer(&mut self, channel: u16) -> Result<Method, LoadError> {
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
            Err(_) => Err(LoadError::Late { uri: self.uri.clone().into() }),
        }
    }

    /// Largest frame to be sent.
    #[must_use]
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Waits until something could be read or written, or until `wake`, and
    /// does what is possible.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn turn(&mut self, wake: impl Future<Output = ()>) -> Result<(), LoadError> {
        self.exchange(wake).await.map_err(|error| LoadError::Io { uri: self.uri.clone().into(), error })
    }

    async fn exchange(&mut self, wake: impl Future<Output = ()>) -> io::Result<()> {
        self.write_now()?;
        let interest = if self.out.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        tokio::select! {
            biased;
            ready = self.stream.ready(interest) => {
                let ready = ready?;
                if ready.is_readable() || ready.is_read_closed() {
                    self.read_now()?;
                }
                if ready.is_writable() {
                    self.write_now()?;
                }
            }
            () = wake => {}
        }
        Ok(())
    }

    fn write_now(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let count = self.out.chunks_vectored(&mut slices);
            match self.stream.try_write_vectored(slices.get(..count).unwrap_or_default()) {
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_now(&mut self) -> io::Result<()> {
        for read in 0..READS {
            match self.stream.try_read_buf(self.reader.buffer()) {
                // What came before the end is looked at first: it may be the answer.
                Ok(0) if read > 0 => break,
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next frame of what was read.
    ///
    /// # Errors
    /// What came is no frame, or says that the connection or channel is closed.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame>, LoadError> {
        let frame =
            self.reader.next_frame().map_err(|error| LoadError::Frame { uri: self.uri.clone().into(), error })?;
        let (code, text) = match &frame {
            Some(Frame { payload: Payload::Method(Method::ConnectionClose(close)), .. }) => {
                (close.reply_code, &close.reply_text)
            }
            Some(Frame { payload: Payload::Method(Method::ChannelClose(close)), .. }) => {
                (close.reply_code, &close.reply_text)
            }
            _ => return Ok(frame),
        };
        Err(LoadError::Closed { uri: self.uri.clone().into(), code, text: text.clone() })
    }

    /// Writes all that is to be written and closes the connection in order, so
    /// that nothing sent before it is lost.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn close(mut self) -> Result<(), LoadError> {
        let close = connection::Close { reply_code: 200, ..Default::default() };
        self.call(0, &close).await.map(drop)
    }

    pub(super) fn unexpected(&self, method: &'static str) -> LoadError {
        LoadError::Unexpected { uri: self.uri.clone().into(), method }
    }
}
