#!/usr/bin/env bash
# Requests are listed one by one, at who takes and at who sends; how transfers went is known after a restart; one that
# ran when the daemon was killed is there with how far it was, and a get goes on from that.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir A
printf '[bandwidth]\nup = 20MB\n' >A/stoq.conf
for n in 1 2; do head -c $((6000000 * n)) /dev/urandom >in$n; done
start A
start B
for n in 1 2; do id[n]=$(on A publish "in$n" --name data --version $n -q); done
a=$(jq -r .peer A.ready) b=$(jq -r .peer B.ready)
listed() { on "$1" transfers --json >list || fail "not listed"; }
holds() { jq -e --arg a "$a" --arg b "$b" --arg one "${id[1]}" --arg two "${id[2]}" "$@" list >/dev/null; }

# Every request of a fetch: which chunks, from whom to whom, how much, how long, how it ended.
exits 0 on B get "${id[1]}" --from "$(contact A)" --priority interactive --json
chunks=$(jq .chunks out)
listed B
holds --argjson chunks "$chunks" '.transfers[0] | .id == $one and .state == "done" and .request_count >= 1
    and .request_count == (.requests | length)
    and ([.requests[].chunks_done] | add) == $chunks and ([.requests[].bytes] | add) == .bytes_from_peers
    and all(.requests[]; .source == $a and .destination == $b and .priority == "interactive" and .result == "done"
        and .seconds > 0 and .chunks >= .chunks_done and (.ranges | length) > 0
        and all(.ranges[]; .first >= 0 and .count >= 1 and .first + .count <= $chunks))' ||
    fail "requests of a fetch: $(cat list)"
answered() { listed A && holds --argjson chunks "$chunks" '[.served[] | select(.id == $one)] | ([.[].chunks] | add) == $chunks
    and all(.[]; .source == $a and .destination == $b and .priority == "interactive" and .result == "done" and .bytes > 0)'; }
wait_for answered || fail "requests answered: $(cat list)"

# Killed on its way, after the file was written.
exits 0 on A limit --up 200kB --json
on B get "${id[2]}" --from "$(contact A)" --json >get2 2>&1 &
get=$!
some() { listed B && holds '.transfers[0] | .id == $two and .state == "running" and .bytes_done > 500000
    and .request_count >= 1 and any(.requests[]; .result == "running")'; }
wait_for some || fail "does not run: $(cat list)"
done_then=$(jq '.transfers[0].bytes_done' list)
touch mark
written() { [ B/transfers -nt mark ]; }
wait_for written || fail "the file is not written while it runs"
stop B KILL
wait $get && fail "no error after a kill"
start B
listed B
holds --argjson least "$done_then" '.transfers | length == 2 and (.[0] | .id == $two and .state == "interrupted" and .bytes_done >= $least
    and .bytes_done < .bytes and .bytes >= 12000000 and .sources[0].peer == $a and .request_count >= 1
    and any(.requests[]; .result == "done" and .source == $a))
    and (.[1] | .id == $one and .state == "done" and .number == 1 and .sources[0].chunks > 0 and (.requests | length) > 0)' ||
    fail "after a kill: $(cat list)"
exits 0 on B why "${id[1]}" --json
jq -e 'any(.explanation[]; startswith("It succeeded"))' out >/dev/null || fail "why: $(cat out)"
exits 0 on B why "${id[2]}" --json
jq -e 'any(.explanation[]; startswith("The daemon ended before it did"))' out >/dev/null || fail "why: $(cat out)"

# It goes on, under a number of its own; a file that is none costs what it knew.
exits 0 on A limit --up none --json
exits 0 on B get "${id[2]}" --json
jq -e --argjson least "$done_then" '.bytes_had > 0 and .bytes_from_peers < 12000000' out >/dev/null || fail "begun anew: $(cat out)"
stop B
start B
listed B
holds '[.transfers[] | [.number, .state]] == [[3, "done"], [2, "interrupted"], [1, "done"]]' ||
    fail "after a restart: $(cat list)"
stop B
stop A
start A
answered || fail "requests answered, after a restart: $(cat list)"
[ "$(stat -c %a B/transfers)" = 600 ] || fail "others may read it"
printf 'not a file of ours' >B/transfers
start B
listed B
holds '. == {"transfers": [], "served": []}' || fail "of a damaged file: $(cat list)"
