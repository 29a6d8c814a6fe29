#!/bin/bash
# rabbitmq-c's amqp-tools: one connection a command, a queue as a place that shell scripts put lines into and take them from.
#
# Run by `python -m interop rabbitmq_c`. The tools know no exchange types, no queue arguments, no confirms, no priority,
# no expiration and no reject, so what needs those is n/a.

url=${AMQP_URL:-amqp://guest:guest@127.0.0.1:5672/}
url=${url%/}  # to rabbitmq-c a lone slash is a vhost without a name
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# check NAME FUNCTION: the function passes by returning 0; otherwise the last thing that it said is the reason.
check() {
    if "$2" >"$work/said" 2>&1; then
        echo "PASS $1"
    else
        echo "FAIL $1 $(tail -n 1 "$work/said")"
        echo "$1:" >&2
        cat "$work/said" >&2
        failures=1
    fi
}

not_applicable() {
    echo "NA $1 $2"
}

# is WHAT ACTUAL EXPECTED
is() {
    [ "$2" = "$3" ] || { echo "$1: '$2', not '$3'"; return 1; }
}

publish() { amqp-publish --url "$url" "$@"; }
get() { amqp-get --url "$url" --queue "$1"; }
declare_queue() { amqp-declare-queue --url "$url" --queue "$@"; }
delete_queue() { amqp-delete-queue --url "$url" --queue "$@"; }

# consume OPTION... COMMAND: each message is the standard input of one run of the command
consume() { amqp-consume --url "$url" "$@"; }

# from_exchange EXCHANGE BINDING_KEY: the first message that comes to a queue that is bound to the exchange
from_exchange() {
    timeout 60 amqp-consume --url "$url" --exchange "$1" --routing-key "$2" --count 1 cat
}

# routed EXCHANGE BINDING_KEY KEY OTHER_KEY: what is published with KEY arrives, and nothing with OTHER_KEY before it
routed() {
    from_exchange "$1" "$2" >"$work/routed" 2>"$work/routed.errors" &
    consumer=$!
    while kill -0 "$consumer" 2>/dev/null; do  # until the consumer, bound a little after its start, has got one
        [ -z "$4" ] || publish --exchange "$1" --routing-key "$4" --body other || return 1
        publish --exchange "$1" --routing-key "$3" --body "by $1" || return 1
        sleep 0.05
    done
    wait "$consumer" || { tail -n 1 "$work/routed.errors"; return 1; }
    is "$1" "$(cat "$work/routed")" "by $1"
}

topology() {
    is "name of the queue" "$(declare_queue plain)" plain &&
        is "name of the durable queue" "$(declare_queue kept --durable)" kept || return 1
    [[ $(declare_queue '') == amq.gen-* ]] || { echo "the broker gave no name"; return 1; }
    routed amq.direct red red blue &&
        routed amq.topic '*.error.#' kernel.error.disk kernel.warning &&
        routed amq.fanout unused anything '' || return 1  # amqp-consume crashes without a binding key
    publish --routing-key plain --body 1 && publish --routing-key plain --body 2 || return 1
    is "messages in the deleted queue" "$(delete_queue plain)" 2 && is "messages in kept" "$(delete_queue kept)" 0
}

# A message whose command fails is not acknowledged, so it is there for the next consumer.
acks() {
    declare_queue lines && seq 5 | publish --routing-key lines --line-buffered --persistent || return 1
    consume --queue lines --count 1 false
    is "taken" "$(consume --queue lines --count 3 --prefetch-count 2 cat | tr '\n' ' ')" "1 2 3 " || return 1
    is "taken" "$(get lines)$(get lines)" 45 || return 1
    get lines
    is "exit status of amqp-get on an empty queue" $? 2
}

large_message() {
    head -c 20971520 /dev/urandom >"$work/sent"
    declare_queue large && publish --routing-key large --content-type application/octet-stream <"$work/sent" || return 1
    get large >"$work/received" && cmp "$work/sent" "$work/received"
}

# refused WORDS COMMAND...: the command fails and says the words
refused() {
    if "${@:2}" 2>"$work/refusal"; then
        echo "not refused: ${*:2}"
        return 1
    fi
    grep -qF "$1" "$work/refusal" || { cat "$work/refusal"; return 1; }
}

channel_error() {
    refused "404, message: NOT_FOUND - no queue 'no.such.queue' in vhost '/'" get no.such.queue &&
        refused "404, message: NOT_FOUND - no exchange 'no.such' in vhost '/'" publish --exchange no.such --body lost &&
        declare_queue settled --durable &&
        refused "406, message: PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'settled' in vhost '/': \
received 'false' but current is 'true'" declare_queue settled &&
        is "messages in the queue" "$(delete_queue settled)" 0
}

restart_broker() {
    echo RESTART >&3
    read -r answer <&4
    is "answer" "$answer" RESTARTED
}

# A consumer learns that its broker goes, and ends; the next one finds the new broker.
reconnect() {
    declare_queue steady && publish --routing-key steady --body before || return 1
    amqp-consume --url "$url" --queue steady tee "$work/consumed" 2>"$work/lost" &
    consumer=$!
    for _ in $(seq 600); do
        [ -s "$work/consumed" ] && break
        sleep 0.05
    done
    is "consumed" "$(cat "$work/consumed")" before || return 1
    restart_broker || return 1
    wait "$consumer"
    is "exit status of the consumer" $? 1 || return 1
    cat "$work/lost"
    declare_queue steady && publish --routing-key steady --body "still here" || return 1
    is "consumed" "$(consume --queue steady --count 1 cat)" "still here"
}

exec 3>&1 4<&0  # a check's own output goes to a file; these are the runner
echo "VERSION amqp-tools $(dpkg-query --show --showformat '${Version}' amqp-tools)"
check topology topology
not_applicable confirms "amqp-publish does not ask for confirms"
check acks acks
not_applicable priorities "the tools set no queue arguments and no priority"
not_applicable ttl-dlx "the tools set no queue arguments and no expiration"
not_applicable wait-retry "the tools set no queue arguments and do not reject"
not_applicable reject-dlq "the tools set no queue arguments and do not reject"
check large-message large_message
check channel-error channel_error
check reconnect reconnect
exit $failures
