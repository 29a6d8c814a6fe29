"use strict";

/** Stands for the program that is tested: it publishes an order, and waits for the broker's confirm. */
async function placeOrder(connection, number) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("orders", { durable: true });
  channel.sendToQueue("orders", Buffer.from(String(number)), { persistent: true });
  await channel.waitForConfirms();
  await channel.close();
}

module.exports = { placeOrder };
