/* The loops over the rows of large pictures (small.c, pixels.c, tone.c, motion.c), on all threads of a pool. */
#include "job.h"
#include "lanes.h"
#include "pixels.h"
#include "pool.h"

#include <stdatomic.h>

enum { SHRINK, LIGHTNESS, FUSE, QUICK_FUSE, REMAKE };

/* What is not needed is NULL or 0. */
typedef struct {
    int32_t kind, rows, least; /* rows of the result, and those of a batch */
    const Constants *constants;
    const void *tables;
    const void *source; /* a Picture, a Job, or a Compensation */
    void *out;
    ptrdiff_t stride;
    int32_t height, width, tone;
    _Atomic int32_t failed; /* out of memory */
} Pass;

int shrink_rows(const Picture *picture, float *small, int32_t height, int32_t width, int32_t top, int32_t bottom);
void lightness_rows(const Constants *constants, const void *tables, int32_t tone, const Picture *picture, float *lightness,
                    int32_t top, int32_t bottom);
int fuse_rows(const Constants *constants, const void *tables, const Job *job, int32_t top, int32_t bottom);
int tone_rows(const Constants *constants, const void *curves, const Job *job, int32_t top, int32_t bottom);
int compensate_rows(const Compensation *job, void *out, ptrdiff_t out_stride, int32_t top, int32_t bottom);

static void do_rows(void *argument, int32_t top, int32_t bottom)
{
    Pass *pass = argument;
    int failed = 0;
    if (pass->kind == SHRINK)
        failed = shrink_rows(pass->source, pass->out, pass->height, pass->width, top, bottom);
    else if (pass->kind == LIGHTNESS)
        lightness_rows(pass->constants, pass->tables, pass->tone, pass->source, pass->out, top, bottom);
    else if (pass->kind == FUSE)
        failed = fuse_rows(pass->constants, pass->tables, pass->source, top, bottom);
#if LANES
    else if (pass->kind == QUICK_FUSE)
        failed = tone_rows(pass->constants, pass->tables, pass->source, top, bottom);
#endif
    else
        failed = compensate_rows(pass->source, pass->out, pass->stride, top, bottom);
    if (failed)
        pass->failed = 1;
}

/* All rows. 0, or 1 if out of memory. */
int run_pass(Pool *pool, Pass *pass)
{
    if (pass->kind == FUSE || pass->kind == QUICK_FUSE)
        pool_run_last(pool, do_rows, pass, pass->rows, pass->least);
    else
        pool_run_long(pool, do_rows, pass, pass->rows, pass->least);
    return pass->failed;
}

/* Rows top..bottom alone. */
int run_rows(Pass *pass, int32_t top, int32_t bottom)
{
    do_rows(pass, top, bottom);
    return pass->failed;
}

#define SHORT_MEMBERS 4 /* so few keep none but the helpers of short loops busy */

/* Calls `part` for each of so many members of a team, each on a thread of its own as far as there are any that are free. */
void run_members(Pool *pool, Part *part, void *argument, int32_t members)
{
    if (members > SHORT_MEMBERS)
        pool_run_long(pool, part, argument, members, 1);
    else
        pool_run(pool, part, argument, members, 1);
}
