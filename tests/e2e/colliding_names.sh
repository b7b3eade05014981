#!/bin/bash
# Names that differ only by case: publish warns, publish --strict refuses, and where the file system takes
# them for one, an extraction fails and leaves nothing.
. "$(dirname "$0")/lib.sh"

mkdir -p in/docs
echo 1 >in/README
echo 2 >in/Readme
echo 3 >in/docs/a
echo 4 >in/docs/A
echo 5 >in/docs/b
pairs='README and Readme differ only in upper and lower case'

published() { # NAME
    local name=$1 i
    exits 0 on "$name" publish in --name x --version 1
    [ "$(grep -c '^warning: .* differ only in upper and lower case' err)" = 2 ] || fail "$name: warnings: $(cat err)"
    says "warning: $pairs"
    says 'warning: docs/A and docs/a differ'
    exits 0 on "$name" publish in --name x --version 1 -q
    [ ! -s err ] || fail "$name: -q is not quiet"
    exits 0 on "$name" publish in --name x --version 1 --json
    jq -e '.warnings | length == 2 and (.[0] | startswith("README and Readme "))' out >/dev/null || fail "$name: $(cat out)"
    id=$(jq -r .id out)
    exits 1 on "$name" publish in --name strict --version 1 --strict --json
    jq -e --arg t "$pairs" '.error.code == "NamesCollide" and .error.message == $t' out >/dev/null || fail "$name: $(cat out)"
    [ "$(on "$name" ls --json | jq '.packages | length')" = 1 ] || fail "$name: a refused publish left a package"
    exits 0 on "$name" publish in/docs/b --name fine --version 1 --strict --json
    jq -e '.warnings == []' out >/dev/null || fail "$name: warned of nothing"
    on "$name" get "$id" -o "tree.$name" -q
    same_tree in "tree.$name"
}

published A
start B
published B
stop B

# More pairs than a result lists.
mkdir many
for i in $(seq 150); do : >"many/x$i" && : >"many/X$i"; done
exits 0 on A publish many --name many --version 1 --json
jq -e '.warnings | length == 101 and .[100] == "50 more warnings of this kind"' out >/dev/null || fail "$(cat out)"

# A directory where case is ignored.
if [ "${STOQ_FLAVOUR:-debug}" = debug ]; then
    exits 1 env LD_PRELOAD="${STOQ_BUILD:-$(dirname "$STOQ")/../..}/tests/case_blind.so" \
        "$STOQ" --home "$(home A)" get "$id" -o blind --json
    jq -e '.error.code == "Malformed" and (.error.message | test("^Readme: .*takes two names for one"))' out >/dev/null ||
        fail "on a file system that ignores case: $(cat out err)"
    [ ! -e blind ] || fail "half a tree was left"
    ! compgen -G '.blind.stoq-*' >/dev/null || fail "a temporary tree was left"
fi
