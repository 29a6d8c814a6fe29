// amqp091-go: channels for deliveries, confirms, returns and the end of a connection; reconnecting is the program's own.
//
// Run by `python -m interop amqp091_go`, which builds it from Debian's source of the library.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const patience = 30 * time.Second

var (
	url      = "amqp://guest:guest@127.0.0.1:5672/"
	answers  = bufio.NewReader(os.Stdin)
	failures = 0
)

// failure is what must panics with; check recovers it.
type failure struct{ text string }

// must ends the check with a text unless the condition holds.
func must(condition bool, format string, arguments ...any) {
	if !condition {
		panic(failure{fmt.Sprintf(format, arguments...)})
	}
}

// ok ends the check if there is an error.
func ok(err error) {
	must(err == nil, "%v", err)
}

// value is a call's result; the check ends if there was an error.
func value[T any](result T, err error) T {
	ok(err)
	return result
}

// check runs the body as the check of this name.
func check(name string, body func()) {
	defer func() {
		if problem := recover(); problem != nil {
			failed, isFailure := problem.(failure)
			if !isFailure {
				panic(problem)
			}
			failures++
			fmt.Println("FAIL", name, strings.Join(strings.Fields(failed.text), " "))
			return
		}
		fmt.Println("PASS", name)
	}()
	body()
}

func restartBroker() {
	fmt.Println("RESTART")
	line := value(answers.ReadString('\n'))
	must(line == "RESTARTED\n", "the broker was not restarted")
}

// next receives from a channel, with patience.
func next[T any](from <-chan T, what string) T {
	select {
	case item, open := <-from:
		must(open, "%s: closed", what)
		return item
	case <-time.After(patience):
		panic(failure{"no " + what})
	}
}

// dial connects, trying again while the broker is away.
func dial() *amqp.Connection {
	var err error
	for try := 0; try < 50; try++ {
		var connection *amqp.Connection
		if connection, err = amqp.DialConfig(url, amqp.Config{Heartbeat: 30 * time.Second}); err == nil {
			return connection
		}
		time.Sleep(200 * time.Millisecond)
	}
	panic(failure{err.Error()})
}

func declare(channel *amqp.Channel, queue string, arguments amqp.Table) amqp.Queue {
	return value(channel.QueueDeclare(queue, false, false, false, false, arguments))
}

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	ok(channel.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

// confirmed waits until the broker has acknowledged the publish (true) or refused it (false).
func confirmed(confirmation *amqp.DeferredConfirmation) bool {
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return value(confirmation.WaitContext(limit))
}

func text(body string) amqp.Publishing {
	return amqp.Publishing{ContentType: "text/plain", Body: []byte(body)}
}

// take consumes and acknowledges count messages.
func take(channel *amqp.Channel, queue string, count int) []amqp.Delivery {
	deliveries := value(channel.Consume(queue, "take", false, false, false, false, nil))
	messages := []amqp.Delivery{}
	for len(messages) < count {
		message := next(deliveries, "message from "+queue)
		ok(message.Ack(false))
		messages = append(messages, message)
	}
	ok(channel.Cancel("take", false))
	return messages
}

func bodies(channel *amqp.Channel, queue string, count int) string {
	all := []string{}
	for _, message := range take(channel, queue, count) {
		all = append(all, string(message.Body))
	}
	return strings.Join(all, " ")
}

// deathCount is how often a message has died in the queue for the reason, as its x-death header tells.
func deathCount(headers amqp.Table, queue, reason string) int64 {
	deaths, _ := headers["x-death"].([]interface{})
	count := int64(0)
	for _, entry := range deaths {
		death := entry.(amqp.Table)
		if death["queue"] == queue && death["reason"] == reason {
			count += death["count"].(int64)
		}
	}
	return count
}

func deadLetterTo(queue string) amqp.Table {
	return amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
}

func topology(channel *amqp.Channel) {
	for name, kind := range map[string]string{
		"metrics": amqp.ExchangeTopic, "mirror": amqp.ExchangeFanout, "by-unit": amqp.ExchangeHeaders, "by-host": amqp.ExchangeDirect,
	} {
		ok(channel.ExchangeDeclare(name, kind, true, false, false, false, nil))
	}
	declare(channel, "cpu", nil)
	declare(channel, "everything", nil)
	declare(channel, "seconds", nil)
	declare(channel, "host-a", nil)
	ok(channel.QueueBind("cpu", "*.cpu.#", "metrics", false, nil))
	ok(channel.ExchangeBind("mirror", "#", "metrics", false, nil))
	ok(channel.QueueBind("everything", "", "mirror", false, nil))
	ok(channel.QueueBind("seconds", "", "by-unit", false, amqp.Table{"x-match": "any", "unit": "s", "scale": int32(3)}))
	ok(channel.QueueBind("host-a", "a", "by-host", false, nil))

	publish(channel, "metrics", "a.cpu", text("1"))
	publish(channel, "metrics", "b.disk.free", text("2"))
	publish(channel, "metrics", "b.cpu.user.total", text("3"))
	publish(channel, "by-unit", "", amqp.Publishing{Headers: amqp.Table{"scale": int64(3)}, Body: []byte("4")})
	publish(channel, "by-host", "b", text("5"))
	publish(channel, "by-host", "a", text("6"))
	for queue, want := range map[string]string{"cpu": "1 3", "everything": "1 2 3", "seconds": "4", "host-a": "6"} {
		got := bodies(channel, queue, len(strings.Fields(want)))
		must(got == want, "%s got %q, not %q", queue, got, want)
	}
	ok(channel.QueueUnbind("cpu", "*.cpu.#", "metrics", nil))
	deleted := value(channel.QueueDelete("cpu", true, false, false))
	must(deleted == 0, "%d messages deleted with the queue", deleted)
	ok(channel.ExchangeDelete("by-unit", false, false))
}

// confirms waits for many at once, and sees that a refused publish is told as such.
func confirms(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	ok(channel.Confirm(false))
	value(channel.QueueDeclare("confirmed", true, false, false, false, nil))
	pending := []*amqp.DeferredConfirmation{}
	for number := 0; number < 300; number++ {
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(strconv.Itoa(number))}
		pending = append(pending, value(
			channel.PublishWithDeferredConfirmWithContext(context.Background(), "", "confirmed", false, false, message)))
	}
	for _, confirmation := range pending {
		must(confirmed(confirmation), "%d was refused", confirmation.DeliveryTag)
	}
	queue := value(channel.QueueDeclarePassive("confirmed", true, false, false, false, nil))
	must(queue.Messages == 300, "%d messages in the queue", queue.Messages)

	declare(channel, "full", amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	for _, fits := range []bool{true, false} {
		confirmation := value(
			channel.PublishWithDeferredConfirmWithContext(context.Background(), "", "full", false, false, text("x")))
		must(confirmed(confirmation) == fits, "acknowledged: %v", !fits)
	}
}

func mandatoryReturn(channel *amqp.Channel) {
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	ok(channel.PublishWithContext(context.Background(), "amq.topic", "nobody", true, false, text("lost?")))
	returned := next(returns, "return")
	must(returned.ReplyCode == 312 && returned.ReplyText == "NO_ROUTE" && string(returned.Body) == "lost?", "%v", returned)
}

// acks sees the prefetch window, multiple acks, and what comes again after a requeue.
func acks(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	declare(channel, "work", nil)
	for number := 1; number <= 6; number++ {
		publish(channel, "", "work", text(strconv.Itoa(number)))
	}
	ok(channel.Qos(3, 0, false))
	deliveries := value(channel.Consume("work", "worker", false, false, false, false, nil))
	seen := []string{}
	receive := func() amqp.Delivery {
		message := next(deliveries, "message")
		seen = append(seen, fmt.Sprintf("%s/%v", message.Body, message.Redelivered))
		return message
	}
	receive()
	receive()
	third := receive()
	select {
	case message := <-deliveries:
		must(false, "%s came past the prefetch count", message.Body)
	case <-time.After(100 * time.Millisecond):
	}
	ok(third.Ack(true))
	ok(receive().Nack(false, true))
	for len(seen) < 7 {
		ok(receive().Ack(false))
	}
	got := strings.Join(seen, " ")
	// When the fourth comes again depends on how far ahead the broker already was.
	must(strings.HasPrefix(got, "1/false 2/false 3/false 4/false"), "%s", got)
	must(strings.Count(got, "4/true") == 1, "%s", got)
	ok(channel.Cancel("worker", false))
	_, found, err := channel.Get("work", false)
	must(err == nil && !found, "the queue is not empty")
}

// streams: messages stay in a stream, and each settled one allows the next delivery, even if it is to be requeued.
func streams(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	ok(channel.Confirm(false))
	value(channel.QueueDeclare("journal", true, false, false, false, amqp.Table{"x-queue-type": "stream"}))
	for number := 0; number < 5; number++ {
		confirmation := value(channel.PublishWithDeferredConfirmWithContext(
			context.Background(), "", "journal", false, false, text(strconv.Itoa(number))))
		must(confirmed(confirmation), "%d was refused", number)
	}
	for _, each := range []struct {
		offset any
		want   string
	}{{"first", "0:0 1:1 2:2 3:3 4:4"}, {int64(3), "3:3 4:4"}, {"last", "4:4"}} {
		got := readStream(connection, each.offset, len(strings.Fields(each.want)))
		must(got == each.want, "from %v: %q, not %q", each.offset, got, each.want)
	}

	reader := value(connection.Channel())
	defer reader.Close()
	ok(reader.Qos(2, 0, false))
	deliveries := value(reader.Consume("journal", "", false, false, false, false, amqp.Table{"x-stream-offset": "first"}))
	first, second := next(deliveries, "message"), next(deliveries, "message")
	none := func() {
		select {
		case message := <-deliveries:
			must(false, "%s came past the prefetch count", message.Body)
		case <-time.After(100 * time.Millisecond):
		}
	}
	none()
	ok(second.Nack(false, true))
	third := next(deliveries, "message")
	none()
	ok(first.Ack(false))
	fourth := next(deliveries, "message")
	must(string(third.Body)+string(fourth.Body) == "23", "%s, %s", third.Body, fourth.Body)
	value(channel.QueueDelete("journal", false, false, false))
}

// readStream returns the offsets and bodies of count messages from an offset on.
func readStream(connection *amqp.Connection, offset any, count int) string {
	reader := value(connection.Channel())
	defer reader.Close()
	ok(reader.Qos(2, 0, false))
	deliveries := value(reader.Consume("journal", "", false, false, false, false, amqp.Table{"x-stream-offset": offset}))
	all := []string{}
	for len(all) < count {
		message := next(deliveries, "message")
		ok(message.Ack(false))
		all = append(all, fmt.Sprintf("%v:%s", message.Headers["x-stream-offset"], message.Body))
	}
	return strings.Join(all, " ")
}

func priorities(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	ok(channel.Confirm(false))
	declare(channel, "triage", amqp.Table{"x-max-priority": int32(5)})
	for _, priority := range []uint8{0, 3, 1, 5, 3} {
		message := amqp.Publishing{Priority: priority, Body: []byte(strconv.Itoa(int(priority)))}
		confirmation := value(
			channel.PublishWithDeferredConfirmWithContext(context.Background(), "", "triage", false, false, message))
		must(confirmed(confirmation), "%d was refused", confirmation.DeliveryTag)
	}
	got := bodies(channel, "triage", 5)
	must(got == "5 3 3 1 0", "%s", got)
}

func ttlToDlx(channel *amqp.Channel) {
	ok(channel.ExchangeDeclare("late", amqp.ExchangeDirect, false, false, false, false, nil))
	declare(channel, "missed", nil)
	ok(channel.QueueBind("missed", "too.late", "late", false, nil))
	declare(channel, "slots", amqp.Table{"x-dead-letter-exchange": "late", "x-dead-letter-routing-key": "too.late"})
	publish(channel, "", "slots", amqp.Publishing{Expiration: "100", MessageId: "m1", Body: []byte("milk")})
	message := take(channel, "missed", 1)[0]
	must(string(message.Body) == "milk" && message.MessageId == "m1" && message.Expiration == "", "%+v", message)
	must(deathCount(message.Headers, "slots", "expired") == 1, "%v", message.Headers)
	death := message.Headers["x-death"].([]interface{})[0].(amqp.Table)
	must(death["original-expiration"] == "100", "%v", death)
	_, isTime := death["time"].(time.Time)
	must(isTime && death["exchange"] == "", "%v", death)
}

// waitAndRetry: a rejected job waits 100 ms in a queue that nobody consumes, then is back; the fourth try succeeds.
func waitAndRetry(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	declare(channel, "jobs", deadLetterTo("jobs.wait"))
	wait := deadLetterTo("jobs")
	wait["x-message-ttl"] = int64(100)
	declare(channel, "jobs.wait", wait)
	publish(channel, "", "jobs", text("flaky"))
	deliveries := value(channel.Consume("jobs", "", false, false, false, false, nil))
	for try := int64(0); ; try++ {
		message := next(deliveries, "message")
		rejected, expired := deathCount(message.Headers, "jobs", "rejected"), deathCount(message.Headers, "jobs.wait", "expired")
		must(rejected == try && expired == try, "try %d: rejected %d times, expired %d times", try, rejected, expired)
		if rejected == 3 {
			ok(message.Ack(false))
			return
		}
		ok(message.Reject(false))
	}
}

func rejectToDlq(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	declare(channel, "dead", nil)
	declare(channel, "fragile", deadLetterTo("dead"))
	publish(channel, "", "fragile", amqp.Publishing{Headers: amqp.Table{"attempt": int32(1)}, Body: []byte("poison")})
	deliveries := value(channel.Consume("fragile", "", false, false, false, false, nil))
	ok(next(deliveries, "message").Nack(false, false))
	message := take(channel, "dead", 1)[0]
	must(string(message.Body) == "poison" && message.Headers["attempt"] == int32(1), "%+v", message)
	must(deathCount(message.Headers, "fragile", "rejected") == 1, "%v", message.Headers)
	must(message.Headers["x-first-death-queue"] == "fragile", "%v", message.Headers)
}

func consumerCancelled(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	cancelled := channel.NotifyCancel(make(chan string, 1))
	declare(channel, "doomed", nil)
	deliveries := value(channel.Consume("doomed", "watcher", false, false, false, false, nil))
	value(channel.QueueDelete("doomed", false, false, false))
	tag := next(cancelled, "cancel")
	must(tag == "watcher", "%s was cancelled", tag)
	_, open := <-deliveries
	must(!open, "the deliveries go on")
}

func transactions(connection *amqp.Connection) {
	channel := value(connection.Channel())
	defer channel.Close()
	ok(channel.Tx())
	declare(channel, "ledger", nil)
	publish(channel, "", "ledger", text("undone"))
	ok(channel.TxRollback())
	publish(channel, "", "ledger", text("done"))
	ok(channel.TxCommit())
	got := bodies(channel, "ledger", 1)
	must(got == "done", "%s", got)
	ok(channel.TxCommit())
}

func largeMessage(channel *amqp.Channel) {
	sent := make([]byte, 20*1024*1024)
	value(rand.Read(sent))
	declare(channel, "large", nil)
	publish(channel, "", "large", amqp.Publishing{Body: sent})
	message := take(channel, "large", 1)[0]
	must(bytes.Equal(message.Body, sent), "the content differs")
}

func channelError(connection *amqp.Connection) {
	refused := func(err error, code int, reason string) {
		var refusal *amqp.Error
		must(errors.As(err, &refusal), "%v is not an AMQP error", err)
		must(refusal.Code == code && refusal.Reason == reason && refusal.Server, "%+v", refusal)
	}
	channel := value(connection.Channel())
	_, err := channel.QueueDeclarePassive("no.such.queue", false, false, false, false, nil)
	refused(err, amqp.NotFound, "NOT_FOUND - no queue 'no.such.queue' in vhost '/'")

	channel = value(connection.Channel())
	declare(channel, "settled", amqp.Table{"x-expires": int32(60000)})
	_, err = channel.QueueDeclare("settled", false, false, false, false, nil)
	refused(err, amqp.PreconditionFailed, "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'settled' "+
		"in vhost '/': received none but current is the value '60000' of type 'signedint'")
	must(channel.IsClosed() && !connection.IsClosed(), "closed: %v, %v", channel.IsClosed(), connection.IsClosed())

	channel = value(connection.Channel()) // the connection has not suffered
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	publish(channel, "no.such.exchange", "", text("lost"))
	refused(next(closed, "close"), amqp.NotFound, "NOT_FOUND - no exchange 'no.such.exchange' in vhost '/'")
	channel = value(connection.Channel())
	value(channel.QueueDeclarePassive("settled", false, false, false, false, nil))
	ok(channel.Close())
}

// reconnect learns from NotifyClose that the connection is lost, dials again and declares again.
func reconnect() {
	connection := dial()
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	channel := value(connection.Channel())
	value(channel.QueueDeclare("steady", true, false, false, false, nil))
	deliveries := value(channel.Consume("steady", "", false, false, false, false, nil))
	restartBroker()
	reason := next(closed, "notice that the connection is lost")
	fmt.Fprintln(os.Stderr, "lost:", reason)
	must(reason.Code == amqp.ConnectionForced, "%v", reason)
	must(reason.Reason == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", "%v", reason)
	_, open := <-deliveries
	must(!open, "the deliveries go on")

	connection = dial()
	channel = value(connection.Channel())
	value(channel.QueueDeclare("steady", true, false, false, false, nil))
	publish(channel, "", "steady", text("still here"))
	got := bodies(channel, "steady", 1)
	must(got == "still here", "%s", got)
	ok(connection.Close())
}

func main() {
	if given := os.Getenv("AMQP_URL"); given != "" {
		url = given
	}
	fmt.Println("VERSION amqp091-go", amqp.NewConnectionProperties()["version"])
	connection := dial()
	channel := value(connection.Channel())
	check("topology", func() { topology(channel) })
	check("confirms", func() { confirms(connection) })
	check("mandatory-return", func() { mandatoryReturn(channel) })
	check("acks", func() { acks(connection) })
	check("priorities", func() { priorities(connection) })
	check("ttl-dlx", func() { ttlToDlx(channel) })
	check("wait-retry", func() { waitAndRetry(connection) })
	check("reject-dlq", func() { rejectToDlq(connection) })
	check("consumer-cancelled", func() { consumerCancelled(connection) })
	check("transactions", func() { transactions(connection) })
	check("streams", func() { streams(connection) })
	check("large-message", func() { largeMessage(channel) })
	check("channel-error", func() { channelError(connection) })
	ok(connection.Close())
	check("reconnect", reconnect)
	if failures > 0 {
		os.Exit(1)
	}
}
