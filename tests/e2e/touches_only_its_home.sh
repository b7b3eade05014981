#!/bin/bash
# Without --home the XDG directories hold everything, and nothing else is written.
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || exit 77
[ "${STOQ_FLAVOUR:-debug}" = debug ] || { echo "a sanitizer writes files of its own and wants ptrace for itself"; exit 77; }

mkdir user c d r in
head -c 300000 /dev/urandom >in/a
export HOME=$TMP/user
watched() { # written paths outside what is allowed
    strace -f -qq -e trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,bind \
        -o trace "$STOQ" "$@" >out 2>err
    grep -E 'O_WRONLY|O_RDWR|O_CREAT|creat\(|mkdir|rename|link|bind\(' trace | grep -v ENOENT |
        grep -vE "/dev/null|/proc/self|O_TMPFILE" | grep -oE '"[^"]*"' | tr -d '"' | grep '^/' | sort -u
}

watched publish in --name x --version 1 >wrote
grep -vE "^$TMP/user/\.(config|local/share)(/stoq(/.*)?)?$|^$TMP/user/\.local$" wrote && fail "wrote elsewhere"
[ -s user/.config/stoq/stoq.conf ] && [ -s user/.local/share/stoq/key.pem ] && [ -d user/.local/share/stoq/store ] ||
    fail "not where XDG says: $(find user)"

export XDG_CONFIG_HOME=$TMP/c XDG_DATA_HOME=$TMP/d XDG_RUNTIME_DIR=$TMP/r
watched publish in --name x --version 1 >wrote
grep -vE "^$TMP/(c|d|r)/stoq(/.*)?$" wrote && fail "wrote elsewhere"
[ -s c/stoq/stoq.conf ] && [ -s d/stoq/key.pem ] || fail "not where XDG says"

STOQ_HOME=$TMP/h watched init >wrote
grep -vE "^$TMP/h(/.*)?$" wrote && fail "wrote elsewhere"

STOQ_HOME=$TMP/h "$STOQ" ls >/dev/null
STOQ_HOME=$TMP/none exits 0 "$STOQ" ls
[ ! -e none ] || fail "ls made a home"
