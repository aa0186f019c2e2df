/* weft/process_pool.h - pools whose workers are processes: a job that crashes, hangs or eats all memory harms nobody
 * else.
 *
 *     static int square(const void *in, size_t size, weft_reply *reply)
 *     {
 *         long n = *(const long *)in;
 *         return weft_reply_put(reply, &(long){n * n}, sizeof n);
 *     }
 *     ...
 *     weft_executor *ex;
 *     int err = weft_process_pool_new(&ex, &(weft_pool_options){.workers = 4}, NULL);
 *     weft_future *f;
 *     err = weft_submit_bytes(ex, square, &(long){7}, sizeof(long), NULL, &f);
 *     weft_bytes answer;
 *     err = weft_future_bytes(f, &answer, WEFT_FOREVER);      // *(const long *)answer.data == 49
 *     if (err < 0)
 *         puts(weft_future_why(f));                           // "worker 3 (pid 812) died: SIGSEGV", say
 *     weft_future_unref(f);
 *     weft_executor_free(ex); */
#ifndef WEFT_PROCESS_POOL_H
#define WEFT_PROCESS_POOL_H

#include <weft/executor.h>
#include <weft/process.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All is as in weft/executor.h, but for this.
 *
 * Workers are forks of the process as it is in weft_process_pool_new: they all start there, and see memory as it was
 * then. So make the pool before threads, and after everything that the jobs use: a function that is loaded later is not
 * there for them. A worker that ended is replaced at once, by a fork of the process as it is then. With the method
 * WEFT_FORKSERVER all are copies of the fork server instead (weft/process.h), later ones, too: of this process as it
 * was when that started.
 *
 * A worker's death (a signal, exit in a job) fails the job that it was doing, with -WEFT_EDIED and words
 * (weft_future_why), or has it done again, as `retries` says; no other job is lost. One that writes nonsense to the
 * pool is killed: -EPROTO. A job over its time_limit, or stopped by weft_future_stop, is ended by force, with its
 * worker. Programs that it started end with it if they were started with die_with_parent (weft/subprocess.h), and live
 * on otherwise, as plain forks of it do.
 *
 * A worker that did short jobs is given several at a time; those count as running, cannot be cancelled any more, and go
 * before others whatever the priority. If it does not come to them others do.
 *
 * Callbacks, and progress, are called by a thread of the pool in this process. In a worker standard input is /dev/null,
 * SIGINT is ignored (Ctrl-C is the parent's affair), and other signals do what they do by default. Standard output is
 * flushed after each job. A worker ends with the process that made the pool, also when that is killed. Jobs cannot use
 * the pool they run in. */
typedef struct weft_process_pool_options {
    unsigned jobs_per_worker; /* a worker is replaced after so many; 0 = never */
    unsigned retries;         /* how often a job whose worker died is done again; then it is not any more. 0 = not */
    /* Bytes that a worker may take beyond what it has at its start: then malloc fails in it. 0 = no limit. */
    size_t memory_limit;
    size_t message_limit;          /* of an input and of an answer, in bytes; 0 = 1 GiB */
    enum weft_start_method method; /* how workers are started; WEFT_FORK = 0 */
} weft_process_pool_options;

/* Make a pool and start its workers, options->workers = 0: one for each processor; at most 1,024. Both options may be
 * NULL; stack_size means nothing here, and the initializer runs in each worker, also in a new one. When one fails or
 * workers die again and again before they are ready the pool is broken.
 * Returns 0; -EINVAL (also waiters_help); -EAGAIN, -EMFILE, -ENOMEM, or what weft_forkserver_start returns: a worker
 * could not be started, and none is left behind. From threads, with coroutines running or not. Allocates. */
WEFT_API int weft_process_pool_new(weft_executor **ex, const weft_pool_options *options,
                                   const weft_process_pool_options *process_options);

/* Store up to n process ids of the workers, by their numbers; 0 where one is being replaced. Returns how many workers
 * the pool has, 0 for another kind of pool or one that has ended. */
WEFT_API int weft_process_pool_pids(weft_executor *ex, pid_t *pids, int n);

#ifdef __cplusplus
}
#endif
#endif
