/* weft__sys_leave_cpu: a thread goes to another processor and stays as free as it was. */
#include "harness/harness.h"

#include "sys/sys.h"

#include <sched.h>

TEST(leaving_a_processor_is_being_on_another_and_no_more_bound_than_before)
{
    cpu_set_t before, after;
    CHECK_INT(0, sched_getaffinity(0, sizeof before, &before));
    if (CPU_COUNT(&before) < 2)
        SKIP("one processor");
    for (unsigned left = weft__sys_cpu(); weft__sys_cpu() == left;) /* the kernel may take it back at once */
        weft__sys_leave_cpu();
    CHECK_INT(0, sched_getaffinity(0, sizeof after, &after));
    CHECK(CPU_EQUAL(&before, &after));
}

TEST(leaving_the_only_processor_that_is_allowed_changes_nothing)
{
    cpu_set_t one, after;
    unsigned cpu = weft__sys_cpu();
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_INT(0, sched_setaffinity(0, sizeof one, &one));
    weft__sys_leave_cpu();
    CHECK_INT(0, sched_getaffinity(0, sizeof after, &after));
    CHECK(CPU_EQUAL(&one, &after));
    CHECK_INT(cpu, weft__sys_cpu());
}
