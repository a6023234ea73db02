/* See pool.h. Helpers look for the next loop for a moment, since it mostly comes soon, then sleep: an idle pool costs nothing. */
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define AWAKE_NS 40000       /* a helper without work looks for it so long: about what it takes to wake one up */
#define BATCHES_PER_THREAD 4  /* at most: enough that one which begins late does not hold up the rest */
#define PATIENCE 2000         /* turns, some ten microseconds, that the caller waits for the last batches before it gives way */
#define PAUSE_NS 20000

struct Pool {
    int32_t helpers;
    pid_t process; /* a forked one has no helpers, and what it has of their state may be from the midst of their work */
    pthread_mutex_t lock;
    pthread_cond_t more;
    _Atomic int32_t users, stopped; /* the last one that leaves gives the memory back */
    /* The loop: its number; whether helpers may begin; how many are within. */
    _Atomic int32_t asleep, loop, open, within;
    atomic_flag busy;
    Part *part;
    void *job;
    int32_t rows, batches;
    _Atomic int32_t taken, from_end; /* batches; the caller takes them from the first on, helpers from the last on: neighbouring
                                      * rows then lie in the cache of one core */
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

static void do_batch(Pool *pool, int32_t batch)
{
    int64_t rows = pool->rows;
    pool->part(pool->job, (int32_t)(rows * batch / pool->batches), (int32_t)(rows * (batch + 1) / pool->batches));
}

/* ---- helpers ---- */

static void help(Pool *pool)
{
    atomic_fetch_add(&pool->within, 1);
    if (atomic_load(&pool->open)) /* the caller closes the loop, then waits for those within */
        while (atomic_fetch_add(&pool->taken, 1) < pool->batches)
            do_batch(pool, pool->batches - 1 - atomic_fetch_add(&pool->from_end, 1));
    atomic_fetch_sub(&pool->within, 1);
}

/* Returns the number of a loop after `seen`. */
static int32_t next_loop(Pool *pool, int32_t seen)
{
    int32_t loop;
    for (int64_t end = now() + AWAKE_NS; now() < end; rest())
        if ((loop = atomic_load(&pool->loop)) != seen)
            return loop;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->asleep, 1);
    while ((loop = atomic_load(&pool->loop)) == seen && !atomic_load(&pool->stopped))
        pthread_cond_wait(&pool->more, &pool->lock);
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->lock);
    return loop;
}

static void leave(Pool *pool)
{
    if (atomic_fetch_sub(&pool->users, 1) > 1)
        return;
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void *helper(void *argument)
{
    Pool *pool = argument;
    for (int32_t loop = 0; !atomic_load(&pool->stopped);) {
        int32_t next = next_loop(pool, loop);
        if (next != loop)
            help(pool);
        loop = next;
    }
    leave(pool);
    return NULL;
}

/* ---- the caller ---- */

static void wake(Pool *pool)
{
    if (!atomic_load(&pool->asleep))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
}

/* A pool of so many helpers, or fewer where the system gives no more; NULL for none. */
Pool *pool_open(int32_t helpers)
{
    Pool *pool = helpers > 0 ? calloc(1, sizeof *pool) : NULL;
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
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
    wake(pool);
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

void pool_run(Pool *pool, Part *part, void *job, int32_t rows, int32_t least)
{
    int32_t most = pool ? BATCHES_PER_THREAD * (pool->helpers + 1) : 1, batches = rows / least < most ? rows / least : most;
    if (batches < 2 || pool->process != getpid() || atomic_flag_test_and_set(&pool->busy)) {
        part(job, 0, rows);
        return;
    }
    pool->part = part, pool->job = job, pool->rows = rows, pool->batches = batches;
    atomic_store(&pool->taken, 0);
    atomic_store(&pool->from_end, 0);
    atomic_store(&pool->open, 1);
    atomic_fetch_add(&pool->loop, 1);
    wake(pool);
    for (int32_t batch = 0; atomic_fetch_add(&pool->taken, 1) < batches; batch++)
        do_batch(pool, batch);
    atomic_store(&pool->open, 0);
    wait_for_helpers(pool);
    atomic_flag_clear(&pool->busy);
}
