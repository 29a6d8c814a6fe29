// Know when all parts are done, with a batch: main.py with amqplib.

const { randomUUID } = require('node:crypto');
const amqp = require('amqplib');
const { IMAGES, TASKS, URL, Album, declare, remove, startWorkers } = require('./album.cjs');

const MANAGEMENT_URL = process.env.MANAGEMENT_URL ?? 'http://localhost:15672';

/** Publishes all images as a batch, the first one twice, as after a lost confirm. */
async function upload(channel) {
  const headers = {
    'x-batch-id': `album-${randomUUID()}`,
    'x-batch-size': IMAGES.length,
    'x-batch-routing-key': 'albums',
    'x-batch-events': 'complete,success,death',
  };
  for (const image of [IMAGES[0], ...IMAGES]) {
    const options = { persistent: true, mandatory: true, messageId: image, headers };
    channel.publish('images', '', Buffer.from(image), options);
  }
  await channel.waitForConfirms();
  console.log(`uploader: ${IMAGES.length} images for ${TASKS.length} queues, the first one twice`);
}

/** Waits for the next message about the album, and shows it. */
async function nextEvent(channel) {
  let tag;
  const message = await new Promise((resolve) => {
    tag = channel.consume('albums', resolve);
  });
  // Acknowledged first, the next message would go to a consumer that no longer handles any.
  await channel.cancel((await tag).consumerTag);
  channel.ack(message);
  const album = JSON.parse(message.content);
  const failed = album.failures.map((failure) => `${failure.message_id} in ${failure.queue}`);
  if (album.event === 'death') {
    console.log(`album: the first failure: ${failed[0]}`);
  } else {
    console.log(`album: ${album.event}, ${album.ok} images succeeded, failed: ${failed.join(', ') || 'none'}`);
  }
}

/** Moves all dead letters back to the queues in which they died. */
async function redrive(queue) {
  const headers = { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' };
  const url = `${MANAGEMENT_URL}/api/queues/%2F/${queue}/redrive`;
  const response = await fetch(url, { method: 'POST', headers, body: '{}' });
  if (!response.ok) throw new Error(await response.text());
  console.log('the worker is repaired, and the dead letter is redriven');
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.prefetch(1);
  await declare(channel);
  await channel.assertQueue('albums');

  const album = new Album();
  await upload(channel);
  const stopWorkers = await startWorkers(album);
  await nextEvent(channel);
  await nextEvent(channel);
  album.showIncidents();
  album.showMissing();

  album.repair();
  await redrive('images.dead');
  await nextEvent(channel);
  await stopWorkers();
  album.showMissing();

  await channel.deleteQueue('albums');
  await remove(channel);
  await connection.close();
}

main();
