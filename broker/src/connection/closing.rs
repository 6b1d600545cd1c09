//! How a connection ends: what its queues and the cluster are told, and what
//! its client.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};
use warren_amqp::{Frame, Method, OutBuffer, Payload, ShortStr, channel, connection};
use warren_membership::catalog::{Command, Owner};

use super::Wire;
use super::context::Agreed;
use super::fault::Fault;
use super::ports::{Broker, ProposalError};

/// How long the first wait between tries to delete exclusive queues is.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// `connection.close` for a fault.
pub(super) fn close(fault: &Fault) -> connection::Close {
    connection::Close {
        reply_code: fault.code.code(),
        reply_text: ShortStr::truncated(&fault.text),
        class_id: fault.method.class,
        method_id: fault.method.method,
    }
}

/// `channel.close` for a fault.
pub(super) fn close_channel(fault: &Fault) -> channel::Close {
    channel::Close {
        reply_code: fault.code.code(),
        reply_text: ShortStr::truncated(&fault.text),
        class_id: fault.method.class,
        method_id: fault.method.method,
    }
}

/// Deletes a connection's exclusive queues once its last proposals are through
/// (one may make such a queue yet). Goes on until it is agreed or this process
/// ends, after which the next boot's registration does it.
pub(super) async fn drop_owned(broker: Arc<dyn Broker>, mut proposals: JoinSet<Agreed>, owner: Owner) {
    while proposals.join_next().await.is_some() {}
    let mut wait = FIRST_RETRY;
    loop {
        match broker.propose(Command::DropOwned { owner }).await {
            Ok(_) => return,
            Err(ProposalError::Refused(refusal)) => {
                warn!(%refusal, "exclusive queues of a closed connection stay");
                return;
            }
            Err(ProposalError::Unavailable(why)) => {
                debug!(why, "cannot delete the exclusive queues of a closed connection yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LAST_RETRY);
            }
        }
    }
}

/// Writes what is left, and reads on for a while: until the client has answered
/// a close, or closed. A socket closed with unread input would take back what
/// was just written.
pub(super) async fn say_farewell<R, W>(wire: &mut Wire<R, W>, out: &mut OutBuffer, answers: bool, patience: Duration)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let farewell = async {
        wire.writer.write_all_buf(out).await?;
        wire.writer.flush().await?;
        if answers {
            await_close_ok(wire, out).await?;
        }
        wire.writer.shutdown().await?;
        while wire.reader.read(&mut [0; 4096]).await? > 0 {}
        std::io::Result::Ok(())
    };
    match timeout(patience, farewell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "closed by the client"),
        Err(_) => debug!("the client did not close in time"),
    }
}

/// Passes over everything but the end of the connection.
async fn await_close_ok<R, W>(wire: &mut Wire<R, W>, out: &mut OutBuffer) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        match wire.frames.next_frame() {
            Ok(Some(Frame { channel: 0, payload: Payload::Method(Method::ConnectionCloseOk(_)) })) => return Ok(()),
            Ok(Some(Frame { channel: 0, payload: Payload::Method(Method::ConnectionClose(_)) })) => {
                out.arguments(0, &connection::CloseOk);
                wire.writer.write_all_buf(out).await?;
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                if wire.reader.read_buf(wire.frames.buffer()).await? == 0 {
                    return Ok(());
                }
            }
            // Out of step: nothing that comes now can be understood.
            Err(_) => return Ok(()),
        }
    }
}
