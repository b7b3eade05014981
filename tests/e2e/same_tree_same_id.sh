#!/bin/bash
# One tree gives one id, whatever the umask, locale, time zone, user, file system, order of directory
# entries, read size, threads, times, owners and build; one changed byte, name or x bit gives another.
. "$(dirname "$0")/lib.sh"

# Names whose order differs between locales and bytes, and names that are no text at all.
names=(B a_b a-b aB ab Ab 'a b' ä z zz Zz I i ı ß _x .hidden $'\xff\xfe' $'new\nline' 10 9 '~' '#')
fill() { # fill DIR NAME...: the same tree, made in the order given
    local dir=$1 name i=0
    shift
    mkdir -p "$dir/a" "$dir/a.d" "$dir/empty" "$dir/a/deep/er"
    for name in "$@"; do
        printf 'content of %s' "$name" >"$dir/a/$name"
        head -c 20000 /dev/zero | tr '\0' "${name: -1}" >"$dir/a.d/$name"
        i=$((i + 1))
    done
    cp "$TMP/random" "$dir/a/deep/random"
    printf '#!/bin/sh\n' >"$dir/a/deep/run"
    : >"$dir/a/deep/er/nothing"
    ln -sfn ../../nowhere "$dir/a/link"
    ln -sfn /etc/passwd "$dir/a.d-link"
    chmod -R u=rwX,go=rX "$dir"
    chmod 755 "$dir/a/deep/run"
}
reversed() { # the names from the last to the first
    local i
    for ((i = ${#names[@]} - 1; i >= 0; i--)); do
        printf '%s\0' "${names[i]}"
    done
}
id_of() { # id_of DIR [OPTION]...: published into a fresh home
    local dir=$1 home
    shift
    home=$(mktemp -d "$TMP/home.XXXXXX")
    "$STOQ" --home "$home" publish "$dir" --name same --version 1 --quiet "$@"
}
same() { [ "$2" = "$want" ] || fail "$1 changes the id: $2"; }
other() { [[ $2 == stoq1q* && $2 != "$want" ]] || fail "$1 does not change the id"; }

{ seq 1 500000 || true; } | head -c 3000001 >random # compressible, and the same everywhere
fill tree "${names[@]}"
want=$(id_of tree)
[[ $want == stoq1q* ]] || fail "no id: $want"
# The same in every build: compilers, optimisation and sanitizers are told apart by this line alone.
[ "$want" = stoq1qat3dhc2z8j4uwvkes5hsp9fhfuwhq3gzlffgkxxc3mdr0zz3njnst42pjk ] || fail "this build gives another id: $want"
same "nothing" "$(id_of tree)"
same "the path" "$(cd tree/a/deep && id_of ../..)"
same "a path with dots" "$(id_of "$TMP/./tree/a/..//")"

same "umask 000" "$(umask 0000 && id_of tree)"
same "umask 077" "$(umask 077 && id_of tree)"
cp -a tree private
chmod -R go= private
same "modes for the owner alone" "$(id_of private)"

# Locales of our own making: Turkish (i and I), and one whose LC_COLLATE is not that of bytes.
mkdir -p locales
for locale in tr_TR:UTF-8 sv_SE:ISO-8859-1 en_US:UTF-8; do
    localedef -i "${locale%:*}" -f "${locale#*:}" "locales/${locale/:/.}" 2>/dev/null || [ $? = 1 ] ||
        fail "localedef cannot make $locale"
    [ -d "locales/${locale/:/.}" ] || fail "no locale $locale"
    # This shell cannot change to it, and says so; the program can.
    # OpenSSL calls newlocale, and glibc 2.36 leaks the parsed LOCPATH there.
    got=$({ export LOCPATH="$TMP/locales" LC_ALL="${locale/:/.}" ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"; } 2>"$TMP/said" &&
        id_of tree)
    same "the locale $locale" "$got"
done
# That the locales are in force: ls sorts otherwise in one of them.
[ "$(LOCPATH=$TMP/locales LC_ALL=en_US.UTF-8 ls tree/a | md5sum)" != "$(LC_ALL=C ls tree/a | md5sum)" ] ||
    fail "the generated locale has no effect"
same "the C locale" "$(LC_ALL=C id_of tree)"
same "the time zone" "$(TZ=Asia/Kathmandu id_of tree)"

mapfile -d '' -t backwards < <(reversed)
fill backwards "${backwards[@]}"
same "the order in which files were made" "$(id_of backwards)"
mkdir -p /dev/shm && shm=$(mktemp -d /dev/shm/stoq-same.XXXXXX)
trap 'rm -rf "$shm"; at_end' EXIT
[ "$(stat -f -c %T "$shm")" = tmpfs ] || fail "/dev/shm is no tmpfs"
fill "$shm/tree" "${backwards[@]}"
same "tmpfs" "$(id_of "$shm/tree")"
orders=$(for d in tree backwards "$shm/tree"; do find "$d/a" -maxdepth 1 -printf '%P\0' | md5sum; done | sort -u | wc -l)
[ "$orders" -gt 1 ] || fail "all directories list in one order: nothing was shown"

if [ "$(id -u)" = 0 ]; then
    mkdir -m 0777 nobody
    chmod 755 "$TMP"
    install -m 755 "$STOQ" "$TMP/stoq" # the build may lie where others may not go
    got=$(setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$TMP/nobody" \
        "$TMP/stoq" --home "$TMP/nobody/h" publish "$TMP/tree" --name same --version 1 --quiet)
    same "the user" "$got"
    cp -a tree owned
    chown -R -h 65534:65534 owned
    same "the owner" "$(id_of owned)"
fi

for bytes in 61 4095 65537 16777216; do
    same "reads of $bytes bytes" "$(id_of tree --read-bytes $bytes)"
done
for threads in 1 2 5; do
    same "$threads threads" "$(id_of tree --threads $threads)"
done

cp -a tree touched
find touched -exec touch -h -d '2001-02-03 04:05:06' {} +
same "times" "$(id_of touched)"
ln touched/a.d/I second-name
same "a hard link elsewhere" "$(id_of touched)"

# The other builds of this program, where there are any.
for build in "$(dirname "$STOQ")"/../../*/apps/stoq; do
    if [ -x "$build" ] && [ "$(realpath "$build")" != "$STOQ" ] && "$build" help publish >/dev/null 2>&1; then
        same "the build $build" "$(STOQ=$build && id_of tree)"
    fi
done

# And what must show.
cp -a tree changed
printf X | dd of=changed/a/deep/random bs=1 seek=1234567 conv=notrunc status=none
other "one byte" "$(id_of changed)"
cp -p tree/a/deep/random changed/a/deep/random
same "that byte put back" "$(id_of changed)"
chmod u+x changed/a/ab
other "an x bit" "$(id_of changed)"
chmod u-x changed/a/ab && chmod go+x changed/a/ab
same "an x bit that is not the owner's" "$(id_of changed)"
mv changed/a/ab changed/a/abc
other "a name" "$(id_of changed)"
mv changed/a/abc changed/a/ab
ln -sfn ../../nowherf changed/a/link
other "a link's target" "$(id_of changed)"
ln -sfn ../../nowhere changed/a/link
rmdir changed/empty
other "an empty directory" "$(id_of changed)"
mkdir changed/empty
same "everything put back" "$(id_of changed)"
other "another version" "$("$STOQ" --home "$TMP/other" publish tree --name same --version 2 --quiet)"
other "another name" "$("$STOQ" --home "$TMP/other" publish tree --name other --version 1 --quiet)"
