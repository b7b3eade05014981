#!/bin/bash
# publish - makes the package that a file with these bytes makes, with and without a daemon, however the
# bytes come; a publisher that is killed leaves no package, a giver that is killed says so.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node

mkdir in
head -c 5000000 /dev/urandom >in/random
: >in/empty
printf x >in/small
tar cf in/archive.tar -C in random small
head -c 3000000 in/archive.tar >in/cut.tar # breaks off inside a member

same() { # NAME: both ways to publish give one id
    local name=$1 f id
    for f in random empty small archive.tar cut.tar; do
        id=$(on N publish "in/$f" --name p --version 1 -q)
        [ "$(on "$name" publish - --name p --version 1 --entry $f -q <in/$f)" = "$id" ] || fail "$name: $f: another id"
        on "$name" cat "$id" $f | cmp - in/$f || fail "$name: $f comes out otherwise"
        exits 0 on "$name" verify "$id"
    done
    [ "$({ head -c 1000001 in/random && sleep 0.2 && tail -c +1000002 in/random; } |
        on "$name" publish - --name p --version 1 --entry random -q)" = "$(on N publish in/random --name p --version 1 -q)" ] ||
        fail "$name: a slow pipe, another id"
    on "$name" publish - --name small --version 1 --secondary sha256 --alias sha256 --json <in/small >out
    jq -e '.files == 1 and .entries == 1 and .aliases == 1' out >/dev/null || fail "$name: $(cat out)"
    on "$name" cat "$(jq -r .id out)" small | cmp - in/small || fail "$name: the file is not called as the package"
    exits 0 on "$name" verify "$(jq -r .id out)"
    exits 2 on "$name" publish - --name p --version 1 --in-place <in/small
    exits 2 on "$name" publish - --name p --version 1 --entry a/b <in/small
    exits 2 on "$name" publish in/small --name p --version 1 --entry a
}

same A
start B
same B

# Killed in the middle: no package, nothing said; what came before is there, and the same again completes it.
mkfifo pipe
packages() { on "$1" ls --json | jq '.packages | length'; }
killed() { # NAME: kill the command that publishes
    local before writer publisher
    before=$(packages "$1")
    { cat in/random && exec sleep 600; } >pipe &
    writer=$!
    "$STOQ" --home "$(home "$1")" publish - --name killed --version 1 <pipe >out 2>err &
    publisher=$!
    wait_for grep -q sleep "/proc/$writer/comm" || fail "$1: the input was not read"
    kill -KILL $publisher
    wait $publisher || true
    kill $writer
    wait $writer || true
    [ ! -s out ] || fail "$1: an id was printed: $(cat out)"
    [ "$(packages "$1")" = "$before" ] || fail "$1: half an input became a package"
    on "$1" publish - --name killed --version 1 -q <in/random >id
    on "$1" cat "$(cat id)" killed | cmp - in/random || fail "$1: after a kill"
    ! compgen -G "$(home "$1")/.stoq-*" >/dev/null || fail "$1: a file is left behind"
}
killed A
killed B
exits 0 on B fsck
stop B
