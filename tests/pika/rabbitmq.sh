#!/bin/bash
# Migrates a RabbitMQ of its own to a cluster of $WARREN, and lets it be a site beside
# another. Usage:
#   WARREN=... rabbitmq.sh PYTHON [OPTION...]    with options of migrate.py
# A large one, with one interruption:
#   rabbitmq.sh python3 --queues 1000 --messages 1000000 --kills 1 --after 30
set -euo pipefail
cd "$(dirname "$0")"

python=$1
shift
# shellcheck source=tests/versus/rabbitmq.sh
source ../versus/rabbitmq.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/migrate.XXXXXX")
trap 'rabbitmq_stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
http=$(free_port)
export rabbitmq_plugins=rabbitmq_management,rabbitmq_federation,rabbitmq_federation_management
export rabbitmq_config="management.tcp.ip = 127.0.0.1
management.tcp.port = $http"
rabbitmq_start "$work" 1
"$python" migrate.py --http "http://guest:guest@127.0.0.1:$http" --amqp "$(rabbitmq_uri 1)" "$@"
"$python" sites.py --rabbitmq "http://guest:guest@127.0.0.1:$http" "$(rabbitmq_uri 1)"
