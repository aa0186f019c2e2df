/* sanitizers.c - the options every sanitizer run of the tests uses, and of the command; the environment (ASAN_OPTIONS
 * ...) still wins. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);

const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1:allocator_may_return_null=1";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}

/* A forked child of a threaded case goes on: the library rebuilds itself there, which is what is tested. A case that
 * has ended is over: its threads have been joined by the case itself, so no second is spent to see whether they still
 * race. */
const char *__tsan_default_options(void)
{
    return "halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:atexit_sleep_ms=0";
}

/* Joining waits for a word, not for the kernel's thread: to a process that leaves by _exit a joined thread looks like a
 * leak until the library has joined the kernel's, which it does when the next one starts, or at exit. */
const char *__tsan_default_suppressions(void)
{
    return "thread:weft__sys_thread_start\n";
}
