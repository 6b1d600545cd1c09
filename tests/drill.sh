#!/bin/bash
# The drill on a cluster of its own. Usage: drill.sh WARREN
set -euo pipefail
# shellcheck source=tests/on_a_cluster.sh
source "$(dirname "$0")/on_a_cluster.sh"

start "$1"
"$warren" drill kill-leader --data "$data"
