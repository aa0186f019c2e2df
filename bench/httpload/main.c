/* main.c - httpload, a load generator for HTTP/1.1 and echo servers that costs less than what it measures.
 *
 * One thread, one epoll, level-triggered. ACTIVE connections keep a closed loop: a batch of `depth` requests in one
 * write, the next batch when the last response of this one is in. IDLE connections ask once and then are only held;
 * SLOW ones send a request head a byte at a time, for ever, and come back when they are thrown out.
 *
 * Every response is read whole, by its Content-Length. The first is parsed in full and becomes the pattern; one whose
 * status, head length and Content-Length bytes equal the pattern's skips the parsing, so a small response costs two
 * system calls and a few compares.
 *
 * A figure belongs to a *window*: traffic runs, warms up, is counted for a set time, and is drained. The processor time
 * of the server's processes is read at both ends of the same window. With --idle there are three windows (without,
 * with, without again), so that a drift of the machine cancels out.
 *
 * Latency runs from the write of a batch (with --fresh: from connect) to the last byte of each response. In a closed
 * loop it says how long the queue is, not how the server answers a Poisson stream; compare it between servers only. */
#include "load.h"
#include "procstat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_AT_ONCE 64
#define NO_CORE      ((unsigned)-1)
#define MAX_HOLDERS  128

struct options opt = {.connections = 64,
                      .depth = 1,
                      .seconds = 3,
                      .warmup = 0.5,
                      .slow_lead = 2,
                      .cpu = NO_CORE,
                      .server_cpu = NO_CORE,
                      .slow_interval = SECOND / 10,
                      .timeout = 10 * SECOND};
struct load load;
static struct window windows[3];

/* A process that holds idle connections. */
struct holder {
    pid_t pid;
    int to, from;
};

static struct holder holders[MAX_HOLDERS];
static unsigned nholders;

int64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SECOND + ts.tv_nsec;
}

void die(int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("httpload: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(code);
}

/* --- the loop and the windows --------------------------------------------------------------------------------- */

/* Run what is due and return when the next is. */
static int64_t run_delay(struct delay *d, int64_t now)
{
    struct conn *c;
    while ((c = TAILQ_FIRST(&d->queue)) != NULL && c->due <= now)
        conn_due(c);
    return c != NULL ? c->due : INT64_MAX;
}

static void check_timeouts(int64_t now)
{
    for (unsigned i = 0; i < opt.connections + opt.idle; i++)
        if (load.conns[i].outstanding > 0 && now - load.conns[i].sent_at > opt.timeout)
            conn_timed_out(&load.conns[i]);
}

/* Run until `end`, or, when `until_quiet`, until nothing is outstanding. */
static void run(int64_t end, bool until_quiet)
{
    struct epoll_event events[256];
    int64_t next_check = clock_ns() + SECOND;
    for (;;) {
        int64_t now = clock_ns(), next = end, due;
        if (now >= end || (until_quiet && load.busy == 0))
            return;
        if (now >= next_check) {
            check_timeouts(now);
            next_check = now + SECOND;
        }
        struct delay *delays[] = {&load.pauses, &load.retries, &load.slow_steps};
        for (int i = 0; i < 3; i++)
            if ((due = run_delay(delays[i], now)) < next)
                next = due;
        if (next > next_check)
            next = next_check;
        int ms = next <= now ? 0 : (int)((next - now + 999999) / 1000000);
        int n = epoll_wait(load.epoll_fd, events, 256, ms);
        for (int i = 0; i < n; i++)
            conn_event(events[i].data.ptr, events[i].events);
    }
}

static void kick(void)
{
    load.stopping = false;
    for (unsigned i = 0; i < opt.connections; i++) {
        delay_take(&load.conns[i]);
        if (load.conns[i].fd < 0)
            conn_open(&load.conns[i]);
        else if (load.conns[i].outstanding == 0 && !load.conns[i].connecting)
            conn_send_batch(&load.conns[i]);
    }
}

static void drain(void)
{
    load.stopping = true;
    run(clock_ns() + opt.timeout + 2 * SECOND, true);
}

static int64_t server_cpu_ns(void)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < opt.npids; i++) {
        int64_t ns = procstat_cpu_ns(opt.pids[i]);
        if (ns < 0)
            die(1, "server process %d is gone", (int)opt.pids[i]);
        sum += ns;
    }
    return sum;
}

static int64_t server_rss(void)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < opt.npids; i++) {
        int64_t bytes = procstat_rss_bytes(opt.pids[i]);
        sum += bytes > 0 ? bytes : 0;
    }
    return sum;
}

/* Bytes that the machine has left: what is gone from them is anybody's, the kernel's own included. */
static int64_t available_bytes(void)
{
    char line[128];
    long long kb = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    if (f == NULL)
        return 0;
    while (kb == 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %lld kB", &kb) != 1)
            kb = 0;
    fclose(f);
    return kb * 1024;
}

static int64_t core_ticks(unsigned cpu)
{
    return cpu == NO_CORE ? 0 : procstat_core_busy_ticks(cpu);
}

static void measure(struct window *w)
{
    kick();
    run(clock_ns() + (int64_t)(opt.warmup * 1e9), false);
    w->server_cpu_ns = -server_cpu_ns();
    w->own_cpu_ns = -procstat_cpu_ns(getpid());
    w->server_core_ticks = -core_ticks(opt.server_cpu);
    w->own_core_ticks = -core_ticks(opt.cpu);
    load.window = w;
    load.window_began = clock_ns();
    run(load.window_began + (int64_t)(opt.seconds * 1e9), false);
    load.window = NULL;
    w->seconds = (double)(clock_ns() - load.window_began) / 1e9;
    w->server_cpu_ns += server_cpu_ns();
    w->own_cpu_ns += procstat_cpu_ns(getpid());
    w->server_core_ticks += core_ticks(opt.server_cpu);
    w->own_core_ticks += core_ticks(opt.cpu);
    drain();
    w->rss = server_rss();
    w->own_rss = procstat_rss_bytes(0);
    for (unsigned i = 0; i < nholders; i++)
        w->own_rss += procstat_rss_bytes(holders[i].pid);
    w->available = available_bytes();
}

/* --- idle connections --------------------------------------------------------------------------------------------
 * They are held by processes of their own, as many as it takes under the limit of open files. Each opens its share when
 * it is started, says so, and asks each connection once more when it is told to. */

static void write_count(int fd, unsigned count)
{
    if (write(fd, &count, sizeof count) != (ssize_t)sizeof count)
        die(1, "write: %s", strerror(errno));
}

static unsigned read_count(int fd)
{
    unsigned count;
    if (read(fd, &count, sizeof count) != (ssize_t)sizeof count)
        die(1, "a process that holds idle connections is gone");
    return count;
}

/* Open these, a few at a time, and wait until each has its one response. */
static void open_share(struct conn *idle, unsigned n)
{
    for (unsigned done = 0; done < n;) {
        for (unsigned i = 0; i < IDLE_AT_ONCE && done < n; i++, done++)
            conn_open(&idle[done]);
        run(clock_ns() + opt.timeout + 2 * SECOND, true);
    }
}

/* How many of these the server has not dropped, and still answers. */
static unsigned count_share(struct conn *idle, unsigned n)
{
    unsigned alive = 0;
    for (unsigned done = 0; done < n;) {
        for (unsigned i = 0; i < IDLE_AT_ONCE && done < n; i++, done++)
            conn_ask_again(&idle[done]);
        run(clock_ns() + opt.timeout + 2 * SECOND, true);
    }
    for (unsigned i = 0; i < n; i++)
        alive += idle[i].fd >= 0 && idle[i].outstanding == 0;
    return alive;
}

static void hold(struct conn *idle, unsigned n, int to, int from)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(load.epoll_fd);
    for (unsigned i = 0; i < opt.connections; i++) /* our copies of the parent's */
        conn_close(&load.conns[i]);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load.stopping = false;
    open_share(idle, n);
    write_count(from, n);
    (void)read_count(to);
    write_count(from, count_share(idle, n));
    (void)read_count(to);
    _exit(0);
}

static void open_idle(void)
{
    for (unsigned done = 0; done < opt.idle;) {
        unsigned n = opt.idle - done < opt.share ? opt.idle - done : opt.share;
        int to[2], from[2];
        if (nholders == MAX_HOLDERS || pipe(to) < 0 || pipe(from) < 0)
            die(1, "too many idle connections for the limit of open files");
        pid_t pid = fork();
        if (pid < 0)
            die(1, "fork: %s", strerror(errno));
        if (pid == 0)
            hold(load.conns + opt.connections + done, n, to[0], from[1]);
        holders[nholders++] = (struct holder){pid, to[1], from[0]};
        close(to[0]);
        close(from[1]);
        (void)read_count(from[0]);
        done += n;
    }
    run(clock_ns() + SECOND / 2, false); /* let the server put its buffers away */
}

static unsigned count_idle(void)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < nholders; i++) {
        write_count(holders[i].to, 0);
        alive += read_count(holders[i].from);
    }
    return alive;
}

static void close_idle(void)
{
    for (unsigned i = 0; i < nholders; i++) {
        write_count(holders[i].to, 0);
        waitpid(holders[i].pid, NULL, 0);
        close(holders[i].to);
        close(holders[i].from);
    }
    nholders = 0;
    run(clock_ns() + SECOND / 2, false);
}

static void open_slow(void)
{
    struct conn *slow = load.conns + opt.connections + opt.idle;
    for (unsigned i = 0; i < opt.slow; i++) {
        conn_open(&slow[i]);
        run(clock_ns() + opt.slow_interval / opt.slow, false); /* spread the steps over the interval */
    }
    run(clock_ns() + (int64_t)(opt.slow_lead * 1e9), false);
}

/* --- report --------------------------------------------------------------------------------------------------- */

static void print_window(const struct window *w, const char *after)
{
    double n = w->requests > 0 ? (double)w->requests : 1, ticks = (double)sysconf(_SC_CLK_TCK) * w->seconds;
    printf("  {\"seconds\": %.4f, \"requests\": %llu, \"rps\": %.1f, \"bytes_per_s\": %.0f,\n", w->seconds,
           (unsigned long long)w->requests, (double)w->requests / w->seconds, (double)w->bytes / w->seconds);
    printf("   \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f,\n", (double)hist_quantile(&w->latency, 0.5) / 1e3,
           (double)hist_quantile(&w->latency, 0.99) / 1e3, (double)w->latency.max / 1e3);
    printf("   \"server_cpu_ns\": %.1f, \"server_busy\": %.4f, \"core_busy\": %.4f, \"server_rss\": %lld,\n",
           (double)w->server_cpu_ns / n, (double)w->server_cpu_ns / 1e9 / w->seconds,
           (double)w->server_core_ticks / ticks, (long long)w->rss);
    printf("   \"generator_cpu_ns\": %.1f, \"generator_busy\": %.4f, \"generator_core_busy\": %.4f,\n",
           (double)w->own_cpu_ns / n, (double)w->own_cpu_ns / 1e9 / w->seconds, (double)w->own_core_ticks / ticks);
    printf("   \"generator_rss\": %lld, \"available\": %lld}%s\n", (long long)w->own_rss, (long long)w->available,
           after);
}

static void print_report(unsigned nwindows, unsigned idle_alive)
{
    printf("{\"connections\": %u, \"depth\": %u, \"idle\": %u, \"slow\": %u,\n", opt.connections, opt.depth, opt.idle,
           opt.slow);
    puts(" \"windows\": [");
    for (unsigned i = 0; i < nwindows; i++)
        print_window(&windows[i], i + 1 < nwindows ? "," : " ],");
    printf(" \"idle_alive\": %u, \"idle_closed\": %llu, \"slow_closed\": %llu, \"slow_refused\": %llu,\n", idle_alive,
           (unsigned long long)load.errors.idle_closed, (unsigned long long)load.errors.slow_closed,
           (unsigned long long)load.errors.slow_refused);
    printf(" \"reconnects\": %llu, \"errors\": {\"connect\": %llu, \"protocol\": %llu, \"status\": %llu, "
           "\"closed\": %llu, \"timeout\": %llu}}\n",
           (unsigned long long)load.errors.reconnects, (unsigned long long)load.errors.connect,
           (unsigned long long)load.errors.protocol, (unsigned long long)load.errors.status,
           (unsigned long long)load.errors.closed, (unsigned long long)load.errors.timeout);
}

/* --- options -------------------------------------------------------------------------------------------------- */

static const char usage[] =
    "httpload [options] http://ADDRESS:PORT/PATH     load one HTTP/1.1 server, print one JSON object\n"
    "httpload --echo BYTES [options] tcp://ADDRESS:PORT   the same with a server that sends back what it gets\n"
    "  -c, --connections N    active keep-alive connections, each a closed loop (64)\n"
    "  -d, --depth N          requests in one batch on a connection (1)\n"
    "  -t, --seconds S        how long to count (3)      -w, --warmup S   run before counting (0.5)\n"
    "      --cpu N            run on this core           --trunc          let the kernel drop bodies unread\n"
    "      --fresh            a new connection a request --pause MS       wait between requests of a connection\n"
    "      --timeout S        give a response up (10)\n"
    "      --idle N           measure without, with and again without N idle keep-alive connections\n"
    "      --slow N           N clients that send a head a byte at a time   --slow-interval MS  (100)\n"
    "      --slow-lead S      time between the last slow client and the first other one (2)\n"
    "      --server-pid P,..  account the processor time and memory of these processes\n"
    "      --server-cpu N     account how busy this core is\n";

static double number(const char *text, double least, double most)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || !(v >= least && v <= most))
        die(2, "bad number: %s", text);
    return v;
}

static void parse_url(char *url)
{
    char *host = url + (opt.echo > 0 ? 6 : 7), *slash, *colon;
    if (opt.echo > 0 ? strncmp(url, "tcp://", 6) != 0 : strncmp(url, "http://", 7) != 0)
        die(2, "the URL must begin with http://, with --echo with tcp://");
    slash = strchr(host, '/');
    opt.path = slash != NULL ? strdup(slash) : "/";
    if (slash != NULL)
        *slash = '\0';
    opt.host = strdup(host);
    colon = strchr(host, ':');
    if (colon != NULL)
        *colon = '\0';
    opt.addr.sin_family = AF_INET;
    opt.addr.sin_port = htons(colon != NULL ? (uint16_t)number(colon + 1, 1, 65535) : 80);
    if (inet_pton(AF_INET, host, &opt.addr.sin_addr) != 1)
        die(2, "not an IPv4 address: %s", host);
}

static void parse_pids(char *list)
{
    for (char *p = strtok(list, ","); p != NULL; p = strtok(NULL, ",")) {
        if (opt.npids == MAX_PIDS)
            die(2, "more than %d server processes", MAX_PIDS);
        opt.pids[opt.npids++] = (pid_t)number(p, 1, 1 << 22);
    }
}

enum kind_of_option {
    COUNT,
    REAL,
    NANOSECONDS,
    FLAG,
    PIDS
};

static const struct choice {
    const char *name;
    char letter;
    enum kind_of_option kind;
    void *value;
    double least, most, scale; /* what is given is multiplied by scale */
} choices[] = {
    {"connections", 'c', COUNT, &opt.connections, 1, 20000, 1},
    {"depth", 'd', COUNT, &opt.depth, 1, 256, 1},
    {"echo", 0, COUNT, &opt.echo, 1, 65536, 1},
    {"seconds", 't', REAL, &opt.seconds, 0.01, 600, 1},
    {"warmup", 'w', REAL, &opt.warmup, 0, 60, 1},
    {"cpu", 0, COUNT, &opt.cpu, 0, CPU_SETSIZE - 1, 1},
    {"trunc", 0, FLAG, &opt.trunc, 0, 0, 0},
    {"fresh", 0, FLAG, &opt.fresh, 0, 0, 0},
    {"pause", 0, NANOSECONDS, &opt.pause, 0, 60000, 1e6},
    {"timeout", 0, NANOSECONDS, &opt.timeout, 0.1, 600, 1e9},
    {"idle", 0, COUNT, &opt.idle, 0, 1000000, 1},
    {"slow", 0, COUNT, &opt.slow, 0, 100000, 1},
    {"slow-interval", 0, NANOSECONDS, &opt.slow_interval, 1, 60000, 1e6},
    {"slow-lead", 0, REAL, &opt.slow_lead, 0, 600, 1},
    {"server-pid", 0, PIDS, NULL, 0, 0, 0},
    {"server-cpu", 0, COUNT, &opt.server_cpu, 0, CPU_SETSIZE - 1, 1},
};
enum {
    CHOICES = sizeof choices / sizeof *choices,
    FIRST_CHOICE = 256
};

static void choose(const struct choice *c, char *text)
{
    switch (c->kind) {
    case COUNT:
        *(unsigned *)c->value = (unsigned)number(text, c->least, c->most);
        break;
    case REAL:
        *(double *)c->value = number(text, c->least, c->most) * c->scale;
        break;
    case NANOSECONDS:
        *(int64_t *)c->value = (int64_t)(number(text, c->least, c->most) * c->scale);
        break;
    case FLAG:
        *(bool *)c->value = true;
        break;
    case PIDS:
        parse_pids(text);
        break;
    }
}

static void parse_options(int argc, char **argv)
{
    struct option longs[CHOICES + 2] = {{"help", no_argument, NULL, 'h'}};
    for (int i = 0; i < CHOICES; i++)
        longs[i + 1] = (struct option){choices[i].name, choices[i].kind == FLAG ? no_argument : required_argument, NULL,
                                       choices[i].letter != 0 ? choices[i].letter : FIRST_CHOICE + i};
    for (int o; (o = getopt_long(argc, argv, "c:d:t:w:h", longs, NULL)) != -1;) {
        if (o == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (o == '?')
            exit(2);
        for (int i = 0; i < CHOICES; i++)
            if (o == choices[i].letter || o == FIRST_CHOICE + i)
                choose(&choices[i], optarg);
    }
    if (optind + 1 != argc)
        die(2, "one URL, please (--help shows the options)");
    if (opt.fresh && opt.depth > 1)
        die(2, "--fresh and --depth do not go together");
    parse_url(argv[optind]);
}

static void prepare(void)
{
    static char request[65536];
    int len = snprintf(request, 2048, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", opt.path, opt.host,
                       opt.fresh ? "Connection: close\r\n" : "");
    if (len >= 2048)
        die(2, "the URL is too long");
    if (opt.echo > 0)
        for (len = 0; len < (int)opt.echo; len++)
            request[len] = (char)('a' + len % 26);
    unsigned n = opt.connections + opt.idle + opt.slow;
    load.batch_len = (unsigned)len * opt.depth;
    load.batch = malloc(load.batch_len);
    load.conns = calloc(n, sizeof *load.conns);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load.batch == NULL || load.conns == NULL || load.epoll_fd < 0)
        die(1, "out of memory");
    for (unsigned i = 0; i < opt.depth; i++)
        memcpy(load.batch + i * (unsigned)len, request, (size_t)len);
    for (unsigned i = 0; i < n; i++) {
        load.conns[i].fd = -1;
        load.conns[i].index = i;
        load.conns[i].kind = i < opt.connections ? ACTIVE : i < opt.connections + opt.idle ? IDLE : SLOW;
    }
    load.pauses.ns = opt.pause;
    load.retries.ns = SECOND / 10;
    load.slow_steps.ns = opt.slow_interval;
    TAILQ_INIT(&load.pauses.queue);
    TAILQ_INIT(&load.retries.queue);
    TAILQ_INIT(&load.slow_steps.queue);

    struct rlimit files = {0};
    unsigned here = opt.connections + opt.slow;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        if (files.rlim_max < here + 64 || setrlimit(RLIMIT_NOFILE, &files) < 0)
            die(1, "%u connections need more descriptors than the limit of %llu", here,
                (unsigned long long)files.rlim_max);
        opt.share = files.rlim_max < 1000000 ? (unsigned)files.rlim_max - here - 64 : 1000000;
    }
    if (opt.cpu != NO_CORE) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(opt.cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) < 0)
            die(1, "cannot run on core %u: %s", opt.cpu, strerror(errno));
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    prepare();
    unsigned n = 1, alive = 0;
    if (opt.slow > 0)
        open_slow();
    measure(&windows[0]);
    if (opt.idle > 0) {
        open_idle();
        measure(&windows[1]);
        alive = count_idle();
        close_idle();
        measure(&windows[2]);
        n = 3;
    }
    print_report(n, alive);
    return windows[0].requests > 0 ? 0 : 1;
}
