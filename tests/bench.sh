#!/bin/bash
# Throughput and latency of a cluster of its own. Usage: bench.sh WARREN
set -euo pipefail
# shellcheck source=tests/on_a_cluster.sh
source "$(dirname "$0")/on_a_cluster.sh"

start "$1"
echo "throughput, 1 KiB, confirm window of 1,000"
"$warren" bench --uri "$(uri 1)" --uri "$(uri 2)"
echo "latency at 2,000 messages a second"
"$warren" bench --uri "$(uri 1)" --uri "$(uri 2)" --rate 2000
