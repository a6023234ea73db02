/* What makes an exposure one of the reference's moment, of grids (fusion/motion/loops.py: ComposedLoops.compensated), in one call. No
 * state. */
#include "grids.h"
#include "motion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Grids of height x width, small pictures of `cells` x `cells` of their cells each. `call`: of the grids, the other one without its move;
 * its table and its fill are written, its mask may be. */
typedef struct {
    Compensation call;
    Clipping clipping; /* of the small pictures, where the reference is the brighter exposure */
    Tinting tinting;   /* where it is the darker one; its curves are written */
    const double *curves; /* 3 x knots + 1 */
    const float *brighter; /* the grid of the brighter exposure */
    float *mask, *fill, *small, *grid; /* the results; fill: or tints; grid: NULL if it is not wanted */
    const float *small_there;
    double move[3], seen; /* move: in cells, undone already */
    float black;
    int32_t any, filled; /* the results: whether anything is masked, and there is a fill */
} Replacement;

/* ---- borders that look beyond the other exposure, see `cover_unseen` of fusion/motion/registration.py ---- */

static int32_t unseen_cells(double shift, double most)
{
    double cells = ceil(shift);
    return cells <= 0 ? 0 : cells < most ? (int32_t)cells : (int32_t)most;
}

static void cover(const Replacement *job, int32_t top, int32_t bottom, int32_t left, int32_t right)
{
    int32_t width = job->call.grid_width;
    for (int32_t y = top; y < bottom; y++)
        for (int32_t x = left; x < right; x++) {
            const float *cell = job->brighter + 3 * ((size_t)y * width + x);
            if (cell[0] >= job->black || cell[1] >= job->black || cell[2] >= job->black)
                job->mask[(size_t)y * width + x] = 1;
        }
}

static void cover_unseen(const Replacement *job)
{
    int32_t height = job->call.grid_height, width = job->call.grid_width;
    const double *move = job->move;
    double across = fabs(move[2]) * (height - 1) / 2, down = fabs(move[2]) * (width - 1) / 2;
    cover(job, 0, unseen_cells(down - move[1] - job->seen, height), 0, width);
    cover(job, height - unseen_cells(down + move[1] - job->seen, height), height, 0, width);
    cover(job, 0, height, 0, unseen_cells(across - move[0] - job->seen, width));
    cover(job, 0, height, width - unseen_cells(across + move[0] - job->seen, width), width);
}

/* ---- the exposure made anew where the mask says so ---- */

static int any_masked(const float *mask, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (mask[i] != 0)
            return 1;
    return 0;
}

/* 1, or 0 if none is needed, or -1 if out of memory. room: of a small mask. */
static int find_fill(Pool *pool, Replacement *job, float *room)
{
    int32_t height = job->clipping.height, width = job->clipping.width, cells = job->clipping.cells;
    if (!job->call.tinted)
        return behind_clipping(&job->clipping, job->fill);
    if (mean_cells(pool, job->mask, height, width, 1, cells, cells, room))
        return -1;
    return tints(pool, &job->tinting, job->clipping.reference, job->small_there, room, height, width, job->fill);
}

static int remake(Pool *pool, Replacement *job)
{
    size_t small = (size_t)job->clipping.height * job->clipping.width, cells = (size_t)job->clipping.cells;
    job->call.fill = job->filled ? job->fill : NULL;
    memcpy(job->small, job->small_there, 3 * small * sizeof *job->small);
    if (job->grid)
        memcpy(job->grid, job->call.other.pixels, 3 * small * cells * cells * sizeof *job->grid);
    return remake_means(pool, &job->call, job->clipping.cells, job->small) || (job->grid && remake_means(pool, &job->call, 1, job->grid));
}

/* 0, or 1 if out of memory. */
int compensate(Pool *pool, Replacement *job)
{
    size_t small = (size_t)job->clipping.height * job->clipping.width, curves = 3 * (size_t)job->call.codes;
    cover_unseen(job);
    job->any = any_masked(job->mask, (size_t)job->call.grid_height * job->call.grid_width);
    if (!job->any)
        return 0;
    float *table = malloc((curves + small) * sizeof *table);
    if (!table)
        return 1;
    for (size_t i = 0; i < curves; i++)
        table[i] = (float)job->curves[i];
    job->call.table = job->tinting.curves = table;
    job->filled = find_fill(pool, job, table + curves);
    int failed = job->filled < 0 || remake(pool, job);
    free(table);
    return failed;
}
