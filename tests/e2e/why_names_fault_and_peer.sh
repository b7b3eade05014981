#!/bin/bash
# `why` tells which peer did what when a fetch failed or was slow, and where the time went.
. "$(dirname "$0")/lib.sh"

mkdir in
head -c 20000000 /dev/urandom >in/random
start A
start B
id=$(on A publish in --name data --version 1 -q)
key=$(jq -r .peer A.ready)
address=$(jq -r '.listen[0]' A.ready)
short=${key:0:15}
unknown=stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395

tells() { # NAME ID CODE TEXT...: the last fetch of ID by NAME, with that code, and its sentences hold each TEXT
    local name=$1 of=$2 code=$3 text
    shift 3
    on "$name" why "$of" --json >why
    [ "$(jq -r '.transfer.code // "none"' why)" = "$code" ] || fail "not $code: $(cat why)"
    on "$name" why "$of" >words
    for text in "$@"; do
        grep -qF -- "$text" words || fail "no '$text' in: $(cat words)"
    done
}

exits 3 on B why "$id" --json
says ContentNotFound

# Nobody has it.
exits 3 on B get "$unknown" --from "$key@$address" -q
tells B "$unknown" ContentNotFound "$short.. at $address was connected" "gave nothing" "does not have the package"
# Nobody there.
on X init -q >/dev/null
wrong=$(on X key --json | jq -r .peer)
exits 5 on B get "$id" --from "$wrong@[::1]:9" --timeout 20 -q
tells B "$id" PeerUnreachable "${wrong:0:15}.. at [::1]:9 was never connected"
# Somebody else there.
exits 5 on B get "$id" --from "$wrong@$address" -q
tells B "$id" KeyMismatch "${wrong:0:15}.. at $address was never connected: another key answered"
# One that falls silent.
start S
on S get "$id" --from "$key@$address" -q
kill -STOP "${daemon[S]}"
exits 5 on B get "$id" --from "$(contact S)" --timeout 3 -q
kill -CONT "${daemon[S]}"
tells B "$id" Timeout "not complete within 3.0 s" "$(jq -r .peer S.ready | cut -c1-15).. at" "brought nothing further"
# No common encryption.
mkdir C && printf '[transport]\nencryption = kyber768-hybrid\n' >C/stoq.conf
start C
exits 5 on C get "$id" --from "$key@$address" -q
tells C "$id" NoCommonGroup "$short.. at $address was never connected"
stop C
# Wrong bytes.
stop S
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" --forge S/store all
start S
exits 4 on B get "$id" --from "$(contact S)" -q
tells B "$id" IntegrityCheckFailed "$(jq -r .peer S.ready | cut -c1-15).. at" "given up:" "do not have the hash"
# A full disk.
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=12m tmpfs small 2>/dev/null; then
    trap 'umount -l "$TMP/small" || true; at_end' EXIT
    mkdir E && printf 'store.dir = %s\n' "$TMP/small/store" >E/stoq.conf
    start E
    exits 1 on E get "$id" --from "$key@$address" -q
    tells E "$id" DiskFull "fetch stopped" "$short.. at $address was connected"
    stop E
fi

# One that went well: where the time went, in parts that make the whole.
on B get "$id" --from "$key@$address" -q
tells B "$id" none "It succeeded in" "chunks, 20.0 MB, 100 %" "went into the chunks" "went into making them durable"
jq -e '.transfer | .state == "done" and .times.source != null and .times.manifest != null and
    .times.shard_list >= .times.manifest and .times.chunks >= .times.shard_list and .seconds >= .times.chunks and
    .sources[0].bytes == .bytes_from_peers' why >/dev/null || fail "times: $(cat why)"

# Caps, there and here: slow, and why.
on B rm "$id" >/dev/null
head -c 3000000 /dev/urandom >small.bin
slow=$(on A publish small.bin --name small --version 1 -q)
on A limit --up 1MB >/dev/null
on B get "$slow" --from "$key@$address" -q
on A limit --up none >/dev/null
tells B "$slow" none "A cap at $short.. holds back what it sends: no more than 1.000 MB a second"
jq -e '.transfer.sources[0] | .cap_there == 1000000 and .cap_here == null' why >/dev/null || fail "caps: $(cat why)"
mkdir F && printf 'bandwidth.down = 1MB\n' >F/stoq.conf
start F
on F get "$slow" --from "$key@$address" -q
tells F "$slow" none "A cap here held $short.. back for" "no more than 1.000 MB are taken a second"
jq -e '.transfer.sources[0] | .cap_there == null and .cap_here == 1000000 and .held_seconds > 0.5' why >/dev/null || fail "caps: $(cat why)"
stop F
on B get "$id" --from "$key@$address" -q

# All of them are listed, the last first; a running one is among them.
on B transfers --json >list
jq -e '.transfers | length == 8 and ([.[].state] | .[:3] == ["done", "done", "done"]) and
    (.[3:] | all(.state != "done"))' list >/dev/null || fail "$(cat list)"
on B rm "$id" >/dev/null
kill -STOP "${daemon[A]}"
on B get "$id" --from "$key@$address" -q >/dev/null 2>&1 &
running() { on B transfers --json | jq -e '.transfers[0].state == "running" and .transfers[0].sources[0].peer == "'"$key"'"' >/dev/null; }
wait_for running || fail "no running transfer: $(on B transfers --json)"
on B why "$id" | grep "is running since" >/dev/null || fail "why says nothing of one that runs"
kill -CONT "${daemon[A]}"
wait $! || fail "the fetch did not go on"
# A slow one that still runs: what each source has brought, what it is waited for, where the time goes.
on B rm "$slow" >/dev/null
on A limit --up 100kB >/dev/null
on B get "$slow" --from "$key@$address" -q >/dev/null 2>&1 &
under_way() {
    on B why "$slow" --json >why && jq -e '.transfer | .state == "running" and .bytes_wire > 0 and .times.source != null
        and .times.manifest != null and .times.shard_list != null and .times.chunks == null
        and (.sources[0] | .ready_seconds != null and .chunks > 0 and .bytes > 0 and .cap_there == 100000)' why >/dev/null
}
wait_for under_way || fail "nothing is told of one that runs: $(cat why)"
jq -r '.explanation[]' why >words
for text in "is running since" "$short.. at $address was connected after" "so far" "went into the chunks so far" \
    "no more than 0.100 MB a second"; do
    grep -qF -- "$text" words || fail "no '$text' of one that runs in: $(cat words)"
done
kill -STOP "${daemon[A]}"
owed() { on B why "$slow" >words && grep -qE "^$short\.\. is waited for with [0-9]+ chunks, the longest since [1-9]" words; }
wait_for owed || fail "nobody is waited for: $(cat words)"
kill -CONT "${daemon[A]}"
on A limit --up none >/dev/null
wait $! || fail "the slow fetch did not go on"
exits 6 on D transfers --json

# One of a few bytes, the file and the table that names it, is told in bytes.
echo 0123456789 >few
few=$(on A publish few --name few --version 1 -q)
on B get "$few" --from "$key@$address" -q
tells B "$few" none "18 B from peers, 0 B were here already" "chunks, 18 B, 100 %"
