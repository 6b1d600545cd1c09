#!/bin/bash
# A few short drills, each on a cluster of its own. Usage: drill.sh WARREN
set -euo pipefail

"$1" drill kill-leader freeze-leader rolling-restart --before 1s
