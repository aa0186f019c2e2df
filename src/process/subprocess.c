/* subprocess.c - talking with a program: all three streams at once, line by line, and the forms that do everything.
 *
 * Nobody waits for one stream while another is full: what is ready is served, whichever it is. A deadline loses nothing
 * (popen.h S3). Pinned by tests/process/popen_test.c. */
#include "process/popen.h"

#include "io/watch.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/poller.h>

#include <errno.h>
#include <string.h>

enum {
    READ_SIZE = 64 << 10,
    LINE_READ = 8 << 10,
    PIPE_ROOM = 64 << 10, /* what a pipe holds, unless somebody has made it larger */
    OUTPUT_MAX = 1 << 30
};

/* ---- bytes ---- */

/* Room for `more` bytes and a 0. 0 or -ENOMEM. */
static int reserve(weft__bytes *b, size_t more)
{
    if (b->room - b->size > more)
        return 0;
    size_t room = b->room < 4096 ? 4096 : b->room;
    while (room - b->size <= more)
        room *= 2;
    char *at = weft__realloc(b->at, room);
    if (at == NULL)
        return -ENOMEM;
    b->at = at;
    b->room = room;
    return 0;
}

void weft__bytes_free(weft__bytes *b)
{
    weft__free(b->at);
    *b = (weft__bytes){0};
}

/* ---- one step on one stream: 0, or -errno ---- */

static int send_some(weft_popen *p, const char *input, size_t size)
{
    while (p->input_at < size) {
        ssize_t n = weft__sys_pipe_write(p->fds[0], input + p->input_at, size - p->input_at);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            break; /* -EPIPE: it does not want to hear more, as Python has it */
        p->input_at += (size_t)n;
    }
    weft__popen_close_fd(p, 0);
    return 0;
}

/* Read what there is. Beyond keep_max it is read and dropped, so that the program can go on. */
static int read_some(weft_popen *p, int stream, size_t most)
{
    weft__bytes *b = &p->read[stream];
    int err = reserve(b, most);
    if (err < 0)
        return err;
    ssize_t n = weft__sys_pipe_read(p->fds[stream], b->at + b->size, most);
    if (n == -EAGAIN)
        return 0;
    if (n <= 0) {
        weft__popen_close_fd(p, stream);
        return 0;
    }
    size_t keep = p->keep_max - b->size < (size_t)n ? p->keep_max - b->size : (size_t)n;
    p->truncated = p->truncated || keep < (size_t)n;
    b->size += keep;
    return 0;
}

/* A stream that is ready beats cancellation and the deadline, and that of a program that never stops writing is always
 * ready. So once it is too late, what a pipe may have held by then is read, and its end if that comes next, and no
 * more. `late` counts those reads. 0, -ECANCELED or -ETIMEDOUT. */
static int too_late(weft_until until, unsigned *late, size_t read_size)
{
    bool cancelled = weft_cancelled();
    if ((!cancelled && weft_now() < until.at) || ++*late <= PIPE_ROOM / read_size + 1)
        return 0;
    return cancelled ? -ECANCELED : -ETIMEDOUT;
}

/* ---- all of them ---- */

static int exchange(weft_popen *p, const char *input, size_t size, weft_until until)
{
    if (p->fds[0] >= 0 && p->input_at == size)
        weft__popen_close_fd(p, 0);
    for (unsigned late = 0;;) {
        weft__fd_case cases[3];
        int streams[3];
        unsigned n = 0;
        for (int i = 0; i < 3; i++)
            if (p->fds[i] >= 0) {
                cases[n] = (weft__fd_case){.fd = p->fds[i], .events = i == 0 ? WEFT_POLLOUT : WEFT_POLLIN};
                streams[n++] = i;
            }
        if (n == 0)
            return 0;
        int ready = too_late(until, &late, READ_SIZE);
        if (ready == 0)
            ready = weft__fd_wait_any(cases, n, until);
        if (ready < 0)
            return ready;
        for (unsigned i = 0; i < n; i++) {
            if (cases[i].got == 0)
                continue;
            int err = streams[i] == 0 ? send_some(p, input, size) : read_some(p, streams[i], READ_SIZE);
            if (err < 0)
                return err;
        }
    }
}

static void give(weft__bytes *b, char **text, size_t *size)
{
    if (b->at == NULL)
        return;
    b->at[b->size] = 0;
    *text = b->at;
    *size = b->size;
    *b = (weft__bytes){0};
}

static void collect(weft_popen *p, weft_run_result *result)
{
    give(&p->read[1], &result->output, &result->output_size);
    give(&p->read[2], &result->error, &result->error_size);
    result->truncated = p->truncated;
}

int weft_popen_communicate(weft_popen *p, const void *input, size_t input_size, weft_run_result *result,
                           weft_until until)
{
    int code = 0, err = exchange(p, input, input != NULL ? input_size : 0, until);
    if (err == 0)
        err = weft_popen_wait(p, &code, until);
    if (err < 0)
        return err;
    *result = (weft_run_result){.code = code};
    collect(p, result);
    return 0;
}

/* ---- lines ---- */

/* Give the whole lines of what was read, and at the end what is left. 0, 1 when fn ended it (in *err). */
static int give_lines(weft_popen *p, int stream, int (*fn)(const char *, size_t, void *), void *arg, int *err)
{
    weft__bytes *b = &p->read[stream];
    size_t *at = &p->line_at[stream];
    bool ended = p->fds[stream] < 0;
    while (*at < b->size) {
        char *line = b->at + *at, *end = memchr(line, '\n', b->size - *at);
        if (end == NULL && !ended)
            break;
        size_t size = end != NULL ? (size_t)(end - line) : b->size - *at;
        *at += size + (end != NULL);
        line[size] = 0; /* the line's end, or the room for a 0 behind all */
        if ((*err = fn(line, size, arg)) < 0)
            return 1;
    }
    if (*at > 0) {
        memmove(b->at, b->at + *at, b->size - *at);
        b->size -= *at;
        *at = 0;
    }
    return 0;
}

int weft_popen_lines(weft_popen *p, int stream, int (*fn)(const char *line, size_t size, void *arg), void *arg,
                     weft_until until)
{
    if (stream != 1 && stream != 2)
        return -EINVAL;
    if (!p->piped[stream])
        return -EBADF;
    if (p->fds[stream] < 0 && p->read[stream].size == 0)
        return 0;
    int err = 0;
    unsigned late = 0;
    while (give_lines(p, stream, fn, arg, &err) == 0) {
        if (p->fds[stream] < 0)
            return 0;
        int ready = too_late(until, &late, LINE_READ);
        if (ready == 0)
            ready = weft_fd_wait(p->fds[stream], WEFT_POLLIN, until);
        if (ready < 0)
            return ready;
        if ((err = read_some(p, stream, LINE_READ)) < 0)
            return err;
    }
    return err;
}

/* ---- run ---- */

static weft_popen_options run_streams(const weft_run_options *o)
{
    weft_popen_options popen = o->popen;
    if (o->input != NULL)
        popen.in = WEFT_PIPE;
    if (o->capture != 0) {
        popen.out = WEFT_PIPE;
        popen.err = o->capture == 2 ? WEFT_TO_OUTPUT : WEFT_PIPE;
    }
    return popen;
}

/* End the tree and read what its pipes still hold, without waiting for whoever keeps them open. */
static void end_at_deadline(weft_popen *p, weft_run_result *r)
{
    weft_popen_end(p, p->grace);
    int was = weft_shield(1);
    p->input_at = 0;
    weft__popen_close_fd(p, 0);
    exchange(p, NULL, 0, weft_in_ms(100));
    weft_shield(was);
    weft_popen_poll(p, &r->code);
    for (int i = 1; i <= 2; i++) /* a text, if of no bytes, where somebody keeps the pipe and has written nothing */
        if (p->fds[i] >= 0)
            reserve(&p->read[i], 0);
    collect(p, r);
}

int weft_run(const char *const *argv, const weft_run_options *options, weft_run_result *result)
{
    static const weft_run_options defaults;
    const weft_run_options *o = options != NULL ? options : &defaults;
    weft_run_result r = {0};
    if (o->capture != 0 && result == NULL)
        return -EINVAL;
    if (result != NULL)
        *result = r; /* for weft_run_free, also when nothing is started */
    weft_popen_options popen = run_streams(o);
    weft_popen *p;
    int err = weft_popen_start(&p, argv, &popen);
    if (err < 0)
        return err;
    p->keep_max = o->output_max > 0 ? o->output_max : OUTPUT_MAX;
    size_t size = o->input == NULL ? 0 : o->input_size > 0 ? o->input_size : strlen(o->input);
    err = weft_popen_communicate(p, o->input, size, &r, o->until.at == 0 ? WEFT_FOREVER : o->until);
    if (err < 0) { /* -ETIMEDOUT, -ECANCELED or -ENOMEM: nothing is left running */
        end_at_deadline(p, &r);
        r.timed_out = err == -ETIMEDOUT;
    }
    weft_popen_free(p);
    if (result != NULL)
        *result = r;
    else
        weft_run_free(&r);
    return err;
}

void weft_run_free(weft_run_result *result)
{
    weft__free(result->output);
    weft__free(result->error);
    result->output = result->error = NULL;
}

/* ---- short forms ---- */

int weft_call(const char *const *argv, int *code)
{
    weft_run_result r = {0};
    int err = weft_run(argv, &(weft_run_options){.popen.same_group = 1}, &r);
    if (err == 0)
        *code = r.code;
    return err;
}

int weft_check_call(const char *const *argv)
{
    int code = 0, err = weft_call(argv, &code);
    return err < 0 ? err : code != 0 ? -WEFT_EEXIT : 0;
}

int weft_check_output(const char *const *argv, char **output, size_t *size)
{
    weft_run_result r = {0};
    int err = weft_run(argv, &(weft_run_options){.popen = {.same_group = 1, .out = WEFT_PIPE}}, &r);
    if (err == 0 && r.output == NULL && (r.output = weft__calloc(1, 1)) == NULL)
        err = -ENOMEM;
    if (err == 0) {
        *output = r.output;
        if (size != NULL)
            *size = r.output_size;
        r.output = NULL;
        err = r.code != 0 ? -WEFT_EEXIT : 0;
    }
    weft_run_free(&r);
    return err;
}
