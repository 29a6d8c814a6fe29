#!/bin/sh
# Flags alone are flags of the server, as in RabbitMQ's image.
set -eu
case "${1:-}" in
    -* | '') set -- rabbitmq-server "$@" ;;
esac
exec "$@"
