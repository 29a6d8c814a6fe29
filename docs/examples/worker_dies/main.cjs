// A message goes to another worker when the first one crashes: main.py with amqplib. Ann's connection is cut, which is
// all that a broker sees of a power failure.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

/** A worker with its own connection. `begun` and `finished` resolve for its first report. */
async function worker(name, report) {
  const connection = await amqp.connect(URL);
  connection.on('error', () => {}); // a lost connection raises an error
  const channel = await connection.createChannel();
  await channel.prefetch(1); // leaves other reports to other workers
  console.log(`${name}: here`);
  let begins;
  let finishes;
  const begun = new Promise((resolve) => { begins = resolve; });
  const finished = new Promise((resolve) => { finishes = resolve; });
  await channel.consume('reports', async (message) => {
    console.log(`${name}: begins ${message.content}${message.fields.redelivered ? ' again' : ''}`);
    begins();
    await report();
    channel.ack(message);
    console.log(`${name}: finished ${message.content}`);
    finishes();
  });
  return { connection, begun, finished };
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('reports');
  channel.sendToQueue('reports', Buffer.from('the yearly report'), { persistent: true });
  await channel.waitForConfirms();

  const ann = await worker('Ann', () => new Promise(() => {})); // never finishes
  await ann.begun;
  const bob = await worker('Bob', async () => {}); // receives nothing yet
  ann.connection.connection.stream.destroy();
  console.log('Ann is gone');
  await bob.finished;
  await bob.connection.close();

  await channel.deleteQueue('reports');
  await connection.close();
}

main().then(() => process.exit()); // Ann's connection would keep the process running
