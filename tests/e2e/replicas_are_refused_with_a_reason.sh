#!/usr/bin/env bash
# Offers that are not kept, each with its reason: by policy, for a quota, over a disk that damages what it was
# given (no receipt comes of it), by a client. What is kept under a promise has a lease.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir P in
: >P/stoq.conf
start P
head -c 8000000 /dev/urandom >in/data
big=$(on P publish in --name big --version 1 -q)
head -c 400000 /dev/urandom >in/data
id=$(on P publish in --name small --version 1 -q)

from="peer = $(contact P)"
replica P none site=a "$from" 'distribute.accept = none'
replica P stranger site=b 'distribute.accept = known'
replica P any site=c 'distribute.accept = all'
replica P full site=d "$from" 'store.quota = 8MiB'
if [ "${STOQ_FLAVOUR:-debug}" = debug ]; then
    export LD_PRELOAD="${STOQ_BUILD:-$(dirname "$STOQ")/../..}/tests/flip_after_sync.so"
    replica P bad site=e "$from"
    unset LD_PRELOAD
fi
knows P "$(grep -c site= P/stoq.conf)"

code_of() { jq -r --arg d "site:$1" '.replicas[] | select(.domain == $d) | .code // .state' out; }
exits 1 on P distribute "$big" --replicas 5 --keep 2d --json
[ "$(code_of a)" = Refused ] || fail "accept = none: $(cat out)"
[ "$(code_of b)" = Refused ] || fail "a stranger: $(cat out)"
[ "$(code_of c)" = verified ] || fail "accept = all: $(cat out)"
[ "$(code_of d)" = QuotaReached ] || fail "a quota: $(cat out)"
jq -e '.error.code == "InsufficientReplicas" and .got == 1
    and (.missing | map(.domain) | contains(["site:a", "site:b", "site:d"]))
    and any(.replicas[]; .why == "Refused: distribute.accept here does not let this peer offer")' out >/dev/null ||
    fail "reasons: $(cat out)"
if [ "${STOQ_FLAVOUR:-debug}" = debug ]; then
    [ "$(code_of e)" = IntegrityCheckFailed ] || fail "a bad disk: $(cat out)"
    bad=$(jq -r .peer bad.ready)
    on P track "$big" --json | jq -e --arg bad "$bad" 'all(.receipts[]; .peer != $bad)' >/dev/null || fail "a receipt for damage"
    on bad status --json | jq -e '.offers.failed == 1 and .offers.kept == 0' >/dev/null || fail "the bad disk's figures"
fi
[ "$(on P track "$big" --json | jq '.receipts | length')" = 1 ] || fail "one receipt alone"
# What was promised is kept: a lease, as long as the receipt says.
until=$(jq '.replicas[] | select(.state == "verified").keep_until' out)
[ "$until" -gt $(($(date +%s) + 2 * 86400 - 600)) ] || fail "promised until $until"
on any leases --json >out
jq -e --arg id "$big" --argjson until "$until" 'any(.leases[]; .id == $id and .expires_at == $until)' out >/dev/null ||
    fail "no lease: $(cat out)"
# A small one fits below the quota, and a reload changes the policy.
exits 0 on P distribute "$id" --replicas 2 --json
jq -e '([.replicas[] | select(.state == "verified").domain] | sort) == ["site:c", "site:d"]' out >/dev/null ||
    fail "a small one: $(cat out)"
sed -i 's/accept = none/accept = all/' none/stoq.conf
kill -HUP "${daemon[none]}"
welcome() { on P distribute "$id" --replicas 3 -q; }
wait_for welcome || fail "the policy did not change"
on none status --json | jq -e '.offers | .kept == 1 and .refused >= 1 and .bytes_kept > 400000 and .waiting == 0' >/dev/null ||
    fail "figures: $(on none status --json | jq .offers)"
