#!/bin/bash
# get -o brings its tree to the disk before it gives it its name; with --no-sync it does neither wait nor leave it unnamed.
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || exit 77
[ "${STOQ_FLAVOUR:-debug}" = debug ] || { echo "a sanitizer wants ptrace for itself"; exit 77; }

mkdir tree
for i in 1 2 3; do
    echo "$i" >"tree/$i"
done

export STOQ_HOME=$TMP/home
calls() { grep -oE '(syncfs|renameat2)\(' "$1" | tr -d '(\n'; } # of one log, in order

traced() { # LOG OPTION...
    local log=$1
    shift
    strace -f -qq -e trace=syncfs,renameat2 -o "$log" "$STOQ" get "$id" "$@"
}

id=$("$STOQ" publish tree --name t --version 1)
traced durable.calls -o durable
same_tree tree durable
[ "$(calls durable.calls)" = syncfsrenameat2 ] || fail "durable: $(calls durable.calls)"
traced quick.calls -o quick --no-sync
same_tree tree quick
[ "$(calls quick.calls)" = renameat2 ] || fail "quick: $(calls quick.calls)"

exits 1 "$STOQ" get "$id" -o quick --no-sync # nothing is written over
says 'is there already'
exits 2 "$STOQ" get "$id" --no-sync
says 'use -o DIR'
