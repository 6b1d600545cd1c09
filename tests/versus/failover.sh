#!/bin/bash
# What clients notice when a queue's leader is killed or frozen: Warren beside
# RabbitMQ's mirrored classic and quorum queues, three nodes each, one table.
# Usage: failover.sh WARREN
set -euo pipefail

warren=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/versus/rabbitmq.sh
source "$here/rabbitmq.sh"
rabbitmq_install
python=$("$here/../pika/python.sh")

work=$(mktemp -d "${TMPDIR:-/tmp}/versus.XXXXXX")
clean_up() {
    # Frozen ones hear of no other signal.
    for pid in "$work"/rabbitmq*/pid* "$work"/warren*/node-*/pid; do
        if [[ -s $pid ]]; then kill -CONT "$(cat "$pid")" 2>/dev/null || true; fi
    done
    rabbitmq_stop
    for cluster in "$work"/warren*; do
        if [[ -d $cluster ]]; then "$warren" cluster down --data "$cluster" >/dev/null || true; fi
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

list() { local IFS=,; echo "$*"; }

# beside NAME FAULT QUEUE TYPE: on three fresh RabbitMQ nodes.
beside() {
    rabbitmq_config="cluster_partition_handling = ${partition_handling:-ignore}" \
        rabbitmq_start "$work/rabbitmq-$2-$4" >/dev/null
    local uris=() pids=()
    for n in 1 2 3; do
        uris+=("$(rabbitmq_uri "$n")")
        pids+=("$rabbitmq_dir/pid$n")
    done
    "$python" "$here/failover.py" "$1" --fault "$2" --queue "$3" --type "$4" \
        --uris "$(list "${uris[@]}")" --pids "$(list "${pids[@]}")" >>"$work/table"
    rabbitmq_stop
}

# ours FAULT: on three fresh Warren nodes.
ours() {
    local data=$work/warren-$1 uris=() pids=()
    "$warren" cluster up --data "$data" --nodes 3 --amqp-port 0 --http-port 0 --detach >/dev/null
    for n in 1 2 3; do
        uris+=("amqp://guest:guest@$(sed -n '/^\[amqp\]/,/^\[/s/^listen = "\(.*\)"/\1/p' "$data/node-$n/config.toml")")
        pids+=("$data/node-$n/pid")
    done
    "$python" "$here/failover.py" Warren --fault "$1" \
        --uris "$(list "${uris[@]}")" --pids "$(list "${pids[@]}")" >>"$work/table"
    "$warren" cluster down --data "$data" >/dev/null
}

for fault in kill freeze; do
    echo "$fault: Warren"
    ours "$fault"
    echo "$fault: RabbitMQ, mirrored classic queue"
    beside "RabbitMQ, mirrored" "$fault" mirrored-failover classic
    echo "$fault: RabbitMQ, quorum queue"
    beside "RabbitMQ, quorum" "$fault" quorum-failover quorum
done

echo
echo "three nodes, 500 messages a second; the queue's leader is killed, or frozen for 20 s; clients are on another node"
printf '%-22s %-7s %12s %12s %6s %10s %12s\n' broker fault 'confirm gap' 'delivery gap' lost duplicates 'connections'
cat "$work/table"
