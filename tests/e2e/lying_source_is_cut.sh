#!/usr/bin/env bash
# A source whose bytes are wrong, and pass for good in its own store: the receiver's hash finds it. Alone
# it is refused and nothing of it is kept; beside an honest source it is left after that chunk and the
# fetch ends identical.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
mkdir in
head -c 30000000 /dev/urandom >in/random
start A
id=$(on A publish in --name data --version 1 -q)
start C
on C get "$id" --from "$(contact A)" -q
stop A
python3 "$STOQ_SRC/tests/tools/flip_chunk.py" --forge A/store all
start A

exits 4 on B get "$id" --from "$(contact A)" -o tree --json
jq -e '.error.code == "IntegrityCheckFailed"' out >/dev/null || fail "not named: $(cat out)"
says 'do not have the hash'
[ ! -e tree ] || fail "a tree was written"
exits 3 on B info "$id" --json
exits 0 on C verify "$id" -q

# Remembered: not asked again.
exits 0 on B get "$id" --from "$(contact A)" --from "$(contact C)" -o again --json
same_tree in again
jq -e --arg liar "$(jq -r .peer A.ready)" \
    '.sources[] | select(.peer == $liar) | .bytes == 0 and (.connected | not) and (.why | contains("cut off"))' out >/dev/null ||
    fail "the liar is not named: $(cat out)"
exits 0 on B verify "$id" -q

# Whoever does not know it yet loses one request to it. On a busy machine the other may have brought everything before the
# liar is connected: then it is not asked, and another newcomer tries.
liar=$(jq -r .peer A.ready)
for try in 1 2 3 4 5 6 7 8; do
    exits 0 on "D$try" get "$id" --from "$(contact A)" --from "$(contact C)" -o "tree$try" --json
    jq --arg liar "$liar" '.sources[] | select(.peer == $liar)' out >said
    same_tree in "tree$try"
    jq -e '.bytes == 0' said >/dev/null || fail "bytes of the liar's: $(cat said)"
    exits 0 on "D$try" verify "$id" -q
    ! grep -q 'do not have the hash' said || break
    rm -rf "D$try" "tree$try"
    [ $try -lt 8 ] || fail "the liar is not named: $(cat said)"
done
