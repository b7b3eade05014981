#!/usr/bin/env bash
# A receipt counts when its holder signed it and it says what was offered: forged, another's, of fewer bytes or of a
# part it makes no replica and is not kept; one in which all is right does, so it is the lie that is refused.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node
lies=(whole forged stolen less part)
mkdir P
printf 'discovery.lan = off\ndiscovery.dht = off\ndiscovery.exchange = off\n' >P/stoq.conf
start P
# shellcheck disable=SC2329
listens() { [ -s "$1.at" ]; }
for lie in "${lies[@]}"; do
    "$STOQ_BUILD/tests/receipt_liar" "$lie" >"$lie.at" 2>"$lie.log" &
    daemon[liar_$lie]=$!
    wait_for listens "$lie" || fail "$lie: it does not listen"
    echo "peer = $(head -n 1 "$lie.at") site=$lie" >>P/stoq.conf
done
knows P ${#lies[@]}
head -c 500000 /dev/urandom >in
id=$(on P publish in --name data --version 1 -q)

exits 1 on P distribute "$id" --replicas ${#lies[@]} --json
jq -e '.got == 1 and .error.code == "InsufficientReplicas"
    and ([.replicas[] | select(.state == "verified").domain]) == ["site:whole"]' out >/dev/null || fail "a lie is a replica: $(cat out)"
for lie in forged less part; do
    jq -e --arg d "site:$lie" '.replicas[] | select(.domain == $d) | .state == "out" and .code == "InvalidSignature"
        and (.why | contains("its receipt is not of what was offered, or not signed by it"))' out >/dev/null || fail "$lie: $(cat out)"
done
answered() { [ "$(sed -n 2p "$1.at")" = "$2" ] || fail "$1 was answered $(sed -n 2p "$1.at")"; }
answered whole taken
for lie in forged stolen less part; do answered $lie SignatureRejected; done
jq -e '.replicas[] | select(.domain == "site:stolen") | .state == "out" and .bytes == 0' out >/dev/null || fail "stolen: $(cat out)"
on P track "$id" --json >out
jq -e '(.receipts | length) == 1 and .receipts[0].domain == "site:whole"' out >/dev/null || fail "a lie is kept: $(cat out)"
for lie in whole forged less part; do
    stop "liar_$lie" KILL
done
