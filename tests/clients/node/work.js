// Node's amqplib at work: see README.md.
const amqp = require("amqplib");

const [what, uri, queue, count] = [process.argv[2], process.argv[3], process.argv[4], Number(process.argv[5])];
const body = (number) => Buffer.from(`${number} ${"x".repeat(number % 997)}`);

function fail(why) {
  console.error(why);
  process.exit(1);
}

async function publish(connection) {
  const channel = await connection.createConfirmChannel();
  for (let number = 0; number < count; number++) {
    channel.sendToQueue(queue, body(number), {
      persistent: true,
      contentType: "text/plain",
      messageId: String(number),
      headers: { number },
    });
    if ((number + 1) % 100 === 0 || number + 1 === count) {
      await channel.waitForConfirms();
      if (number + 1 === count / 2) console.log("half");
    }
  }
}

async function consume(connection) {
  const channel = await connection.createChannel();
  await channel.prefetch(50);
  const seen = new Set();
  let twice = 0;
  await new Promise((done) => {
    channel.consume(queue, (message) => {
      if (message === null) fail("cancelled");
      const number = message.properties.headers.number;
      if (!message.content.equals(body(number))) fail(`the body of ${number}`);
      if (message.properties.contentType !== "text/plain" || message.properties.messageId !== String(number)) {
        fail(`the properties of ${number}`);
      }
      if (seen.has(number)) {
        if (!message.fields.redelivered) fail(`${number} came twice`);
        twice++;
      }
      seen.add(number);
      channel.ack(message);
      if (seen.size === count) done();
    });
  });
  console.log(`all, ${twice} twice`);
  await channel.close();
}

(async () => {
  const connection = await amqp.connect(uri);
  await { publish, consume }[what](connection);
  await connection.close();
})().catch((error) => fail(error.stack));
