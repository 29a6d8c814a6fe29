// A failed message undoes newer data, with plain queues: plain.py with amqplib.

const amqp = require('amqplib');
const { MOVES, URL, AddressBook, publishMoves, retryFailed, work } = require('./address_book.cjs');

const QUEUES = ['addresses.0', 'addresses.1'];

function queueOf(customer) {
  return QUEUES[Buffer.from(customer).reduce((sum, byte) => sum + byte, 0) % QUEUES.length];
}

async function main() {
  const book = new AddressBook();
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('addresses.dead');
  const options = {
    deadLetterExchange: '',
    deadLetterRoutingKey: 'addresses.dead',
    arguments: { 'x-single-active-consumer': true },
  };
  for (const queue of QUEUES) await channel.assertQueue(queue, options);

  await publishMoves(channel, queueOf);
  await work(QUEUES, book, () => book.attempts === MOVES.length);
  book.show('Ann', 'Eve');

  book.repairMap();
  await retryFailed(channel);
  await work(QUEUES, book, () => book.attempts === MOVES.length + 1);
  book.show('Ann');
  book.compare();

  for (const queue of [...QUEUES, 'addresses.dead']) await channel.deleteQueue(queue);
  await connection.close();
}

main();
