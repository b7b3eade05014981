#!/bin/bash
# publish --secondary: a second digest of the whole stream in the manifest, as an independent program
# computes it; verify checks it, get checks it before it hands anything out.
. "$(dirname "$0")/lib.sh"

mkdir -p in/sub
head -c 3000000 /dev/urandom >in/big
seq 100000 >in/text
printf '#!/bin/sh\n' >in/sub/run && chmod 755 in/sub/run
: >in/empty
ln -s big in/link

cat >stream.py <<'P'
"""The package stream of docs/FORMATS.md section 3, of the folder named, through a hash."""
import hashlib
import os
import sys

def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    size = next(s for s in (1, 2, 4, 8) if n < 1 << 8 * s)
    return bytes([major << 5 | 24 + size.bit_length() - 1]) + n.to_bytes(size, "big")

def text(b):
    return head(2, len(b)) + b

top, algorithm = os.fsencode(sys.argv[1]), sys.argv[2]
h = hashlib.new({"sha3-256": "sha3_256"}.get(algorithm, algorithm))
entries = []
for folder, dirs, files in os.walk(top):
    entries += [os.path.join(folder, name) for name in dirs + files]
entries.sort(key=lambda p: p[len(top) + 1:])
for p in entries:
    path = text(p[len(top) + 1:])
    if os.path.islink(p):
        h.update(head(4, 3) + path + head(0, 3) + text(os.readlink(p)))
    elif os.path.isdir(p):
        h.update(head(4, 3) + path + head(0, 2) + head(0, 0))
    else:
        h.update(head(4, 3) + path + head(0, os.stat(p).st_mode >> 6 & 1) + head(0, os.path.getsize(p)))
for p in entries:
    if os.path.isfile(p) and not os.path.islink(p):
        h.update(open(p, "rb").read())
print(h.hexdigest())
P

plain=$(on A publish in --name x --version 1 -q)
for alg in sha256 sha512 sha3-256; do
    id=$(on A publish in --name x --version 1 --secondary $alg -q)
    [ "$id" != "$plain" ] || fail "$alg is not in the id"
    [ "$id" = "$(on A publish in --name x --version 1 --secondary $alg -q --threads 1 --read-bytes 1021)" ] || fail "$alg: another id"
    exits 0 on A info "$id" --json
    jq -e --arg a $alg --arg d "$(python3 stream.py in $alg)" '.secondary == {algorithm: $a, digest: $d}' out >/dev/null ||
        fail "$alg: not the digest of the stream: $(cat out)"
    on A info "$id" | grep "^secondary  *$alg " || fail "$alg: info does not show it"
    exits 0 on A verify "$id" --json
    jq -e '.secondary_valid and .overall_valid and .reasons.secondary.valid' out >/dev/null || fail "$alg: $(cat out)"
done
exits 0 on A verify "$plain" --json
jq -e 'has("secondary_valid") | not' out >/dev/null || fail "a digest where there is none: $(cat out)"
for alg in blake3 xxh3-128 md5; do
    exits 2 on A publish in --name x --version 1 --secondary $alg
    says 'sha3-256, sha256 or sha512'
done

lies() { # NAME ID: a digest that is not the content's
    exits 4 on "$1" verify "$2" --json
    jq -e '.merkle_valid and .secondary_valid == false and .overall_valid == false and
        .error.code == "IntegrityCheckFailed" and (.error.message | startswith("sha256: "))' out >/dev/null || fail "$(cat out)"
}
lie=$("${STOQ_BUILD:-$(dirname "$STOQ")/../..}/tests/lying_publisher" A/store in)
lies A "$lie"
start A
exits 4 on B get "$lie" --from "$(contact A)" -o tree
says "sha256: the content's is not the manifest's"
[ ! -e tree ] || fail "it was handed out"
lies B "$lie"
exits 4 on B get "$lie" --from "$(contact A)" -o tree
exits 0 on B get "$id" --from "$(contact A)" -o tree --json
same_tree in tree

# A damaged chunk: the tree says so, and the digest is not claimed.
stop A
python3 - A/store/segments/00000001.seg in/big <<'P'
import sys
data, big = bytearray(open(sys.argv[1], "rb").read()), open(sys.argv[2], "rb").read()
data[data.index(big[1000000:1000100])] ^= 1
open(sys.argv[1], "wb").write(data)
P
exits 4 on A verify "$id" --json
jq -e '.merkle_valid == false and .secondary_valid == false and .chunks_bad == 1 and
    (.reasons.secondary.why | endswith("not checked, the content is damaged"))' out >/dev/null || fail "$(cat out)"
