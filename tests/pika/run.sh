#!/bin/bash
# Runs the Python tests against clusters of the given program.
# Usage: run.sh WARREN MESSAGES
set -euo pipefail
cd "$(dirname "$0")"

warren=$(realpath "$1")
messages=$2
python=$(./python.sh)

export WARREN=$warren
"$python" -m unittest conformance
"$python" -m unittest guards hostile secured
"$python" failover.py --messages "$messages" --gap 5
"$python" failover.py --messages "$messages" --kill-all
"$python" mirrored.py --messages "$messages"
"$python" synchronizing.py
"$python" moving.py --messages 2000
"$python" streams.py --messages "$messages"
"$python" shovel.py --messages 2000
"$python" federation.py
"$python" sites.py
"$python" site_queues.py
"$python" kept.py
"$python" lagging.py
"$python" reshape.py
"$python" haproxy.py
# Beside a RabbitMQ, where there is one.
if [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
    ./rabbitmq.sh "$python" --queues 20 --messages 2000 --kills 1 --after 1.5
fi
