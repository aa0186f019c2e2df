#!/bin/bash
# What a command prints arrives, or the command fails; a standard stream that is closed is nobody else's. Environment: WEFT.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
weft=$(realpath "${WEFT:-$here/build/weft}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail()
{
    echo "FAIL $*"
    failed=1
}

# lost NAME STATUS: it has failed, and said why
lost()
{
    [ "$2" = 1 ] && grep -q '^weft: standard output could not be written' "$work/err" ||
        fail "$1: status $2, $(cat "$work/err")"
}

for command in --help --version "web --help" "load --help" "compare --help" "bench --help" "lesson --help" "lesson list" \
    "lesson list --json" "lesson show tickets" "bench models --tasks 1 --work 1 --json" \
    "compare --models iterative --clients 1 --duration 0.05 --json"; do
    # shellcheck disable=SC2086
    "$weft" $command >/dev/full 2>"$work/err"
    lost "$command >/dev/full" $?
    # shellcheck disable=SC2086
    "$weft" $command >&- 2>"$work/err"
    lost "$command >&-" $?
    # shellcheck disable=SC2086
    "$weft" $command >"$work/out" 2>"$work/err" || fail "$command: status $?"
    [ -s "$work/out" ] || fail "$command prints nothing"
done

"$weft" compare --models iterative --clients 1 --duration 0.05 --html /dev/full >"$work/out" 2>"$work/err"
[ $? = 1 ] && grep -q 'No space left' "$work/err" || fail "--html /dev/full: $(cat "$work/err")"

# A server does not need its streams, and gives their numbers to no socket. The file is there when it serves.
"$weft" web "$work" --port 0 --pid-file "$work/pid" <&- >&- 2>&- &
server=$!
until [ -s "$work/pid" ] || ! kill -0 $server 2>"$work/err"; do
    sleep 0.05
done
for fd in 0 1 2; do
    [ "$(readlink /proc/$server/fd/$fd)" = /dev/null ] || fail "descriptor $fd is $(readlink /proc/$server/fd/$fd)"
done
kill $server
wait $server || fail "web without streams: status $?"

[ "$failed" = 0 ] && echo "output_test: all arrived or was reported"
exit $failed
