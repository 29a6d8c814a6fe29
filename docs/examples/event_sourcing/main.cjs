// Event sourcing: a bank stores events in a stream, and read models are built by reading it: main.py with amqplib.

const amqp = require('amqplib');

const { Balances, Bank, Reader, STREAM, Turnover, URL } = require('./bank.cjs');

/** Let a read model read the events before an offset. */
async function update(connection, name, model, end) {
  const start = model.next;
  const reader = await Reader.start(connection, model);
  await reader.readUntil((offset) => offset === end - 1);
  await reader.close();
  console.log(`${name}: began at offset ${start}, is at ${model.next}: ${model}`);
}

async function main() {
  let bank = await Bank.start();
  await bank.open('Ann');
  await bank.deposit('Ann', 100);
  await bank.open('Bob');
  await bank.deposit('Bob', 50);
  await bank.withdraw('Ann', 30);
  await bank.withdraw('Bob', 80);

  const connection = await amqp.connect(URL);
  const balances = new Balances();
  await update(connection, 'balances', balances, bank.state.next);

  await bank.stop();
  bank = await Bank.start();
  console.log(`bank: started again, replayed ${bank.replayed} events: ${bank.state}`);
  await bank.deposit('Bob', 40);
  await bank.withdraw('Bob', 80);
  await update(connection, 'balances', balances, bank.state.next);

  const turnover = new Turnover();
  await update(connection, 'turnover, added later', turnover, bank.state.next);
  await bank.deposit('Ann', 5);
  await update(connection, 'balances', balances, bank.state.next);
  await update(connection, 'turnover', turnover, bank.state.next);

  await bank.stop();
  const channel = await connection.createChannel();
  await channel.deleteQueue(STREAM);
  await connection.close();
}

main();
