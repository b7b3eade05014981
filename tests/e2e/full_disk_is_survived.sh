#!/bin/bash
# No room: the daemon says so, serves what it has, and its end is an end like any other; what was
# acknowledged is there, and with room the rest comes. A limit on the size of files plays the disk.
. "$(dirname "$0")/lib.sh"

mkdir in
head -c 20000000 /dev/urandom >in/random
echo kept >note
start A
id=$(on A publish in --name data --version 1 -q)
source=$(contact A)

start_small() { # KIB COMMAND...: with files of so much at most
    ulimit -S -f "$1"
    start "${@:2}"
    ulimit -S -f unlimited
}

start_small 6144 B
kept=$(on B publish note --name kept --version 1 -q)
exits 1 on B get "$id" --from "$source" --json
jq -e '.error.code == "LimitReached"' out >/dev/null || fail "get: $(cat out)"
exits 1 on B publish in --name data --version 1 --json
jq -e '.error.code == "LimitReached"' out >/dev/null || fail "publish: $(cat out)"
[ "$(on B cat "$kept" note)" = kept ] || fail "a full disk hurt reading"
stop B # exit code 0
grep -q 'what was refused for want of room is not kept' B.log || fail "nothing in the log about what was lost"

# Without a daemon it is the same: an error, not a signal.
ulimit -S -f 6144
exits 1 on C get "$id" --from "$source" --json
ulimit -S -f unlimited
jq -e '.error.code == "LimitReached"' out >/dev/null || fail "get of a command: $(cat out)"

# However many chunks are refused the log says it once; and once that there is room again, while it runs.
said() { grep -c "$1" E.log || true; }
start_small 6144 E
exits 1 on E get "$id" --from "$source" --json
[ "$(said 'the store refuses data: ')" = 1 ] || fail "refusals in the log: $(said 'refuses data')"
prlimit --pid "${daemon[E]}" --fsize=unlimited:unlimited
n=0
taken() { # one more package, and the log
    n=$((n + 1))
    head -c 3000000 /dev/urandom >more
    on E get "$(on A publish more --name more --version "$n" -q)" --from "$source" -q || fail "room again, and nothing is taken"
    [ "$(said 'the store takes data again; refused meanwhile: ')" = 1 ]
}
wait_for taken || fail "the log does not say that there is room"
[ "$(said 'the store refuses data: ')" = 1 ] || fail "refusals in the log: $(said 'refuses data')"
stop E

# Room again.
start B
[ "$(on B cat "$kept" note)" = kept ] || fail "what was acknowledged is gone"
on B get "$id" --from "$source" -q -o out-b
same_tree in out-b
stop B
stop A
