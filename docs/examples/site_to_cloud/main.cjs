// A site keeps working while its link to the cloud is down, and no reading is lost: main.py with amqplib.

const net = require('node:net');
const { once } = require('node:events');
const amqp = require('amqplib');

const SITE_URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';
const CLOUD_URL = process.env.CLOUD_URL ?? SITE_URL;
const MANAGEMENT_URL = process.env.MANAGEMENT_URL ?? 'http://localhost:15672';

async function request(method, path, body) {
  const headers = { Authorization: `Basic ${btoa('guest:guest')}`, 'Content-Type': 'application/json' };
  const answer = await fetch(`${MANAGEMENT_URL}/api/${path}`, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}

/** A link that can be interrupted: forwards a port of this machine to the cloud's broker. */
class Line {
  isCut = false;
  sockets = new Set();

  async open(host, port) {
    this.server = net.createServer((near) => {
      if (this.isCut) {
        near.destroy();
        return;
      }
      const far = net.connect(port, host);
      for (const [source, target] of [[near, far], [far, near]]) {
        this.sockets.add(source);
        source.pipe(target);
        source.on('error', () => {});
        source.on('close', () => { this.sockets.delete(source); target.destroy(); });
      }
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this.server.address().port;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }
}

/** Forwards outbox to readings; a reading leaves the site only when the cloud's broker has confirmed it. */
async function setUpShovel(linePort) {
  const byLine = new URL(CLOUD_URL);
  byLine.hostname = '127.0.0.1';
  byLine.port = linePort;
  if (byLine.pathname.length < 2) byLine.pathname = '/%2F'; // RabbitMQ's shovel takes / as a vhost without a name
  const shovel = {
    'src-uri': 'amqp://', // the broker that it runs in
    'src-queue': 'outbox',
    'dest-uri': byLine.href,
    'dest-queue': 'readings',
    'ack-mode': 'on-confirm',
    'reconnect-delay': 1,
  };
  await request('PUT', 'parameters/shovel/%2F/to-cloud', { value: shovel });
}

/** Publishes readings at the site. It waits for confirms, since the broker is local. */
class Sensor {
  count = 0;

  async measure(channel, times) {
    for (let number = 0; number < times; number += 1) {
      this.count += 1;
      channel.sendToQueue('outbox', Buffer.from('20.5'), { persistent: true, messageId: String(this.count) });
    }
    await channel.waitForConfirms();
    console.log(`site: ${this.count} readings accepted`);
  }
}

/** Collects readings in the cloud. */
class Archive {
  ids = new Set();

  async read(channel, until) {
    const consumerTag = 'archive';
    await new Promise((done) => channel.consume('readings', (message) => {
      if (this.ids.size === until) return; // the message is requeued when the channel closes
      this.ids.add(message.properties.messageId); // a duplicate changes nothing
      channel.ack(message);
      if (this.ids.size === until) done();
    }, { consumerTag }));
    await channel.close();
    console.log(`cloud: ${until} readings there`);
  }
}

async function main() {
  const site = await amqp.connect(SITE_URL);
  const cloud = await amqp.connect(CLOUD_URL);
  const [atSite, inCloud] = [await site.createConfirmChannel(), await cloud.createChannel()];
  await atSite.assertQueue('outbox');
  await inCloud.assertQueue('readings');
  const { hostname, port } = new URL(CLOUD_URL);
  const line = new Line();
  await setUpShovel(await line.open(hostname, Number(port || 5672)));
  const sensor = new Sensor();
  const archive = new Archive();
  await sensor.measure(atSite, 100);
  await archive.read(await cloud.createChannel(), 50);

  line.cut();
  console.log('the line is cut');
  await sensor.measure(atSite, 100);
  line.mend();
  console.log('the line is back');
  await archive.read(await cloud.createChannel(), 200);

  await request('DELETE', 'parameters/shovel/%2F/to-cloud');
  line.server.close();
  await atSite.deleteQueue('outbox');
  await inCloud.deleteQueue('readings');
  await site.close();
  await cloud.close();
}

main();
