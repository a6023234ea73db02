/* Which regions of a mask are replaced by what a darker reference says (fusion/motion/information.py), in one call. No state. */
#include "grids.h"

#include <math.h>
#include <stdlib.h>

/* Grids of height x width x 3; masks, and the results, of height x width; curves of three channels, knots + 1 each. */
typedef struct {
    const float *under, *over;      /* the darker one is the reference */
    const float *mask, *made;       /* made: the deviation of the reference itself, NULL: it was not made */
    const float *before;            /* how far regions were replaced in the bracket before, or NULL */
    const double *noise, *brighter; /* what the exposures may differ by where nothing moves; the maps */
    float *replacing, *replaced, *deviations; /* the results: the mask as far as it is replaced; how far; what is known how well */
    int32_t height, width, knots, known, near, apart;
    float belongs, least_bound, bound_part, most_bound, held, ramp;
} Decision;

static void spreads_of_levels(const Decision *job, float *out)
{
    const double *noise = job->noise;
    for (int c = 0; c < 3; c++) {
        double least = INFINITY;
        for (int32_t k = 0; k <= job->knots; k++) {
            double spread = sqrt(*noise++);
            if (k >= job->known)
                spread = least = spread < least ? spread : least;
            *out++ = (float)spread;
        }
    }
}

/* table: room for 3 x knots + 1; room: for a plane. 0, or 1 if out of memory. */
static int find_deviations(Pool *pool, const Decision *job, float *table, float *room)
{
    int32_t count = job->height * job->width;
    spreads_of_levels(job, table);
    median_levels(pool, job->under, table, job->knots, count, job->mask, job->deviations);
    if (!job->made)
        return 0;
    if (smooth_slopes(job->brighter, job->knots, job->near, table))
        return 1;
    median_levels(pool, job->under, table, job->knots, count, job->mask, room);
    for (int32_t i = 0; i < count; i++) {
        float of_made = job->made[i] * room[i];
        job->deviations[i] = of_made > job->deviations[i] ? of_made : job->deviations[i];
    }
    return 0;
}

/* `_share` of a region with these means: each product is rounded before it is added to, as numpy does. */
static float share_of(const Decision *job, const float *means)
{
    volatile float bound = means[1] * job->bound_part, part = (job->before ? means[2] : 0.5f) * (2 * job->held), share;
    bound += job->least_bound;
    bound = (bound < job->most_bound ? bound : job->most_bound) * (part + (1 - job->held));
    share = (bound - means[0]) * (1 / job->ramp);
    share += 0.5f;
    return share < 0 ? 0 : share < 1 ? share : 1;
}

/* 0, or 1 if out of memory. */
int decide_regions(Pool *pool, const Decision *job)
{
    int32_t n = job->before ? 3 : 2, count = job->height * job->width;
    size_t cells = (size_t)count, levels = 3 * ((size_t)job->knots + 1);
    float *table = malloc((levels + (size_t)(n + 3) * (cells + 1)) * sizeof *table), *differences = table + levels;
    if (!table)
        return 1;
    float *shares = differences + cells, *means = shares + cells + 1;
    int32_t *numbers = (int32_t *)(means + (size_t)n * (cells + 1));
    const float *planes[] = {job->deviations, differences, job->before};
    int failed = find_deviations(pool, job, table, differences);
    if (!failed) {
        for (int32_t k = 0; k <= job->knots; k++)
            table[k] = (float)job->brighter[job->knots + 1 + k];
        green_differences(pool, job->under, job->over, table, job->knots, count, job->mask, differences);
        int32_t last = find_regions(job->mask, planes, n, job->height, job->width, job->apart, job->belongs, numbers, means);
        failed = last < 0;
        shares[0] = 0.5f;
        for (int32_t region = 1; region <= last; region++)
            shares[region] = share_of(job, means + (size_t)region * (size_t)n);
    }
    if (!failed)
        of_regions(numbers, shares, count, job->replaced);
    for (int32_t i = 0; !failed && i < count; i++)
        job->replacing[i] = job->mask[i] * job->replaced[i];
    free(table);
    return failed;
}
