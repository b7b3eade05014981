#!/bin/bash
# The completions that `make install` makes, in the shells themselves: they load without a word, and complete commands,
# options, words and values.
set -euo pipefail
"$STOQ_SRC/tools/man" --stoq "$STOQ" "$TMP"
here=$TMP/completions
ran=

expect() { # SHELL WHAT LINE WORDS-THAT-MUST-COME... [! WORDS-THAT-MUST-NOT...]: candidates are on stdin
    local shell=$1 got want=1 word
    got=" $(tr '\n' ' ') "
    shift
    local line=$1
    shift
    for word in "$@"; do
        if [ "$word" = '!' ]; then
            want=0
        elif [[ $got == *" $word "* ]]; then
            [ $want = 1 ] || { echo "FAILED: $shell offers $word for: $line" >&2 && exit 1; }
        else
            [ $want = 0 ] || { echo "FAILED: $shell does not offer $word for: $line; it has:$got" >&2 && exit 1; }
        fi
    done
}

all_of() { # SHELL: what each shell must do alike; candidates SHELL LINE prints them one a line
    local s=$1
    candidates "$s" 'stoq p' | expect "$s" 'stoq p' publish ping peers ! get --json
    candidates "$s" 'stoq publish --na' | expect "$s" 'stoq publish --na' --name ! --from
    candidates "$s" 'stoq get --' | expect "$s" 'stoq get --' --from --output --json --home ! --name
    candidates "$s" 'stoq --home /tmp get --f' | expect "$s" 'stoq --home /tmp get --f' --from
    candidates "$s" 'stoq store ' | expect "$s" 'stoq store ' put get verify stats
    candidates "$s" 'stoq help fs' | expect "$s" 'stoq help fs' fsck ! publish
    candidates "$s" 'stoq --progress a' | expect "$s" 'stoq --progress a' auto always ! publish
    ran="$ran $s"
}

candidates() { # SHELL LINE
    case $1 in
    bash)
        bash --norc --noprofile -u -c '
            source "$1"; line=$2
            read -r -a COMP_WORDS <<<"$line"
            [[ $line == *" " ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
            _stoq; printf "%s\n" "${COMPREPLY[@]+"${COMPREPLY[@]}"}"' bash "$here/stoq.bash" "$2"
        ;;
    zsh)
        # Inside a completion zsh offers what compadd and _describe are given; here they print what fits.
        zsh -f -c '
            compdef() { : }
            compadd() { shift; print -l -- ${(M)@:#$words[CURRENT]*} }
            _files() { : }
            _describe() {
                local a=${@[-1]} one
                for one in ${(P)a}; do
                    [[ $one == $words[CURRENT]* ]] && print -- ${one%%:*}
                done
            }
            source "$1"
            words=(${(z)2}); [[ $2 == *" " ]] && words+=("")
            CURRENT=$#words
            _stoq || true' zsh "$here/_stoq" "$2"
        ;;
    fish)
        HOME=$TMP XDG_CONFIG_HOME=$TMP XDG_DATA_HOME=$TMP fish -N -c 'source $argv[1]; complete -C $argv[2]' "$here/stoq.fish" "$2" |
            cut -f 1
        ;;
    esac
}

for shell in bash zsh fish; do
    if command -v $shell >/dev/null; then
        all_of $shell
    else
        echo "$shell is not here"
    fi
done
# In zsh's own completion system the file is found and loads.
if command -v zsh >/dev/null; then
    out=$(cd "$TMP" && HOME=$TMP zsh -f -c '
        fpath=($1 $fpath)
        autoload -Uz compinit && compinit -D -u
        print $_comps[stoq]
        autoload +X _stoq && print loaded' zsh "$here" 2>&1)
    [ "$out" = "_stoq
loaded" ] || { echo "FAILED: zsh: $out" >&2 && exit 1; }
fi
[ "$ran" = ' bash zsh fish' ] || { echo "only in:$ran; the others are not here" && exit 77; }
