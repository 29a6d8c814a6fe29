<?php

// php-amqplib: one thread, callbacks run while the channel waits, and a reconnect of one's own.
//
// Run by `python -m interop php_amqplib`.

declare(strict_types=1);

require_once '/usr/share/php/PhpAmqpLib/autoload.php'; // Debian's php-amqplib; elsewhere Composer's vendor/autoload.php

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPExceptionInterface;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Exchange\AMQPExchangeType;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Package;
use PhpAmqpLib\Wire\AMQPTable;

ini_set('memory_limit', '512M'); // the large message is copied on its way
error_reporting(E_ALL & ~E_DEPRECATED);

const PATIENCE_S = 30;
$failures = 0;

function must(bool $condition, mixed $what): void
{
    if (!$condition) {
        throw new RuntimeException(is_string($what) ? $what : json_encode($what));
    }
}

/** Run the function as the check of this name: it passes unless it throws. */
function check(string $name, callable $body): void
{
    global $failures;
    try {
        $body();
        echo "PASS $name\n";
    } catch (Throwable $error) {
        fwrite(STDERR, "$name: $error\n");
        $failures++;
        $reason = preg_replace('/\s+/', ' ', $error->getMessage());
        echo "FAIL $name " . get_class($error) . ": $reason\n";
    }
}

function restartBroker(): void
{
    echo "RESTART\n";
    must(fgets(STDIN) === "RESTARTED\n", 'the broker was not restarted');
}

/** Connect, trying again for some seconds while the broker is away. */
function connect(): AbstractConnection
{
    $url = parse_url(getenv('AMQP_URL') ?: 'amqp://guest:guest@127.0.0.1:5672/');
    for ($try = 1; ; $try++) {
        try {
            return new AMQPStreamConnection($url['host'], $url['port'], $url['user'], $url['pass'], heartbeat: 30);
        } catch (AMQPExceptionInterface $error) {
            must($try < 50, $error->getMessage());
            usleep(200_000);
        }
    }
}

/** Declare a queue that stays, with these x-arguments. */
function declareQueue(AMQPChannel $channel, string $queue, array $arguments = []): void
{
    $channel->queue_declare($queue, auto_delete: false, arguments: new AMQPTable($arguments));
}

function publish(AMQPChannel $channel, string $exchange, string $key, string $body, array $properties = []): void
{
    $channel->basic_publish(new AMQPMessage($body, $properties), $exchange, $key);
}

/** Consume with the callback until it has been called this many times; then cancel the consumer. */
function consume(AMQPChannel $channel, string $queue, int $count, callable $callback): void
{
    $called = 0;
    $tag = $channel->basic_consume($queue, callback: function (AMQPMessage $message) use (&$called, $callback) {
        $called++;
        $callback($message);
    });
    while ($called < $count) {
        $channel->wait(timeout: PATIENCE_S);
    }
    $channel->basic_cancel($tag);
}

/** Consume and acknowledge this many messages. */
function take(AMQPChannel $channel, string $queue, int $count): array
{
    $messages = [];
    consume($channel, $queue, $count, function (AMQPMessage $message) use (&$messages) {
        $message->ack();
        $messages[] = $message;
    });
    return $messages;
}

function bodies(AMQPChannel $channel, string $queue, int $count): array
{
    return array_map(fn (AMQPMessage $message) => $message->getBody(), take($channel, $queue, $count));
}

/** The message's headers as a plain array. */
function headers(AMQPMessage $message): array
{
    return $message->has('application_headers') ? $message->get('application_headers')->getNativeData() : [];
}

/** How often a message has died in the queue for the reason, as its x-death header tells. */
function deathCount(AMQPMessage $message, string $queue, string $reason): int
{
    $count = 0;
    foreach (headers($message)['x-death'] ?? [] as $death) {
        if ($death['queue'] === $queue && $death['reason'] === $reason) {
            $count += $death['count'];
        }
    }
    return $count;
}

function deadLetterTo(string $queue): array
{
    return ['x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => $queue];
}

function topology(AMQPChannel $channel): void
{
    $channel->exchange_declare('mail', AMQPExchangeType::TOPIC, durable: true, auto_delete: false);
    $channel->exchange_declare('archive', AMQPExchangeType::FANOUT, durable: true, auto_delete: false);
    $channel->exchange_declare('labels', AMQPExchangeType::HEADERS, auto_delete: false);
    $channel->exchange_declare(
        'checked',
        AMQPExchangeType::DIRECT,
        auto_delete: false,
        arguments: new AMQPTable(['alternate-exchange' => 'archive'])
    );
    foreach (['spam', 'everything', 'urgent', 'known'] as $queue) {
        declareQueue($channel, $queue);
    }
    $channel->queue_bind('spam', 'mail', '#.spam');
    $channel->exchange_bind('archive', 'mail', 'inbox.*');
    $channel->queue_bind('everything', 'archive');
    $match = ['x-match' => 'any', 'urgent' => true, 'from' => 'boss'];
    $channel->queue_bind('urgent', 'labels', arguments: new AMQPTable($match));
    $channel->queue_bind('known', 'checked', 'known');

    publish($channel, 'mail', 'inbox.spam', '1');
    publish($channel, 'mail', 'inbox.work', '2');
    publish($channel, 'checked', 'unknown', '3');
    publish($channel, 'checked', 'known', '4');
    publish($channel, 'labels', '', '5', ['application_headers' => new AMQPTable(['urgent' => false])]);
    publish($channel, 'labels', '', '6', ['application_headers' => new AMQPTable(['urgent' => true])]);
    must(bodies($channel, 'spam', 1) === ['1'], 'spam');
    must(bodies($channel, 'everything', 3) === ['1', '2', '3'], 'everything');
    must(bodies($channel, 'known', 1) === ['4'], 'known');
    must(bodies($channel, 'urgent', 1) === ['6'], 'urgent');

    [$name] = $channel->queue_declare('', exclusive: true);
    must(str_starts_with($name, 'amq.gen-'), $name);
    $channel->exchange_unbind('archive', 'mail', 'inbox.*');
    $channel->queue_unbind('spam', 'mail', '#.spam');
    $channel->queue_delete('spam', if_unused: true);
    $channel->exchange_delete('labels');
}

function confirms(AbstractConnection $connection): void
{
    $channel = $connection->channel();
    $acked = $nacked = 0;
    $channel->set_ack_handler(function () use (&$acked) {
        $acked++;
    });
    $channel->set_nack_handler(function () use (&$nacked) {
        $nacked++;
    });
    $channel->confirm_select();
    $channel->queue_declare('confirmed', durable: true, auto_delete: false);
    for ($number = 0; $number < 300; $number++) {
        publish($channel, '', 'confirmed', (string) $number, ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT]);
    }
    $channel->wait_for_pending_acks(PATIENCE_S);
    must([$acked, $nacked] === [300, 0], [$acked, $nacked]);
    [, $ready] = $channel->queue_declare('confirmed', passive: true);
    must($ready === 300, "$ready messages in the queue");

    declareQueue($channel, 'full', ['x-max-length' => 1, 'x-overflow' => 'reject-publish']);
    publish($channel, '', 'full', 'fits');
    publish($channel, '', 'full', 'does not fit');
    $channel->wait_for_pending_acks(PATIENCE_S);
    must([$acked, $nacked] === [301, 1], [$acked, $nacked]);
    $channel->close();
}

function mandatoryReturn(AbstractConnection $connection): void
{
    $channel = $connection->channel();
    $returned = null;
    $channel->set_return_listener(function (...$return) use (&$returned) {
        [$code, $text, $exchange, $key, $message] = $return;
        $returned = [$code, $text, $exchange, $key, $message->getBody()];
    });
    $channel->confirm_select();
    $channel->basic_publish(new AMQPMessage('lost?'), 'amq.direct', 'nobody', mandatory: true);
    $channel->wait_for_pending_acks_returns(PATIENCE_S);
    must($returned === [312, 'NO_ROUTE', 'amq.direct', 'nobody', 'lost?'], $returned);
    $channel->close();
}

function acks(AbstractConnection $connection): void
{
    $channel = $connection->channel();
    $channel->basic_qos(0, 1, false);
    declareQueue($channel, 'work');
    foreach (['a', 'b', 'c'] as $body) {
        publish($channel, '', 'work', $body);
    }
    $seen = [];
    consume($channel, 'work', 6, function (AMQPMessage $message) use (&$seen) {
        $seen[] = $message->getBody() . ($message->isRedelivered() ? ' again' : '');
        $message->isRedelivered() ? $message->ack() : $message->nack(requeue: true);
    });
    must($seen === ['a', 'a again', 'b', 'b again', 'c', 'c again'], $seen);
    must($channel->basic_get('work') === null, 'the queue is not empty');
    $channel->close();
}

function priorities(AbstractConnection $connection): void
{
    $channel = $connection->channel();
    $channel->confirm_select();
    declareQueue($channel, 'triage', ['x-max-priority' => 5]);
    foreach ([0, 3, 1, 5, 3] as $priority) {
        publish($channel, '', 'triage', (string) $priority, ['priority' => $priority]);
    }
    $channel->wait_for_pending_acks(PATIENCE_S);
    $got = bodies($channel, 'triage', 5);
    must($got === ['5', '3', '3', '1', '0'], $got);
    $channel->close();
}

function ttlToDlx(AMQPChannel $channel): void
{
    $channel->exchange_declare('late', AMQPExchangeType::DIRECT, auto_delete: false);
    declareQueue($channel, 'missed');
    $channel->queue_bind('missed', 'late', 'too.late');
    declareQueue($channel, 'slots', ['x-dead-letter-exchange' => 'late', 'x-dead-letter-routing-key' => 'too.late']);
    publish($channel, '', 'slots', 'milk', ['expiration' => '100', 'message_id' => 'm1']);
    [$message] = take($channel, 'missed', 1);
    must([$message->getBody(), $message->getRoutingKey()] === ['milk', 'too.late'], $message->getBody());
    must($message->get('message_id') === 'm1' && !$message->has('expiration'), $message->get_properties());
    [$death] = headers($message)['x-death'];
    must([$death['queue'], $death['reason'], $death['count']] === ['slots', 'expired', 1], $death);
    must($death['original-expiration'] === '100' && $death['routing-keys'] === ['slots'], $death);
}

/** A rejected job waits 100 ms in a queue that nobody consumes, then is back; the fourth try succeeds. */
function waitAndRetry(AMQPChannel $channel): void
{
    declareQueue($channel, 'jobs', deadLetterTo('jobs.wait'));
    declareQueue($channel, 'jobs.wait', ['x-message-ttl' => 100] + deadLetterTo('jobs'));
    publish($channel, '', 'jobs', 'flaky');
    $tries = [];
    consume($channel, 'jobs', 4, function (AMQPMessage $message) use (&$tries) {
        $rejected = deathCount($message, 'jobs', 'rejected');
        $tries[] = [$rejected, deathCount($message, 'jobs.wait', 'expired')];
        $rejected < 3 ? $message->reject(requeue: false) : $message->ack();
    });
    must($tries === [[0, 0], [1, 1], [2, 2], [3, 3]], $tries);
}

function rejectToDlq(AMQPChannel $channel): void
{
    declareQueue($channel, 'dead');
    declareQueue($channel, 'fragile', deadLetterTo('dead'));
    publish($channel, '', 'fragile', 'poison', ['application_headers' => new AMQPTable(['attempt' => 1])]);
    consume($channel, 'fragile', 1, fn (AMQPMessage $message) => $message->nack(requeue: false));
    [$message] = take($channel, 'dead', 1);
    must($message->getBody() === 'poison' && headers($message)['attempt'] === 1, headers($message));
    must(deathCount($message, 'fragile', 'rejected') === 1, headers($message));
}

function transactions(AbstractConnection $connection): void
{
    $channel = $connection->channel();
    $channel->tx_select();
    declareQueue($channel, 'ledger');
    publish($channel, '', 'ledger', 'undone');
    $channel->tx_rollback();
    publish($channel, '', 'ledger', 'done');
    $channel->tx_commit();
    must(bodies($channel, 'ledger', 1) === ['done'], 'the ledger is wrong');
    $channel->tx_commit();
    $channel->close();
}

/** Messages stay in a stream, and each settled one allows the next delivery, even if it is to be requeued. */
function streams(AbstractConnection $connection): void
{
    $channel = $connection->channel();
    $channel->confirm_select();
    $stream = new AMQPTable(['x-queue-type' => 'stream']);
    $channel->queue_declare('journal', durable: true, auto_delete: false, arguments: $stream);
    for ($number = 0; $number < 5; $number++) {
        publish($channel, '', 'journal', (string) $number);
        $channel->wait_for_pending_acks(PATIENCE_S);
    }
    must(readStream($connection, 'first', 5) === ['0:0', '1:1', '2:2', '3:3', '4:4'], 'not all messages from the first');
    must(readStream($connection, 3, 2) === ['3:3', '4:4'], 'not the messages from an offset');
    must(readStream($connection, 'last', 1) === ['4:4'], 'not the last message');

    $messages = [];
    $reader = streamReader($connection, 'first', function (AMQPMessage $message) use (&$messages) {
        $messages[] = $message;
    });
    $delivered = function (int $count) use (&$messages, $reader) {
        while (count($messages) < $count) {
            $reader->wait(timeout: PATIENCE_S);
        }
        try {
            $reader->wait(timeout: 0.1);
        } catch (AMQPTimeoutException) {
            // Nothing came past the prefetch count.
        }
        must(count($messages) === $count, count($messages) . " deliveries, not $count");
    };
    $delivered(2);
    $messages[1]->nack(requeue: true);
    $delivered(3);
    $messages[0]->ack();
    $delivered(4);
    $reader->close();
    $channel->queue_delete('journal');
    $channel->close();
}

/** A channel with a consumer that reads the stream from an offset on. */
function streamReader(AbstractConnection $connection, string|int $offset, callable $callback): AMQPChannel
{
    $reader = $connection->channel();
    $reader->basic_qos(0, 2, false);
    $reader->basic_consume('journal', callback: $callback, arguments: new AMQPTable(['x-stream-offset' => $offset]));
    return $reader;
}

/** The offsets and bodies of this many messages from an offset on. */
function readStream(AbstractConnection $connection, string|int $offset, int $count): array
{
    $found = [];
    $reader = streamReader($connection, $offset, function (AMQPMessage $message) use (&$found) {
        $message->ack();
        $found[] = headers($message)['x-stream-offset'] . ':' . $message->getBody();
    });
    while (count($found) < $count) {
        $reader->wait(timeout: PATIENCE_S);
    }
    $reader->close();
    return array_slice($found, 0, $count);
}

function largeMessage(AMQPChannel $channel): void
{
    $sent = random_bytes(20 * 1024 * 1024);
    declareQueue($channel, 'large');
    publish($channel, '', 'large', $sent);
    [$message] = take($channel, 'large', 1);
    must($message->getBody() === $sent, 'the content differs');
}

function refused(int $code, string $text, callable $action): void
{
    try {
        $action();
    } catch (AMQPProtocolChannelException $error) {
        must([$error->amqp_reply_code, $error->amqp_reply_text] === [$code, $text], $error->getMessage());
        return;
    }
    throw new RuntimeException("not refused with $code");
}

function channelError(AbstractConnection $connection): void
{
    $missing = "NOT_FOUND - no queue 'no.such.queue' in vhost '/'";
    refused(404, $missing, fn () => $connection->channel()->queue_declare('no.such.queue', passive: true));

    $channel = $connection->channel();
    declareQueue($channel, 'settled', ['x-message-ttl' => 1000]);
    $inequivalent = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'settled' in vhost '/': "
        . "received '2000' but current is '1000'";
    refused(406, $inequivalent, fn () => declareQueue($channel, 'settled', ['x-message-ttl' => 2000]));
    must(!$channel->is_open() && $connection->isConnected(), 'only the channel should be closed');

    [$name] = $connection->channel()->queue_declare('settled', passive: true); // the connection has not suffered
    must($name === 'settled', $name);
}

/** While it consumes it learns that the connection is lost; then it connects and declares again. */
function reconnect(): void
{
    $channel = connect()->channel();
    declareQueue($channel, 'steady');
    publish($channel, '', 'steady', 'before');
    $lost = false;
    try {
        consume($channel, 'steady', 2, function (AMQPMessage $message) {
            $message->ack();
            restartBroker();
        });
    } catch (AMQPConnectionClosedException $error) {  // the broker's reason, or a broken pipe when it is answered
        fwrite(STDERR, "lost: {$error->getCode()} {$error->getMessage()}\n");
        $lost = true;
    }
    must($lost, 'the connection was not lost');

    $connection = connect();
    $channel = $connection->channel();
    declareQueue($channel, 'steady');
    publish($channel, '', 'steady', 'still here');
    must(bodies($channel, 'steady', 1) === ['still here'], 'something else came');
    $connection->close();
}

echo 'VERSION php-amqplib ' . Package::VERSION . "\n";
$connection = connect();
$channel = $connection->channel();
check('topology', fn () => topology($channel));
check('confirms', fn () => confirms($connection));
check('mandatory-return', fn () => mandatoryReturn($connection));
check('acks', fn () => acks($connection));
check('priorities', fn () => priorities($connection));
check('ttl-dlx', fn () => ttlToDlx($channel));
check('wait-retry', fn () => waitAndRetry($channel));
check('reject-dlq', fn () => rejectToDlq($channel));
check('transactions', fn () => transactions($connection));
check('streams', fn () => streams($connection));
check('large-message', fn () => largeMessage($channel));
check('channel-error', fn () => channelError($connection));
$connection->close();
check('reconnect', fn () => reconnect());
exit($failures ? 1 : 0);
