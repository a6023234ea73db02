/* See pool.h. Helpers look for the next loop for a moment, since it mostly comes soon, then sleep: an idle pool costs nothing. To wake
 * one up takes as long as many a loop, longer still on a virtual machine, and one that comes late is waited for. */
#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AWAKE_NS 250000       /* a helper without work looks for it so long: Python takes up to half of it from loop to loop */
#define ALONE_NS 30000        /* and after so long lets others have its core that want it */
#define BATCHES_PER_THREAD 4  /* at least: enough that one which begins late does not hold up the rest */
#define NEAR_HELPERS 3        /* that work on short loops: with more, these would wait for each other */
#define PATIENCE 2000         /* turns, some ten microseconds, that the caller waits for the last batches before it gives way */
#define PAUSE_NS 20000

/* Where helpers wait: how many sleep, and the number of the loop that they may join. */
typedef struct {
    pthread_cond_t more;
    _Atomic int32_t asleep, loop;
} Place;

struct Pool {
    int32_t helpers;
    pid_t process; /* a forked one has no helpers, and what it has of their state may be from the midst of their work */
    pthread_mutex_t lock;
    Place near, far;                          /* far: of helpers that join long loops only */
    _Atomic int32_t numbered, users, stopped; /* the last one that leaves gives the memory back */
    _Atomic int32_t open, within;             /* whether helpers may begin with the loop; how many are within */
    _Atomic int32_t pause;                    /* no loop is to come soon */
    atomic_flag busy;
    int avoided; /* the core that helpers keep off, -1 = none */
    Part *part;
    void *job;
    int32_t least, most, share; /* rows of a batch; of how many batches of the same size one is, of what is left */
    _Atomic uint64_t left;      /* rows: the first, and the end times 2^32. The caller takes them from the first on, helpers from
                                 * the end on: neighbouring rows then lie in the cache of one core */
    _Atomic pid_t ids[]; /* of the helpers' threads, 0 = not begun yet */
};

static inline void rest(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Do a batch of what is left; 0 = nothing is. Batches get smaller, so that nobody waits for long for the last ones. */
static int do_batch(Pool *pool, int from_end)
{
    uint64_t seen = atomic_load(&pool->left), next;
    int32_t first, end, rows;
    do {
        first = (int32_t)(uint32_t)seen, end = (int32_t)(seen >> 32);
        if (first >= end)
            return 0;
        rows = (end - first) / pool->share;
        rows = rows < pool->most ? rows : pool->most;
        rows = rows > pool->least ? rows : pool->least;
        if (end - first - rows < pool->least)
            rows = end - first;
        if (from_end)
            next = (uint64_t)(uint32_t)(end - rows) << 32 | (uint32_t)first;
        else
            next = (uint64_t)(uint32_t)end << 32 | (uint32_t)(first + rows);
    } while (!atomic_compare_exchange_weak(&pool->left, &seen, next));
    if (from_end)
        pool->part(pool->job, end - rows, end);
    else
        pool->part(pool->job, first, first + rows);
    return 1;
}

/* ---- helpers ---- */

static void help(Pool *pool)
{
    atomic_fetch_add(&pool->within, 1);
    if (atomic_load(&pool->open)) /* the caller closes the loop, then waits for those within */
        while (do_batch(pool, 1))
            ;
    atomic_fetch_sub(&pool->within, 1);
}

/* Returns the number of a loop after `seen`. */
static int32_t next_loop(Pool *pool, Place *place, int32_t seen)
{
    int32_t loop;
    for (int64_t begin = now(), waited = 0; waited < AWAKE_NS && !atomic_load(&pool->pause); waited = now() - begin) {
        if ((loop = atomic_load(&place->loop)) != seen)
            return loop;
        if (waited < ALONE_NS)
            rest();
        else
            sched_yield();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&place->asleep, 1);
    while ((loop = atomic_load(&place->loop)) == seen && !atomic_load(&pool->stopped))
        pthread_cond_wait(&place->more, &pool->lock);
    atomic_fetch_sub(&place->asleep, 1);
    pthread_mutex_unlock(&pool->lock);
    return loop;
}

static void leave(Pool *pool)
{
    if (atomic_fetch_sub(&pool->users, 1) > 1)
        return;
    pthread_cond_destroy(&pool->near.more);
    pthread_cond_destroy(&pool->far.more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void *helper(void *argument)
{
    Pool *pool = argument;
    int32_t number = atomic_fetch_add(&pool->numbered, 1);
    Place *place = number < NEAR_HELPERS ? &pool->near : &pool->far;
    atomic_store(&pool->ids[number], (pid_t)syscall(SYS_gettid));
    for (int32_t loop = 0; !atomic_load(&pool->stopped);) {
        int32_t next = next_loop(pool, place, loop);
        if (next != loop)
            help(pool);
        loop = next;
    }
    leave(pool);
    return NULL;
}

/* ---- the caller ---- */

static void wake(Pool *pool, Place *place)
{
    if (!atomic_load(&place->asleep))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&place->more);
    pthread_mutex_unlock(&pool->lock);
}

/* A pool of so many helpers, or fewer where the system gives no more; NULL for none. */
Pool *pool_open(int32_t helpers)
{
    Pool *pool = helpers > 0 ? calloc(1, sizeof *pool + (size_t)helpers * sizeof pool->ids[0]) : NULL;
    if (!pool)
        return NULL;
    pool->avoided = -1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->near.more, NULL);
    pthread_cond_init(&pool->far.more, NULL);
    pool->process = getpid();
    atomic_store(&pool->users, 1);
    atomic_flag_clear(&pool->busy);
    for (; pool->helpers < helpers; pool->helpers++) {
        pthread_t thread;
        atomic_fetch_add(&pool->users, 1);
        if (pthread_create(&thread, NULL, helper, pool)) {
            atomic_fetch_sub(&pool->users, 1);
            break;
        }
        pthread_detach(thread); /* in a forked process there is none to be joined */
    }
    return pool;
}

void pool_close(Pool *pool)
{
    if (!pool || pool->process != getpid())
        return;
    atomic_store(&pool->stopped, 1);
    wake(pool, &pool->near);
    wake(pool, &pool->far);
    leave(pool);
}

static void wait_for_helpers(Pool *pool)
{
    const struct timespec pause = {0, PAUSE_NS};
    for (int32_t turn = 0; atomic_load(&pool->within); turn++)
        if (turn < PATIENCE)
            rest();
        else
            nanosleep(&pause, NULL); /* whoever is waited for may need this core */
}

/* Let helpers keep off the caller's core, where one that is woken up could only wait: a kernel may choose that core all the same, to
 * spare another one or, on a virtual machine, because it takes one that sleeps for one that its host has given to others. Then
 * milliseconds pass until it is moved. */
static void keep_helpers_off(Pool *pool)
{
    int core = sched_getcpu(), all = 1;
    cpu_set_t cores;
    if (core == pool->avoided || core < 0 || sched_getaffinity(0, sizeof cores, &cores))
        return;
    CPU_CLR(core, &cores);
    if (CPU_COUNT(&cores) == 0)
        return;
    for (int32_t number = 0; number < pool->helpers; number++) {
        pid_t id = atomic_load(&pool->ids[number]);
        all &= id && !sched_setaffinity(id, sizeof cores, &cores);
    }
    pool->avoided = all ? core : -1;
}

static void call(Pool *pool, Place *place)
{
    atomic_fetch_add(&place->loop, 1);
    wake(pool, place);
}

enum { SHORT, LONG, LAST };

static void run(Pool *pool, Part *part, void *job, int32_t rows, int32_t least, int length)
{
    if (!pool || rows < 2 * least || pool->process != getpid() || atomic_flag_test_and_set(&pool->busy)) {
        part(job, 0, rows);
        return;
    }
    keep_helpers_off(pool);
    int32_t threads = 1 + (length != SHORT || pool->helpers < NEAR_HELPERS ? pool->helpers : NEAR_HELPERS);
    pool->part = part, pool->job = job, pool->least = least;
    pool->most = length == SHORT ? rows / (BATCHES_PER_THREAD * threads) : rows;
    pool->share = threads + 1;
    atomic_store(&pool->left, (uint64_t)(uint32_t)rows << 32);
    atomic_store(&pool->pause, length == LAST);
    atomic_store(&pool->open, 1);
    call(pool, &pool->near);
    if (length != SHORT && pool->helpers > NEAR_HELPERS)
        call(pool, &pool->far);
    while (do_batch(pool, 0))
        ;
    atomic_store(&pool->open, 0);
    wait_for_helpers(pool);
    atomic_flag_clear(&pool->busy);
}

void pool_run(Pool *pool, Part *part, void *job, int32_t rows, int32_t least) { run(pool, part, job, rows, least, SHORT); }

void pool_run_long(Pool *pool, Part *part, void *job, int32_t rows, int32_t least) { run(pool, part, job, rows, least, LONG); }

void pool_run_last(Pool *pool, Part *part, void *job, int32_t rows, int32_t least) { run(pool, part, job, rows, least, LAST); }
