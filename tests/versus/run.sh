#!/bin/bash
# Measures RabbitMQ (mirrored classic and quorum queues) and Warren, each as three
# nodes on loopback, with the same workload and load generator, one after the
# other. Usage: run.sh WARREN [TIME]; TIME is how long each figure is measured.
#
# Runs on one machine differ by a third from day to day: compare within one run.
set -euo pipefail

warren=$1
time=${2:-10s}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/versus/rabbitmq.sh
source "$here/rabbitmq.sh"
rabbitmq_install

work=$(mktemp -d "${TMPDIR:-/tmp}/versus.XXXXXX")
clean_up() {
    rabbitmq_stop
    if [[ -d $work/warren ]]; then
        "$warren" cluster down --data "$work/warren" >/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# measure NAME URI [OPTION...]: throughput and latency of one kind of queue.
measure() {
    local name=$1 uri=$2
    shift 2
    echo "measuring $name: throughput for $time, then 2,000 messages a second for $time"
    "$warren" bench --uri "$uri" --size 1024 --window 1000 --duration "$time" --json "$@" >"$work/$name.throughput"
    "$warren" bench --uri "$uri" --size 1024 --window 1000 --duration "$time" --json --rate 2000 "$@" >"$work/$name.latency"
}

# figure FILE [BLOCK] KEY: a number of a report.
figure() {
    local file=$1 block=${3:+$2} key=${3:-$2}
    awk -v block="\"$block\":" -v key="\"$key\":" '
        $1 == block { inside = 1 }
        $1 == key && (block == "\"\":" || inside) { sub(",", "", $2); print $2; exit }
    ' "$work/$file"
}

echo "starting three RabbitMQ nodes in $work"
rabbitmq_start "$work/rabbitmq"
measure classic "$(rabbitmq_uri 1)" --queue-prefix mirrored
measure quorum "$(rabbitmq_uri 1)" --queue-prefix quorum --queue-type quorum
rabbitmq_stop

echo "starting three Warren nodes in $work"
mkdir "$work/warren"
"$warren" cluster up --data "$work/warren" --nodes 3 --amqp-port 0 --http-port 0 --detach >"$work/warren.up"
measure warren "$(grep -m 1 -o 'amqp://[^ ]*' "$work/warren.up")"
"$warren" cluster down --data "$work/warren" >/dev/null

echo
echo "three nodes, 1 KiB persistent, 1 publisher with a window of 1,000 confirms, 1 consumer; latency at 2,000/s"
row='%-20s %12s %12s %14s %14s %14s %14s\n'
# shellcheck disable=SC2059
printf "$row" "" "confirmed/s" "delivered/s" "e2e p50 ms" "e2e p99 ms" "confirm p50" "confirm p99"
for name in classic quorum warren; do
    # shellcheck disable=SC2059
    printf "$row" "$name" \
        "$(figure $name.throughput confirm_rate | xargs printf '%.0f')" \
        "$(figure $name.throughput deliver_rate | xargs printf '%.0f')" \
        "$(figure $name.latency end_to_end_latency p50 | xargs printf '%.2f')" \
        "$(figure $name.latency end_to_end_latency p99 | xargs printf '%.2f')" \
        "$(figure $name.latency confirm_latency p50 | xargs printf '%.2f')" \
        "$(figure $name.latency confirm_latency p99 | xargs printf '%.2f')"
done
echo
for name in classic quorum; do
    awk -v name="$name" \
        -v ours="$(figure warren.throughput confirm_rate)" -v theirs="$(figure $name.throughput confirm_rate)" \
        -v late="$(figure $name.latency end_to_end_latency p99)" -v soon="$(figure warren.latency end_to_end_latency p99)" \
        'BEGIN { printf "Warren against %s: %.1f times the throughput, %.2f of the end-to-end p99\n", name, ours / theirs, soon / late }'
done
