#!/bin/bash
# rabbitmq-c's amqp-tools at work: publishes, gets and consumes on three nodes.
# Usage: tools.sh URI URI URI QUEUE
set -euo pipefail
first=$1 second=$2 third=$3 queue=$4

amqp-declare-queue --url="$first" -d -q "$queue" >/dev/null
seq 1 500 | amqp-publish --url="$second" -r "$queue" -p -l
amqp-publish --url="$second" -r "$queue" -p -C text/plain -b last
# Its publishes are not confirmed: a message is there when it can be got.
for _ in {1..100}; do
    if got=$(amqp-get --url="$third" -q "$queue"); then
        break
    fi
    sleep 0.1
done
[[ $got == 1 ]] || { echo "got '$got', not the first message" >&2; exit 1; }
consumed=$(amqp-consume --url="$first" -q "$queue" -c 500 -p 20 awk 1 | sort -n | sha256sum)
[[ $consumed == "$({ echo last; seq 2 500; } | sort -n | sha256sum)" ]] || { echo "not all messages came" >&2; exit 1; }
amqp-delete-queue --url="$third" -q "$queue" >/dev/null
echo "all, 0 twice"
