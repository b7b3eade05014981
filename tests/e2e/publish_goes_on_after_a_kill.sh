#!/bin/bash
# A publish that is interrupted or killed leaves no package; the same again finds what was durable, stores
# only the rest, and gives the id that it would have given.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node

mkdir in
for i in 1 2 3 4; do
    head -c 7000000 /dev/urandom >in/$i
done
want=$(on N publish in --name p --version 1 -q)
packages() { on "$1" ls --json | jq '.packages | length'; }
early='[2-9][0-9]{6}'
late='(1[89]|2[0-9])[0-9]{6}' # more than may wait in memory
moved() { grep -qE "\"bytes\": ?$1" err; }
begin() { # NAME HOW-FAR: a slow publish, some way into it
    : >err
    "$STOQ" --home "$(home "$1")" --progress json publish in --name p --version 1 --threads 1 --read-bytes 16 >out 2>err &
    publisher=$!
    wait_for moved "$2" || fail "$1: no progress: $(cat err)"
}
cut() { # SIGNAL NAME HOW-FAR: ... and then ended, its exit code in `code`. On a busy machine it may be over before: again
    local try
    for try in 1 2 3 4 5 6; do
        begin "$2" "$3"
        kill "-$1" $publisher 2>/dev/null || true
        code=0
        wait $publisher || code=$?
        [ $code = 0 ] || return 0
        on "$2" rm "$want" -q
    done
    fail "$2: over each time before it is ended"
}
check() { # NAME: nothing of it is to be seen, and the same again has less to do
    [ ! -s out ] || fail "$1: an id was printed: $(cat out)"
    [ "$(packages "$1")" = 0 ] || fail "$1: half a package is listed"
    exits 3 on "$1" info "$want"
    on "$1" publish in --name p --version 1 --json >out
    jq -e --arg id "$want" '.id == $id and .existed == false and .bytes_new < .bytes - 1000000' out >/dev/null ||
        fail "$1: what was durable is not used: $(cat out)"
    exits 0 on "$1" verify "$want"
    on "$1" rm "$want" -q
}

for name in A B; do
    [ $name = A ] || start B # the second time through a daemon, which goes on when its client is gone
    cut INT $name "$early"
    [ $code = 130 ] || fail "$name: exit code $code: $(cat out err)"
    check $name
    # A daemon may come to the end before it sees that its client is gone.
    cut KILL $name "$([ $name = A ] && echo "$late" || echo "$early")"
    check $name
done

# The daemon itself is killed.
on B ls -q >/dev/null
begin B "$late"
stop B KILL
code=0
wait $publisher || code=$?
[ $code != 0 ] || fail "the daemon was killed and the publish says that it is done"
start B
check B
stop B
exits 0 on B fsck
