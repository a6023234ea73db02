/* All small planes of a bracket that steer its pixels (steering.c, windows.c), found in one call, on the threads of a pool. No state. */
#include "grids.h"
#include "pixels.h"
#include "steering.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Planes are height x width, or height x their number x width: a row of each, then the next row of each. n: exposures. */
typedef struct {
    const Constants *constants;
    const Showing *showing;
    const float *fused;                                   /* the network's lightness, 0..1 */
    const float *const *lights, *const *chromas, *const *smalls; /* L*; C*ab, NULL: not compared; height x width x 3, encoded */
    const float *const *drift_before;                     /* mean evidence, of n - 1 pairs; NULL: there is none */
    float *const *drift_means, *const *drifts;            /* the same with this bracket's, and factors; NULL: not wanted */
    float *target, *room, *planes;                        /* L* wanted; n + 1 planes; `count`: n + 1 coefficients, parts of the chroma */
    const float *const *past, *const *changed;            /* other brackets' planes; masks */
    float *const *moved;                                  /* those planes without `move`; NULL: there is none */
    float *still, *steered;                               /* planes to be shown, NULL: these; still NULL: no cycle is complete */
    int32_t n, count, height, width, radius, chroma_radius, drift_radius, past_count, newest_at, changed_count, cells;
    float still_gain;                                     /* newest_at: the present bracket's place among those of its cycle */
    double share;                                         /* of this bracket in running means */
    double eps, chroma_offset, drift_fall, drift_prior, drift_strength;
    double white, mean, move[3];                          /* white: mean gain so far, and with this bracket; mean: L* */
    _Atomic int32_t failed;                               /* out of memory */
} Bracket;

/* ---- what does not depend on anything else here, a task each ---- */

static int find_affine(Bracket *job)
{
    const float *planes[MOST_EXPOSURES + 1];
    int32_t n = job->n, count = job->height * job->width;
    double gain = show_lightness(job->showing, job->fused, job->lights[n - 1], count, job->target);
    if (gain < 0)
        return 1;
    job->white = job->share == 1 ? gain : job->white + job->share * (gain - job->white);
    if (job->white != 1)
        whiten_lightness(job->target, count, (float)job->white);
    for (int32_t i = 0; i < n; i++)
        planes[i] = job->lights[i];
    planes[n] = job->target;
    return affine_coefficients(job->constants, planes, n, job->height, job->width, job->radius, job->eps, job->room, job->planes,
                               job->count);
}

/* Two loops, so that a product is rounded before it is added to: as numpy does. */
static void average(const float *restrict before, float share, size_t count, float *restrict evidence)
{
    for (size_t i = 0; i < count; i++)
        evidence[i] = (evidence[i] - before[i]) * share;
    for (size_t i = 0; i < count; i++)
        evidence[i] += before[i];
}

static int find_drift(Bracket *job, int32_t pair)
{
    float *mean = job->drift_means[pair];
    drift_evidence(job->constants, job->smalls[pair], job->smalls[pair + 1], job->height, job->width, mean);
    if (job->drift_before)
        average(job->drift_before[pair], (float)job->share, DRIFT * (size_t)job->height * job->width, mean);
    return drift_factors(mean, job->height, job->width, job->drift_radius, job->drift_fall, job->drift_prior, job->drift_strength,
                         job->drifts[pair]);
}

static int undo_step(Bracket *job, int32_t one)
{
    int32_t planes = job->count, width = job->width;
    double x = 0.5 * (width - 1), y = 0.5 * (job->height - 1);
    const double *move = job->move;
    Moved moved = {job->past[one], job->height, width, 1, planes * width, {-move[2], move[0] + move[2] * y}, {move[2], move[1] - move[2] * x}};
    return moved_cells(NULL, &moved, planes, job->moved[one]);
}

static int find_still(Bracket *job)
{
    return still_planes(job->changed, job->changed_count, job->height, job->width, job->cells, job->radius, job->still_gain, job->still);
}

static int find_parts(Bracket *job)
{
    return chroma_parts(job->chromas, job->n, job->height, job->width, job->chroma_radius, job->chroma_offset,
                        job->planes + (size_t)(job->n + 1) * job->width, job->count);
}

/* Long ones first and last: the caller takes them from the first on, helpers from the last on. */
static void do_tasks(void *argument, int32_t first, int32_t end)
{
    Bracket *job = argument;
    int32_t pasts = job->moved ? job->past_count : 0, failed = 0;
    for (int32_t task = first; task < end; task++)
        if (task == 0)
            failed |= find_affine(job);
        else if (task == 1)
            failed |= job->chromas ? find_parts(job) : 0;
        else if (task < 2 + pasts)
            failed |= undo_step(job, task - 2);
        else if (task == 2 + pasts)
            failed |= job->still ? find_still(job) : 0;
        else
            failed |= find_drift(job, task - 3 - pasts);
    if (failed)
        job->failed = 1;
}

/* ---- the cycle ---- */

static void average_cycle(Bracket *job)
{
    const float *planes[MOST_EXPOSURES], *const *past = job->moved ? (const float *const *)job->moved : job->past;
    int32_t count = job->past_count;
    for (int32_t i = 0; i < count; i++)
        planes[i + (i >= job->newest_at)] = past[i];
    planes[job->newest_at] = job->planes;
    towards_mean(job->planes, planes, count + 1, job->still, job->height, job->count, job->width, job->steered);
}

/* 0, or 1 if out of memory. */
int find_planes(Pool *pool, Bracket *job)
{
    int32_t tasks = 3 + (job->moved ? job->past_count : 0) + (job->drifts ? job->n - 1 : 0);
    pool_run(pool, do_tasks, job, tasks, 1);
    if (job->failed)
        return 1;
    if (job->still)
        average_cycle(job);
    else if (job->steered)
        memcpy(job->steered, job->planes, sizeof(float) * (size_t)job->height * job->count * job->width);
    job->mean = mean_lightness(job->steered ? job->steered : job->planes, job->count, job->lights, job->n, job->height, job->width);
    return job->mean < 0;
}
