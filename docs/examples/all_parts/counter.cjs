// Know when all parts are done, with plain queues: counter.py with amqplib.

const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');
const { IMAGES, TASKS, URL, Album, declare, remove, startWorkers } = require('./album.cjs');

const QUIET_MS = 3000;

/** Publishes all images. */
async function upload(channel) {
  for (const image of IMAGES) channel.publish('images', '', Buffer.from(image), { persistent: true, mandatory: true });
  await channel.waitForConfirms();
  console.log(`uploader: ${IMAGES.length} images for ${TASKS.length} queues`);
}

/** Tells the coordinator that a worker has finished an image. */
async function report(channel, task, image) {
  channel.sendToQueue('finished', Buffer.from(`${task} of ${image}`), { persistent: true });
  await channel.waitForConfirms();
}

/** Counts results until there are enough for an album, or `until` of them if the coordinator crashes then. */
async function coordinate(channel, name, until) {
  const expected = IMAGES.length * TASKS.length;
  let results = 0;
  for (let last = Date.now(); Date.now() - last < QUIET_MS;) {
    const message = await channel.get('finished');
    if (!message) {
      await sleep(20);
      continue;
    }
    last = Date.now();
    results += 1;
    channel.ack(message);
    if (results === expected) {
      console.log(`${name}: ${results} of ${expected} results, the album is complete`);
      return;
    }
    if (results === until) {
      console.log(`${name}: ${results} of ${expected} results, crashed`);
      return;
    }
  }
  console.log(`${name}: ${results} of ${expected} results, and no more come`);
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await declare(channel);
  await channel.assertQueue('finished');

  // A result that is counted twice makes up for one that does not exist.
  let album = new Album();
  await upload(channel);
  let stopWorkers = await startWorkers(album, report);
  await coordinate(channel, 'coordinator', null);
  await stopWorkers();
  album.showIncidents();
  album.showMissing();

  // A coordinator that crashes takes its count with it.
  album = new Album({ hasFaults: false });
  await upload(channel);
  stopWorkers = await startWorkers(album, report);
  await coordinate(channel, 'coordinator', 10);
  await coordinate(channel, 'next coordinator', null);
  await stopWorkers();
  album.showMissing();

  await channel.deleteQueue('finished');
  await remove(channel);
  await connection.close();
}

main();
