// A failed message stays in the queue, and later messages of its customer wait for it: park.py with amqplib.

const amqp = require('amqplib');
const { MOVES, URL, AddressBook, api, publishMoves, work } = require('./address_book.cjs');

const GROUPS = 'queues/%2F/addresses/groups';

/** Returns the parked groups: customers with a failed message. */
function parked() {
  return api('GET', `${GROUPS}?state=parked`);
}

async function main() {
  const book = new AddressBook();
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('addresses', { arguments: { 'x-group-header': 'customer', 'x-group-on-dead': 'park' } });

  await publishMoves(channel, () => 'addresses');
  const both = ['addresses', 'addresses'];
  await work(both, book, async () => book.attempts === 3 && (await parked()).length > 0);
  book.show('Ann', 'Eve');
  const [group] = await parked();
  console.log(`the group ${group.key} is parked with ${group.messages} messages`);

  book.repairMap();
  const redriven = await api('POST', `${GROUPS}/redrive`, { key: group.key });
  console.log(`the map is repaired, and ${redriven.messages} messages are redriven`);
  await work(both, book, () => book.attempts === MOVES.length + 1);
  book.show('Ann');
  book.compare();

  await channel.deleteQueue('addresses');
  await connection.close();
}

main();
