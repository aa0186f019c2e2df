#!/bin/bash
# The completions offer what `weft --help` and `weft web --help` list, and the values of an option: bash's, and fish's if
# there is a fish.
set -u
weft=${WEFT:-build/weft}
completions=$(cd "$(dirname "$0")/../../share/completions" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/public"
touch "$dir/notes.txt"
failed=0 passed=0

# In bash and in fish: the words that complete this command line, one a line.
in_bash()
{
    bash --norc -c 'compopt() { :; }; . "$1"; read -ra COMP_WORDS <<<"$2"; [ "${2% }" = "$2" ] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _weft; printf "%s\n" "${COMPREPLY[@]}"' - "$completions/weft.bash" "$1"
}

in_fish()
{
    HOME=$dir fish --no-config -c 'complete -e -c weft; source $argv[1]; complete -C $argv[2]' \
        "$completions/weft.fish" "$1" | cut -f 1
}

# expect SHELL LINE WORDS: completing LINE offers exactly these.
expect()
{
    local got want
    got=$(cd "$dir" && "in_$1" "$2" | sort)
    want=$(printf '%s\n' $3 | sort)
    if [ "$got" = "$want" ]; then
        passed=$((passed + 1))
    else
        echo "FAIL $1 completes '$2' with: ${got//$'\n'/ }, not with: ${want//$'\n'/ }"
        failed=$((failed + 1))
    fi
}

options=$("$weft" web --help | grep -oE '^ +--[a-z-]+' | tr -d ' ')
[ -n "$options" ] || { echo "no options in weft web --help"; exit 1; }
for shell in bash fish; do
    command -v $shell >/dev/null || continue
    expect $shell "weft --" "--help --version"
    expect $shell "weft web --" "$options"
    expect $shell "weft web --cache-" "--cache-size --cache-file-size"
    expect $shell "weft web --poller e" "epoll epoll-et"
    expect $shell "weft web --model " "coroutine epoll epoll-et iterative poll pool prefork process select thread uring"
done
expect bash "weft w" "web"
if command -v fish >/dev/null; then
    expect fish "weft w" "web"
    expect fish "weft web " "public/"
    expect fish "weft web --mime-types n" "notes.txt"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ] || exit 1
command -v fish >/dev/null || { echo "fish is not installed; bash's completion is right"; exit 77; }
