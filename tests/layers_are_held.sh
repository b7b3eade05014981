#!/bin/bash
# tools/check-layers sees what it is there to see: each planted violation, in a copy, makes it fail and
# say where. (That the source itself passes is a check of its own.)
set -eu
check=$STOQ_SRC/tools/check-layers
fails=0

expect() { # expect TEXT COMMAND...: it fails and says TEXT
    local text=$1
    shift
    if "$@" >out 2>&1 || ! grep -qF -- "$text" out; then
        echo "expected a failure that says: $text"
        sed 's/^/    /' out
        fails=$((fails + 1))
    fi
}

fresh() {
    rm -rf copy
    mkdir copy
    cp -r "$STOQ_SRC/src" copy/src
    [ ! -e "$STOQ_SRC/ARCHITECTURE.md" ] || cp "$STOQ_SRC/ARCHITECTURE.md" copy/
}

plant() { # plant MODULE CODE: compiled into a copy of that module's library
    printf '%s\n' "$2" >planted.c
    gcc -O2 -fPIC -c planted.c -o planted.o
    rm "build/src/libstoq_$1.a"
    cp "whole/libstoq_$1.a" build/src/
    ar rs "build/src/libstoq_$1.a" planted.o
}

# Meson's archives are thin, they only point at the objects: take those along.
mkdir -p whole build/src
for lib in "$STOQ_BUILD"/src/libstoq_*.a; do
    ar tP "$lib" | xargs ar rcs "whole/${lib##*/}"
    ln "whole/${lib##*/}" build/src/
done

fresh
echo '#include "wire/cbor.h"' >>copy/src/base/bytes.c
expect 'src/base/bytes.c' "$check" --root copy

fresh
echo '#include "os/os.h"' >>copy/src/package/planted.c
expect 'package may not include os/os.h' "$check" --root copy

fresh
echo '#include <time.h>' >>copy/src/base/planted.c
expect '<time.h> has no place above the shell line' "$check" --root copy

fresh
echo '#include <lmdb.h>' >>copy/src/os/planted.c
expect '<lmdb.h> belongs to store' "$check" --root copy

fresh
echo '#include <zlib.h>' >>copy/src/os/planted.c
expect '<zlib.h> is of no library' "$check" --root copy

fresh
mkdir copy/src/attic
expect 'src/attic: not in src/layers.txt' "$check" --root copy

fresh
sed -i 's/^base:.*/base: os/' copy/src/layers.txt
expect 'base uses os, which is not above it' "$check" --root copy

fresh
plant base '#include <time.h>
long planted(void); long planted(void) { return time(0); }'
expect 'uses time, not in src/symbols.allow' "$check" --root copy --symbols build

fresh
plant base 'int planted(int n); int planted(int n) { static int calls; return calls += n; }'
expect 'is state at file scope' "$check" --root copy --symbols build

fresh
plant base 'int stoq_merkle_verify(void); int planted(void); int planted(void) { return stoq_merkle_verify(); }'
expect 'src/base (planted.o): uses stoq_merkle_verify' "$check" --root copy --symbols build

[ $fails = 0 ]
