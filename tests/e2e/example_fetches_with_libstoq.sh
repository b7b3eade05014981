#!/usr/bin/env bash
# examples/fetch.c, which sees nothing of us but include/stoq.h, publishes and serves a tree, fetches it
# with a second session, and is told why when it cannot. The installed header compiles alone, in C and C++.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$STOQ_SRC/tests/e2e/lib.sh"
example=$STOQ_BUILD/apps/example_fetch
mkdir -p in/sub
head -c 3000000 /dev/urandom >in/sub/data
echo hello >in/text
mkfifo hold
"$example" "$TMP/server" --serve in <hold >served &
daemon[example]=$!
exec 9>hold
ready() { [ -s served ]; }
wait_for ready || fail "the example does not serve"
read -r id contact <served
exits 0 "$example" "$TMP/client" "$id" "$contact" tree
says 'bytes, '
same_tree in tree
exits 1 "$example" "$TMP/client" "$id" "$contact" tree
says OutputExists
absent=$(on elsewhere publish in --name absent --version 1)
exits 3 "$example" "$TMP/client" "$absent" "$contact" tree2
says ContentNotFound
exits 2 "$example" "$TMP/client" stoq1qqqq "$contact" tree2
says InvalidId
exec 9>&-
code=0
wait "${daemon[example]}" || code=$?
unset 'daemon[example]'
[ $code = 0 ] || fail "the serving example ended with $code"
# Nothing of ours leaks out of the shared object.
if nm -D --defined-only "$STOQ_BUILD/apps/libstoq.so" | grep -v ' stoq_session_\| stoq_version\| A STOQ_0' >leaked; then
    fail "exported beside the API: $(head -n 3 leaked)"
fi
for language in c c++; do
    printf '#include <stoq.h>\nint main(void) { return stoq_version() == 0; }\n' >"alone.$language"
    ${CC:-cc} -x "$language" -Wall -Wextra -Werror -pedantic -I"$STOQ_SRC/include" -fsyntax-only "alone.$language"
done
