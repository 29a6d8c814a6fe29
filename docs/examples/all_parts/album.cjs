// An album of images, and the workers that process it: album.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const IMAGES = Array.from({ length: 20 }, (_, number) => `${String(number).padStart(2, '0')}.jpg`);
const TASKS = ['thumbnails', 'metadata'];
/** Task of each worker that runs. */
const WORKERS = ['thumbnails', 'thumbnails', 'metadata'];
const UNREADABLE = '13.jpg';
const CRASHES_AFTER = '03.jpg';

/** Results of the tasks, and everything that has gone wrong. Real results are in files or in a database. */
class Album {
  incidents = [];
  results = Object.fromEntries(TASKS.map((task) => [task, new Set()]));

  constructor({ hasFaults = true } = {}) {
    this.canReadAll = !hasFaults;
    this.canCrash = hasFaults;
  }

  /** Stores the result of a task for an image. Returns false if the image cannot be read. */
  process(task, image) {
    if (task === 'thumbnails' && image === UNREADABLE && !this.canReadAll) {
      this.incidents.push(`${task}: cannot read ${image}`);
      return false;
    }
    this.results[task].add(image);
    return true;
  }

  /** Returns whether the worker of this image crashes, which happens once. */
  crashes(task, image) {
    if (task !== 'metadata' || image !== CRASHES_AFTER || !this.canCrash) return false;
    this.canCrash = false;
    this.incidents.push(`${task}: crashed after ${image}, before the acknowledgement`);
    return true;
  }

  /** Makes all images readable. */
  repair() {
    this.canReadAll = true;
  }

  showIncidents() {
    for (const incident of this.incidents.sort()) console.log(incident);
  }

  showMissing() {
    const missing = TASKS.flatMap((task) => IMAGES
      .filter((image) => !this.results[task].has(image))
      .map((image) => `${task} of ${image}`));
    console.log(`missing in the album: ${missing.join(', ') || 'nothing'}`);
  }
}

/** Declares the exchange, a queue for each task, and the dead letter queue. */
async function declare(channel) {
  await channel.assertExchange('images', 'fanout');
  await channel.assertQueue('images.dead');
  for (const task of TASKS) {
    await channel.assertQueue(`images.${task}`, { deadLetterExchange: '', deadLetterRoutingKey: 'images.dead' });
    await channel.bindQueue(`images.${task}`, 'images', '');
  }
}

async function remove(channel) {
  for (const name of [...TASKS, 'dead']) await channel.deleteQueue(`images.${name}`);
  await channel.deleteExchange('images');
}

/**
 * Starts all workers, and resolves to a function that stops them.
 *
 * report(channel, task, image): awaited after the work for an image, and before its acknowledgement.
 */
async function startWorkers(album, report = async () => {}) {
  const workers = await Promise.all(WORKERS.map((task) => startWorker(task, album, report)));
  return () => Promise.all(workers.map((stop) => stop()));
}

/** Processes images. A worker that crashes is started again. Resolves to a function that stops the worker. */
async function startWorker(task, album, report) {
  let connection;
  let channel;
  let work = Promise.resolve();

  async function start() {
    connection = await amqp.connect(URL);
    channel = await connection.createConfirmChannel();
    await channel.prefetch(1);
    await channel.consume(`images.${task}`, (message) => {
      if (message !== null) work = handle(message); // null: the queue was deleted
    });
  }

  async function stop() {
    await channel.close();
    await connection.close();
  }

  async function handle(message) {
    const image = String(message.content);
    if (!album.process(task, image)) {
      channel.reject(message, false);
      return;
    }
    await report(channel, task, image);
    if (album.crashes(task, image)) {
      await stop();
      await start();
      return;
    }
    channel.ack(message);
  }

  await start();
  return async () => {
    await work;
    await stop();
  };
}

module.exports = { IMAGES, TASKS, URL, Album, declare, remove, startWorkers };
