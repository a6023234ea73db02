/* Lamps that an exposure misses now and then (fusion/motion/blinking.py), for the CPU. No state. */
#include "grids.h"
#include "rows.h"

#include <stddef.h>
#include <stdlib.h>

/* How surely each of `count` cells blinks: `before` times `keep` (NULL: nothing before), and `noted` times what has changed but was not
 * seen by the other exposure; out: held below 1. Returns the largest, not held. */
VECTORISED float follow_blinking(const float *restrict before, const float *restrict changed, const float *restrict seen_by_other,
                                 int32_t count, float noted, float keep, float *restrict out)
{
    float most = 0;
    for (int32_t i = 0; i < count; i++)
        out[i] = noted * changed[i] * (1 - seen_by_other[i]);
    for (int32_t i = 0; before && i < count; i++)
        out[i] += keep * before[i];
#pragma omp simd reduction(max : most)
    for (int32_t i = 0; i < count; i++) {
        most = out[i] > most ? out[i] : most;
        out[i] = out[i] < 1 ? out[i] : 1;
    }
    return most;
}

/* What has changed, without what blinks. */
VECTORISED void without_blinking(const float *restrict changed, const float *restrict blinks, int32_t count, float *restrict out)
{
    for (int32_t i = 0; i < count; i++) {
        float part = 3 - 4 * blinks[i];
        out[i] = changed[i] * (part < 0 ? 0 : part < 1 ? part : 1);
    }
}

/* ---- whether another exposure sees it, too ---- */

typedef struct {
    const Lights *rule;
    const float *changed, *other;
    int32_t width, across;
    int32_t (*counts)[2]; /* cells of each block that have changed in both, between `blocks` empty ones at all sides */
} Count;

VECTORISED static int32_t count_moving(const float *restrict changed, float least, int32_t count)
{
    int32_t moving = 0;
    for (int32_t i = 0; i < count; i++)
        moving += changed[i] >= least;
    return moving;
}

static void count_row(const Count *job, int32_t y)
{
    const Lights *rule = job->rule;
    int32_t(*counts)[2] = job->counts + (size_t)(y / rule->block + rule->blocks) * job->across + rule->blocks;
    size_t row = (size_t)y * job->width;
    for (int32_t x = 0; x < job->width; x += rule->block, counts++) {
        int32_t cells = job->width - x < rule->block ? job->width - x : rule->block;
        counts[0][0] += count_moving(job->changed + row + x, rule->moves, cells);
        counts[0][1] += count_moving(job->other + row + x, rule->moves, cells);
    }
}

/* Whether many cells have changed in the blocks about one that begins at this row and column, beside those of the other. */
static int many_changed(const Count *job, int32_t y, int32_t x)
{
    int32_t sums[2] = {0, 0}, side = 2 * job->rule->blocks + 1;
    int32_t(*first)[2] = job->counts + (size_t)(y / job->rule->block) * job->across + x / job->rule->block;
    for (int32_t down = 0; down < side; down++, first += job->across)
        for (int32_t i = 0; i < side; i++)
            sums[0] += first[i][0], sums[1] += first[i][1];
    return (float)sums[0] > job->rule->most_seen * (float)sums[1];
}

/* `seen_by_other` of fusion/motion/blinking.py. 0, or 1 if out of memory. */
int seen_by_other(Pool *pool, const Lights *rule, const float *changed, const float *other, int32_t height, int32_t width, float *out)
{
    int32_t across = (width + rule->block - 1) / rule->block + 2 * rule->blocks;
    int32_t down = (height + rule->block - 1) / rule->block + 2 * rule->blocks;
    int32_t(*counts)[2] = calloc((size_t)down * across, sizeof *counts);
    if (!counts || wider_mask(pool, &changed, 1, height, width, rule->apart, out)) {
        free(counts);
        return 1;
    }
    Count job = {rule, changed, other, width, across, counts};
    for (int32_t y = 0; y < height; y++)
        count_row(&job, y);
    for (int32_t y = 0; y < height; y += rule->block)
        for (int32_t x = 0; x < width; x += rule->block) {
            if (!many_changed(&job, y, x))
                continue;
            int32_t bottom = y + rule->block < height ? y + rule->block : height, end = x + rule->block < width ? x + rule->block : width;
            for (int32_t row = y; row < bottom; row++)
                for (int32_t column = x; column < end; column++)
                    out[(size_t)row * width + column] = 1;
        }
    free(counts);
    return 0;
}

/* ---- lights that went out ---- */

typedef struct {
    const Lights *rule;
    const float *grid, *before;
    int32_t height, width, across; /* across: blocks of a row */
    float *rises, *falls;          /* sums of the blocks, between `blocks` empty ones at all sides */
    uint8_t *out;                  /* a cell: 1 where a light went out */
} Seek;

static float largest_of(const float *cell)
{
    float largest = cell[0] > cell[1] ? cell[0] : cell[1];
    return largest > cell[2] ? largest : cell[2];
}

static float fall_of(const Seek *seek, size_t cell) { return largest_of(seek->before + 3 * cell) - largest_of(seek->grid + 3 * cell); }

static int32_t block_of(const Seek *seek, int32_t y, int32_t x)
{
    return (y / seek->rule->block + seek->rule->blocks) * seek->across + x / seek->rule->block + seek->rule->blocks;
}

#define TOGETHER 16 /* cells */

VECTORISED static int any_moves(const float *restrict changed, float least, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= changed[i] >= least;
    return any;
}

/* Sums what has become lighter and darker by blocks; returns whether anything has become so much darker that it may be a light. */
static int sum_blocks(const Seek *seek, const float *changed)
{
    int any = 0;
    for (int32_t y = 0; y < seek->height; y++)
        for (int32_t first = 0; first < seek->width; first += TOGETHER) {
            size_t row = (size_t)y * seek->width;
            int32_t end = first + TOGETHER < seek->width ? first + TOGETHER : seek->width;
            if (!any_moves(changed + row + first, seek->rule->moves, end - first))
                continue;
            for (int32_t x = first; x < end; x++) {
                if (changed[row + x] < seek->rule->moves)
                    continue;
                float fall = fall_of(seek, row + x);
                *(fall > 0 ? seek->falls + block_of(seek, y, x) : seek->rises + block_of(seek, y, x)) += fall > 0 ? fall : -fall;
                any |= fall >= seek->rule->least_fall;
                seek->out[row + x] = fall >= seek->rule->least_fall;
            }
        }
    return any;
}

static float light_at(const Seek *seek, int32_t y, int32_t x)
{
    y = y < 0 ? 0 : y < seek->height ? y : seek->height - 1;
    x = x < 0 ? 0 : x < seek->width ? x : seek->width - 1;
    return largest_of(seek->before + 3 * ((size_t)y * seek->width + x));
}

/* Whether its surroundings were no lighter than `than` on two sides that lie opposite. */
static int stood_out(const Seek *seek, int32_t y, int32_t x, float than)
{
    int32_t far = seek->rule->beside;
    const int32_t sides[4][2] = {{0, far}, {far, 0}, {far, far}, {far, -far}};
    for (int s = 0; s < 4; s++)
        if (light_at(seek, y + sides[s][0], x + sides[s][1]) <= than && light_at(seek, y - sides[s][0], x - sides[s][1]) <= than)
            return 1;
    return 0;
}

static int nothing_rises_about(const Seek *seek, int32_t y, int32_t x)
{
    float rises = 0, falls = 0;
    int32_t reach = seek->rule->blocks, middle = block_of(seek, y, x);
    for (int32_t down = -reach; down <= reach; down++)
        for (int32_t block = middle + down * seek->across - reach; block <= middle + down * seek->across + reach; block++)
            rises += seek->rises[block], falls += seek->falls[block];
    return rises <= seek->rule->most_rises * falls;
}

/* No change about a light that went out, as far as it is darker. */
static void unchange(const Seek *seek, int32_t y, int32_t x, float *changed)
{
    int32_t apart = seek->rule->apart, last = x + apart < seek->width ? x + apart : seek->width - 1;
    for (int32_t row = y > apart ? y - apart : 0; row <= y + apart && row < seek->height; row++)
        for (int32_t column = x > apart ? x - apart : 0; column <= last; column++) {
            size_t cell = (size_t)row * seek->width + column;
            if (fall_of(seek, cell) > 0)
                changed[cell] = 0;
        }
}

/* `without_lights_out` of fusion/motion/blinking.py, in place; grids: height x width x 3. 0, or 1 if out of memory. */
int without_lights_out(const Lights *rule, const float *grid, const float *before, int32_t height, int32_t width, float *changed)
{
    int32_t down = (height + rule->block - 1) / rule->block + 2 * rule->blocks;
    int32_t across = (width + rule->block - 1) / rule->block + 2 * rule->blocks;
    size_t blocks = (size_t)down * across, cells = (size_t)height * width;
    float *room = calloc(2 * blocks * sizeof *room + cells, 1);
    if (!room)
        return 1;
    Seek seek = {rule, grid, before, height, width, across, room, room + blocks, (uint8_t *)(room + 2 * blocks)};
    int any = sum_blocks(&seek, changed);
    for (size_t cell = 0; any && cell < cells; cell++) {
        int32_t y = (int32_t)(cell / width), x = (int32_t)(cell % width);
        if (seek.out[cell])
            seek.out[cell] = stood_out(&seek, y, x, largest_of(before + 3 * cell) - rule->alone * fall_of(&seek, cell)) &&
                             nothing_rises_about(&seek, y, x);
    }
    for (size_t cell = 0; any && cell < cells; cell++)
        if (seek.out[cell])
            unchange(&seek, (int32_t)(cell / width), (int32_t)(cell % width), changed);
    free(room);
    return 0;
}
