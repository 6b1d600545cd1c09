//! lapin at work: see ../README.md.

use std::collections::BTreeSet;
use std::error::Error;

use futures_lite::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, job, uri, queue, count] = arguments.as_slice() else {
        return Err("usage: work JOB URI QUEUE COUNT".into());
    };
    let count = count.parse()?;
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    match job.as_str() {
        "publish" => publish(&channel, queue, count).await?,
        _ => consume(&channel, queue, count).await?,
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

fn body(number: usize) -> String {
    format!("{number} {}", "x".repeat(number % 997))
}

async fn publish(channel: &Channel, queue: &str, count: usize) -> Outcome {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut pending = Vec::new();
    for number in 0..count {
        let mut headers = FieldTable::default();
        headers.insert("number".into(), AMQPValue::LongLongInt(i64::try_from(number)?));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("text/plain".into())
            .with_message_id(number.to_string().into())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let body = body(number);
        pending.push(channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?);
        if (number + 1) % 100 == 0 || number + 1 == count {
            for confirm in pending.drain(..) {
                let Confirmation::Ack(None) = confirm.await? else { return Err("not confirmed".into()) };
            }
            if number + 1 == count / 2 {
                println!("half");
            }
        }
    }
    Ok(())
}

async fn consume(channel: &Channel, queue: &str, count: usize) -> Outcome {
    channel.basic_qos(50, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    let (mut seen, mut twice) = (BTreeSet::new(), 0);
    while seen.len() < count {
        let delivery = deliveries.next().await.ok_or("the channel was closed")??;
        let properties = &delivery.properties;
        // Which kind of number it is depends on the publisher.
        let header = properties.headers().as_ref().and_then(|table| table.inner().get("number")).ok_or("no number")?;
        let number = match header {
            AMQPValue::ShortShortInt(number) => usize::try_from(*number)?,
            AMQPValue::ShortShortUInt(number) => usize::from(*number),
            AMQPValue::ShortInt(number) => usize::try_from(*number)?,
            AMQPValue::ShortUInt(number) => usize::from(*number),
            AMQPValue::LongInt(number) => usize::try_from(*number)?,
            AMQPValue::LongUInt(number) => usize::try_from(*number)?,
            AMQPValue::LongLongInt(number) => usize::try_from(*number)?,
            other => return Err(format!("the number is {other:?}").into()),
        };
        let whole = delivery.data == body(number).as_bytes()
            && properties.content_type().as_ref().is_some_and(|kind| kind.as_str() == "text/plain")
            && properties.message_id().as_ref().is_some_and(|id| id.as_str() == number.to_string());
        if !whole {
            return Err(format!("message {number} is not as it was").into());
        }
        if !seen.insert(number) {
            if !delivery.redelivered {
                return Err(format!("{number} came twice").into());
            }
            twice += 1;
        }
        delivery.ack(BasicAckOptions::default()).await?;
    }
    println!("all, {twice} twice");
    Ok(())
}
