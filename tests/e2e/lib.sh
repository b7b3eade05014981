# shellcheck shell=bash
#
# Sourced by the scripts here: real daemons on [::1], each with a home of its own under $TMP, and waits
# for states with a deadline. tools/check sets STOQ and TMP; by hand:
#   STOQ=build/debug/apps/stoq TMP=$(mktemp -d) tests/e2e/NAME.sh
#
#   start A [OPTION]...      daemon A; returns once it serves. With E2E_NET_THREADS=N in the environment every new
#                            home has net.threads = N
#   stop A                   SIGTERM, and its exit code must be 0; `stop A KILL` kills it
#   on A COMMAND...          stoq COMMAND with A's home
#   contact A                prints PEER@ADDRESS of the running daemon A
#   replica P NAME TAGS [LINE]...   daemon NAME with these lines of configuration, and a peer with these tags
#                            in P's
#   early_data NAME on|off   daemon NAME with transport.early_data so, which closes idle connections after a second
#   alone NAME               it has no connection
#   knows P COUNT            has P read its configuration again, and waits until it names so many peers
#   exits CODE COMMAND...    it must exit with CODE; its output is left in $TMP/out and $TMP/err
#   says TEXT                ... and one of them must hold TEXT
#   wait_for COMMAND...      until it succeeds; the deadline is patience alone: three minutes, far more than a busy
#                            machine needs
#   wait_at_most SECONDS COMMAND...   the same where the time is what is claimed
#   same_tree A B            both folders hold the same files, links and modes that a package keeps

set -euo pipefail
: "${STOQ:?}" "${TMP:?}"
STOQ=$(realpath "$STOQ")
export LC_ALL=C.UTF-8 TZ=UTC
export STOQ_LAN=off # daemons and gets here are on loopback and speak to no real network
unset STOQ_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR NO_COLOR
cd "$TMP"
declare -A daemon=() # name: pid

fail() {
    printf 'FAILED: %s (line %s)\n' "$*" "${BASH_LINENO[-2]:-?}" >&2
    exit 1
}

at_end() {
    local code=$? name
    for name in "${!daemon[@]}"; do
        kill -KILL "${daemon[$name]}" 2>/dev/null || true
    done
    if [ "$code" != 0 ] && [ "$code" != 77 ]; then
        for name in "$TMP"/*.log "$TMP"/err; do
            [ ! -s "$name" ] || { echo "--- ${name##*/}" && tail -n 30 "$name"; } >&2
        done
    fi
}
trap at_end EXIT
trap 'fail "ended from outside, in: $BASH_COMMAND"' TERM

wait_at_most() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

wait_for() {
    [[ $1 != [0-9]* ]] || fail "wait_for takes no seconds: wait_at_most does"
    wait_at_most 180 "$@"
}

home() { printf '%s/%s' "$TMP" "$1"; }

# shellcheck disable=SC2317
served() { [ -s "$TMP/$1.ready" ] || ! kill -0 "${daemon[$1]}" 2>/dev/null; }

start() {
    local name=$1
    shift
    rm -f "$TMP/$name.ready"
    if [ -n "${E2E_NET_THREADS:-}" ] && [ ! -e "$(home "$name")/stoq.conf" ]; then
        on "$name" init -q >/dev/null
        sed -i "s/^#threads = 1$/threads = $E2E_NET_THREADS/" "$(home "$name")/stoq.conf"
    fi
    "$STOQ" --home "$(home "$name")" daemon --listen '[::1]:0' --ready-file "$TMP/$name.ready" "$@" \
        >>"$TMP/$name.log" 2>&1 &
    daemon[$name]=$!
    wait_for served "$name" || fail "daemon $name did not say that it serves"
    [ -s "$TMP/$name.ready" ] || fail "daemon $name ended"
}

stop() {
    local name=$1 code=0
    kill "-${2:-TERM}" "${daemon[$name]}"
    wait "${daemon[$name]}" || code=$?
    unset "daemon[$name]"
    [ "${2:-TERM}" = KILL ] || [ $code = 0 ] || fail "daemon $name exited with $code"
}

on() {
    local name=$1
    shift
    "$STOQ" --home "$(home "$name")" "$@"
}

contact() { jq -r '.peer + "@" + .listen[0]' "$TMP/$1.ready"; }

early_data() {
    on "$1" init -q >/dev/null
    printf '[transport]\nearly_data = %s\nidle_timeout = 1\n' "$2" >"$1/stoq.conf"
    start "$1"
}

# shellcheck disable=SC2317
alone() { [ "$(on "$1" status --json | jq .net.connections)" = 0 ]; }

replica() {
    local of=$1 name=$2 tags=$3
    shift 3
    mkdir "$name"
    printf '%s\n' "$@" >"$name/stoq.conf"
    start "$name"
    echo "peer = $(contact "$name") $tags" >>"$of/stoq.conf"
}

# shellcheck disable=SC2317
names_peers() { [ "$(on "$1" status --json | jq '.static_peers | length')" = "$2" ]; }

knows() {
    kill -HUP "${daemon[$1]}"
    wait_for names_peers "$1" "$2" || fail "after the reload $1 does not name $2 peers"
}

exits() {
    local want=$1 code=0
    shift
    "$@" >"$TMP/out" 2>"$TMP/err" || code=$?
    [ "$code" = "$want" ] || fail "exit code $code instead of $want: $*"
}

says() { grep -qF -- "$1" "$TMP/out" "$TMP/err" || fail "neither output says: $1"; }

tree_of() { # every name with what a package keeps of it besides the bytes
    (cd "$1" && find . -mindepth 1 \( -type f -perm -u+x -printf '%p x %s\0' \) -o \( -type f -printf '%p f %s\0' \) \
        -o \( -type l -printf '%p -> %l\0' \) -o -printf '%p %y\0') | sort -z
}

same_tree() {
    cmp <(tree_of "$1") <(tree_of "$2") >&2 || fail "the trees differ: $1 $2"
    diff -r --no-dereference "$1" "$2" >"$TMP/trees" || fail "the contents differ: $(head -n 5 "$TMP/trees")"
}
