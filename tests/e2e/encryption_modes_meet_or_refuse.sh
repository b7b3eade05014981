#!/bin/bash
# transport.encryption: peers whose modes share a key exchange use it; others refuse each other, naming both
# lists, whoever dials; nothing weaker is tried.
. "$(dirname "$0")/lib.sh"
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node

home_with() { # NAME MODE
    on "$1" init -q >/dev/null
    printf '[transport]\nencryption = %s\n' "$2" >"$1/stoq.conf"
}

echo data >in
for mode in kyber1024 kyber1024-pure kyber768-hybrid; do
    home_with "$mode" "$mode"
    start "$mode"
    on "$mode" publish in --name "$mode" --version 1 -q >"$mode.id"
done

meets() { # DIALLER LISTENER GROUP
    rm -rf D && home_with D "$1"
    on D get "$(cat "$2.id")" --from "$(contact "$2")" --json >out 2>err || fail "$1 and $2 did not meet: $(cat out)"
    jq -e --arg group "$3" '.group == $group' out >/dev/null || fail "$1 and $2 met with $(jq -r .group out)"
}
meets kyber1024 kyber1024 SecP384r1MLKEM1024
meets kyber1024 kyber1024-pure MLKEM1024
meets kyber1024-pure kyber1024 MLKEM1024
meets kyber1024-pure kyber1024-pure MLKEM1024
meets kyber768-hybrid kyber768-hybrid X25519MLKEM768

refuse() { # DIALLER LISTENER DIALLER'S-LIST LISTENER'S-LIST
    rm -rf D && home_with D "$1"
    exits 5 on D get "$(cat "$2.id")" --from "$(contact "$2")" --json
    jq -e '.error.code == "NoCommonGroup"' out >/dev/null || fail "$1 and $2: $(cat out)"
    says "the listener takes $4; the dialler offers $3"
    wait_for grep -q "refused .*the listener takes $4; the dialler offers $3" "$2.log" ||
        fail "the listener's log does not name both"
    on "$2" status --json | jq -e '.net.refused >= 1' >/dev/null || fail "not counted"
}
refuse kyber768-hybrid kyber1024 X25519MLKEM768 "SecP384r1MLKEM1024, MLKEM1024"
refuse kyber768-hybrid kyber1024-pure X25519MLKEM768 MLKEM1024
refuse kyber1024 kyber768-hybrid "SecP384r1MLKEM1024, MLKEM1024" X25519MLKEM768
refuse kyber1024-pure kyber768-hybrid MLKEM1024 X25519MLKEM768
