// The OCR service with jobs, with amqplib and node:http: service.py, the worker and main.py in one file.

const http = require('node:http');
const { once } = require('node:events');
const { buffer } = require('node:stream/consumers');
const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';
const MANAGEMENT_URL = process.env.MANAGEMENT_URL ?? 'http://localhost:15672';

function call(path, method = 'GET', body = undefined) {
  const headers = { Authorization: `Basic ${btoa('guest:guest')}`, 'Content-Type': 'application/json' };
  return fetch(`${MANAGEMENT_URL}/api/${path}`, { method, headers, body: body && JSON.stringify(body) });
}

/** HTTP front end that keeps nothing: each image is a job, and the broker knows its state. */
async function service() {
  await call('queues/%2F/ocr.images', 'PUT', { durable: true });

  async function answer(request) {
    if (request.method === 'POST') {
      const payload = (await buffer(request)).toString('base64');
      const job = { routing_key: 'ocr.images', payload, payload_encoding: 'base64' };
      const { id } = await (await call('jobs/%2F/amq.default', 'POST', job)).json();
      return [202, { Location: `/documents/${id}` }, { status: 'queued' }];
    }
    const found = await call(request.url.replace('/documents/', 'jobs/%2F/'));
    if (found.status === 404) return [404, {}, { error: 'no such document' }];
    const { state, reason, reply } = await found.json();
    return [200, {}, { status: state, reason, text: reply?.payload }];
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
  const server = await service();
  const base = `http://127.0.0.1:${server.address().port}`;

  const accepted = await fetch(`${base}/documents`, { method: 'POST', body: '##Hello World!##' });
  const document = base + accepted.headers.get('location');
  const ask = async (query) => (await fetch(document + query)).json();
  console.log(`sent: ${accepted.status}`);
  console.log(`no worker yet: ${(await ask('')).status}`);
  await worker(connection);
  const answer = await ask('?wait=20'); // answered when the text is available
  console.log(`later: ${answer.status}, '${answer.text}'`);

  server.close();
  server.closeAllConnections();
  await (await connection.createChannel()).deleteQueue('ocr.images');
  await connection.close();
}

main();
