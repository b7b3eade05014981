#!/bin/bash
# store put prints the address other programs compute, store get gives the bytes back, checked; with and
# without a daemon, from files and standard input; whatever does not match is refused.
. "$(dirname "$0")/lib.sh"
"$STOQ" help store >/dev/null 2>&1 || exit 77 # built without a node

head -c 3000000 /dev/urandom >big
head -c 50000 /dev/urandom >small
: >empty
hex() { jq -r .digest out; }

contents() { # NAME: put, get, put again
    local name=$1 f address
    for f in big small empty; do
        address=$(on "$name" store put $f -q)
        [[ $address == data1q* && ${#address} == 65 ]] || fail "no address: $address"
        on "$name" store get "$address" | cmp - $f || fail "$name: get of $f"
        on "$name" store get "$address" -o got.$name.$f && cmp got.$name.$f $f || fail "$name: get -o of $f"
        on "$name" store put $f --json >out
        jq -e --arg a "$address" '.address == $a and .existed and .bytes_new == 0 and .chunks_new == 0' out >/dev/null ||
            fail "$name: a second put of $f: $(cat out)"
        [ "$(hex)" = "$(b3sum --no-names $f)" ] || fail "$name: not what b3sum says of $f"
        [ "$(on "$name" store put - -q <$f)" = "$address" ] || fail "$name: standard input, another address"
    done
    [ "$({ head -c 1000000 big && sleep 0.2 && tail -c +1000001 big; } | on "$name" store put - -q)" = \
        "$(on "$name" store put big -q)" ] || fail "$name: a slow pipe, another address"
    on "$name" store put small --hash sha3-256 --secondary sha256 --secondary sha512 --json >out
    jq -e '.bytes_new == 0 and .hash == "sha3-256" and (.secondary | map(.alg) == ["sha256", "sha512"])' out >/dev/null ||
        fail "$name: sha3-256: $(cat out)"
    [ "$(hex)" = "$(openssl dgst -sha3-256 -r small | cut -d' ' -f1)" ] || fail "$name: not what openssl says"
    [ "$(jq -r '.secondary[0].digest' out)" = "$(sha256sum <small | cut -d' ' -f1)" ] || fail "$name: sha256"
    address=$(jq -r .address out)
    on "$name" store get "$address" | cmp - small || fail "$name: get by sha3-256"
    on "$name" store verify "$address" | grep 'sha3-256, sha256, sha512' || fail "$name: verify"

    exits 2 on "$name" store put small --hash xxh3-128
    says 'anybody can make other bytes with the same value'
    exits 4 on "$name" store put big --secondary "sha256=$(sha256sum <small | cut -d' ' -f1)"
    exits 4 on "$name" store put small --expect "$(on "$name" store put big -q)" --json
    jq -e '.error.code == "IntegrityCheckFailed"' out >/dev/null || fail "$name: $(cat out)"
    on "$name" store put small --secondary "sha256=$(sha256sum <small | cut -d' ' -f1)" -q >/dev/null
    exits 1 on "$name" store get "$address" -o small
    says 'small is there already'
    exits 3 on "$name" store get "$unknown"
    says 'no content of that address'
    last=q # another last letter than the address has
    [[ $address != *q ]] || last=p
    exits 2 on "$name" store get "${address%?}$last"
    exits 2 on "$name" store get stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395
    exits 2 on "$name" store put small --output x
    exits 2 on "$name" store put .
    exits 3 on "$name" store put nosuch
    exits 2 on "$name" store nosuch
    ! compgen -G '.*.stoq-*' >/dev/null || fail "$name: left a temporary file"

    # Chunks are shared with packages, and removal of one keeps what the other uses.
    on "$name" publish big --name big --version 1 --json >out
    jq -e '.bytes_new < 1000' out >/dev/null || fail "$name: publish stored it again: $(cat out)"
    on "$name" rm "$(jq -r .id out)" -q
    on "$name" store get "$(on "$name" store put big -q)" | cmp - big || fail "$name: rm of a package hurt a content"
    [ "$(on "$name" store ls --json | jq '.contents | length')" = 4 ] || fail "$name: ls"
    on "$name" store rm "$address" -q
    exits 3 on "$name" store get "$address"
    on "$name" store get "$(on "$name" store put small -q)" | cmp - small || fail "$name: rm of one name hurt the other"
}

unknown=$(printf unknown | on N store put - -q)
contents A
start B
contents B

# A sender that dies is not the end of its input.
mkfifo pipe
{ cat big && exec sleep 600; } >pipe &
writer=$!
"$STOQ" --home "$(home B)" store put - <pipe >out 2>err &
putter=$!
wait_for grep -q sleep "/proc/$writer/comm" || fail "the input was not read"
kill -KILL $putter
wait $putter || true
kill $writer
wait $writer || true
[ "$(on B store ls --json | jq '.contents | length')" = 3 ] || fail "half an input became a content"
! compgen -G 'B/input-*' >/dev/null || fail "a socket is left behind"
stop B

# One flipped byte in a stored chunk: exit 4, and no file.
on C store put small -q >address
python3 - C/store/segments/00000001.seg small <<'P'
import sys
path, small = sys.argv[1:]
data = bytearray(open(path, "rb").read())
at = data.index(open(small, "rb").read()[100:200])
data[at] ^= 1
open(path, "wb").write(data)
P
exits 4 on C store get "$(cat address)" -o bad
[ ! -e bad ] || fail "a damaged content was written"
exits 4 on C store get "$(cat address)" --json
jq -e '.error.code == "IntegrityCheckFailed"' err >/dev/null || fail "no code: $(cat err)"
[ ! -s out ] || fail "damaged bytes left"
exits 4 on C store verify "$(cat address)"
