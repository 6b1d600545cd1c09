//! A running connection, turn by turn: whatever is there is taken (octets,
//! queues' events, the catalog's answers), acted on, and what comes of it goes
//! out at once: one batch to the shards, one vectored write to the client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use warren_amqp::{Frame, Method, Payload, ReplyCode, ShortStr, channel, connection};
use warren_shard::step::ToChannel;

use super::context::{Agreed, Context, Unanswered};
use super::fault::Fault;
use super::handshake::Opened;
use super::tally::Tally;
use super::{Front, Wire, closing};
use crate::channel::Channel;
use crate::channel::routes::Routes;
use crate::direct::{Inbox, Reply};

/// How often a connection without heartbeats looks around.
const IDLE_TICK: Duration = Duration::from_secs(30);
/// Half intervals of silence after which a client is taken for dead: two whole ones.
const SILENT_TICKS: u32 = 4;
/// Most batches of events taken in one turn.
const EVENTS_A_TURN: usize = 64;

/// A connection whose vhost is open.
pub(super) struct Session<R, W> {
    wire: Wire<R, W>,
    ctx: Context,
    channels: FxHashMap<u16, Slot>,
    channel_max: u16,
    events: mpsc::UnboundedReceiver<Vec<(u16, ToChannel)>>,
    alarm: Alarm,
    stop: CancellationToken,
    ticks: Interval,
    heartbeat: Heartbeat,
    /// The client wants to close; until when what it asked for before is awaited.
    closing: Option<Instant>,
}

/// A channel number in use.
enum Slot {
    Open(Box<Channel>),
    /// Closed by the broker; the client has not answered yet.
    Closing,
}

/// Whether publishers are held back, and whether the client was told.
struct Alarm {
    reason: watch::Receiver<Option<Arc<str>>>,
    told: bool,
}

/// Signs of life either way since the last tick.
struct Heartbeat {
    wanted: bool,
    heard: bool,
    silent_ticks: u32,
    written: u64,
}

/// What a turn begins with.
enum Event {
    Read(io::Result<usize>),
    Wrote(io::Result<()>),
    Told(Vec<(u16, ToChannel)>),
    Agreed(Agreed),
    Replied(Reply),
    Alarm,
    Tick,
    /// Somebody else than the client closes it, for this reason.
    Closed(String),
    Stop,
}

/// How a connection ends.
enum End {
    /// The socket is gone, or the client is silent.
    Gone(String),
    /// The client asked.
    Asked,
    /// The broker closes.
    Fault(Fault),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<R, W> Session<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) fn new(
        front: Arc<Front>,
        wire: Wire<R, W>,
        number: u64,
        opened: Opened,
        stop: CancellationToken,
    ) -> Self {
        let (to, events) = mpsc::unbounded_channel();
        front.broker.register(number, to);
        let interval = Duration::from_secs(u64::from(opened.heartbeat));
        let tick = match (interval / 2, front.settings.consumer_timeout / 4) {
            (Duration::ZERO, Duration::ZERO) => IDLE_TICK,
            (Duration::ZERO, patience) => IDLE_TICK.min(patience),
            (beats, _) => beats,
        };
        let mut ticks = tokio::time::interval_at(Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ctx = Context {
            process: front.broker.process(),
            connection: number,
            access: opened.access,
            seat: opened.seat,
            tally: Tally { connections: 1, ..Tally::default() },
            capabilities: opened.capabilities,
            frame_max: opened.frame_max,
            out: Default::default(),
            batch: Default::default(),
            routes: Routes::new(&*front.broker),
            proposals: JoinSet::new(),
            replies: Vec::new(),
            inbox: None,
            unanswered: Unanswered::default(),
            deferred: 0,
            publishes: false,
            owns_queues: false,
            confirming: Vec::new(),
            first_sequence: 1,
            opened: 0,
            last_proposal: 0,
            front: Arc::clone(&front),
        };
        Self {
            wire,
            ctx,
            channels: FxHashMap::default(),
            channel_max: opened.channel_max,
            events,
            alarm: Alarm { reason: front.broker.blocked(), told: false },
            stop,
            ticks,
            heartbeat: Heartbeat { wanted: !interval.is_zero(), heard: true, silent_ticks: 0, written: 0 },
            closing: None,
        }
    }

    pub(super) async fn run(mut self) {
        let end = match self.turns().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        self.finish(end).await;
    }

    async fn turns(&mut self) -> Result<std::convert::Infallible, End> {
        // What the client sent together with its `connection.open`.
        self.on_frames()?;
        loop {
            self.conclude_turn();
            if self.may_close() {
                return Err(End::Asked);
            }
            match self.next_event().await {
                Event::Read(Ok(0)) => return Err(End::Gone("closed without a goodbye".to_owned())),
                Event::Read(Ok(_)) => {
                    self.heartbeat.heard = true;
                    self.ctx.routes.refresh();
                    self.on_frames()?;
                }
                Event::Read(Err(error)) | Event::Wrote(Err(error)) => return Err(End::Gone(error.to_string())),
                Event::Wrote(Ok(())) => self.ctx.out.tell_written(&mut self.ctx.batch),
                Event::Told(events) => self.on_events(events)?,
                Event::Agreed(agreed) => {
                    self.ctx.routes.refresh();
                    self.on_channel(agreed.channel, |channel, ctx| channel.on_agreed(ctx, agreed))?;
                }
                Event::Replied(reply) => self.on_replies(reply)?,
                Event::Alarm => {
                    self.tell_alarm();
                    // What was held back.
                    self.on_frames()?;
                }
                Event::Tick => self.on_tick()?,
                Event::Closed(reason) => return Err(Fault::new(ReplyCode::ConnectionForced, reason).into()),
                Event::Stop => {
                    let text = "broker forced connection closure with reason 'shutdown'";
                    return Err(Fault::new(ReplyCode::ConnectionForced, text).into());
                }
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let may_read = self.may_read();
        let Self { wire, ctx, events, alarm, stop, ticks, closing, .. } = self;
        let give_up = closing.unwrap_or_else(Instant::now);
        let has_room = ctx.out.len() < ctx.front.settings.outbox_budget;
        tokio::select! {
            read = wire.reader.read_buf(wire.frames.buffer()), if may_read => Event::Read(read),
            wrote = ctx.out.write(&mut wire.writer), if !ctx.out.is_empty() => Event::Wrote(wrote),
            Some(told) = events.recv() => Event::Told(told),
            Some(Ok(agreed)) = ctx.proposals.join_next(), if !ctx.proposals.is_empty() => Event::Agreed(agreed),
            reply = next_reply(&mut ctx.inbox), if has_room && ctx.inbox.is_some() => Event::Replied(reply),
            Ok(()) = alarm.reason.changed() => Event::Alarm,
            _ = ticks.tick() => Event::Tick,
            () = tokio::time::sleep_until(give_up), if closing.is_some() => Event::Tick,
            reason = ctx.seat.closed(), if closing.is_none() => Event::Closed(reason),
            () = stop.cancelled() => Event::Stop,
        }
    }

    /// Whether more input fits: see the bounds in the module above.
    fn may_read(&self) -> bool {
        let (ctx, settings) = (&self.ctx, &self.ctx.front.settings);
        self.closing.is_none()
            && ctx.unanswered.bytes < settings.publish_budget
            && ctx.unanswered.messages < settings.publish_budget_messages
            && ctx.out.len() < settings.outbox_budget
            && ctx.deferred < settings.deferred_budget
            && !(ctx.publishes && self.alarm.reason.borrow().is_some())
    }

    /// Whether the client asked to close and all it asked for before is done.
    fn may_close(&self) -> bool {
        self.closing.is_some_and(|give_up| {
            let waits = |slot: &Slot| matches!(slot, Slot::Open(channel) if channel.is_waiting());
            Instant::now() >= give_up || !self.channels.values().any(waits)
        })
    }

    /// Sends what the turn came to.
    fn conclude_turn(&mut self) {
        let ctx = &mut self.ctx;
        while let Some(number) = ctx.confirming.pop() {
            if let Some(Slot::Open(channel)) = self.channels.get_mut(&number) {
                channel.send_confirms(ctx);
            }
        }
        ctx.out.mark();
        ctx.front.tallies.take(&mut ctx.tally);
        if !ctx.batch.is_empty() {
            let batch = ctx.batch.take();
            ctx.front.broker.submit(batch);
        }
        if !ctx.replies.is_empty() {
            ctx.front.broker.direct().send(std::mem::take(&mut ctx.replies));
        }
        if ctx.publishes && !self.alarm.told && self.alarm.reason.borrow().is_some() {
            self.tell_alarm();
        }
    }

    /// Acts on what was read. During an alarm that ends, as in RabbitMQ, behind the
    /// first content header: what publishes is held back, its first publish included.
    fn on_frames(&mut self) -> Result<(), End> {
        let alarmed = self.alarm.reason.borrow().is_some();
        while self.closing.is_none() && !(alarmed && self.ctx.publishes) {
            let Some(frame) = self.wire.frames.next_frame().map_err(Fault::from)? else { break };
            match frame {
                Frame { channel: 0, payload } => self.on_connection_frame(payload)?,
                Frame { channel, payload } => {
                    self.ctx.publishes |= matches!(payload, Payload::Header(_));
                    self.on_channel_frame(channel, payload)?;
                }
            }
        }
        Ok(())
    }

    fn on_connection_frame(&mut self, payload: Payload) -> Result<(), Fault> {
        match payload {
            Payload::Heartbeat => Ok(()),
            Payload::Method(Method::ConnectionClose(close)) => {
                debug!(code = close.reply_code, text = %close.reply_text, "the client closes");
                self.closing = Some(Instant::now() + self.ctx.front.settings.close_timeout);
                Ok(())
            }
            // Passwords do not expire: as in RabbitMQ there is nothing to update.
            Payload::Method(Method::ConnectionUpdateSecret(_)) => {
                self.ctx.reply(0, false, &connection::UpdateSecretOk);
                Ok(())
            }
            Payload::Method(method) => {
                let fault = Fault::channel_error("unexpected method in connection state running");
                Err(fault.in_method(method.id()))
            }
            Payload::Header(_) | Payload::Body(_) => Err(Fault::unexpected_frame("content on channel 0")),
        }
    }

    fn on_channel_frame(&mut self, number: u16, payload: Payload) -> Result<(), Fault> {
        match self.channels.get_mut(&number) {
            Some(Slot::Open(channel)) => {
                let result = channel.on_frame(&mut self.ctx, payload);
                self.after_channel(number, result)
            }
            Some(Slot::Closing) => {
                match payload {
                    Payload::Method(Method::ChannelCloseOk(_)) => drop(self.channels.remove(&number)),
                    Payload::Method(Method::ChannelClose(_)) => {
                        self.ctx.reply(number, false, &channel::CloseOk);
                    }
                    // Sent before the client heard of the close.
                    _ => {}
                }
                Ok(())
            }
            None => self.open_channel(number, payload),
        }
    }

    fn open_channel(&mut self, number: u16, payload: Payload) -> Result<(), Fault> {
        match payload {
            Payload::Method(Method::ChannelOpen(_)) => {}
            Payload::Method(method) => {
                return Err(Fault::channel_error("expected 'channel.open'").in_method(method.id()));
            }
            Payload::Heartbeat => return Err(Fault::unexpected_frame("heartbeat frame on a channel")),
            _ => return Err(Fault::unexpected_frame("expected method frame, got non method frame instead")),
        }
        let (count, max) = (self.channels.len(), self.channel_max);
        if count >= usize::from(max) {
            return Err(Fault::not_allowed(format_args!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({max})"
            )));
        }
        let front = Arc::clone(&self.ctx.front);
        self.ctx.seat.open_channel(&*front.broker)?;
        let channel = Channel::open(&mut self.ctx, number);
        self.channels.insert(number, Slot::Open(Box::new(channel)));
        self.ctx.reply(number, false, &channel::OpenOk::default());
        Ok(())
    }

    fn on_events(&mut self, events: Vec<(u16, ToChannel)>) -> Result<(), Fault> {
        self.tell_channels(events)?;
        for _ in 1..EVENTS_A_TURN {
            if self.ctx.out.len() >= self.ctx.front.settings.outbox_budget {
                break;
            }
            let Ok(events) = self.events.try_recv() else { break };
            self.tell_channels(events)?;
        }
        Ok(())
    }

    fn on_replies(&mut self, first: Reply) -> Result<(), Fault> {
        let mut next = Some(first);
        while let Some(Reply { channel, consumer, message }) = next {
            self.on_channel(channel, |channel, ctx| {
                channel.on_reply(ctx, consumer, message);
                Ok(())
            })?;
            let is_full = self.ctx.out.len() >= self.ctx.front.settings.outbox_budget;
            next = self.ctx.inbox.as_mut().filter(|_| !is_full).and_then(Inbox::next_now);
        }
        Ok(())
    }

    fn tell_channels(&mut self, events: Vec<(u16, ToChannel)>) -> Result<(), Fault> {
        for (number, event) in events {
            self.on_channel(number, |channel, ctx| channel.on_event(ctx, event))?;
        }
        Ok(())
    }

    /// Lets a channel act if it is open; what was meant for a closed one is void.
    fn on_channel(
        &mut self,
        number: u16,
        act: impl FnOnce(&mut Channel, &mut Context) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(Slot::Open(channel)) = self.channels.get_mut(&number) else { return Ok(()) };
        let result = act(channel, &mut self.ctx);
        self.after_channel(number, result)
    }

    /// Closes a channel that is at fault, or whose client wants it closed.
    fn after_channel(&mut self, number: u16, result: Result<(), Fault>) -> Result<(), Fault> {
        match result {
            Ok(()) => {
                let is_closed = matches!(self.channels.get(&number), Some(Slot::Open(channel)) if channel.is_closed());
                if is_closed && let Some(Slot::Open(mut channel)) = self.channels.remove(&number) {
                    channel.send_confirms(&mut self.ctx);
                    channel.close(&mut self.ctx);
                    self.ctx.reply(number, false, &channel::CloseOk);
                }
                Ok(())
            }
            Err(fault) if fault.code.is_hard() => Err(fault),
            Err(fault) => {
                info!(channel = number, text = fault.text, "channel error");
                if let Some(Slot::Open(channel)) = self.channels.insert(number, Slot::Closing) {
                    channel.close(&mut self.ctx);
                }
                self.ctx.reply(number, false, &closing::close_channel(&fault));
                Ok(())
            }
        }
    }

    fn tell_alarm(&mut self) {
        let reason = self.alarm.reason.borrow().clone();
        let (ctx, told) = (&mut self.ctx, self.alarm.told);
        let quiet = !ctx.capabilities.connection_blocked;
        match reason {
            Some(reason) if ctx.publishes && !told => {
                ctx.reply(0, quiet, &connection::Blocked { reason: ShortStr::truncated(&reason) });
                self.alarm.told = true;
            }
            None if told => {
                ctx.reply(0, quiet, &connection::Unblocked);
                self.alarm.told = false;
            }
            _ => {}
        }
    }

    fn on_tick(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let open = self.channels.iter().filter(|(_, slot)| matches!(slot, Slot::Open(_)));
        let numbers: Vec<u16> = open.map(|(number, _)| *number).collect();
        for number in numbers {
            self.on_channel(number, |channel, ctx| channel.on_tick(ctx, now))?;
        }
        if !self.heartbeat.wanted {
            return Ok(());
        }
        let written = self.ctx.out.written();
        if written == self.heartbeat.written && self.ctx.out.is_empty() {
            self.ctx.out.frames.heartbeat();
        }
        let is_heard = std::mem::take(&mut self.heartbeat.heard);
        // While nothing is read, nothing can be heard.
        if is_heard || !self.may_read() {
            self.heartbeat.silent_ticks = 0;
        } else {
            self.heartbeat.silent_ticks += 1;
        }
        self.heartbeat.written = written;
        if self.heartbeat.silent_ticks >= SILENT_TICKS {
            return Err(End::Gone("missed heartbeats from client".to_owned()));
        }
        Ok(())
    }

    async fn finish(mut self, end: End) {
        for (_, slot) in self.channels.drain() {
            if let Slot::Open(channel) = slot {
                channel.close(&mut self.ctx);
            }
        }
        let Self { mut wire, mut ctx, .. } = self;
        ctx.tally.connections_closed += 1;
        ctx.front.tallies.take(&mut ctx.tally);
        let (front, patience) = (Arc::clone(&ctx.front), ctx.front.settings.close_timeout);
        front.broker.submit(ctx.batch.take());
        front.broker.direct().send(std::mem::take(&mut ctx.replies));
        front.broker.unregister(ctx.connection);
        let mut cleaned = None;
        if ctx.owns_queues {
            let broker = Arc::clone(&front.broker);
            let (proposals, owner) = (std::mem::take(&mut ctx.proposals), ctx.owner());
            cleaned = Some(tokio::spawn(closing::drop_owned(broker, proposals, owner)));
        }
        let answers = match end {
            End::Gone(why) => {
                warn!(why, "connection lost");
                return;
            }
            End::Asked => {
                // A client that has its answer may rely on the queues being gone.
                if let Some(cleaned) = cleaned {
                    let _ = tokio::time::timeout(patience, cleaned).await;
                }
                info!("closed");
                ctx.out.frames.arguments(0, &connection::CloseOk);
                false
            }
            End::Fault(fault) => {
                warn!(text = fault.text, "connection error");
                ctx.out.frames.arguments(0, &closing::close(&fault));
                true
            }
        };
        closing::say_farewell(&mut wire, &mut ctx.out.frames, answers, patience).await;
    }
}

/// The next direct reply; never, without an inbox.
async fn next_reply(inbox: &mut Option<Inbox>) -> Reply {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => std::future::pending().await,
    }
}
