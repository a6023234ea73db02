/* A few threads that do the steps of one work together. Each has its part of a step's rows, of which the neighbours lie in its
 * core's cache, and takes them in batches; who has done takes what is left of another's part. So a thread that begins late, or is
 * interrupted, holds up the others by one batch at most. */
#ifndef LIVEMEF_THREADS_H
#define LIVEMEF_THREADS_H

#include <stdatomic.h>
#include <stdint.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

#define MOST_MEMBERS 16
#define BATCHES 4 /* of a member's part of a step */

/* Of one work; zero but for the number of members at first. Batches are numbered through all steps: how many are done, and how
 * many of each member's parts are taken. */
typedef struct {
    int32_t members;
    _Atomic int32_t done, sleepers, taken[MOST_MEMBERS];
} Team;

/* Of one thread. before: batches of a part in all steps before the present one, which has `rows`, and `batches` in each part. */
typedef struct {
    Team *team;
    int32_t own, before, rows, batches;
} Member;

#define PATIENCE 2000   /* turns, some ten microseconds: a step's threads end nearly together */

static inline void rest(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleeps as long as *value is `seen`, until woken. */
static inline void sleep_while(_Atomic int32_t *value, int32_t seen)
{
#if defined(__linux__)
    syscall(SYS_futex, value, FUTEX_WAIT_PRIVATE, seen, (void *)0, (void *)0, 0);
#else
    (void)value, (void)seen;
    sched_yield();
#endif
}

static inline void wake_all(_Atomic int32_t *value)
{
#if defined(__linux__)
    syscall(SYS_futex, value, FUTEX_WAKE_PRIVATE, INT32_MAX, (void *)0, (void *)0, 0);
#else
    (void)value;
#endif
}

/* Goes on when so many batches are done. Whoever waits for long sleeps: the one that is waited for may need the core. */
static inline void wait_for(Team *team, int32_t batches)
{
    int32_t done;
    for (int32_t turn = 0; turn < PATIENCE; turn++, rest())
        if (atomic_load_explicit(&team->done, memory_order_acquire) >= batches)
            return;
    atomic_fetch_add(&team->sleepers, 1);
    while ((done = atomic_load(&team->done)) < batches)
        sleep_while(&team->done, done);
    atomic_fetch_sub(&team->sleepers, 1);
}

/* The next step, of so many rows. All members begin the same steps in the same order. */
static inline void begin_step(Member *member, int32_t rows)
{
    int32_t each = (rows + member->team->members - 1) / member->team->members;
    member->before += member->batches;
    member->batches = each < BATCHES ? each : BATCHES;
    member->rows = rows;
}

/* Whether a batch of the present step is left: then rows *first to *end (exclusive), after all steps before, are the caller's. */
static inline int begin_batch(Member *member, int32_t *first, int32_t *end)
{
    Team *team = member->team;
    int32_t all = member->batches * team->members, next = member->before + member->batches;
    for (int32_t i = 0; i < team->members; i++) {
        int32_t part = (member->own + i) % team->members, taken = atomic_load(team->taken + part);
        while (taken < next)
            if (atomic_compare_exchange_weak(team->taken + part, &taken, taken + 1)) {
                int32_t batch = part * member->batches + taken - member->before;
                wait_for(team, member->before * team->members);
                *first = member->rows * batch / all;
                *end = member->rows * (batch + 1) / all;
                return 1;
            }
    }
    return 0;
}

static inline void end_batch(Team *team)
{
    atomic_fetch_add(&team->done, 1);
    if (atomic_load(&team->sleepers))
        wake_all(&team->done);
}

#endif
