/* deadlock_support.h - small programs of several actors, written as text, and what is reported about them.
 *
 * Each actor is a string of words; `|` waits until all actors have come to theirs. A word's digit names the object:
 *
 *     lock0 unlock0 until0 timed0    a weft_lock: acquire, release, acquire_until for ever and for 150 ms
 *     hand0 unhand0                  the same with WEFT_LOCK_HANDOFF
 *     rlock0 runlock0                a weft_rlock
 *     read0 unread0 write0 unwrite0  a weft_rwlock
 *     timed-write0                   acquire_write_until for 150 ms
 *     renew0 handoff0                it is initialised anew; with WEFT_LOCK_HANDOFF
 *     event0 set0   sem0 post0   get0 put0 (a queue of two)   barrier0 (of nine parties)
 *     cond0 notify0 cond-rlock0      a condition with lock0 or rlock0, which the actor holds
 *     join1                          the end of actor 1
 *     once0                          the rest of the actor runs inside that once
 *     blocking                       the rest of the actor runs in weft_blocking
 *     awaited0                       waits, without sleeping, until another waits for lock0
 *     awaited-write0                 the same for a writer of an rwlock that waits for its readers
 *     nap                            200 ms asleep, without telling the detector anything
 *     yield                          lets the others run */
#ifndef TESTS_DEADLOCK_SUPPORT_H
#define TESTS_DEADLOCK_SUPPORT_H

#include "harness/harness.h"

#include <weft/deadlock.h>

enum actors {
    THREADS,
    COROUTINES,
    MIXED /* by turns */
};

enum {
    ACTORS_MAX = 8,
    REPORTS_MAX = 8,
    MEMBERS_MAX = 32,
    HOLDERS_MAX = 8
};

/* A report, copied. */
typedef struct report {
    char text[8192];
    int ring;
    unsigned n;
    struct {
        char name[32], kind[16], what[32], object_name[32], awaited_at[160], taken_at[160];
        const void *object;
        uint32_t id, holder;
        unsigned n_holders;
        uint32_t holders[HOLDERS_MAX];
    } members[MEMBERS_MAX];
} report;

/* The case needs to prove that nobody is left; ThreadSanitizer's own threads make that impossible. */
void need_stuck(void);

/* Begin to collect reports; `action` as for weft_deadlock_set. */
void collect_reports(enum weft_deadlock_action action);

/* How many there were; the i-th. */
unsigned reports(void);
const report *report_at(unsigned i);

/* Wait until there are n; fails when they do not come in time. */
void wait_for_reports(unsigned n);

/* Called with each report, on the watch thread; NULL: nothing. */
extern void (*on_report)(void);

/* Start the actors, "actor0" and so on; NULL ends them. */
void start_actors(const char *const *actors, enum actors kind);

/* Wait until all have come to their end. */
void await_actors(void);

/* The last error of an actor, 0 when it had none. */
int actor_result(unsigned i);

/* The actors hang in one ring, which is reported once, by the names of its members, and says for each edge "0>1" that
 * actor 0 waits for actor 1, perhaps among others. */
void check_ring(const char *const *actors, const char *edges, enum actors kind);

/* They all end, and nothing is reported. */
void check_no_report(const char *const *actors, enum actors kind);

/* They all hang, and the caller with them, and it is reported that nobody is left. */
void check_stuck(const char *const *actors, enum actors kind);

#endif
