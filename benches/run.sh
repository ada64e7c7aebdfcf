#!/usr/bin/env bash
# Everything that `make bench` measures, in about two hours after the build; prints it and keeps it, with pictures, in
# benches/results. Extra words go to cargo bench: `benches/run.sh gallery` measures only those parts, and keeps nothing.
#
#   ROLLCALL_BENCH_README       1: write the figures into README's table, too
#   ROLLCALL_BENCH_QUICK        1: short measurements and one round of each, to see that all of it works; nothing is kept
#   ROLLCALL_BENCH_SECONDS      how long each live camera is watched (60)
#   ROLLCALL_BENCH_CAMERAS      how many cameras are watched at once, one number after the other (4,8,12)
#   ROLLCALL_BENCH_ROUNDS       rounds of each comparison, and of each number of cameras (3)
#   ROLLCALL_BENCH_API_SECONDS  how long each path of the API is asked (5)
#   ROLLCALL_BENCH_CLIP         another clip to hold against the limit, see benches/limit.py
#   ROLLCALL_BENCH_MODELS       the whole path of a folder into which both files of the optional liveness model were installed
#   ROLLCALL_EVAL_DATA, ROLLCALL_PEER_PYTHON    see benches/peers/compare.py
#   ROLLCALL_DOOR_CASE          a folder with probe.mp4 and people/: for the peers, and for live cameras with people from afar
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CARGO=${CARGO:-cargo}
QUICK=${ROLLCALL_BENCH_QUICK:-}
SECONDS_LIVE=${ROLLCALL_BENCH_SECONDS:-${QUICK:+20}}
SECONDS_LIVE=${SECONDS_LIVE:-60}
ROUNDS=${ROLLCALL_BENCH_ROUNDS:-${QUICK:+1}}
ROUNDS=${ROUNDS:-3}
CAMERAS=${ROLLCALL_BENCH_CAMERAS:-${QUICK:+1}}
CAMERAS=${CAMERAS:-4,8,12}
SECONDS_API=${ROLLCALL_BENCH_API_SECONDS:-${QUICK:+1}}
SECONDS_API=${SECONDS_API:-5}
TARGET=${CARGO_TARGET_DIR:-target}
BIN=$TARGET/release
PYTHON=${ROLLCALL_PEER_PYTHON:-python3}
RESULTS=benches/results
export ROLLCALL_BENCH_DIR=$TARGET/bench
DOOR=()
if [ -n "${ROLLCALL_DOOR_CASE:-}" ]; then
    DOOR=(--video "$ROLLCALL_DOOR_CASE/probe.mp4" --people "$ROLLCALL_DOOR_CASE/people")
fi

"$CARGO" build --release --locked
# Cargo builds the programs of src/bin too: a package's programs come with its benchmarks.
"$CARGO" bench --locked -p rollcall-benches --no-run

mkdir -p "$ROLLCALL_BENCH_DIR" "$RESULTS"

machine() {
    echo "- $(date -u +'%Y-%m-%d %H:%M UTC'), commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
    echo "- $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, $(awk '/MemTotal/ { printf "%d GB", $2 / 1048576 }' /proc/meminfo)"
    echo "- $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), $(rustc --version)"
    echo "- load before the start: $(cut -d' ' -f1-3 /proc/loadavg)${QUICK:+; a quick run: the figures are rough}"
}

# Criterion's short lines as a table, and below it what says that it is not measured.
table() {
    echo "| part | time | ± |"
    echo "| --- | ---: | ---: |"
    awk -F' [.][.][.] bench: +| ns/iter [(][+]/- |[)]' '
        function human(ns) {
            return ns < 1e3 ? sprintf("%d ns", ns) : ns < 1e6 ? sprintf("%.1f µs", ns / 1e3) : sprintf("%.2f ms", ns / 1e6)
        }
        / ns\/iter / { gsub(",", ""); sub("^test ", "", $1); printf "| %s | %s | %s |\n", $1, human($2), human($3); fflush() }
        /: not measured: / { left = left "\n- " $0 }
        END { if (left) print left }'
}

parts() {
    "$CARGO" bench --quiet --locked -p rollcall-benches --bench vision --bench rules --bench data -- \
        --output-format bencher ${QUICK:+--measurement-time 0.3 --warm-up-time 0.1 --sample-size 10} "$@" | table
}

# Runs a part of the report; one that fails says so there, and the others go on.
part() {
    local title=$1 shown=$2 errors=$ROLLCALL_BENCH_DIR/errors.txt
    shift 2
    echo "$title …" >&2
    printf '\n## %s\n\n`%s`\n\n' "$title" "$shown"
    "$@" 2>"$errors" || {
        cat "$errors" >&2
        printf -- '- failed: %s\n' "$(tail -n 1 "$errors")"
        touch "$ROLLCALL_BENCH_DIR/failed"
    }
}

beside_faiss() {
    if "$PYTHON" -c 'import faiss' 2>/dev/null; then
        "$PYTHON" benches/peers/gallery.py --scan "$BIN/gallery_scan" --rounds "$ROUNDS" ${QUICK:+--sizes 50 10000 100000}
    else
        echo "- not measured: $PYTHON cannot import faiss (PyPI faiss-cpu); name one that can in ROLLCALL_PEER_PYTHON"
    fi
}

live() {
    echo "Two men in turn who appear near the camera (demo media):"
    echo
    "$BIN/live_latency" --seconds "$SECONDS_LIVE" --keep "$ROLLCALL_BENCH_DIR/latency.json" | sed 's/^/- /' || return
    echo
    echo "People who come from afar (ROLLCALL_DOOR_CASE):"
    echo
    if [ ${#DOOR[@]} -gt 0 ]; then
        "$BIN/live_latency" --seconds "$SECONDS_LIVE" --keep "$ROLLCALL_BENCH_DIR/latency-afar.json" "${DOOR[@]}" | sed 's/^/- /'
    else
        echo "- not measured: ROLLCALL_DOOR_CASE names no case"
    fi
}

capacity() {
    local watch=("$BIN/capacity" --cameras "$CAMERAS" --seconds "$SECONDS_LIVE" --rounds "$ROUNDS" --keep "$ROLLCALL_BENCH_DIR/capacity.json")
    "${watch[@]}" --scene busy || return
    echo
    "${watch[@]}" --scene quiet || return
    echo
    "${watch[@]}" --scene quiet --vbr || return
    echo
    if [ ${#DOOR[@]} -gt 0 ]; then
        "${watch[@]}" "${DOOR[@]}"
    else
        echo "- a crowd that walks was not measured: ROLLCALL_DOOR_CASE names no case"
    fi
}

pictures() {
    "$BIN/charts" "$ROLLCALL_BENCH_DIR" "$ROLLCALL_BENCH_DIR"
}

everything() {
    echo "# Benchmarks"
    echo
    machine
    part "Parts, one thread" "cargo bench -p rollcall-benches" parts
    part "The lane beside its limit" "benches/limit.py --rounds $ROUNDS" python3 benches/limit.py --bin "$BIN" --rounds "$ROUNDS"
    part "A recording, beside peers" "benches/peers/compare.py --rounds $ROUNDS" \
        python3 benches/peers/compare.py --rollcall "$BIN/rollcall" --rounds "$ROUNDS"
    part "The gallery, beside FAISS" "benches/peers/gallery.py --rounds $ROUNDS" beside_faiss
    part "A live camera" "live_latency --seconds $SECONDS_LIVE" live
    part "How many cameras" "capacity --cameras $CAMERAS --seconds $SECONDS_LIVE --rounds $ROUNDS" capacity
    part "The API over a million rows, and nine o'clock" "api_load --seconds $SECONDS_API" "$BIN/api_load" --seconds "$SECONDS_API"
    part "Pictures" "charts" pictures
    echo
    echo "- load at the end: $(cut -d' ' -f1-3 /proc/loadavg)"
}

# Only some parts were asked for.
if [ $# -gt 0 ]; then
    parts "$@"
    exit
fi
# Figures of an earlier run are not of this one.
rm -f "$ROLLCALL_BENCH_DIR"/{*.json,*.svg,failed}
everything | tee "$ROLLCALL_BENCH_DIR/latest.md"
if [ -e "$ROLLCALL_BENCH_DIR/failed" ]; then
    echo "a part failed: nothing is kept, the report is $ROLLCALL_BENCH_DIR/latest.md" >&2
    exit 1
fi
if [ -n "$QUICK" ]; then
    echo "a quick run is not kept, its report is $ROLLCALL_BENCH_DIR/latest.md" >&2
    exit
fi
rm -f "$RESULTS"/*.svg
cp "$ROLLCALL_BENCH_DIR"/{latest.md,*.svg} "$RESULTS"
echo "kept in $RESULTS" >&2
[ -z "${ROLLCALL_BENCH_README:-}" ] || "$BIN/readme_table" "$ROLLCALL_BENCH_DIR" README.md
