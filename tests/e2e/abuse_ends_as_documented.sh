#!/bin/bash
# Every attack of docs/PROTOCOL.md section 18, for a second or two each: it raises the counters that the document
# names and no other, the daemon's memory stays under its cap, nothing of it is left afterwards; an honest fetch
# before raises none. What rates and times promise is held by `make abuse`.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
"$STOQ" help ping >/dev/null 2>&1 || exit 77 # built without a node

attacker=$(dirname "$STOQ")/../tests/attacker
[ -x "$attacker" ] || fail "there is no $attacker"
hold=()
[ "${STOQ_FLAVOUR:-debug}" = debug ] || hold=(--no-memory) # a sanitizer's own memory is many times as much
"$here/../abuse/campaign" --slice --stoq "$STOQ" --attacker "$attacker" --dir "$TMP" "${hold[@]}"
