/* place_support.c - see place_support.h. */
#include "serve/place_support.h"

#include "harness/harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

place place_of(const char *name)
{
    place p;
    snprintf(p.host, sizeof p.host, "unix:%s/%s", test_dir(), name);
    return p;
}

const char *path_of(const place *p)
{
    return p->host + strlen("unix:");
}

bool exists(const place *p)
{
    struct stat st;
    return lstat(path_of(p), &st) == 0;
}
