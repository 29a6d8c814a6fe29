// Fan-out, one upload for three workers: main.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const PHOTOS = ['beach.jpg', 'cat.jpg'];

const WORKERS = {
  thumbnail: 'resizes',
  metadata: 'reads time and place of',
  recognition: 'looks for faces in',
};

/** Announces a stored photo. Resolves when the broker has confirmed the message. */
async function upload(channel, photo) {
  channel.publish('uploads', '', Buffer.from(photo), { persistent: true });
  await channel.waitForConfirms();
  console.log(`uploaded ${photo}`);
}

/** Declares a queue for this task, so that each task gets every upload. Several workers of a task share its queue. */
async function subscribe(channel, task) {
  await channel.assertExchange('uploads', 'fanout');
  const { queue } = await channel.assertQueue(`uploads.${task}`);
  await channel.bindQueue(queue, 'uploads', '');
  return queue;
}

/** Resolves after this many photos; a real worker runs forever. */
function work(channel, queue, task, photos) {
  return new Promise((done) => channel.consume(queue, (message) => {
    if (message === null) return; // the queue was deleted
    console.log(`${task} ${WORKERS[task]} ${message.content}`);
    channel.ack(message);
    photos -= 1;
    if (photos === 0) done();
  }));
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.prefetch(1);
  const queues = {};
  for (const task of Object.keys(WORKERS)) queues[task] = await subscribe(channel, task);

  for (const photo of PHOTOS) await upload(channel, photo);
  await Promise.all(Object.entries(queues).map(([task, queue]) => work(channel, queue, task, PHOTOS.length)));

  for (const queue of Object.values(queues)) await channel.deleteQueue(queue);
  await channel.deleteExchange('uploads');
  await connection.close();
}

main();
