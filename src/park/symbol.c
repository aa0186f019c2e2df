/* symbol.c - what an address is called. See symbol.h.
 *
 * libdw is loaded when the first report needs it: no program pays for it at its start, and one that runs where it is
 * missing has names of functions only. A statically linked program does not load anything. Separate debug files are
 * looked for on this machine only, by build id.
 * A place inside a function of ours that was inlined into the program's (WEFT_WITH_LOCK) is told as the place where it
 * was inlined. */
#include "park/symbol.h"

#include "base/compiler.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* ---- loaded code ---- */

typedef struct search {
    uint32_t low;
    uintptr_t found;
} search;

static int look_in_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    search *s = arg;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
            continue;
        uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
        uintptr_t at = (start & ~(uintptr_t)UINT32_MAX) | s->low;
        if (at < start)
            at += (uintptr_t)1 << 32;
        if (at >= start && at < end) {
            s->found = at;
            return 1;
        }
    }
    return 0;
}

const void *weft__symbol_code(uint32_t low)
{
    search s = {.low = low};
    if (low != 0)
        dl_iterate_phdr(look_in_object, &s);
    return (const void *)s.found;
}

/* ---- without libdw ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void plain_place(const void *address, char *buf, size_t size)
{
    Dl_info info;
    const char *at = address;
    if (dladdr(at - 1, &info) == 0)
        snprintf(buf, size, "%p", address);
    else if (info.dli_sname != NULL)
        snprintf(buf, size, "%s+%#tx", info.dli_sname, at - (char *)info.dli_saddr);
    else
        snprintf(buf, size, "%s+%#tx", base_name(info.dli_fname), at - (char *)info.dli_fbase);
}

static void plain_object(const void *address, char *buf, size_t size)
{
    Dl_info info;
    if (dladdr(address, &info) != 0 && info.dli_sname != NULL && info.dli_saddr == address)
        snprintf(buf, size, "%s", info.dli_sname);
}

#if WEFT_HAVE_LIBDW

#include <dwarf.h>
#include <elfutils/libdwfl.h>

/* ---- with it ---- */

#define FUNCTIONS(X)                                                                                                   \
    X(dwfl_begin)                                                                                                      \
    X(dwfl_end)                                                                                                        \
    X(dwfl_linux_proc_report)                                                                                          \
    X(dwfl_linux_proc_find_elf)                                                                                        \
    X(dwfl_build_id_find_debuginfo)                                                                                    \
    X(dwfl_report_end)                                                                                                 \
    X(dwfl_addrmodule)                                                                                                 \
    X(dwfl_module_addrdie)                                                                                             \
    X(dwfl_module_addrinfo)                                                                                            \
    X(dwfl_module_nextcu)                                                                                              \
    X(dwarf_haspc)                                                                                                     \
    X(dwarf_getsrc_die)                                                                                                \
    X(dwarf_linesrc)                                                                                                   \
    X(dwarf_lineno)                                                                                                    \
    X(dwarf_getscopes)                                                                                                 \
    X(dwarf_getscopes_die)                                                                                             \
    X(dwarf_tag)                                                                                                       \
    X(dwarf_diename)                                                                                                   \
    X(dwarf_attr_integrate)                                                                                            \
    X(dwarf_formudata)                                                                                                 \
    X(dwarf_getsrcfiles)                                                                                               \
    X(dwarf_filesrc)

static struct {
#define MEMBER(f) __typeof__(&(f)) f;
    FUNCTIONS(MEMBER)
} dw;

static Dwfl_Callbacks callbacks;

static bool load(void)
{
    static int loaded; /* -1: it is not there */
    if (loaded != 0)
        return loaded > 0;
    loaded = -1;
    if (getauxval(AT_BASE) == 0) /* no dynamic linker has started us */
        return false;
    void *lib = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL)
        return false;
    void *f;
#define LOOK_UP(name)                                                                                                  \
    if ((f = dlsym(lib, #name)) == NULL)                                                                               \
        return false;                                                                                                  \
    memcpy(&dw.name, &f, sizeof f);
    FUNCTIONS(LOOK_UP)
    callbacks.find_elf = dw.dwfl_linux_proc_find_elf;
    callbacks.find_debuginfo = dw.dwfl_build_id_find_debuginfo;
    loaded = 1;
    return true;
}

weft__symbols *weft__symbols_open(void)
{
    if (!load())
        return NULL;
    Dwfl *d = dw.dwfl_begin(&callbacks);
    if (d == NULL)
        return NULL;
    if (dw.dwfl_linux_proc_report(d, getpid()) != 0 || dw.dwfl_report_end(d, NULL, NULL) != 0) {
        dw.dwfl_end(d);
        return NULL;
    }
    return (weft__symbols *)d;
}

void weft__symbols_close(weft__symbols *s)
{
    if (s != NULL)
        dw.dwfl_end((Dwfl *)s);
}

/* Where in the source the call lies; `function` and `file` belong to libdw. */
typedef struct place {
    const char *function, *file;
    int line;
} place;

static bool is_function(Dwarf_Die *die)
{
    int tag = dw.dwarf_tag(die);
    return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_subprogram;
}

/* `die` was inlined somewhere: there. */
static void place_of_call(Dwarf_Die *cu, Dwarf_Die *die, place *p)
{
    Dwarf_Attribute a;
    Dwarf_Word line, file;
    Dwarf_Files *files;
    if (dw.dwarf_formudata(dw.dwarf_attr_integrate(die, DW_AT_call_line, &a), &line) == 0)
        p->line = (int)line;
    if (dw.dwarf_formudata(dw.dwarf_attr_integrate(die, DW_AT_call_file, &a), &file) == 0 &&
        dw.dwarf_getsrcfiles(cu, &files, NULL) == 0)
        p->file = dw.dwarf_filesrc(files, file, NULL, NULL);
}

/* The compilation unit. clang writes no table of them by address; then libdw may name a neighbour, and all have to be
 * asked. */
static Dwarf_Die *find_unit(Dwfl_Module *mod, Dwarf_Addr pc, Dwarf_Addr *bias)
{
    Dwarf_Die *cu = dw.dwfl_module_addrdie(mod, pc, bias);
    if (cu == NULL || dw.dwarf_haspc(cu, pc - *bias) <= 0) {
        cu = NULL;
        do
            cu = dw.dwfl_module_nextcu(mod, cu, bias);
        while (cu != NULL && dw.dwarf_haspc(cu, pc - *bias) <= 0);
    }
    return cu;
}

static void find_function(Dwfl_Module *mod, Dwarf_Addr pc, place *p)
{
    Dwarf_Addr bias;
    Dwarf_Die *cu = find_unit(mod, pc, &bias), *inner, *scopes = NULL;
    if (cu == NULL)
        return;
    Dwarf_Line *line = dw.dwarf_getsrc_die(cu, pc - bias);
    if (line != NULL && dw.dwarf_lineno(line, &p->line) == 0)
        p->file = dw.dwarf_linesrc(line, NULL, NULL);
    if (dw.dwarf_getscopes(cu, pc - bias, &inner) <= 0)
        return;
    int n = dw.dwarf_getscopes_die(inner, &scopes);
    for (int i = 0; i < n; i++) {
        if (!is_function(&scopes[i]))
            continue;
        p->function = dw.dwarf_diename(&scopes[i]);
        if (dw.dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine || p->function == NULL ||
            strncmp(p->function, "weft__", 6) != 0)
            break;
        place_of_call(cu, &scopes[i], p);
    }
    free(scopes);
    free(inner);
}

static bool find_place(Dwfl *d, Dwarf_Addr pc, place *p)
{
    Dwfl_Module *mod = dw.dwfl_addrmodule(d, pc);
    if (mod == NULL)
        return false;
    find_function(mod, pc, p);
    if (p->function == NULL) {
        GElf_Off offset;
        GElf_Sym sym;
        p->function = dw.dwfl_module_addrinfo(mod, pc, &offset, &sym, NULL, NULL, NULL);
    }
    return p->function != NULL;
}

void weft__symbol_place(weft__symbols *s, const void *address, char *buf, size_t size)
{
    place p = {NULL, NULL, 0};
    if (address == NULL)
        snprintf(buf, size, "%s", "");
    else if (s == NULL || !find_place((Dwfl *)s, (Dwarf_Addr)(uintptr_t)address - 1, &p))
        plain_place(address, buf, size);
    else if (p.file != NULL)
        snprintf(buf, size, "%s (%s:%d)", p.function, base_name(p.file), p.line);
    else
        snprintf(buf, size, "%s", p.function);
}

/* Whose data this is. libdw knows modules by what is mapped from files, and zeroed variables are not. */
typedef struct owner {
    uintptr_t data, code;
} owner;

static int look_for_data(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    owner *o = arg;
    bool mine = false;
    uintptr_t code = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD)
            continue;
        if (p->p_flags & PF_X)
            code = start;
        mine = mine || (o->data >= start && o->data < start + p->p_memsz);
    }
    o->code = mine ? code : 0;
    return mine;
}

void weft__symbol_object(weft__symbols *s, const void *address, char *buf, size_t size)
{
    Dwarf_Addr at = (Dwarf_Addr)(uintptr_t)address;
    owner o = {.data = (uintptr_t)address};
    if (s != NULL)
        dl_iterate_phdr(look_for_data, &o);
    Dwfl_Module *mod = o.code != 0 ? dw.dwfl_addrmodule((Dwfl *)s, o.code) : NULL;
    GElf_Off offset;
    GElf_Sym sym;
    *buf = 0;
    const char *name = mod != NULL ? dw.dwfl_module_addrinfo(mod, at, &offset, &sym, NULL, NULL, NULL) : NULL;
    if (name == NULL) {
        if (s == NULL && address != NULL)
            plain_object(address, buf, size);
        return;
    }
    if (offset >= sym.st_size)
        return;
    int length = (int)strcspn(name, "."); /* of a static variable in a function the compiler makes "name.0" */
    if (offset == 0)
        snprintf(buf, size, "%.*s", length, name);
    else
        snprintf(buf, size, "%.*s+%llu", length, name, (unsigned long long)offset);
}

#else

weft__symbols *weft__symbols_open(void)
{
    return NULL;
}

void weft__symbols_close(weft__symbols *s)
{
    (void)s;
}

void weft__symbol_place(weft__symbols *s, const void *address, char *buf, size_t size)
{
    (void)s;
    if (address == NULL)
        snprintf(buf, size, "%s", "");
    else
        plain_place(address, buf, size);
}

void weft__symbol_object(weft__symbols *s, const void *address, char *buf, size_t size)
{
    (void)s;
    *buf = 0;
    if (address != NULL)
        plain_object(address, buf, size);
}

#endif
