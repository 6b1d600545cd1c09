#!/bin/bash
# Measures RabbitMQ (mirrored classic and quorum queues) and Warren, each as three
# nodes on loopback, with the same workload and load generator, in turn, several
# rounds. Usage: run.sh WARREN [TIME [ROUNDS]]; TIME is how long each figure is
# measured.
#
# A disk that is shared has bad moments, and runs differ by a third from day to
# day: figures are the medians of the rounds, and only comparable within a run.
# Latency comes first: what full throughput leaves for the disk to do would be in it.
set -euo pipefail

warren=$1
time=${2:-10s}
rounds=${3:-5}
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

# measure FIGURE ROUND NAME URI [OPTION...]: one figure of one kind of queue.
measure() {
    local figure=$1 round=$2 name=$3 uri=$4
    shift 4
    "$warren" bench --uri "$uri" --size 1024 --window 1000 --duration "$time" --json "$@" >"$work/$name.$figure.$round"
}

# round FIGURE NUMBER [OPTION...]: all kinds in turn.
round() {
    local figure=$1 number=$2
    shift 2
    echo "$figure, round $number of $rounds"
    measure "$figure" "$number" classic "$rabbitmq" --queue-prefix mirrored "$@"
    measure "$figure" "$number" quorum "$rabbitmq" --queue-prefix quorum --queue-type quorum "$@"
    measure "$figure" "$number" warren "$ours" "$@"
}

# one FILE [BLOCK] KEY: a number of a report.
one() {
    local file=$1 block=${3:+$2} key=${3:-$2}
    awk -v block="\"$block\":" -v key="\"$key\":" '
        $1 == block { inside = 1 }
        $1 == key && (block == "\"\":" || inside) { sub(",", "", $2); print $2; exit }
    ' "$file"
}

# figure NAME.FIGURE [BLOCK] KEY: the median of the rounds.
figure() {
    local name=$1 file
    shift
    for file in "$work/$name".*; do
        one "$file" "$@"
    done | sort -g | awk '{ all[NR] = $1 } END { print (all[int((NR + 1) / 2)] + all[int(NR / 2) + 1]) / 2 }'
}

echo "starting three nodes of RabbitMQ and three of Warren in $work"
rabbitmq_start "$work/rabbitmq"
mkdir "$work/warren"
"$warren" cluster up --data "$work/warren" --nodes 3 --amqp-port 0 --http-port 0 --detach >"$work/warren.up"
rabbitmq=$(rabbitmq_uri 1)
ours=$(grep -m 1 -o 'amqp://[^ ]*' "$work/warren.up")
# What a broker writes to first is new and grows; later it writes over what is there.
echo "150,000 messages each ahead of it all"
for warm in "$rabbitmq mirrored" "$rabbitmq quorum --queue-type quorum" "$ours bench"; do
    # shellcheck disable=SC2086
    set -- $warm
    "$warren" bench --uri "$1" --queue-prefix "$2" "${@:3}" --size 1024 --window 1000 --messages 150000 --json >/dev/null
done
for ((number = 1; number <= rounds; number++)); do
    round latency "$number" --rate 2000
done
for ((number = 1; number <= rounds; number++)); do
    round throughput "$number"
done

echo
echo "three nodes, 1 KiB persistent, 1 publisher with a window of 1,000 confirms, 1 consumer; latency at 2,000/s; medians"
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
