/* models.h - what `weft bench models` measures (models.c) and how it is shown (models_show.c). */
#ifndef MODELS_H
#define MODELS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum models_job {
    JOB_COMPUTE, /* count primes */
    JOB_WAIT,    /* sleep, as for a network */
    JOB_FILES,   /* write, force to the disk and read back */
    JOBS
};

enum models_model {
    MODEL_LINE,
    MODEL_THREAD,
    MODEL_PROCESS,
    MODEL_COROUTINE,
    MODELS
};

enum {
    CURVE_POINTS = 7 /* 1, 2, 4 ... 64 tasks at once */
};

typedef struct models_settings {
    unsigned tasks, limit; /* primes below `limit` are counted, shared out among the tasks */
    uint64_t gil_steps;    /* hand the emulated lock over after so many steps; 0 = not by steps */
    int64_t gil_slice;     /* or after so many nanoseconds; 0 = not by time */
} models_settings;

/* Seconds; below 0 is not measured. */
typedef struct models_times {
    double seconds[JOBS][MODELS];
} models_times;

typedef struct models_curve {
    unsigned at_once[CURVE_POINTS];
    double compute[CURVE_POINTS], wait[CURVE_POINTS]; /* work per second beside that of one task at once */
} models_curve;

typedef struct models_locks {
    double lock, rlock, lock_contended, rlock_contended; /* nanoseconds for acquire and release */
} models_locks;

typedef struct models_report {
    models_settings settings;
    unsigned processors;
    double load; /* of the minute before */
    models_times all, one_core, python;
    models_curve curve;
    models_locks locks;
    bool has_one_core, has_python, has_curve, has_locks;
    char python_version[32];
} models_report;

/* Each measures in a process of its own, so that none sees the threads of another. 0, or CMD_FAILED after a line on
 * standard error. With one_core that process is held on one processor. */
int models_measure(const models_settings *s, bool one_core, models_times *out);
int models_measure_curve(const models_settings *s, models_curve *out);
int models_measure_locks(models_locks *out);

/* The same jobs by python3. 0, or CMD_USAGE when there is none. */
int models_measure_python(const models_settings *s, models_times *out, char *version, size_t size);

extern const char *const models_job_names[JOBS], *const models_model_names[MODELS];

void models_print_table(const models_report *r);
void models_print_classic(const models_report *r);
void models_print_json(const models_report *r);
void models_print_svg(const models_report *r, FILE *out);

#endif
