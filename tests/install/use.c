/* use.c - a program of somebody who has installed weft; compiled as C and as C++ by install_test.sh. */
#include <weft/base.h>
#include <weft/co.h>

#include <stdio.h>
#include <string.h>

static int add_one(void *arg)
{
    *(int *)arg += 1;
    return 0;
}

int main(void)
{
    int number = 41;
    weft_co *co = NULL;
    int err = weft_co_start(&co, add_one, &number, NULL);
    if (err == 0)
        err = weft_co_join(co, NULL, weft_in_ms(5000));
    if (err != 0) {
        fprintf(stderr, "%s\n", weft_strerror(err));
        return 1;
    }
    if (strcmp(weft_version(), WEFT_VERSION) != 0) {
        fprintf(stderr, "headers of %s, library of %s\n", WEFT_VERSION, weft_version());
        return 1;
    }
    printf("%d\n", number);
    return 0;
}
