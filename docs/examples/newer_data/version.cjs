// The queue recognises that a failed message is older, and does not deliver it: version.py with amqplib.

const amqp = require('amqplib');
const {
  MOVES, URL, AddressBook, isReady, publishMoves, receive, retryFailed, work,
} = require('./address_book.cjs');

async function main() {
  const book = new AddressBook();
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('addresses.dead');
  await channel.assertQueue('addresses', {
    deadLetterExchange: '',
    deadLetterRoutingKey: 'addresses.dead',
    arguments: { 'x-group-header': 'customer', 'x-group-version-header': 'version' },
  });

  await publishMoves(channel, () => 'addresses');
  const both = ['addresses', 'addresses'];
  await work(both, book, () => book.attempts === MOVES.length);
  book.show('Ann', 'Eve');

  book.repairMap();
  await retryFailed(channel);
  await work(both, book, () => isReady(channel, 'addresses.dead', 1));
  const message = await receive(channel, 'addresses.dead');
  const [{ reason }] = message.properties.headers['x-death'];
  console.log(`the dead letter queue has it again: ${message.content} (${reason})`);
  channel.ack(message);
  book.show('Ann');
  book.compare();

  for (const queue of ['addresses', 'addresses.dead']) await channel.deleteQueue(queue);
  await connection.close();
}

main();
