/* all_macros.c - uses every public macro once; tools/check-headers compiles it in each dialect and looks that no macro
 * is missing here. It is never run. */
#include <weft/base.h>

int main(void)
{
    weft_until untils[] = {WEFT_FOREVER, WEFT_NOW};
    int64_t durations[] = {WEFT_US, WEFT_MS, WEFT_SECOND};
    const char *version = WEFT_VERSION;
    int numbers[] = {WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, WEFT_VERSION_PATCH};
    (void)untils, (void)durations, (void)version, (void)numbers;
    return 0;
}
