#!/bin/bash
# publish --private: one id per key, another than without; nobody needs the key to fetch; the key stays
# in its file.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node

mkdir in
head -c 3000000 /dev/urandom >in/random
printf small >in/small
tar cf in/archive.tar -C in random small
publish() { on "$1" publish in --name p --version 1 -q "${@:2}"; }

start A
plain=$(publish A)
private=$(publish A --private)
[ "$private" != "$plain" ] || fail "the key changes nothing"
[ "$(publish A --private)" = "$private" ] || fail "another id the second time"
publish A --private --profile 1 --json >out
jq -e '(.id != "'"$private"'") and .private_key_made == false and (.private_key | length == 16)' out >/dev/null || fail "$(cat out)"
on A info "$private" --json | jq -e '.profile == 18' >/dev/null || fail "another profile than 2k"
key=$(home A)/private.key
[ "$(stat -c %a "$key")" = 600 ] || fail "others may read the key"
on A key private --json >out
jq -e --arg f "$key" '.file == $f and .private_key_made == false' out >/dev/null || fail "$(cat out)"
secret=$(cut -d' ' -f3 "$key")
[ ${#secret} = 64 ] || fail "no secret: $(cat "$key")"
! grep -q "$secret" out "$TMP"/*.log || fail "the secret is told"
! grep -rqF "$secret" "$(home A)/store" || fail "the secret is in the store"

# Another machine, without a daemon: its own key gives another id, the same file the same.
other=$(publish B --private)
[ "$other" != "$private" ] && [ "$other" != "$plain" ] || fail "two keys, one id"
[ "$(publish B --private-key "$key")" = "$private" ] || fail "the same key, another id"
[ "$(publish B)" = "$plain" ] || fail "another id without a key"
[ "$(publish C --private-key "$key")" = "$private" ] && [ ! -e "$(home C)/private.key" ] || fail "a key was made beside the one named"
[ "$(on B publish - --name r --version 1 --entry random --private-key "$key" -q <in/random)" = \
    "$(on A publish in/random --name r --version 1 --private -q)" ] || fail "standard input, another id"

# Fetched by one who has no key.
on D get "$private" -o out.d --from "$(contact A)" -q
same_tree in out.d
[ ! -e "$(home D)/private.key" ] || fail "a fetch made a key"
exits 0 on D verify "$private"

printf 'stoq-private-key 1 00\n' >bad
chmod 600 bad
exits 1 on B publish in --name p --version 1 --private-key bad
says 'damaged'
exits 3 on B publish in --name p --version 1 --private-key nosuch
stop A
