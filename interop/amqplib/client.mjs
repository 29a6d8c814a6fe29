// amqplib (Node.js): promises for what is answered, callbacks for deliveries, and its own recovery of a lost connection.
//
// Run by `python -m interop amqplib`, which installs nothing: `npm install --prefix interop/amqplib` does.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import amqp from 'amqplib';

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/';
const answers = readline.createInterface({ input: process.stdin });
let failures = 0;

/** Run `body` as the check `name`: it passes unless it throws. */
async function check(name, body) {
  try {
    await Promise.race([body(), sleep(60_000, null, { ref: false }).then(() => assert.fail('took more than 60 s'))]);
    console.log(`PASS ${name}`);
  } catch (error) {
    console.error(error);
    failures += 1;
    console.log(`FAIL ${name} ${String(error.message ?? error).replace(/\s+/g, ' ')}`);
  }
}

async function restartBroker() {
  console.log('RESTART');
  const [line] = await once(answers, 'line');
  assert.equal(line, 'RESTARTED');
}

/** Consume and acknowledge `count` messages, then cancel the consumer. */
async function take(channel, queue, count) {
  const messages = [];
  const consumerTag = `take.${queue}`;
  await new Promise((done) => channel.consume(queue, (message) => {
    messages.push(message);
    channel.ack(message);
    if (messages.length === count) done();
  }, { consumerTag }));
  await channel.cancel(consumerTag);
  return messages;
}

const bodies = async (channel, queue, count) =>
  (await take(channel, queue, count)).map((message) => message.content.toString());

/** How often a message has died in `queue` for `reason`, as its x-death header tells. */
function deathCount(message, queue, reason) {
  const deaths = message.properties.headers['x-death'] ?? [];
  return deaths.filter((death) => death.queue === queue && death.reason === reason)
    .reduce((sum, death) => sum + death.count, 0);
}

const deadLetterTo = (queue) => ({ deadLetterExchange: '', deadLetterRoutingKey: queue });

async function topology(channel) {
  await channel.assertExchange('orders', 'topic', { durable: true });
  await channel.assertExchange('copies', 'fanout', { durable: true });
  await channel.assertExchange('parts', 'headers', { durable: false });
  await channel.assertExchange('checked', 'direct', { alternateExchange: 'copies' });
  await channel.assertQueue('german', { durable: true });
  await channel.assertQueue('all');
  await channel.assertQueue('screws');
  await channel.bindQueue('german', 'orders', 'order.de.#');
  await channel.bindExchange('copies', 'orders', '#');
  await channel.bindQueue('all', 'copies', '');
  await channel.bindQueue('screws', 'parts', '', { 'x-match': 'all', kind: 'screw', size: 4 });

  channel.publish('orders', 'order.de.berlin', Buffer.from('1'));
  channel.publish('orders', 'order.fr', Buffer.from('2'));
  channel.publish('checked', 'unbound', Buffer.from('3'));
  channel.publish('parts', '', Buffer.from('4'), { headers: { kind: 'screw', size: 4 } });
  channel.publish('parts', '', Buffer.from('5'), { headers: { kind: 'screw', size: 5 } });
  assert.deepEqual(await bodies(channel, 'german', 1), ['1']);
  assert.deepEqual(await bodies(channel, 'all', 3), ['1', '2', '3']);
  assert.deepEqual(await bodies(channel, 'screws', 1), ['4']);

  const { queue } = await channel.assertQueue('', { exclusive: true });
  assert.match(queue, /^amq\.gen-/);
  assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
  await channel.unbindExchange('copies', 'orders', '#');
  await channel.deleteExchange('parts', { ifUnused: false });
}

async function confirms(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('confirmed', { durable: true });
  for (let number = 0; number < 300; number += 1) {
    channel.sendToQueue('confirmed', Buffer.from(String(number)), { persistent: true });
  }
  await channel.waitForConfirms();
  assert.equal((await channel.checkQueue('confirmed')).messageCount, 300);

  await channel.assertQueue('full', { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } });
  const publish = (body) => new Promise((resolve, reject) => {
    channel.sendToQueue('full', Buffer.from(body), {}, (error) => (error ? reject(error) : resolve()));
  });
  await publish('fits');
  await assert.rejects(publish('does not fit'), /nacked/);
  await channel.close();
}

async function mandatoryReturn(channel) {
  const returned = once(channel, 'return');
  channel.publish('amq.direct', 'nobody', Buffer.from('lost?'), { mandatory: true });
  const [message] = await returned;
  assert.deepEqual(
    [message.fields.replyCode, message.fields.replyText, message.content.toString()],
    [312, 'NO_ROUTE', 'lost?'],
  );
}

async function acks(connection) {
  const channel = await connection.createChannel();
  await channel.prefetch(1);
  await channel.assertQueue('work');
  for (const body of ['a', 'b', 'c']) channel.sendToQueue('work', Buffer.from(body));
  const seen = [];
  await new Promise((done) => channel.consume('work', (message) => {
    seen.push(`${message.content} ${message.fields.redelivered}`);
    if (message.fields.redelivered) channel.ack(message);
    else channel.nack(message, false, true);
    if (seen.length === 6) done();
  }));
  assert.deepEqual(seen, ['a false', 'a true', 'b false', 'b true', 'c false', 'c true']);
  await channel.close();
}

async function priorities(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('triage', { maxPriority: 5 });
  for (const priority of [0, 3, 1, 5, 3]) channel.sendToQueue('triage', Buffer.from(String(priority)), { priority });
  await channel.waitForConfirms();
  assert.deepEqual(await bodies(channel, 'triage', 5), ['5', '3', '3', '1', '0']);
  await channel.close();
}

async function ttlToDlx(channel) {
  await channel.assertExchange('late', 'direct');
  await channel.assertQueue('missed');
  await channel.bindQueue('missed', 'late', 'too.late');
  await channel.assertQueue('slots', { deadLetterExchange: 'late', deadLetterRoutingKey: 'too.late' });
  channel.sendToQueue('slots', Buffer.from('milk'), { expiration: 100 });
  const [message] = await take(channel, 'missed', 1);
  assert.equal(message.content.toString(), 'milk');
  assert.equal(message.properties.expiration, undefined);
  const [death] = message.properties.headers['x-death'];
  assert.deepEqual([death.queue, death.reason, death.count], ['slots', 'expired', 1]);
  assert.equal(death['original-expiration'], '100');
  assert.equal(death.time['!'], 'timestamp');
}

/** A rejected job waits 100 ms in a queue that nobody consumes, then is back; the fourth try succeeds. */
async function waitAndRetry(connection) {
  const channel = await connection.createChannel();
  await channel.assertQueue('jobs', deadLetterTo('jobs.wait'));
  await channel.assertQueue('jobs.wait', { messageTtl: 100, ...deadLetterTo('jobs') });
  channel.sendToQueue('jobs', Buffer.from('flaky'));
  const tries = [];
  await new Promise((done) => channel.consume('jobs', (message) => {
    tries.push([deathCount(message, 'jobs', 'rejected'), deathCount(message, 'jobs.wait', 'expired')]);
    if (tries.length < 4) channel.reject(message, false);
    else done(channel.ack(message));
  }));
  assert.deepEqual(tries, [[0, 0], [1, 1], [2, 2], [3, 3]]);
  await channel.close();
}

async function rejectToDlq(connection) {
  const channel = await connection.createChannel();
  await channel.assertQueue('dead');
  await channel.assertQueue('fragile', deadLetterTo('dead'));
  channel.sendToQueue('fragile', Buffer.from('poison'), { headers: { attempt: 1 }, messageId: 'm1' });
  await channel.consume('fragile', (message) => channel.nack(message, false, false));
  const [message] = await take(channel, 'dead', 1);
  assert.equal(message.content.toString(), 'poison');
  assert.deepEqual([message.properties.messageId, message.properties.headers.attempt], ['m1', 1]);
  assert.equal(deathCount(message, 'fragile', 'rejected'), 1);
  await channel.close();
}

async function consumerCancelled(channel) {
  await channel.assertQueue('doomed');
  const cancelled = new Promise((done) => channel.consume('doomed', done));
  await channel.deleteQueue('doomed');
  assert.equal(await cancelled, null); // amqplib's way to say that the broker cancelled the consumer
}

async function directReplyTo(channel) {
  await channel.assertQueue('square');
  await channel.consume('square', (request) => {
    const answer = Buffer.from(String(Number(request.content) ** 2));
    channel.sendToQueue(request.properties.replyTo, answer, { correlationId: request.properties.correlationId });
    channel.ack(request);
  });
  const answered = new Promise((done) => channel.consume('amq.rabbitmq.reply-to', done, { noAck: true }));
  channel.sendToQueue('square', Buffer.from('12'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'r1' });
  const answer = await answered;
  assert.deepEqual([answer.properties.correlationId, answer.content.toString()], ['r1', '144']);
}

/** Messages stay in a stream, and each settled one allows the next delivery, even if it is to be requeued. */
async function streams(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('journal', { durable: true, arguments: { 'x-queue-type': 'stream' } });
  for (let number = 0; number < 5; number += 1) {
    channel.sendToQueue('journal', Buffer.from(String(number)));
    await channel.waitForConfirms();
  }
  const read = async (offset, count) => {
    const reader = await connection.createChannel();
    await reader.prefetch(2);
    const found = [];
    await new Promise((done) => reader.consume('journal', (message) => {
      reader.ack(message);
      found.push(`${message.properties.headers['x-stream-offset']}:${message.content}`);
      if (found.length === count) done();
    }, { arguments: { 'x-stream-offset': offset } }));
    await reader.close();
    return found.slice(0, count);
  };
  assert.deepEqual(await read('first', 5), ['0:0', '1:1', '2:2', '3:3', '4:4']);
  assert.deepEqual(await read(3, 2), ['3:3', '4:4']);
  assert.deepEqual(await read('last', 1), ['4:4']);

  const reader = await connection.createChannel();
  await reader.prefetch(2);
  const messages = [];
  let arrived = () => {};
  await reader.consume('journal', (message) => {
    messages.push(message);
    arrived();
  }, { arguments: { 'x-stream-offset': 'first' } });
  const delivered = async (count) => {
    while (messages.length < count) await new Promise((done) => { arrived = done; });
    await sleep(100);
    assert.equal(messages.length, count);
  };
  await delivered(2);
  reader.nack(messages[1], false, true);
  await delivered(3);
  reader.ack(messages[0]);
  await delivered(4);
  await reader.close();
  await channel.deleteQueue('journal');
  await channel.close();
}

async function largeMessage(channel) {
  const sent = randomBytes(20 * 1024 * 1024);
  await channel.assertQueue('large');
  channel.sendToQueue('large', sent);
  const [message] = await take(channel, 'large', 1);
  assert.ok(message.content.equals(sent), 'the content differs');
}

async function channelError(connection) {
  let channel = await connection.createChannel();
  let closed = once(channel, 'error');
  await assert.rejects(channel.checkQueue('no.such.queue'));
  let [error] = await closed;
  assert.equal(error.code, 404);
  assert.match(error.message, /"NOT_FOUND - no queue 'no\.such\.queue' in vhost '\/'"/);

  channel = await connection.createChannel();
  await channel.assertQueue('settled', { messageTtl: 1000 });
  closed = once(channel, 'error');
  await assert.rejects(channel.assertQueue('settled', { messageTtl: 2000 }));
  [error] = await closed;
  assert.equal(error.code, 406);
  assert.ok(error.message.includes(
    "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'settled' in vhost '/': " +
    "received '2000' but current is '1000'"), error.message);

  channel = await connection.createChannel(); // the connection has not suffered
  assert.equal((await channel.checkQueue('settled')).queue, 'settled');
  await channel.close();
}

/** `setup` runs after each connect: it declares and consumes again. */
async function reconnect() {
  let received = () => {};
  let channel;
  const connection = await amqp.connect(URL, {
    recovery: {
      calculateDelay: () => 200,
      async setup(model) {
        channel = await model.createConfirmChannel();
        channel.on('error', () => {});
        await channel.assertQueue('steady', { durable: true });
        await channel.consume('steady', (message) => {
          if (message === null) return;
          channel.ack(message);
          received(message.content.toString());
        });
      },
    },
  });
  const roundTrip = async (body) => {
    const back = new Promise((done) => { received = done; });
    channel.sendToQueue('steady', Buffer.from(body));
    await channel.waitForConfirms();
    return back;
  };
  assert.equal(await roundTrip('before'), 'before');
  connection.on('error', (error) => console.error('connection:', error.message));
  const disconnected = new Promise((done) => { connection.once('disconnect', done); });
  const connected = new Promise((done) => { connection.once('connect', done); });
  await restartBroker();
  const reason = await disconnected;
  assert.match(reason.message, /320 \(CONNECTION-FORCED\).*broker forced connection closure with reason 'shutdown'/);
  await connected;
  assert.equal(await roundTrip('still here'), 'still here');
  await connection.close();
}

console.log(`VERSION amqplib ${createRequire(import.meta.url)('./node_modules/amqplib/package.json').version}`);
const connection = await amqp.connect(URL);
const channel = await connection.createChannel();
await check('topology', () => topology(channel));
await check('confirms', () => confirms(connection));
await check('mandatory-return', () => mandatoryReturn(channel));
await check('acks', () => acks(connection));
await check('priorities', () => priorities(connection));
await check('ttl-dlx', () => ttlToDlx(channel));
await check('wait-retry', () => waitAndRetry(connection));
await check('reject-dlq', () => rejectToDlq(connection));
await check('consumer-cancelled', () => consumerCancelled(channel));
await check('direct-reply-to', () => directReplyTo(channel));
await check('streams', () => streams(connection));
await check('large-message', () => largeMessage(channel));
await check('channel-error', () => channelError(connection));
await connection.close();
await check('reconnect', () => reconnect());
process.exit(failures ? 1 : 0);
