#!/usr/bin/env bash
# Everything that `make bench` measures, in some twelve minutes after the build; prints it and keeps it in
# target/bench/latest.md. Extra words go to cargo bench: `benches/run.sh gallery` measures only those parts.
#
#   ROLLCALL_BENCH_SECONDS    how long the live camera is watched (120)
#   ROLLCALL_BENCH_ROUNDS     rounds of the comparison with peers (3)
#   ROLLCALL_BENCH_API_SECONDS  how long each path of the API is asked (10)
#   ROLLCALL_EVAL_DATA, ROLLCALL_PEER_PYTHON    see benches/peers.py
#   ROLLCALL_DOOR_CASE        a folder with probe.mp4 and people/: shown by a live camera too, as people who come from afar
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CARGO=${CARGO:-cargo}
SECONDS_LIVE=${ROLLCALL_BENCH_SECONDS:-120}
ROUNDS=${ROLLCALL_BENCH_ROUNDS:-3}
SECONDS_API=${ROLLCALL_BENCH_API_SECONDS:-10}
TARGET=${CARGO_TARGET_DIR:-target}
OUT=$TARGET/bench/latest.md

"$CARGO" build --release --locked
# Cargo builds live_latency and api_load too: a package's programs come with its benchmarks.
"$CARGO" bench --locked -p rollcall-benches --no-run

mkdir -p "$TARGET/bench"
exec > >(tee "$OUT")

machine() {
    echo "- $(date -u +'%Y-%m-%d %H:%M UTC'), commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
    echo "- $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, $(awk '/MemTotal/ { printf "%d GB", $2 / 1048576 }' /proc/meminfo)"
    echo "- $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), $(rustc --version)"
    echo "- load before the start: $(cut -d' ' -f1-3 /proc/loadavg)"
}

# Criterion's short lines as a table.
table() {
    echo "| part | time | ± |"
    echo "| --- | ---: | ---: |"
    awk -F' [.][.][.] bench: +| ns/iter [(][+]/- |[)]' '
        function human(ns) {
            return ns < 1e3 ? sprintf("%d ns", ns) : ns < 1e6 ? sprintf("%.1f µs", ns / 1e3) : sprintf("%.2f ms", ns / 1e6)
        }
        / ns\/iter / { gsub(",", ""); sub("^test ", "", $1); printf "| %s | %s | %s |\n", $1, human($2), human($3); fflush() }'
}

echo "# Benchmarks"
echo
machine
echo
echo "## Parts, one thread"
echo
echo "\`cargo bench -p rollcall-benches\`"
echo
"$CARGO" bench --quiet --locked -p rollcall-benches --bench vision --bench data -- --output-format bencher "$@" 2>/dev/null | table
# Only some parts were asked for.
[ $# -eq 0 ] || exit 0
echo
echo "## A recording, beside a peer"
echo
echo "\`benches/peers.py --rounds $ROUNDS\`"
echo
python3 benches/peers.py --rollcall "$TARGET/release/rollcall" --rounds "$ROUNDS"
echo
echo "## A live camera"
echo
echo "\`live_latency --seconds $SECONDS_LIVE\`"
echo
echo "Two men in turn who appear near the camera (demo media):"
echo
"$TARGET/release/live_latency" --seconds "$SECONDS_LIVE" | sed 's/^/- /'
echo
echo "People who come from afar (ROLLCALL_DOOR_CASE):"
echo
if [ -n "${ROLLCALL_DOOR_CASE:-}" ]; then
    case_files=(--video "$ROLLCALL_DOOR_CASE/probe.mp4" --people "$ROLLCALL_DOOR_CASE/people")
    "$TARGET/release/live_latency" --seconds "$SECONDS_LIVE" "${case_files[@]}" | sed 's/^/- /'
else
    echo "- not measured: ROLLCALL_DOOR_CASE names no case"
fi
echo
echo "## The API over a million rows, and nine o'clock"
echo
echo "\`api_load\`, kept in $TARGET/bench/api.md"
echo
"$TARGET/release/api_load" --seconds "$SECONDS_API" | tee "$TARGET/bench/api.md"
echo
echo "- load at the end: $(cut -d' ' -f1-3 /proc/loadavg)"
echo "kept in $OUT" >&2
