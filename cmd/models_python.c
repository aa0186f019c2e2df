/* models_python.c - the jobs of `weft bench models` by CPython: the same numbers, the same pauses, the same files. */
#include "models.h"

#include "cmd.h"

#include <stdlib.h>
#include <string.h>

static const char program[] =
    "import asyncio, multiprocessing, os, platform, sys, tempfile, threading, time\n"
    "TASKS, LIMIT = int(sys.argv[1]), int(sys.argv[2])\n"
    "def compute(i):\n"
    "    found = 0\n"
    "    for n in range(2 * i + 1, LIMIT, 2 * TASKS):\n"
    "        d = 2\n"
    "        while d * d <= n and n % d != 0:\n"
    "            d += 1\n"
    "        found += n >= 2 and d * d > n\n"
    "    return found\n"
    "def wait(i):\n"
    "    for _ in range(5):\n"
    "        time.sleep(0.02)\n"
    "def files(i):\n"
    "    with tempfile.TemporaryFile(dir=os.environ.get('TMPDIR', '/var/tmp'), buffering=0) as f:\n"
    "        for k in range(8):\n"
    "            os.pwrite(f.fileno(), bytes(65536), k * 65536)\n"
    "            os.fdatasync(f.fileno())\n"
    "            os.pread(f.fileno(), 65536, k * 65536)\n"
    "def line(job):\n"
    "    for i in range(TASKS):\n"
    "        job(i)\n"
    "def start_and_join(kind, job):\n"
    "    all = [kind(target=job, args=(i,)) for i in range(TASKS)]\n"
    "    for t in all:\n"
    "        t.start()\n"
    "    for t in all:\n"
    "        t.join()\n"
    "async def as_coroutine(job, i):\n"
    "    if job is wait:\n"
    "        for _ in range(5):\n"
    "            await asyncio.sleep(0.02)\n"
    "    elif job is files:\n"
    "        await asyncio.get_running_loop().run_in_executor(None, files, i)\n"
    "    else:\n"
    "        job(i)\n"
    "async def coroutines(job):\n"
    "    await asyncio.gather(*(as_coroutine(job, i) for i in range(TASKS)))\n"
    "multiprocessing.set_start_method('fork')\n"
    "print(platform.python_version())\n"
    "for job in compute, wait, files:\n"
    "    for run in (line, lambda job: start_and_join(threading.Thread, job),\n"
    "                lambda job: start_and_join(multiprocessing.Process, job),\n"
    "                lambda job: asyncio.run(coroutines(job))):\n"
    "        start = time.monotonic()\n"
    "        run(job)\n"
    "        print(time.monotonic() - start)\n";

int models_measure_python(const models_settings *s, models_times *out, char *version, size_t size)
{
    char command[sizeof program + 128];
    fflush(NULL);
    snprintf(command, sizeof command, "exec python3 - %u %u 2>/dev/null <<'END'\n%sEND\n", s->tasks, s->limit, program);
    FILE *answers = popen(command, "r");
    if (answers == NULL)
        return cmd_usage("weft bench", "python3 cannot be run");
    char line[64];
    bool good = fgets(line, sizeof line, answers) != NULL;
    if (good)
        snprintf(version, size, "%.*s", (int)strcspn(line, "\n"), line);
    for (int job = 0; job < JOBS; job++)
        for (int model = 0; model < MODELS; model++) {
            good = good && fgets(line, sizeof line, answers) != NULL;
            out->seconds[job][model] = good ? strtod(line, NULL) : -1;
        }
    if (pclose(answers) == 0 && good)
        return CMD_OK;
    return cmd_usage("weft bench", "python3 was not found, or failed; without --python the rest can be measured");
}
