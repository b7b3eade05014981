#!/bin/bash
# store.level: how hard new chunks are packed. The id does not depend on it, the bytes that are stored do.
. "$(dirname "$0")/lib.sh"

mkdir tree
for i in $(seq 20000); do echo "line $i of a text that packs well, not to nothing: $((i * 7919 % 10007))"; done >tree/text

packed() { # LEVEL: "id bytes_stored" of a publish into a store of its own
    mkdir "h$1"
    printf '[store]\nlevel = %s\n' "$1" >"h$1/stoq.conf"
    "$STOQ" --home "h$1" publish tree --name t --version 1 --json | jq -r '"\(.id) \(.bytes_stored)"'
}

read -r id_none none < <(packed none)
read -r id_low low < <(packed 1)
read -r id_high high < <(packed 19)
[ "$id_none" = "$id_low" ] && [ "$id_low" = "$id_high" ] || fail "ids differ: $id_none $id_low $id_high"
[ "$none" -ge "$(stat -c %s tree/text)" ] || fail "none: $none bytes"
[ "$high" -lt "$low" ] && [ "$low" -lt "$none" ] || fail "stored: none $none, 1 $low, 19 $high"
"$STOQ" --home h19 get "$id_high" -o out
same_tree tree out
