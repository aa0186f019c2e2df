#!/bin/bash
# The completion for bash offers what the command takes: commands, verbs, lessons and flags. Environment: WEFT.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
weft=$(realpath "${WEFT:-$here/build/weft}")
source "$here/share/completions/weft.bash"
weft() { "$weft" "$@"; }
compopt() { :; } # it wants to be called by a completion
failed=0

# expect "words wanted" -- words of the command line, the last one unfinished
expect()
{
    local wanted=$1
    COMP_WORDS=(weft "${@:2}")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _weft
    [ "${COMPREPLY[*]}" = "$wanted" ] || { echo "FAIL '${COMP_WORDS[*]}': ${COMPREPLY[*]} instead of $wanted"; failed=1; }
}

expect "web lesson bench compare load --help --version" ""
expect "lesson" les
expect "echo http cpu io udp" compare --job ""
expect "--json" compare --js
expect "http:// https:// tcp:// tls:// udp://" load ""
expect "--requests --rate --reply" load tcp:// --r
expect "line echo" load --reply ""
expect "list run show --help" lesson ""
expect "run" lesson r
expect "noodle noodle_rlock" lesson run nood
expect "--fast" lesson run noodle --f
expect "--json" lesson list --j
expect "models" bench ""
expect "--gil" bench models --g
expect "100 700 5ms" bench models --gil ""
expect "--port --poller" web --po
expect "epoll epoll-et" web --poller ep
[ "$failed" = 0 ] && echo "completion_test: all offered"
exit $failed
