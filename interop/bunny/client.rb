# frozen_string_literal: true

# bunny (Ruby): queues and exchanges as objects, and a session that recovers channels, queues, bindings and consumers.
#
# Run by `python -m interop bunny`.

require 'bunny'
require 'securerandom'
require 'timeout'

# To bunny a lone slash at the end is a vhost without a name.
URL = ENV.fetch('AMQP_URL', 'amqp://guest:guest@127.0.0.1:5672/').chomp('/')

$stdout.sync = true
$failures = 0

# What `must` raises.
class Failed < StandardError; end

def must(condition, text)
  raise Failed, text.to_s unless condition
end

# Run the block as the check `name`: it passes unless it raises.
def check(name, &block)
  Timeout.timeout(60, &block)
  puts "PASS #{name}"
rescue StandardError => e
  warn e.full_message(highlight: false)
  $failures += 1
  puts "FAIL #{name} #{e.class}: #{e.message} [#{e.backtrace.grep(/client\.rb/).first.to_s[/\d+/]}]".gsub(/\s+/, ' ')
end

def restart_broker
  puts 'RESTART'
  must $stdin.gets == "RESTARTED\n", 'the broker was not restarted'
end

# Consume and acknowledge `count` messages: each with its delivery and its properties.
def take(queue, count)
  arrived = Thread::Queue.new
  consumer = queue.subscribe(manual_ack: true) do |delivery, properties, body|
    queue.channel.ack(delivery.delivery_tag)
    arrived << [body, delivery, properties]
  end
  messages = Array.new(count) { arrived.pop(timeout: 30) || raise(Failed, "no message came to #{queue.name}") }
  consumer.cancel
  messages
end

def bodies(queue, count)
  take(queue, count).map(&:first)
end

# How often a message has died in `queue` for `reason`, as its x-death header tells.
def death_count(properties, queue, reason)
  deaths = (properties.headers || {}).fetch('x-death', [])
  deaths.select { |death| death['queue'] == queue && death['reason'] == reason }.sum { |death| death['count'] }
end

def dead_letter_to(queue)
  { 'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => queue }
end

def topology(channel)
  weather = channel.topic('weather', durable: true)
  sirens = channel.fanout('sirens', durable: true)
  forecasts = channel.headers('forecasts')
  checked = channel.direct('checked', arguments: { 'alternate-exchange' => 'sirens' })
  berlin = channel.queue('berlin', durable: true).bind(weather, routing_key: '*.berlin')
  storms = channel.queue('storms').bind(weather, routing_key: 'storm.#').bind(sirens)
  sunny = channel.queue('sunny').bind(forecasts, arguments: { 'x-match' => 'all', 'sky' => 'clear', 'days' => 3 })
  sirens.bind(weather, routing_key: '#.urgent')

  weather.publish('1', routing_key: 'rain.berlin')
  weather.publish('2', routing_key: 'storm.paris.north')
  weather.publish('3', routing_key: 'hail.urgent')
  checked.publish('4', routing_key: 'nobody')
  forecasts.publish('5', headers: { 'sky' => 'clear', 'days' => 3 })
  forecasts.publish('6', headers: { 'sky' => 'clear', 'days' => 4 })
  must bodies(berlin, 1) == %w[1], 'berlin'
  got = bodies(storms, 3)
  must got == %w[2 3 4], "storms got #{got}"
  must bodies(sunny, 1) == %w[5], 'sunny'

  private_queue = channel.queue('', exclusive: true)
  must private_queue.name.start_with?('amq.gen-'), private_queue.name
  private_queue.delete
  sirens.unbind(weather, routing_key: '#.urgent')
  forecasts.delete
end

def confirms(connection)
  channel = connection.create_channel
  channel.confirm_select
  queue = channel.queue('confirmed', durable: true)
  300.times { |number| queue.publish(number.to_s, persistent: true) }
  must channel.wait_for_confirms, 'some were refused'
  must queue.message_count == 300, "#{queue.message_count} messages"

  full = channel.queue('full', arguments: { 'x-max-length' => 1, 'x-overflow' => 'reject-publish' })
  full.publish('fits')
  must channel.wait_for_confirms, 'refused what fits'
  full.publish('does not fit')
  must !channel.wait_for_confirms && channel.nacked_set.size == 1, 'took what does not fit'
  channel.close
end

def mandatory_return(channel)
  returned = Thread::Queue.new
  exchange = channel.default_exchange
  exchange.on_return { |info, _properties, body| returned << [info.reply_code, info.reply_text, body] }
  exchange.publish('lost?', routing_key: 'no.such.queue', mandatory: true)
  answer = returned.pop(timeout: 30)
  must answer == [312, 'NO_ROUTE', 'lost?'], answer
end

def acks(connection)
  channel = connection.create_channel
  channel.prefetch(1)
  queue = channel.queue('work')
  %w[a b c].each { |body| queue.publish(body) }
  seen = Thread::Queue.new
  consumer = queue.subscribe(manual_ack: true) do |delivery, _properties, body|
    if delivery.redelivered?
      channel.ack(delivery.delivery_tag)
    else
      channel.nack(delivery.delivery_tag, false, true)
    end
    seen << [body, delivery.redelivered?]
  end
  got = Array.new(6) { seen.pop(timeout: 30) }
  must got == %w[a b c].flat_map { |body| [[body, false], [body, true]] }, got
  consumer.cancel
  must queue.pop == [nil, nil, nil], 'the queue is not empty'
  channel.close
end

def priorities(connection)
  channel = connection.create_channel
  channel.confirm_select
  queue = channel.queue('triage', arguments: { 'x-max-priority' => 5 })
  [0, 3, 1, 5, 3].each { |priority| queue.publish(priority.to_s, priority: priority) }
  channel.wait_for_confirms
  got = bodies(queue, 5)
  must got == %w[5 3 3 1 0], got
  channel.close
end

def ttl_to_dlx(channel)
  late = channel.direct('late')
  missed = channel.queue('missed').bind(late, routing_key: 'too.late')
  slots = channel.queue('slots', arguments: { 'x-dead-letter-exchange' => 'late', 'x-dead-letter-routing-key' => 'too.late' })
  slots.publish('milk', expiration: 100, message_id: 'm1')
  body, delivery, properties = take(missed, 1).first
  must [body, delivery.routing_key, properties.message_id] == %w[milk too.late m1], [body, delivery, properties]
  must properties.expiration.nil?, properties.expiration
  death = properties.headers['x-death'].first
  must death.values_at('queue', 'reason', 'count') == ['slots', 'expired', 1], death
  must death['original-expiration'] == '100' && death['time'].is_a?(Time), death
end

# A rejected job waits 100 ms in a queue that nobody consumes, then is back; the fourth try succeeds.
def wait_and_retry(connection)
  channel = connection.create_channel
  jobs = channel.queue('jobs', arguments: dead_letter_to('jobs.wait'))
  channel.queue('jobs.wait', arguments: dead_letter_to('jobs').merge('x-message-ttl' => 100))
  jobs.publish('flaky')
  tries = Thread::Queue.new
  jobs.subscribe(manual_ack: true) do |delivery, properties, _body|
    rejected = death_count(properties, 'jobs', 'rejected')
    if rejected < 3
      channel.reject(delivery.delivery_tag, false)
    else
      channel.ack(delivery.delivery_tag)
    end
    tries << [rejected, death_count(properties, 'jobs.wait', 'expired')]
  end
  got = Array.new(4) { tries.pop(timeout: 30) }
  must got == [[0, 0], [1, 1], [2, 2], [3, 3]], got
  channel.close
end

def reject_to_dlq(connection)
  channel = connection.create_channel
  dead = channel.queue('dead').bind(channel.fanout('graveyard'))
  fragile = channel.queue('fragile', arguments: { 'x-dead-letter-exchange' => 'graveyard' })
  fragile.publish('poison', headers: { 'attempt' => 1 })
  fragile.subscribe(manual_ack: true) { |delivery, _properties, _body| channel.nack(delivery.delivery_tag) }
  body, _delivery, properties = take(dead, 1).first
  must [body, properties.headers['attempt']] == ['poison', 1], [body, properties]
  must death_count(properties, 'fragile', 'rejected') == 1, properties
  channel.close
end

def consumer_cancelled(connection)
  channel = connection.create_channel
  cancelled = Thread::Queue.new
  queue = channel.queue('doomed')
  queue.subscribe(on_cancellation: ->(cancel) { cancelled << cancel.consumer_tag }, consumer_tag: 'watcher') { nil }
  connection.with_channel { |other| other.queue_delete('doomed') }
  must cancelled.pop(timeout: 30) == 'watcher', 'not told'
  channel.close
end

# Messages stay in a stream, and each settled one allows the next delivery, even if it is to be requeued.
def streams(connection)
  channel = connection.create_channel
  channel.confirm_select
  journal = channel.queue('journal', durable: true, arguments: { 'x-queue-type' => 'stream' })
  5.times do |number|
    journal.publish(number.to_s)
    must channel.wait_for_confirms, "#{number} was refused"
  end
  { 'first' => [[0, '0'], [1, '1'], [2, '2'], [3, '3'], [4, '4']], 3 => [[3, '3'], [4, '4']], 'last' => [[4, '4']] }
    .each do |offset, want|
      got = read_stream(connection, offset, want.size)
      must got == want, "from #{offset}: #{got}"
    end

  reader, arrived = stream_reader(connection, 'first')
  tags = Array.new(2) { arrived.pop(timeout: 30).first }
  must arrived.pop(timeout: 0.1).nil?, 'a message came past the prefetch count'
  reader.nack(tags[1], false, true)
  must arrived.pop(timeout: 30)[1..] == [2, '2'], 'not the third message'
  must arrived.pop(timeout: 0.1).nil?, 'a message came past the prefetch count'
  reader.ack(tags[0])
  must arrived.pop(timeout: 30)[1..] == [3, '3'], 'not the fourth message'
  reader.close
  journal.delete
  channel.close
end

# A channel with a consumer that reads the stream from an offset on: what arrives, as delivery tag, offset and body.
def stream_reader(connection, offset)
  reader = connection.create_channel
  reader.prefetch(2)
  arrived = Thread::Queue.new
  journal = reader.queue('journal', passive: true)
  journal.subscribe(manual_ack: true, arguments: { 'x-stream-offset' => offset }) do |delivery, properties, body|
    arrived << [delivery.delivery_tag, properties.headers['x-stream-offset'], body]
  end
  [reader, arrived]
end

# The offsets and bodies of `count` messages from an offset on.
def read_stream(connection, offset, count)
  reader, arrived = stream_reader(connection, offset)
  found = Array.new(count) do
    tag, *message = arrived.pop(timeout: 30) || raise(Failed, 'no message came')
    reader.ack(tag)
    message
  end
  reader.close
  found
end

def large_message(channel)
  sent = SecureRandom.bytes(20 * 1024 * 1024)
  queue = channel.queue('large')
  queue.publish(sent)
  received = take(queue, 1).first.first
  must received == sent, 'the content differs'
end

def refused(error_class)
  yield
  raise Failed, "no #{error_class} came"
rescue error_class => e
  e.channel_close
end

def channel_error(connection)
  close = refused(Bunny::NotFound) { connection.create_channel.queue('no.such.queue', passive: true) }
  must close.reply_code == 404, close.reply_code
  must close.reply_text == "NOT_FOUND - no queue 'no.such.queue' in vhost '/'", close.reply_text

  channel = connection.create_channel
  channel.queue('settled', durable: true)
  close = refused(Bunny::PreconditionFailed) { connection.create_channel.queue('settled', durable: false) }
  must close.reply_code == 406, close.reply_code
  must close.reply_text == "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'settled' in vhost '/': " \
                           "received 'false' but current is 'true'", close.reply_text

  must connection.open? && connection.queue_exists?('settled'), 'the connection has suffered'
  must !connection.queue_exists?('no.such.queue'), 'there is no such queue'
end

# The session comes back by itself with the queue, the binding and the consumer; the block below is never told.
def reconnect
  recovered = Thread::Queue.new
  connection = Bunny.new(
    URL, network_recovery_interval: 0.5, recovery_completed: -> { recovered << true }, log_level: Logger::ERROR
  )
  connection.start
  channel = connection.create_channel
  exchange = channel.fanout('beats')
  received = Thread::Queue.new
  channel.queue('steady', auto_delete: true).bind(exchange).subscribe { |_delivery, _properties, body| received << body }
  exchange.publish('before')
  must received.pop(timeout: 30) == 'before', 'nothing came before the restart'
  restart_broker
  must recovered.pop(timeout: 30), 'not recovered'
  exchange.publish('still here')
  must received.pop(timeout: 30) == 'still here', 'nothing came after the restart'
  connection.close
end

puts "VERSION bunny #{Bunny::VERSION}"
connection = Bunny.new(URL)
connection.start
channel = connection.create_channel
check('topology') { topology(channel) }
check('confirms') { confirms(connection) }
check('mandatory-return') { mandatory_return(channel) }
check('acks') { acks(connection) }
check('priorities') { priorities(connection) }
check('ttl-dlx') { ttl_to_dlx(channel) }
check('wait-retry') { wait_and_retry(connection) }
check('reject-dlq') { reject_to_dlq(connection) }
check('consumer-cancelled') { consumer_cancelled(connection) }
check('streams') { streams(connection) }
check('large-message') { large_message(channel) }
check('channel-error') { channel_error(connection) }
connection.close
check('reconnect') { reconnect }
exit($failures.zero? ? 0 : 1)
