#!/bin/bash
# Other compilers and flags give the same program: the ids of one tree, by both profiles, what it proves of it,
# and the traces of a simulated swarm and of a simulated DHT are those of the build under test. `make check` builds one
# other program, by clang without optimisation where there is clang; `make builds` all of them.
set -euo pipefail
: "${STOQ:?}" "${STOQ_SRC:?}" "${STOQ_FLAVOUR:?}"
[ "$STOQ_FLAVOUR" = debug ] || { echo "once is enough: with the debug build" && exit 77; }
"$STOQ" help publish >/dev/null 2>&1 || exit 77 # built without a node
cd "${TMP:?}"
prefix=$(realpath "${STOQ_DEPS_PREFIX:-$STOQ_SRC/build/deps}")
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LC_ALL=C.UTF-8

# Large, small and empty files, and an archive with members, the same everywhere.
python3 - <<'PY'
import io, os, random, tarfile
r = random.Random(11)
os.makedirs("tree/sub")
for name, n in (("large", 3000000), ("sub/small", 700), ("sub/empty", 0), ("zeros", 0)):
    with open("tree/" + name, "wb") as f:
        f.write(r.randbytes(n))
with open("tree/zeros", "wb") as f:
    f.write(bytes(600000))
with tarfile.open("tree/archive.tar", "w", format=tarfile.PAX_FORMAT) as t:
    for i in range(40):
        info = tarfile.TarInfo("member-%d" % i)
        info.size = i * i * 100
        t.addfile(info, io.BytesIO(r.randbytes(info.size)))
PY
chmod -R u=rwX,go=rX tree

words() { # words PROGRAM: what it makes of the tree
    local home profile id
    for profile in 1 2; do
        home=$(mktemp -d "$TMP/home.XXXXXX")
        id=$("$1" --home "$home" publish tree --name same --version 1 --profile $profile --no-sign -q)
        echo "profile $profile: $id"
        "$1" --home "$home" prove "$id" --chunks 3-20 --data -o - | b3sum --no-names
    done
    "$1" merkle root tree/large --min 4096 --avg 16384 --max 65535 --norm 3
    "$1" hash tree/large
    "$(dirname "$1")/stoq-sim" --seed 7 --fetchers 12 --seeds 3 --lie 1 --package-kib 2048 --law flapping --loss-ppm 10000
    "$(dirname "$1")/stoq-sim-dht" --seed 7 --nodes 30 --law flapping --warm-s 305 --dead 10 --lookups 20 --keys 5 --finds 20 \
        --foe forgers --foes 20 | grep -v ^rss_
}
words "$STOQ" >want

other() { # other NAME COMPILER FLAG...: built and compared
    local name=$1 compiler=$2
    shift 2
    command -v "$compiler" >/dev/null || { echo "$name: no $compiler here" && return 0; }
    local began=$SECONDS
    CC=$compiler CFLAGS="$*" meson setup "$name" "$STOQ_SRC" --buildtype=plain -Dtests=false >"$name.log" 2>&1 &&
        ninja -C "$name" -j 2 apps/stoq apps/stoq-sim apps/stoq-sim-dht >>"$name.log" 2>&1 || { tail -n 40 "$name.log" && exit 1; }
    words "$(realpath "$name/apps/stoq")" >got
    cmp want got || { echo "$name ($compiler $*) gives other ids:" && diff want got; exit 1; }
    echo "$name: the same, built in $((SECONDS - began)) s"
    rm -rf "$name"
}
clang=$(command -v clang || command -v clang-14 || echo none)
if [ "${1:-}" = all ]; then
    other gcc-O0 gcc -O0
    other gcc-O3-native gcc -O3 -march=native
    other clang-O0 "$clang" -O0
    other clang-O2 "$clang" -O2
    other clang-O3-native "$clang" -O3 -march=native
    other gcc-O2-signed-char gcc -O2 -fsigned-char
    other gcc-O2-unsigned-char gcc -O2 -funsigned-char
elif [ "$clang" != none ]; then
    other clang-O0 "$clang" -O0
else
    other gcc-O0 gcc -O0
fi
