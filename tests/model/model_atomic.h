/* model_atomic.h - what base/atomic.h becomes in the model build: each operation is a scheduling point of the explorer.
 *
 * A load or store is followed through the virtual thread's store buffer (x86's memory model, TSO): a store of any order
 * weaker than seq_cst sits in the buffer until the explorer chooses to flush it; a read-modify-write, a seq_cst store
 * and a fence wait for the buffer to be empty. Loads see the own buffer first. */
#ifndef WEFT_MODEL_ATOMIC_H
#define WEFT_MODEL_ATOMIC_H

#include <stdint.h>

enum model_kind {
    MODEL_LOCAL, /* concerns nobody else */
    MODEL_READ,
    MODEL_WRITE, /* into the store buffer */
    MODEL_RMW,   /* needs the own buffer empty */
    MODEL_FENCE
};

void model_point(enum model_kind kind, const volatile void *addr);
uint64_t model_load(const volatile void *addr, unsigned size);
void model_store(volatile void *addr, unsigned size, uint64_t value);
void model_relax(void);

/* The argument is evaluated once, as that of the true operations is. */
#define MODEL_LOAD(p)     ((__typeof__(*(p)))model_load((p), sizeof *(p)))
#define MODEL_STORE(p, v) model_store((p), sizeof *(p), (uint64_t)(__typeof__(*(p)))(v))
#define MODEL_RMW_OP(p, new_value)                                                                                     \
    __extension__({                                                                                                    \
        __typeof__(p) model_p = (p);                                                                                   \
        model_point(MODEL_RMW, model_p);                                                                               \
        __typeof__(*(p)) model_old = *model_p;                                                                         \
        *model_p = (new_value);                                                                                        \
        model_old;                                                                                                     \
    })
#define MODEL_CAS(p, seen, v)                                                                                          \
    __extension__({                                                                                                    \
        __typeof__(p) model_p = (p);                                                                                   \
        __typeof__(seen) model_seen = (seen);                                                                          \
        __typeof__(*(p)) model_new = (v);                                                                              \
        model_point(MODEL_RMW, model_p);                                                                               \
        bool model_equal = *model_p == *model_seen;                                                                    \
        if (model_equal)                                                                                               \
            *model_p = model_new;                                                                                      \
        else                                                                                                           \
            *model_seen = *model_p;                                                                                    \
        model_equal;                                                                                                   \
    })

#define load_relaxed(p)        MODEL_LOAD(p)
#define load_acquire(p)        MODEL_LOAD(p)
#define load_seq_cst(p)        MODEL_LOAD(p)
#define store_relaxed(p, v)    MODEL_STORE((p), (v))
#define store_release(p, v)    MODEL_STORE((p), (v))
#define store_before_rmw(p, v) MODEL_STORE((p), (v))
#define store_seq_cst(p, v)    ((void)MODEL_RMW_OP((p), (v)))

#define swap_acquire(p, v) MODEL_RMW_OP((p), (v))
#define swap_release(p, v) MODEL_RMW_OP((p), (v))
#define swap_acq_rel(p, v) MODEL_RMW_OP((p), (v))
#define swap_seq_cst(p, v) MODEL_RMW_OP((p), (v))
#define add_relaxed(p, v)  MODEL_RMW_OP((p), model_old + (v))
#define add_acq_rel(p, v)  MODEL_RMW_OP((p), model_old + (v))
#define add_seq_cst(p, v)  MODEL_RMW_OP((p), model_old + (v))
#define sub_relaxed(p, v)  MODEL_RMW_OP((p), model_old - (v))
#define sub_release(p, v)  MODEL_RMW_OP((p), model_old - (v))
#define sub_acq_rel(p, v)  MODEL_RMW_OP((p), model_old - (v))
#define sub_seq_cst(p, v)  MODEL_RMW_OP((p), model_old - (v))
#define or_acq_rel(p, v)   MODEL_RMW_OP((p), model_old | (v))
#define or_seq_cst(p, v)   MODEL_RMW_OP((p), model_old | (v))
#define and_acq_rel(p, v)  MODEL_RMW_OP((p), model_old &(v))
#define and_seq_cst(p, v)  MODEL_RMW_OP((p), model_old &(v))

#define cas_acquire(p, seen, v) MODEL_CAS((p), (seen), (v))
#define cas_release(p, seen, v) MODEL_CAS((p), (seen), (v))
#define cas_acq_rel(p, seen, v) MODEL_CAS((p), (seen), (v))
#define cas_seq_cst(p, seen, v) MODEL_CAS((p), (seen), (v))
#define cas_relaxed(p, seen, v) MODEL_CAS((p), (seen), (v))

#define fence_seq_cst() model_point(MODEL_FENCE, NULL)
#define cpu_relax()     model_relax()

#endif
