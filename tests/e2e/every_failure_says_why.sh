#!/bin/bash
# Each failure gives one clear sentence and its exit code in time, and loses nothing.
. "$(dirname "$0")/lib.sh"

mkdir in
head -c 20000000 /dev/urandom >in/random
start A
id=$(on A publish in --name data --version 1 -q)
key=$(jq -r .peer A.ready)
address=$(jq -r '.listen[0]' A.ready)
unknown=stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395

fails() { # CODE EXIT COMMAND...: that error, within a minute, and one sentence without --json
    local code=$1 exit=$2 from=$SECONDS
    shift 2
    exits "$exit" "$@" --json
    [ $((SECONDS - from)) -le 60 ] || fail "took $((SECONDS - from)) s: $*"
    jq -e --arg code "$code" '.error.code == $code' out >/dev/null || fail "not $code: $(cat out)"
    [ ! -s err ] || fail "more on stderr: $(cat err)"
}

# An id nobody has.
fails ContentNotFound 3 on B get "$unknown" --from "$key@$address"
# Nobody there, and nobody there in the time given.
fails PeerUnreachable 5 on B get "$id" --from "$key@[::1]:9" --timeout 20
# Somebody else there.
on X init -q >/dev/null
wrong=$(on X key --json | jq -r .peer)
fails KeyMismatch 5 on B get "$id" --from "$wrong@$address"
# No common encryption.
on C init -q >/dev/null
printf '[transport]\nencryption = kyber768-hybrid\n' >C/stoq.conf
fails NoCommonGroup 5 on C get "$id" --from "$key@$address"
# One good source among bad ones is enough.
on B get "$id" --from "$key@[::1]:9" --from "$wrong@$address" --from "$key@$address" -o b --json >out 2>err ||
    fail "a good source did not suffice: $(cat out)"
same_tree in b
jq -e '.sources | length >= 2 and any(.why // "" | contains("another key answered"))' out >/dev/null || fail "no reasons: $(cat out)"

# An output that exists, also before anything is fetched; one that cannot be made.
fails OutputExists 1 on B get "$id" -o b
mkdir there
fails OutputExists 1 on D get "$id" --from "$key@$address" -o there
exits 3 on B get "$id" -o nosuch/folder

# Input that is no file.
mkdir special && mkfifo special/pipe
fails Io 1 on A publish special --name s --version 1
jq -e '.error.message | contains("pipe")' out >/dev/null || fail "no path: $(cat out)"
exits 3 on A publish nosuch --name s --version 1
if [ "$(id -u)" != 0 ]; then
    rm special/pipe && echo x >special/secret && chmod 000 special/secret
    fails Io 1 on A publish special --name s --version 1
fi

# A chunk index past the end.
on A get "$id" -o one -q
exits 2 "$STOQ" merkle prove one/random --index 100000 --json
jq -e '.error.code == "InvalidChunkIndex"' out >/dev/null || fail "merkle: $(cat out)"

# A full disk: refused, what was there stays, and it works once there is room.
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=12m tmpfs small 2>/dev/null; then
    trap 'umount -l "$TMP/small" || true; at_end' EXIT
    on E init -q >/dev/null
    printf 'store.dir = %s\n' "$TMP/small/store" >E/stoq.conf
    echo kept >note
    kept=$(on E publish note --name kept --version 1 -q)
    fails DiskFull 1 on E get "$id" --from "$key@$address"
    on E verify "$kept" -q || fail "a full disk hurt what was there"
    fails DiskFull 1 on E publish in --name data --version 1
    [ "$(on E cat "$kept" note)" = kept ] || fail "a full disk hurt reading"
    mount -o remount,size=100m small
    on E get "$id" --from "$key@$address" -q || fail "room did not help"
    on E verify "$id" -q
fi

# A damaged chunk at the only source is never handed on.
stop A
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" A/store >/dev/null
start A
exits 4 on A verify "$id" -q
exits 4 on F get "$id" --from "$key@$(jq -r '.listen[0]' A.ready)"
exits 4 on F verify "$id" -q # some of it is here, not all
# ... and a good source heals the fetch.
on F get "$id" --from "$key@$(jq -r '.listen[0]' A.ready)" --from "$key@[::1]:9" -q && fail "nobody had the chunk"
start B
on F get "$id" --from "$key@$(jq -r '.listen[0]' A.ready)" --from "$(contact B)" -o f -q
same_tree in f
