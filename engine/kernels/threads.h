/* A few threads that do the steps of one work together. */
#ifndef LIVEMEF_THREADS_H
#define LIVEMEF_THREADS_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

/* members: threads. The rest is zero before the first meeting. */
typedef struct {
    int32_t members;
    _Atomic int32_t here, met;
} Team;

#define PATIENCE 2000 /* turns, some ten microseconds: a step's threads end nearly together */

static inline void rest(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Goes on when all members are here. Whoever waits for long gives its core away: the one that is waited for may need it. */
static inline void meet(Team *team)
{
    if (team->members == 1)
        return;
    int32_t before = atomic_load_explicit(&team->met, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->here, 1, memory_order_acq_rel) + 1 == team->members) {
        atomic_store_explicit(&team->here, 0, memory_order_relaxed);
        atomic_store_explicit(&team->met, before + 1, memory_order_release);
        return;
    }
    for (int32_t turn = 0; atomic_load_explicit(&team->met, memory_order_acquire) == before; turn++)
        if (turn < PATIENCE)
            rest();
        else
            sched_yield();
}

#endif
