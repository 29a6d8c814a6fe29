// The OCR service with amqplib and node:http: service.py, worker.py and main.py in one file.

const http = require('node:http');
const { once } = require('node:events');
const { randomBytes } = require('node:crypto');
const { buffer } = require('node:stream/consumers');
const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

/** HTTP front end: accepts images, responds at once, and returns the text when it is available. */
async function service(connection) {
  const texts = new Map();
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('ocr.images');
  await channel.assertQueue('ocr.results');
  await channel.consume('ocr.results', (message) => {
    if (message === null) return; // the queue was deleted
    texts.set(message.properties.correlationId, String(message.content));
    channel.ack(message);
  });

  async function answer(request) {
    if (request.method === 'POST') {
      const name = randomBytes(8).toString('hex');
      texts.set(name, null);
      const properties = { persistent: true, correlationId: name, replyTo: 'ocr.results' };
      channel.sendToQueue('ocr.images', await buffer(request), properties);
      await channel.waitForConfirms(); // the broker has confirmed it, so that 202 is true
      return [202, { Location: `/documents/${name}` }, { status: 'waiting' }];
    }
    const text = texts.get(request.url.replace('/documents/', ''));
    if (text === undefined) return [404, {}, { error: 'no such document' }];
    return [200, {}, text === null ? { status: 'waiting' } : { status: 'done', text }];
  }

  const server = http.createServer(async (request, response) => {
    const [status, headers, body] = await answer(request);
    response.writeHead(status, { ...headers, 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Replaces a real text recognition such as tesseract. */
const recognise = (image) => String(image).replaceAll('#', ' ').trim();

async function worker(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.prefetch(1);
  await channel.consume('ocr.images', async (message) => {
    if (message === null) return; // the queue was deleted
    const { correlationId, replyTo } = message.properties;
    channel.sendToQueue(replyTo, Buffer.from(recognise(message.content)), { persistent: true, correlationId });
    await channel.waitForConfirms(); // the result is confirmed before the image is acknowledged
    channel.ack(message);
  });
  console.log('worker: waiting for images');
}

async function main() {
  const connection = await amqp.connect(URL);
  const server = await service(connection);
  const base = `http://127.0.0.1:${server.address().port}`;

  const accepted = await fetch(`${base}/documents`, { method: 'POST', body: '##Hello World!##' });
  const ask = async () => (await fetch(base + accepted.headers.get('location'))).json();
  console.log(`sent: ${accepted.status}`);
  console.log(`no worker yet: ${(await ask()).status}`);
  await worker(connection);
  let answer = await ask();
  while (answer.status === 'waiting') answer = await ask(); // a real client waits a second here
  console.log(`later: ${answer.status}, '${answer.text}'`);

  server.close();
  server.closeAllConnections();
  const channel = await connection.createChannel();
  for (const queue of ['ocr.images', 'ocr.results']) await channel.deleteQueue(queue);
  await connection.close();
}

main();
