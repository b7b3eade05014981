#!/bin/bash
# store.level: how hard new chunks are packed. The id does not depend on it, the bytes that are stored do.
. "$(dirname "$0")/lib.sh"

mkdir text code
for i in $(seq 20000); do echo "line $i of a text that packs well, not to nothing: $((i * 7919 % 10007))"; done >text/text
cp "$(command -v bash)" code/program

packed() { # LEVEL TREE: "id bytes_stored" of a publish into a store of its own; LEVEL default: none is set
    mkdir "$2-$1"
    [ "$1" = default ] || printf '[store]\nlevel = %s\n' "$1" >"$2-$1/stoq.conf"
    "$STOQ" --home "$2-$1" publish "$2" --name t --version 1 --json | jq -r '"\(.id) \(.bytes_stored)"'
}

read -r id_none none < <(packed none text)
read -r id_low low < <(packed 1 text)
read -r id_high high < <(packed 19 text)
[ "$id_none" = "$id_low" ] && [ "$id_low" = "$id_high" ] || fail "ids differ: $id_none $id_low $id_high"
[ "$none" -ge "$(stat -c %s text/text)" ] || fail "none: $none bytes"
[ "$high" -lt "$low" ] && [ "$low" -lt "$none" ] || fail "stored: none $none, 1 $low, 19 $high"
"$STOQ" --home text-19 get "$id_high" -o text.out
same_tree text text.out

# auto, the default, begins with level 6 and tries programs harder.
read -r id_six six < <(packed 6 code)
read -r id_auto auto < <(packed auto code)
read -r _ default < <(packed default code)
[ "$id_six" = "$id_auto" ] || fail "ids differ: $id_six $id_auto"
[ "$((auto * 100))" -lt "$((six * 99))" ] || fail "stored: level 6 $six, auto $auto"
[ "$default" -eq "$auto" ] || fail "stored: auto $auto, by default $default"
"$STOQ" --home code-auto get "$id_auto" -o code.out
same_tree code code.out
