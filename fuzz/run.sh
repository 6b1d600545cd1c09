#!/bin/bash
# Fuzzes each target for so many seconds, from the seeds that are kept and from
# what was found before (in the target folder). Works on stable Rust: libFuzzer's
# coverage is asked of LLVM by flags, for the target only.
# Usage: run.sh TIME [TARGET...], with a time such as 20s, 5m or 1h
set -euo pipefail
cd "$(dirname "$0")"

case $1 in
*h) seconds=$((${1%h} * 3600)) ;;
*m) seconds=$((${1%m} * 60)) ;;
*) seconds=${1%s} ;;
esac
shift
targets=("$@")
((${#targets[@]})) || targets=(frames methods tables)

host=$(rustc --print host-tuple)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/fuzz
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
cargo build --release --locked --target "$host"

for target in "${targets[@]}"; do
    corpus=$CARGO_TARGET_DIR/corpus/$target
    mkdir -p "$corpus"
    echo "fuzzing $target for $seconds s"
    "$CARGO_TARGET_DIR/$host/release/$target" "$corpus" "seeds/$target" -max_total_time="$seconds" \
        -artifact_prefix="$CARGO_TARGET_DIR/found-$target-" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
        -verbosity=1 -print_final_stats=1 >"$corpus.log" 2>&1 || {
        tail -n 30 "$corpus.log"
        exit 1
    }
    grep -E 'stat::number_of_executed_units|DONE' "$corpus.log"
done
