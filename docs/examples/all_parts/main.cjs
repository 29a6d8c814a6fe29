// Know when all parts are done: main.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';
const PARTS = 4;

function publish(channel, image, number) {
  channel.sendToQueue('parts', Buffer.from(`part ${number} of ${image}`), {
    persistent: true,
    messageId: `${image}/${number}`,
    headers: { 'x-batch-id': image, 'x-batch-size': PARTS, 'x-batch-routing-key': 'assemble' },
  });
}

function cut(channel, image) {
  for (let number = 0; number < PARTS; number += 1) publish(channel, image, number);
  publish(channel, image, 0);
  console.log(`cutter: ${PARTS} parts of ${image}, the first one twice`);
}

async function work(channel, workers) {
  let count = 0;
  for (let message = await channel.get('parts'); message; message = await channel.get('parts')) {
    console.log(`${workers[count % workers.length]}: ${message.content}`);
    channel.ack(message);
    count += 1;
  }
}

async function assemble(channel) {
  const message = await new Promise((resolve) => { channel.consume('assemble', resolve); });
  const batch = JSON.parse(message.content);
  console.log(`assembler: ${batch.id} is complete: ${batch.ok} parts succeeded, ${batch.failed} failed`);
  channel.ack(message);
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createChannel();
  for (const queue of ['parts', 'assemble']) await channel.assertQueue(queue);

  cut(channel, 'moon.png');
  await work(channel, ['worker 1', 'worker 2']);
  await assemble(channel);

  for (const queue of ['parts', 'assemble']) await channel.deleteQueue(queue);
  await connection.close();
}

main();
