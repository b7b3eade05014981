#!/usr/bin/env bash
# distribute: three receipts of three failure domains out of five daemons; a peer that died or refuses is replaced
# by one of another domain; too few domains are said, with the one that is missing; track tells who keeps what.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir P in
: >P/stoq.conf
start P
head -c 3000000 /dev/urandom >in/data
id=$(on P publish in --name placed --version 1 -q)
# Five peers in three sites; they keep what P offers, since their configuration names it.
declare -A site=([A]=x [B]=x [C]=y [D]=y [E]=z)
for name in A B C D E; do
    replica P $name "site=${site[$name]}" "peer = $(contact P)"
done
knows P 5

exits 0 on P distribute "$id" --replicas 3 --json
jq -e --arg id "$id" '.id == $id and .wanted == 3 and .got == 3 and .bytes > 3000000 and .missing == []
    and .strategy == "parallel-redundant" and (.error | not)
    and ([.replicas[] | select(.state == "verified")] | length == 3
        and (map(.domain) | sort) == ["site:x", "site:y", "site:z"]
        and all(.[]; .bytes > 3000000 and .bytes_sent >= 3000000 and .seconds > 0 and .verified_at > 1700000000))' out >/dev/null ||
    fail "three replicas: $(cat out)"
holders=$(jq -r '[.replicas[].peer] | sort | join(" ")' out)
exits 0 on P track "$id" --json
jq -e --arg holders "$holders" '.placements == [] and ([.receipts[].peer] | sort | join(" ")) == $holders
    and all(.receipts[]; .valid and .bytes > 3000000 and (.domain | startswith("site:")))' out >/dev/null || fail "tracked: $(cat out)"
# They have it indeed, whole.
for name in A B C D E; do
    peer=$(jq -r .peer $name.ready)
    if grep -qF "$peer" <<<"$holders"; then
        exits 0 on $name verify "$id"
    else
        exits 3 on $name info "$id"
    fi
done
# Once more: nothing needs to be sent, all is read again.
exits 0 on P distribute "$id" --json
jq -e '.got == 3 and .bytes_sent == 0' out >/dev/null || fail "placed again: $(cat out)"

# Two sites are two replicas and no more, however many peers of them a selection keeps.
echo 'drop site == "y"' >rule
exits 1 on P distribute "$id" --replicas 3 --select custom:rule --json
jq -e '.wanted == 3 and .got == 2 and .error.code == "InsufficientReplicas"
    and ([.replicas[] | select(.state == "verified").domain] | sort) == ["site:x", "site:z"]
    and (.error.message | contains("of the 3 peers that the selection keeps none is of another domain"))' out >/dev/null ||
    fail "two sites: $(cat out)"

# Two are killed, three domains are left.
head -c 1000000 /dev/urandom >in/data
id=$(on P publish in --name placed --version 2 -q)
stop A KILL
stop C KILL
exits 0 on P distribute "$id" --json
jq -e '.got == 3 and ([.replicas[] | select(.state == "verified").domain] | sort) == ["site:x", "site:y", "site:z"]' out >/dev/null ||
    fail "replaced: $(cat out)"
# Two domains are left, and the third is named.
stop E KILL
head -c 1000000 /dev/urandom >in/data
id=$(on P publish in --name placed --version 3 -q)
exits 1 on P distribute "$id" --replicas 3 --json
jq -e '.wanted == 3 and .got == 2 and .error.code == "InsufficientReplicas" and ([.missing[].domain]) == ["site:z"]
    and (.error.message | contains("3 replicas") and contains("2 verified") and contains("missing site:z"))
    and any(.replicas[]; .domain == "site:z" and .state == "out" and (.code == "PeerUnreachable" or .code == "Timeout"))' out >/dev/null ||
    fail "a shortfall: $(cat out)"
[ "$(on P track "$id" --json | jq '[.receipts[] | select(.valid)] | length')" = 2 ] || fail "two receipts stay"

# The receipts outlive a restart, and the package's removal elsewhere; a package never placed has none.
stop P
exits 0 on P track "$id" --json
jq -e '(.receipts | length) == 2 and all(.receipts[]; .valid and .domain == null)' out >/dev/null || fail "without a daemon: $(cat out)"
exits 3 on P track stoq1qsctctesg7gy4gj3khqjsn5rqjuv7je697zz9ptp85sszud9era9qxv98z7
start P
exits 3 on P distribute stoq1qsctctesg7gy4gj3khqjsn5rqjuv7je697zz9ptp85sszud9era9qxv98z7
exits 2 on P distribute "$id" --replicas 0
exits 2 on P distribute "$id" --strategy one-by-one
exits 2 on P distribute "$id" --keep never
