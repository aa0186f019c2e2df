/* symbol.h - what an address is called: a place in the program's code, or a variable. For reports, on the watch thread
 * only. By libdw, when it was there at the build and is there at run time; else by what the dynamic linker knows. */
#ifndef WEFT_PARK_SYMBOL_H
#define WEFT_PARK_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct weft__symbols weft__symbols;

/* Read what is loaded now. NULL: libdw is not there; the others take NULL. Close it soon: it holds descriptors. */
weft__symbols *weft__symbols_open(void);
void weft__symbols_close(weft__symbols *s);

/* "eat1 (noodle.c:21)" for the call that returns to `address`; "" for NULL. */
void weft__symbol_place(weft__symbols *s, const void *address, char *buf, size_t size);

/* "fork_lock" for the address of a static variable, else "". */
void weft__symbol_object(weft__symbols *s, const void *address, char *buf, size_t size);

/* The address in loaded code whose low half this is, NULL when there is none. */
const void *weft__symbol_code(uint32_t low);

#endif
