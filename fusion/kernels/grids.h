/* The loops over the cells of motion grids that stream.c puts together, and what they are given. Planes and pictures lie row by row;
 * those that return int give 0, or 1 if out of memory. */
#ifndef LIVEMEF_GRIDS_H
#define LIVEMEF_GRIDS_H

#include "pool.h"

#include <stdint.h>

/* ---- registration.c ---- */

/* A picture (height x width x channels, `stride` numbers from row to row), and where its cell (x, y) has gone:
 * x + across[0] y + across[1], y + down[0] x + down[1]. */
typedef struct {
    const float *cells;
    int32_t height, width, channels, stride;
    double across[2], down[2];
} Moved;

/* See the constants of fusion/motion/registration.py. */
typedef struct {
    float ceiling, tolerance; /* tolerance: 1 / difference^2 at which a cell's weight is one half */
    double enough, gain, least_seen, regular, tells;
    int32_t steps, smallest_side, blocks, helped, helped_of;
} Search;

int moved_cells(Pool *pool, const Moved *picture, int32_t pictures, float *out);
void comparable_luma(const float *cells, const float *luma, const float *curve, int32_t knots, float ceiling, int32_t count,
                     float *out);
int find_move(Pool *pool, const Search *search, const float *reference, const float *other, int32_t height, int32_t width, double *move);

/* ---- ghost_mask.c, masks.c, blinking.c ---- */

typedef struct {
    const float (*levels)[2]; /* 3 x knots + 1, a channel after the other: for each of the darker exposure's values the
                               * brighter one's, and their difference's variance */
    int32_t knots;
    float contrast_part, sure, certain;
    float clips_start, clips_scale, spoilt; /* beside a channel that clips in both, the others may differ by so much more */
} Allowed;

typedef struct {
    const float *variance; /* levels: of the difference of two frames, by the larger value */
    int32_t levels;
    float contrast_part, sure, certain;
} Noise;

void disagreement(Pool *pool, const Allowed *allowed, const float *under, const float *over, const float *gate, int32_t height,
                  int32_t width, float *out);
void changes(Pool *pool, const Noise *noise, const float *grid, const float *before, int32_t height, int32_t width, float *out);
int count_levels(Pool *pool, const float *grid, int32_t cells, int32_t knots, const float *mask, float least, double *out);
void median_levels(Pool *pool, const float *grid, const float *table, int32_t knots, int32_t cells, const float *mask, float *out);
void green_differences(Pool *pool, const float *under, const float *over, const float *curve, int32_t knots, int32_t cells,
                       const float *mask, float *out);
int find_regions(const float *mask, const float *const *planes, int32_t n, int32_t height, int32_t width, int32_t apart, float belongs,
                 int32_t *numbers, float *means);
void of_regions(const int32_t *numbers, const float *values, int32_t count, float *out);
int wider_mask(Pool *pool, const float *const *masks, int32_t count, int32_t height, int32_t width, int32_t wider, float *out);

/* Cells, see the constants of fusion/motion/ghost_mask.py. */
typedef struct {
    int32_t gap, wide_gap, inside, wider;
} Softening;

int soft_mask(Pool *pool, const Softening *rule, const float *disagreement, const float *gate, int32_t height, int32_t width, float *out);
float follow_blinking(const float *before, const float *changed, const float *seen_by_other, int32_t count, float noted, float keep,
                      float *out);
/* See the constants of fusion/motion/blinking.py. */
typedef struct {
    float moves, least_fall, alone, most_rises, most_seen;
    int32_t beside, block, blocks, apart;
} Lights;

int without_lights_out(const Lights *rule, const float *grid, const float *before, int32_t height, int32_t width, float *changed);
int seen_by_other(Pool *pool, const Lights *rule, const float *changed, const float *other, int32_t height, int32_t width, float *out);
void without_blinking(const float *changed, const float *blinks, int32_t count, float *out);

/* ---- evidence.c, small.c ---- */

/* See the constants of fusion/motion/ghost_mask.py. Curves are of three channels, one after the other, knots + 1 each. */
typedef struct {
    const double *brighter, *least; /* the maps, and the least variance */
    double *expected, *noise;       /* the result: expected value and variance of the brighter grid */
    const float *changed;           /* a cell: how surely it has changed, or NULL */
    _Atomic int32_t failed;         /* out of memory */
    int32_t knots, levels, step, fewest_still;
    double code, spread_of_mad, still_below;
} Measure;

int median_differences(Pool *pool, const float *grid, const float *old, int32_t height, int32_t width, int32_t step, int32_t levels,
                       int32_t fewest, float *out);
void code_tables(const double *curves, int32_t knots, int32_t codes, float *out);
int smooth_slopes(const double *curves, int32_t knots, int32_t near, float *out);
int allowed_by_channel(Pool *pool, Measure *measure, const float *under, const float *over, int32_t height, int32_t width);
int mean_cells(Pool *pool, const float *cells, int32_t height, int32_t width, int32_t channels, int32_t down, int32_t across, float *out);

/* ---- windows.c, dim_colour.c ---- */

/* See `behind_clipping` of fusion/motion/saturation_fill.py: pictures of height x width, of `cells` x `cells` of the mask each, and
 * a fill of 1 / across as many columns, 1 / down as many rows. */
typedef struct {
    const float *reference, *other, *mask;
    int32_t height, width, cells, down, across;
    float clip_start, farther;
} Clipping;

/* See fusion/motion/dim_colour.py. */
typedef struct {
    const float *curves; /* 3 x knots + 1, a channel after the other: the other exposure's values for the reference's */
    int32_t knots, reach, stride;
    float luma[3], clear, light_part, light_least, colour, grey, least_luma;
} Tinting;

int behind_clipping(const Clipping *job, float *out);
int tints(Pool *pool, const Tinting *tinting, const float *reference, const float *there, const float *mask, int32_t height, int32_t width,
          float *out);

#endif
