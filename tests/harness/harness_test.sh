#!/bin/sh
# The harness must see what it promises to see: each fail_ case of weft-failing-cases is reported as failed with the
# right words, each pass_ case passes, each skip_ case is skipped. Environment: WEFT_BUILD, the build directory.
set -u
cases=${WEFT_BUILD:-build}/weft-failing-cases
[ -x "$cases" ] || { echo "no $cases"; exit 1; }
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
bad=0

complain()
{
    echo "harness_test: $*"
    bad=1
}

"$cases" -v >"$out" 2>&1 && complain "exit status 0 though cases failed"
for name in $("$cases" --list); do
    case $name in
    fail_*) word=FAIL ;;
    pass_*) word=ok ;;
    skip_*) word=SKIP ;;
    *) complain "what is expected of $name?" ;;
    esac
    grep -Eq "^$word +$name[: ]" "$out" || complain "$name is not reported as $word"
    [ $word != FAIL ] || grep -q "^failed: $name\$" "$out" || complain "$name is not in the closing list"
done

expect()
{
    grep -q "^$1: .*$2" "$out" || complain "no line \"$1: ...$2\""
}

expect 'FAIL fail_check' 'CHECK(1 + 1 == 3)'
expect 'FAIL fail_check_int' '2 + 3 is 5, expected 4'
expect 'FAIL fail_check_between' '2 + 2 is 4, expected 1 to 3'
expect 'FAIL fail_check_err' 'is -22 (-EINVAL), expected -110 (-ETIMEDOUT)'
expect 'FAIL fail_check_str' 'is "warp", expected "weft"'
expect 'FAIL fail_check_mem' 'byte 2 of 4 is 0x78, expected 0x63'
expect 'FAIL fail_message' 'failing_cases.c:[0-9]*: the number is 42'
expect 'FAIL fail_hangs' 'still running after'
expect 'FAIL fail_spins' 'still running after'
expect 'FAIL fail_crashes' 'SEGV\|Segmentation\|exit status'
expect 'FAIL fail_aborts' 'signal 6'
expect 'FAIL fail_exits_early' 'exited before the end of its body'
expect 'FAIL fail_exits_with_a_status' 'exit status 3'
expect 'FAIL fail_while_exiting' 'exit status 9 while exiting'
expect 'FAIL fail_hangs_while_exiting' 'still exiting after'
expect 'FAIL fail_leaks_a_pipe' 'descriptors left open: 3 -> pipe'
expect 'FAIL fail_leaves_a_child' 'processes left running: [0-9]* (weft-failing-ca)'
expect 'FAIL fail_leaves_a_grandchild_in_its_own_session' 'processes left running: [0-9]* (weft-failing-ca)'
expect 'FAIL fail_in_a_forked_child' 'said by the child'
expect 'FAIL fail_in_a_thread' 'said by the thread'
for kind in $("$cases" --list | sed -n 's:^fail_check_in_waiter/::p'); do
    expect "FAIL fail_check_in_waiter/$kind" '2 is 2, expected 1'
    expect "FAIL fail_waiter_returns_an_error/$kind" 'waiter 0 returned -32: Broken pipe'
done
# ThreadSanitizer holds signals back while a thread sleeps in the kernel.
for kind in $(grep -q __tsan_init "$cases" || echo thread co process); do
    waiter=$([ $kind = co ] && echo coroutine || echo thread)
    sed -n "/^FAIL fail_waiter_never_wakes.$kind:/,/^[^ ]*:/p" "$out" | grep -q "$waiter .* sleeps in test, word 0x" ||
        complain "fail_waiter_never_wakes/$kind does not say who sleeps"
done
expect 'FAIL fail_waiter_is_killed/process' 'waiter 0 was killed by signal 9'
expect 'FAIL fail_panics_with_other_words' 'aborted without saying "the expected words"'
expect 'FAIL fail_does_not_panic' 'returned; expected to panic with "the expected words"'
expect 'FAIL fail_crashes_instead_of_panicking' 'ended with signal 9'
expect 'SKIP skip_with_a_reason' 'no such hardware'
grep -q '^    | said on standard output$' "$out" || complain "standard output of a failed case is not shown"
grep -q '^    | said on standard error$' "$out" || complain "standard error of a failed case is not shown"
grep -q 'at the limit: process [0-9]* (weft-failing-ca) thread' "$out" || complain "a hanging case is not described"

dir=$(sed -n 's/^FAIL fail_but_its_test_dir_goes_away: .*directory //p' "$out")
case $dir in
/tmp/weft-test.*) [ ! -e "$dir" ] || complain "$dir was left behind" ;;
*) complain "no test directory in the report" ;;
esac

fails=$("$cases" --list | grep -c '^fail_')
passes=$("$cases" --list | grep -c '^pass_')
[ "$(tail -n 1 "$out")" = "$passes passed, $fails failed, 1 skipped" ] || complain "last line is $(tail -n 1 "$out")"

"$cases" --filter 'pass_*' >"$out" 2>&1 || complain "exit status is not 0 though nothing failed"
[ "$("$cases" --list --filter 'pass_*' --exclude 'pass_[a-q]*' --exclude '*/co' | grep -c .)" = \
    "$("$cases" --list | grep '^pass_[r-z]' | grep -vc '/co$')" ] || complain "--exclude leaves out too much or too little"
[ "$(cat "$out")" = "$passes passed, 0 failed, 0 skipped" ] || complain "a clean run says more than its counts"
"$cases" --filter 'no_such_case' >"$out" 2>&1 && complain "exit status 0 though nothing ran"
"$cases" --filter '*/failing_cases.c' --list | grep -q pass_counts || complain "a filter by file finds nothing"
result=$("$cases" --filter pass_counts_descriptors --json | sed -n 's/.*"result":"\([a-z]*\)".*/\1/p')
[ "$result" = ok ] || complain "--json says $result"
"$cases" --repeat 3 --filter pass_counts_descriptors | grep -q '^3 passed' || complain "--repeat 3 does not run thrice"
[ $bad = 0 ] || { echo "--- output of the last run:"; cat "$out"; }
exit $bad
