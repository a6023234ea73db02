/* A few threads that do the steps of one work together. */
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

/* Goes on when all members are here. Whoever waits for long sleeps: the one that is waited for may need the core. */
static inline void meet(Team *team)
{
    if (team->members == 1)
        return;
    int32_t before = atomic_load_explicit(&team->met, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->here, 1, memory_order_acq_rel) + 1 == team->members) {
        atomic_store_explicit(&team->here, 0, memory_order_relaxed);
        atomic_store_explicit(&team->met, before + 1, memory_order_release);
        wake_all(&team->met);
        return;
    }
    for (int32_t turn = 0; atomic_load_explicit(&team->met, memory_order_acquire) == before; turn++)
        if (turn < PATIENCE)
            rest();
        else
            sleep_while(&team->met, before);
}

#endif
