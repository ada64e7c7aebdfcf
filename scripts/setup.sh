#!/usr/bin/env bash
# Makes a machine ready to build, test and run Rollcall: system packages, ONNX Runtime, models, demo media.
#
#   scripts/setup.sh [--cache DIR]                  everything (what `make setup` runs)
#   scripts/setup.sh --service [--cache DIR]        what building and running need, without what only tests use (the container)
#   scripts/setup.sh --models-only [--cache DIR]    the model files only; installs nothing (what `rollcall models fetch` runs)
#
# Knows Debian 12 and 13 and Ubuntu 24.04. Elsewhere: install the like of PACKAGES and set ROLLCALL_SKIP_SYSTEM_PACKAGES=1.
# A second run finds everything in place and does nothing; an interrupted one goes on where it stopped.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$ROOT/models/cache
SCOPE=everything
RUST_AT_LEAST=1.92

# Build tools; GStreamer with its decoders, the encoders of the test cameras and the RTSP server; PostgreSQL's programs (a system
# cluster need not run).
PACKAGES=(
    build-essential ca-certificates pkg-config
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav gstreamer1.0-tools
    postgresql
)
# What the examples of docs/api.md use.
TEST_PACKAGES=(curl jq)

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

step() {
    STEP=$((STEP + 1))
    printf '[%d/%d] %s\n' "$STEP" "$STEPS" "$*"
}

while [ $# -gt 0 ]; do
    case $1 in
        --service) SCOPE=service ;;
        --models-only) SCOPE=models ;;
        --cache)
            [ $# -ge 2 ] || fail "--cache wants a directory"
            CACHE=$2
            shift
            ;;
        *) fail "unknown argument $1; usage: scripts/setup.sh [--service|--models-only] [--cache DIR]" ;;
    esac
    shift
done
STEP=0
case $SCOPE in
    everything) STEPS=5 PACKAGES+=("${TEST_PACKAGES[@]}") ;;
    service) STEPS=4 ;;
    models) STEPS=2 ;;
esac
mkdir -p "$CACHE" || fail "$CACHE cannot be made"
CACHE=$(cd "$CACHE" && pwd)
# Made by another user, or with sudo: say so before something fails in the middle.
for path in "$CACHE" "$CACHE"/.[a-z]* "$CACHE"/*; do
    [ ! -e "$path" ] || [ -w "$path" ] || fail \
        "$path belongs to $(stat -c %U "$path"), and $(id -un) may not write to it" \
        "give it back with: sudo chown -R $(id -un) $CACHE"
done
VENV=$CACHE/.venv
STAMP=$CACHE/.stamp
TESTER=$ROOT/.venv
TESTER_REQUIREMENTS=$ROOT/tests/clients/requirements.txt

# --- Is there anything to do? ------------------------------------------------------------------------------------------------

# What the files are made from; they are made anew when it changes.
inputs_hash() {
    (cd "$ROOT" && sha256sum models/manifest.toml models/convert/*.py models/convert/requirements.txt) | sha256sum | cut -d' ' -f1
}

models_in_place() {
    [ -f "$STAMP" ] && [ "$(head -n 1 "$STAMP")" = "# $(inputs_hash)" ] &&
        (cd "$CACHE" && tail -n +2 "$STAMP" | sha256sum --check --status 2>/dev/null)
}

tester_in_place() {
    [ "$SCOPE" != everything ] || cmp -s "$TESTER_REQUIREMENTS" "$TESTER/requirements.txt"
}

# The set-up's own interpreter: 3.11 or newer, able to make a virtual environment.
python_works() {
    command -v python3 >/dev/null && python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Prints the packages that are missing, one a line.
missing_packages() {
    local installed package
    # Virtual packages and other providers do not matter here: these are all real ones.
    installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' 2>/dev/null)
    for package in "${PACKAGES[@]}"; do
        grep -qx "installed $package" <<<"$installed" || echo "$package"
    done
    python_works || printf '%s\n' python3 python3-venv
    [ -z "$MODELS_OK" ] || return 0
    command -v npm >/dev/null || echo npm
}

# --- System packages ---------------------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -y -q "$@"
}

# Reads what apt-get prints and says how far it is: it mentions each package three times.
apt_progress() {
    local total
    total=$(apt-get --simulate -q --no-install-recommends install "$@" 2>/dev/null | grep -c '^Inst' || true)
    awk -v total="$((total * 3))" '
        /^(Get:|Unpacking |Setting up )/ {
            tenth = total ? int(++seen * 10 / total) : 0
            if (tenth > shown && tenth <= 10) { shown = tenth; printf "      %d %%\n", shown * 10; fflush() }
        }'
}

install_packages() {
    local log=$CACHE/.apt.log package
    command -v apt-get >/dev/null || fail \
        "this is not Debian or Ubuntu, and these packages are missing: $*" \
        "install the like of them and run again with ROLLCALL_SKIP_SYSTEM_PACKAGES=1"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail \
        "installing packages needs root, and sudo is not there: run scripts/setup.sh once as root, or install sudo" \
        "missing are: $*"
    printf '      %s\n' "$@"
    # Package lists may be old or absent; installing says what is really wrong, so a failure here is only kept for the log.
    apt update >"$log" 2>&1 || true
    if ! apt install --no-install-recommends "$@" 2>&1 | tee -a "$log" | apt_progress "$@"; then
        tail -n 15 "$log" >&2
        for package in "$@"; do
            apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || fail "apt has no package $package; are its sources reachable? (all of it: $log)"
        done
        fail "apt could not install: $*; see above (all of it: $log)"
    fi
    rm -f "$log"
}

check_rust() {
    local how="get Rust $RUST_AT_LEAST or newer from https://rustup.rs, open a new shell and run this again"
    local version
    command -v cargo >/dev/null && command -v rustc >/dev/null || fail "cargo is not installed: $how"
    version=$(cd "$ROOT" && rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$RUST_AT_LEAST" "${version%%-*}" | sort -V | head -n 1)" = "$RUST_AT_LEAST" ] ||
        fail "rustc is $version: $how"
}

# --- Models ------------------------------------------------------------------------------------------------------------------

# A private Python environment in $1 with what $2 pins.
make_venv() {
    local venv=$1 requirements=$2 log=$CACHE/.pip.log
    python_works || fail "python3 3.11 or newer with venv is missing: apt-get install python3 python3-venv"
    if cmp -s "$requirements" "$venv/requirements.txt"; then
        return
    fi
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 -m venv failed: apt-get install python3-venv"
    if ! "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps --require-hashes \
        --only-binary :all: -r "$requirements" >"$log" 2>&1; then
        tail -n 10 "$log" >&2
        fail "the packages of ${requirements#"$ROOT/"} could not be installed; pip names the one to blame above" \
            "look at the network, and at the mirror or proxy that pip is configured for; then run it again"
    fi
    rm -f "$log"
    cp "$requirements" "$venv/requirements.txt"
}

make_models() {
    (cd "$ROOT/models" && PYTHONDONTWRITEBYTECODE=1 "$VENV/bin/python" -m convert --cache "$CACHE") || exit 1
    # Written last and whole: a stamp means that everything was in place once, and its hashes tell whether it still is.
    { echo "# $(inputs_hash)" && cat "$CACHE/.sha256"; } >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    rm -f "$CACHE/.sha256"
    # 200 MB that nobody needs until the manifest changes.
    rm -rf "$VENV"
}

# --- All of it ---------------------------------------------------------------------------------------------------------------

# One at a time: `make demo` and `make test` may be started together.
exec 9>"$CACHE/.lock"
flock --nonblock 9 || { echo "set-up: waiting for another one to finish" && flock 9; }
MODELS_OK=
! models_in_place || MODELS_OK=1

if [ "$SCOPE" != models ]; then
    check_rust
    MISSING=
    [ -n "${ROLLCALL_SKIP_SYSTEM_PACKAGES:-}" ] || MISSING=$(missing_packages)
    if [ -z "$MISSING" ] && [ -n "$MODELS_OK" ] && tester_in_place; then
        echo "set-up: everything is in place"
        exit 0
    fi
    step "Rust $(rustc --version | cut -d' ' -f2) is new enough"
    if [ -n "$MISSING" ]; then
        step "system packages: installing $(wc -l <<<"$MISSING"), which can take some minutes"
        # shellcheck disable=SC2086 # one word a package
        install_packages $MISSING
    else
        step "system packages are in place"
    fi
fi

if [ -n "$MODELS_OK" ]; then
    echo "set-up: models are in place"
else
    command -v npm >/dev/null || fail "npm is missing: apt-get install npm"
    step "conversion tools (a private Python environment, removed afterwards)"
    make_venv "$VENV" "$ROOT/models/convert/requirements.txt"
    step "models, ONNX Runtime and demo media"
    make_models
fi
if ! tester_in_place; then
    step "what tries the API against its description (a private Python environment)"
    make_venv "$TESTER" "$TESTER_REQUIREMENTS"
fi
echo "set-up: done"
