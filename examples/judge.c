/* judge.c - is the data safe? The rule of three conditions, applied to the four questions.
 *
 * Data is unsafe only if it is shared, and used at the same time, and used in two steps that belong together: compute
 * and assign (+= -= *= /=, a = f(a)), or an if or while whose condition several threads test. */
#include "lesson.h"

typedef struct use {
    const char *name;
    int shared, at_the_same_time, in_two_steps;
} use;

static int is_safe(const use *u)
{
    return !(u->shared && u->at_the_same_time && u->in_two_steps);
}

static const char *yes_no(int yes)
{
    return yes ? "是" : "否";
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static const use uses[] = {
        {"问题1: append 与一个线程的 while + pop", 1, 1, 0}, /* one thread alone tests the condition */
        {"问题1: append 与两个线程的 while + pop", 1, 1, 1},
        {"问题2: append, join, pop", 1, 0, 1},
        {"问题3: +=, join, -=", 1, 0, 1},
        {"问题4: 同时 += 和 -=", 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        printf("%s; 共享: %s, 异步: %s, 先算后赋值或先判断后操作: %s => %s\n", uses[i].name, yes_no(uses[i].shared),
               yes_no(uses[i].at_the_same_time), yes_no(uses[i].in_two_steps),
               is_safe(&uses[i]) ? "安全" : "不安全, 需要加锁");
    return 0;
}
