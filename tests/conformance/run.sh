#!/bin/bash
# Runs the conformance cases against three nodes of Warren and compares with what
# RabbitMQ does: with the recording of it, or --live with one that runs now, which
# renews the recording. Usage: run.sh WARREN [--live] [THEME/CASE...]
set -euo pipefail
cd "$(dirname "$0")"

warren=$(realpath "$1")
shift
live=
if [[ ${1:-} == --live ]]; then
    live=1
    shift
fi
source ../on_a_cluster.sh
source ../versus/rabbitmq.sh

if [[ $live ]]; then
    rabbitmq_install
    dir=$(mktemp -d "${TMPDIR:-/tmp}/warren-conformance.XXXXXX")
    trap 'status=$?; rabbitmq_stop; rm -rf "$dir"; exit $status' EXIT
    trap 'exit 130' INT TERM
    echo "starting RabbitMQ"
    rabbitmq_plugins='rabbitmq_consistent_hash_exchange' rabbitmq_config="load_definitions = $PWD/definitions.json" \
        rabbitmq_start "$dir/rabbitmq" 1
    rabbitmq_command "$dir/rabbitmqctl"
    python3 run.py --broker rabbitmq --address "127.0.0.1:${rabbitmq_ports[1]}" --command "$dir/rabbitmqctl" \
        --record recorded.json "$@"
    rabbitmq_stop
    rm -rf "$dir"
fi

start "$warren"
WARREN_NODE=$(http_uri 1)
export WARREN_NODE
python3 definitions.py "$warren" definitions.json
addresses=()
for n in 1 2 3; do
    address=$(uri $n)
    addresses+=(--address "${address##*@}")
done
python3 run.py --broker warren "${addresses[@]}" --command "$warren" --data "$data" \
    --compare recorded.json "$@"
