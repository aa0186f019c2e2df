/* atomic.h - every atomic operation of weft, by a name that says its memory order.
 *
 * The operations take plain objects (uint32_t, uint64_t, pointers, bool), because the public structs that hold them
 * are also read by C++ compilers. A field that is used with these is marked "atomic" where it is declared.
 * No other file uses __atomic builtins or <stdatomic.h>: the model build (WEFT_MODEL) replaces this header's
 * operations by scheduling points of the interleaving explorer, so that the real sources can be exhausted.
 *
 * ThreadSanitizer does not understand free-standing fences: under it fence_seq_cst is a read-modify-write of one
 * common word, which orders at least as much and which it does understand. */
#ifndef WEFT_BASE_ATOMIC_H
#define WEFT_BASE_ATOMIC_H

#include "base/compiler.h"

#include <stdbool.h>

#ifdef WEFT_MODEL
#include "model_atomic.h"
#else
#if WEFT_JITTER
#include "base/jitter.h"
#endif

#define load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_seq_cst(p)     __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Before a load_seq_cst: of two who each store and then load what the other stores, one sees the other. On aarch64 a
 * plain store would do, but QEMU on x86, under which containers for ARM run there, does not order it before the load;
 * it does so for an exchange. Pinned by tests/base/atomic_test.c. */
#if defined(__aarch64__)
#define store_seq_cst(p, v) ((void)__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#else
#define store_seq_cst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#endif

/* A store that a seq_cst read-modify-write or fence of the same thread follows before the next load that matters: it is
 * seen by all before that load is made. x86's locked instructions empty the store buffer, so there a plain store is
 * enough; elsewhere it is seq_cst, which on ARM is the same instruction as release. */
#if defined(__x86_64__)
#define store_before_rmw(p, v) store_release((p), (v))
#else
#define store_before_rmw(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#endif

/* Read-modify-write; each returns the value before. */
#define swap_acquire(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define swap_release(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_RELEASE)
#define swap_acq_rel(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define swap_seq_cst(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define add_relaxed(p, v)       __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define add_acq_rel(p, v)       __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define add_seq_cst(p, v)       __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define sub_relaxed(p, v)       __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define sub_release(p, v)       __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE)
#define sub_acq_rel(p, v)       __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define sub_seq_cst(p, v)       __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define or_acq_rel(p, v)        __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define or_seq_cst(p, v)        __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define and_acq_rel(p, v)       __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define and_seq_cst(p, v)       __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)

/* Compare *p with *seen; equal: store v, true. Different: *seen becomes the value found (read with acquire, or relaxed
 * for the last form), false. Strong: never fails without cause. */
#define cas_acquire(p, seen, v) __atomic_compare_exchange_n((p), (seen), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cas_release(p, seen, v) __atomic_compare_exchange_n((p), (seen), (v), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cas_acq_rel(p, seen, v) __atomic_compare_exchange_n((p), (seen), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define cas_seq_cst(p, seen, v) __atomic_compare_exchange_n((p), (seen), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
#define cas_relaxed(p, seen, v) __atomic_compare_exchange_n((p), (seen), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

#if WEFT__TSAN
extern uint32_t weft__tsan_fence_word;
#define fence_seq_cst() ((void)__atomic_fetch_add(&weft__tsan_fence_word, 0, __ATOMIC_SEQ_CST))
#else
#define fence_seq_cst() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#if defined(__x86_64__)
#define cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cpu_relax() __asm__ volatile("isb" ::: "memory")
#else
#define cpu_relax() __asm__ volatile("" ::: "memory")
#endif

#endif /* WEFT_MODEL */
#endif
