// Later messages of a customer follow a failed one to the dead letter queue: follow.py with amqplib.

const amqp = require('amqplib');
const { MOVES, URL, AddressBook, api, isReady, publishMoves, work } = require('./address_book.cjs');

const GROUPS = 'queues/%2F/addresses/groups';

async function main() {
  const book = new AddressBook();
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('addresses.dead');
  await channel.assertQueue('addresses', {
    deadLetterExchange: '',
    deadLetterRoutingKey: 'addresses.dead',
    arguments: { 'x-group-header': 'customer', 'x-group-on-dead': 'follow' },
  });

  await publishMoves(channel, () => 'addresses');
  const both = ['addresses', 'addresses'];
  await work(both, book, async () => book.attempts === 3 && await isReady(channel, 'addresses.dead', 2));
  book.show('Ann', 'Eve');
  const [group] = await api('GET', `${GROUPS}?state=closed`);
  console.log(`the group ${group.key} is closed, and its 2 messages are in the dead letter queue`);

  book.repairMap();
  const redriven = await api('POST', `${GROUPS}/redrive`, { key: group.key });
  console.log(`the map is repaired, and ${redriven.messages} messages are redriven`);
  await work(both, book, () => book.attempts === MOVES.length + 1);
  book.show('Ann');
  book.compare();

  for (const queue of ['addresses', 'addresses.dead']) await channel.deleteQueue(queue);
  await connection.close();
}

main();
