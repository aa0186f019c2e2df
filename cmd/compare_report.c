/* compare_report.c - what `weft compare` has measured, as a table and as JSON. */
#include "cmd.h"
#include "compare.h"

#include <weft/base.h>

#include <string.h>

const char *const compare_jobs[COMPARE_JOBS] = {"echo", "http", "cpu", "io", "udp"};

double compare_rate(const compare_load *l)
{
    return l->took > 0 ? (double)l->answered * 1e9 / (double)l->took : 0;
}

double compare_switches(const compare_step *s)
{
    return s->load.whole_answered > 0 ? (double)s->use.switches / (double)s->load.whole_answered : 0;
}

const char *compare_tls(const compare_result *r)
{
    for (unsigned i = 0; i < r->nmodels; i++)
        for (unsigned k = 0; k < r->nsteps; k++)
            if (r->models[i].steps[k].load.tls[0] != 0)
                return r->models[i].steps[k].load.tls;
    return "";
}

const compare_step *compare_best(const compare_result *r, const compare_model *m)
{
    const compare_step *best = &m->steps[0];
    for (unsigned i = 1; i < r->nsteps; i++)
        if (m->steps[i].error == 0 && (best->error != 0 || compare_rate(&m->steps[i].load) > compare_rate(&best->load)))
            best = &m->steps[i];
    return best;
}

unsigned compare_waiting(const compare_load *l)
{
    unsigned others = l->served + l->refused;
    return l->clients > others ? l->clients - others : 0;
}

/* The first number of clients that the model does not hold, and what becomes of the others. */
void compare_breaks(const compare_result *r, const compare_model *m, char *text, size_t size)
{
    for (unsigned i = 0; i < r->nsteps; i++) {
        const compare_load *l = &m->steps[i].load;
        if (m->steps[i].error != 0) {
            snprintf(text, size, "at %u clients: %s", r->clients[i], m->steps[i].why);
            return;
        }
        if (l->held < l->clients) {
            snprintf(text, size, "at %u clients: %u held, %u waiting, %u broken, %u refused", l->clients, l->held,
                     compare_waiting(l), l->broken, l->refused);
            return;
        }
        if (l->lost > 0) {
            snprintf(text, size, "at %u clients: %llu of %llu datagrams lost", l->clients, (unsigned long long)l->lost,
                     (unsigned long long)l->sent);
            return;
        }
    }
    snprintf(text, size, "holds all %u", r->clients[r->nsteps - 1]);
}

static const char *show_time(const compare_load *l, int64_t ns, char text[16])
{
    double us = (double)ns / 1000;
    if (l->answered == 0)
        return "-";
    if (us < 1000)
        snprintf(text, 16, "%.0f us", us);
    else if (us < 1000000)
        snprintf(text, 16, us < 10000 ? "%.1f ms" : "%.0f ms", us / 1000);
    else
        snprintf(text, 16, "%.1f s", us / 1000000);
    return text;
}

static void print_step(const compare_model *m, const compare_step *s)
{
    const compare_load *l = &s->load;
    char p50[16], p99[16], most[16];
    double seconds = (double)l->took / 1e9;
    if (s->error != 0) {
        printf("%-10s %7u  %s\n", m->name, l->clients, s->why);
        return;
    }
    printf("%-10s %7u %7u %7u %9.0f %9.0f %8s %8s %8s %7.1f %6.0f%% %8.2f %5u %5u\n", m->name, l->clients, l->online,
           l->held, (double)l->sent / seconds, compare_rate(l), show_time(l, l->p50, p50), show_time(l, l->p99, p99),
           show_time(l, l->most, most), (double)s->use.memory / (1 << 20),
           (double)s->use.cpu / (double)l->whole_took * 100, compare_switches(s), s->use.processes, s->use.threads);
}

void compare_print_table(const compare_result *r)
{
    printf("\n%-10s %7s %7s %7s %9s %9s %8s %8s %8s %7s %7s %8s %5s %5s\n", "model", "clients", "online", "held", "QPS",
           "TPS", "p50", "p99", "longest", "MiB", "CPU", "switches", "proc.", "thr.");
    for (unsigned i = 0; i < r->nmodels; i++)
        for (unsigned k = 0; k < r->nsteps; k++)
            if (r->models[i].steps[k].done)
                print_step(&r->models[i], &r->models[i].steps[k]);
    if (r->tls)
        printf("\nTLS: %s, whole handshakes, the certificate's key is on P-256.\n", compare_tls(r));
    puts("\nWhere each one breaks");
    for (unsigned i = 0; i < r->nmodels; i++) {
        char text[128];
        compare_breaks(r, &r->models[i], text, sizeof text);
        printf("%-10s serves %5u at a time; %s\n", r->models[i].name, r->models[i].capacity, text);
    }
    double best = 0;
    for (unsigned i = 0; i < r->nmodels; i++) {
        const compare_step *s = compare_best(r, &r->models[i]);
        double rate = s->error == 0 ? compare_rate(&s->load) : 0;
        best = rate > best ? rate : best;
    }
    printf("\nOnline are the clients connected at the same time; held those that had an answer and had not lost their\n"
           "connection at the end. QPS are requests received in a second, TPS those answered; switches are context\n"
           "switches for each answer.\n"
           "A small company's service sees some 2,000 QPS, a busy portal 50,000 and more; the best here: %.0f.\n",
           best);
}

/* null where there was no answer: 0 would be very fast. */
static void print_json_times(const compare_load *l, FILE *f)
{
    static const char *const names[] = {"p50", "p90", "p99", "p99.9", "max"};
    const int64_t times[] = {l->p50, l->p90, l->p99, l->p999, l->most};
    for (int i = 0; i < 5; i++) {
        fprintf(f, "%s\"%s\":", i == 0 ? "\"ms\":{" : ",", names[i]);
        if (l->answered > 0)
            fprintf(f, "%.4f", (double)times[i] / 1e6);
        else
            fputs("null", f);
    }
    fputs("},", f);
}

static void print_json_step(const compare_step *s, FILE *f)
{
    const compare_load *l = &s->load;
    double seconds = l->took > 0 ? (double)l->took / 1e9 : 1;
    fprintf(f, "{\"clients\":%u,", l->clients);
    if (s->error != 0) {
        fprintf(f, "\"error\":\"%s\"}", s->why);
        return;
    }
    fprintf(f,
            "\"online\":%u,\"served\":%u,\"held\":%u,\"refused\":%u,\"broken\":%u,\"lost\":%llu,\"seconds\":%.3f,"
            "\"sent\":%llu,\"answered\":%llu,\"qps\":%.1f,\"tps\":%.1f,",
            l->online, l->served, l->held, l->refused, l->broken, (unsigned long long)l->lost, seconds,
            (unsigned long long)l->sent, (unsigned long long)l->answered, (double)l->sent / seconds, compare_rate(l));
    print_json_times(l, f);
    fprintf(f, "\"memory\":%llu,\"cpu_seconds\":%.4f,\"switches\":%llu,\"processes\":%u,\"threads\":%u}",
            (unsigned long long)s->use.memory, (double)s->use.cpu / 1e9, (unsigned long long)s->use.switches,
            s->use.processes, s->use.threads);
}

void compare_print_json(const compare_result *r, FILE *f)
{
    fprintf(f, "{\"job\":\"%s\",\"tls\":%s%s%s,\"processors\":%u,\"seconds\":%.3f,\"models\":[", compare_jobs[r->job],
            r->tls ? "\"" : "", r->tls ? compare_tls(r) : "false", r->tls ? "\"" : "", r->processors,
            (double)r->duration / 1e9);
    for (unsigned i = 0; i < r->nmodels; i++) {
        const compare_model *m = &r->models[i];
        char text[128];
        compare_breaks(r, m, text, sizeof text);
        fprintf(f, "%s\n{\"model\":\"%s\",\"capacity\":%u,\"breaks\":\"%s\",\"steps\":[", i > 0 ? "," : "", m->name,
                m->capacity, text);
        for (unsigned k = 0; k < r->nsteps; k++) {
            fputs(k > 0 ? ",\n " : "\n ", f);
            print_json_step(&m->steps[k], f);
        }
        fputs("]}", f);
    }
    fputs("]}\n", f);
}
