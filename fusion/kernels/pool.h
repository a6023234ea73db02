/* Threads that help with loops over rows: short ones, of some ten to some hundred microseconds of work, which begin and end often,
 * and long ones. */
#ifndef LIVEMEF_POOL_H
#define LIVEMEF_POOL_H

#include <stdint.h>

typedef struct Pool Pool;

/* Does rows first..end (exclusive) of a job. */
typedef void Part(void *job, int32_t first, int32_t end);

/* Do all `rows`, in batches of `least` rows or more, with whoever of the pool is free; done on return. Helpers that are asleep or
 * busy are not waited for. Alone where `pool` is NULL or works for another thread. */
void pool_run(Pool *pool, Part *part, void *job, int32_t rows, int32_t least);

/* The same with all threads, for milliseconds of work. The first batches are a large part of all rows: each costs something. */
void pool_run_long(Pool *pool, Part *part, void *job, int32_t rows, int32_t least);

/* The same, after which helpers sleep at once. */
void pool_run_last(Pool *pool, Part *part, void *job, int32_t rows, int32_t least);

#endif
