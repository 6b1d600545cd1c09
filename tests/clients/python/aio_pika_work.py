"""aio-pika at work: see README.md."""

import asyncio
import sys

import aio_pika
from checks import Checks, body


async def publish(connection, queue: str, count: int) -> None:
    channel = await connection.channel(publisher_confirms=True)
    for start in range(0, count, 100):
        await asyncio.gather(*(
            channel.default_exchange.publish(
                aio_pika.Message(body(number), content_type="text/plain", message_id=str(number), headers={"number": number},
                                 delivery_mode=aio_pika.DeliveryMode.PERSISTENT),
                routing_key=queue, mandatory=True)
            for number in range(start, min(start + 100, count))))
        if start < count // 2 <= start + 100:
            print("half", flush=True)


async def consume(connection, queue: str, count: int) -> None:
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=50)
    checks = Checks(count)
    async with (await channel.get_queue(queue)).iterator() as messages:
        async for message in messages:
            done = checks.took(message.body, message.content_type, message.message_id, message.headers["number"],
                               message.redelivered)
            await message.ack()
            if done:
                break


async def main() -> None:
    what, uri, queue, count = sys.argv[1:]
    connection = await aio_pika.connect(uri)
    async with connection:
        await {"publish": publish, "consume": consume}[what](connection, queue, int(count))


asyncio.run(main())
