/* The pass over the pixels for what live use has: two exposures, 8 bits, colour transfer `tone`. The same formulas as fuse_rows in
 * pixels.c, which does all the rest; for vectors of AVX-512, AVX2 or NEON, from the codes to the codes in the first-level cache.
 *
 * A tile is TILE columns by the rows that lie between two rows of small pixels; the planes that steer it are widened once. Each of
 * its rows goes through a few short loops: in one long loop a vector's chain of operations would leave the processor nothing to do
 * beside it. No result depends on how rows are cut into calls.
 */
#include "lanes.h"
#include "motion.h"
#include "pixels.h"

#include <stdlib.h>

#define STEERING 7 /* A, B, C of the lightness; the darker exposure's part of the chroma; the drift of B, G, R */

/* Numbers from fusion/cpu/compiled_tone.py. */
int32_t tone_lanes(void) { return LANES; }

#if LANES

int32_t tone_pieces(void) { return PIECES; }
int32_t tone_degree(void) { return DEGREE; }
int32_t tone_piece_shift(void) { return PIECE_SHIFT; }

#define TILE 128
#define ALIGNED _Alignas(64) /* a vector that lies across two cache lines costs a third more */
#define ROOM (TILE + LANES)  /* floats of a plane of a tile's steering: whole vectors are written */

typedef struct {
    float start, scale; /* where a luma lies in f_of_luma: start + scale luma */
    Piecewise f_of_luma, luma_of_f;
} Curves;

typedef struct {
    Picture under, over;
    const Compensation *under_motion, *over_motion; /* NULL: taken as it is */
    void *out;
    ptrdiff_t out_stride;
    const float *steering; /* small_height x STEERING x small_width; A, B, C map f to f */
    int32_t small_height, small_width;
} ToneJob;

/* ---- a row of a tile ---- */

typedef struct {
    float bgr[3][TILE], luma[TILE], f[TILE], trust[TILE];
} Tones;

/* What the channels have in common: see step_of in pixels.h. */
typedef struct {
    float luma[TILE], dark[TILE], dark_over[TILE], drift_over[TILE], dark_under[TILE], bright[TILE], bright_over[TILE], bright_under[TILE];
} Mix;

LANES_FN F held(F x, float low, float high) { return least(most(x, every(low)), every(high)); }

/* Constant, and factor of x: the ramp's place, not limited. */
LANES_FN F place(Ramp ramp, F x) { return x * ramp.scale - ramp.start * ramp.scale; }

LANES_FN F luma_of(const Constants *k, F blue, F green, F red)
{
    const float *weights = k->xyz_from_bgr + 3;
    return weights[0] * blue + (weights[1] * green + weights[2] * red);
}

LANES_FN void tones(const Constants *k, const Curves *curves, int32_t count, Tones *restrict t)
{
    for (int32_t i = 0; i < count; i += LANES) {
        F blue = load(t->bgr[0] + i), green = load(t->bgr[1] + i), red = load(t->bgr[2] + i), luma = luma_of(k, blue, green, red);
        F f = piecewise(&curves->f_of_luma, luma * curves->scale + curves->start), largest = most(most(blue, green), red);
        store(t->luma + i, luma);
        store(t->f + i, f);
        store(t->trust + i, held(place(k->dark, f), k->dark_floor, 1) * (1.0f - k->clip_loss * held(place(k->code_clip, largest), 0, 1)));
    }
}

LANES_FN F steered(const float *wide, int plane, float down, int32_t i)
{
    return load(wide + plane * ROOM + i) + down * load(wide + (STEERING + plane) * ROOM + i);
}

/* The fused luma, each exposure's weight and step. */
LANES_FN void mix(const Constants *k, const Curves *curves, int32_t count, const Tones *restrict u, const Tones *restrict o,
                  const float *restrict wide, float down, Mix *restrict m)
{
    float top = k->shoulder;
    for (int32_t i = 0; i < count; i += LANES) {
        F fu = load(u->f + i), fo = load(o->f + i), lu = load(u->luma + i), lo = load(o->luma + i);
        F f = held(steered(wide, 0, down, i) * fu + (steered(wide, 1, down, i) * fo + steered(wide, 2, down, i)), k->black_f, 1);
        F largest = most(most(load(o->bgr[0] + i), load(o->bgr[1] + i)), load(o->bgr[2] + i));
        F least_part = k->colour_floor * (1.0f - lo * reciprocal(most(largest, every(k->least_code))));
        f = most(f, least_part * (fo - k->black_f) + k->black_f);
        F t = held((f - fu) * reciprocal(most(fo - fu, every(k->least_step))), 0, 1);
        F part = steered(wide, 3, down, i), dark = load(u->trust + i) * part * most(1.0f - t, every(k->near_floor));
        F bright = load(o->trust + i) * (1.0f - part) * most(t, every(k->near_floor));
        F luma = piecewise(&curves->luma_of_f, f), end = held(luma, k->luma_low, k->luma_high), rest = top - end;
        F least_luma = least(every(k->least_luma), end);
        F start_u = most(held(lu, k->luma_low, k->luma_high), least_luma), start_o = most(held(lo, k->luma_low, k->luma_high), least_luma);
        F over = end * (top - start_u);
        store(m->luma + i, luma);
        store(m->dark + i, dark);
        store(m->dark_over + i, over - over * t);
        store(m->drift_over + i, over * t);
        store(m->dark_under + i, start_u * rest);
        store(m->bright + i, bright);
        store(m->bright_over + i, end * (top - start_o));
        store(m->bright_under + i, start_o * rest);
    }
}

/* See tone_of_pixel in pixels.h: one division for all channels. The result is in codes, not yet held within 0..255. */
LANES_FN void colours(const Constants *k, int32_t count, const Tones *restrict u, const Tones *restrict o, const Mix *restrict m,
                      const float *restrict wide, float down, float (*restrict out)[TILE])
{
    float top = k->shoulder;
    for (int32_t i = 0; i < count; i += LANES) {
        F dark = load(m->dark + i), dark_over = load(m->dark_over + i), drift_over = load(m->drift_over + i), dark_under = load(m->dark_under + i);
        F bright = load(m->bright + i), bright_over = load(m->bright_over + i), bright_under = load(m->bright_under + i);
        F below_start = top * dark_under, above_start = top * bright_under, above_step = bright_over - bright_under;
        F weight = bright * bright_over, sums[3], both[3];
        for (int c = 0; c < 3; c++) {
            F factor = dark_over + drift_over * steered(wide, 4 + c, down, i), cu = load(u->bgr[c] + i), co = load(o->bgr[c] + i);
            F below = below_start + (factor - dark_under) * cu, above = above_start + above_step * co;
            sums[c] = (dark * factor) * (cu * above) + weight * (co * below);
            both[c] = below * above;
        }
        F first = both[0] * both[1], one = (255.0f * top) * reciprocal((dark + bright) * (first * both[2])), third = one * both[2];
        F blue = sums[0] * (third * both[1]), green = sums[1] * (third * both[0]), red = sums[2] * (one * first);
        F missing = 255.0f * load(m->luma + i) - luma_of(k, blue, green, red);
        store(out[0] + i, blue + missing);
        store(out[1] + i, green + missing);
        store(out[2] + i, red + missing);
    }
}

static __attribute__((noinline)) void tile_row(const Constants *constants, const Curves *curves, const uint8_t *under, const uint8_t *over,
                                               const float *wide, float down, int32_t count, uint8_t *out)
{
    ALIGNED Tones u;
    ALIGNED Tones o;
    ALIGNED Mix m;
    ALIGNED float fused[3][TILE];
    for (int32_t i = 0; i < count; i += GROUP) {
        read_group(under + 3 * i, u.bgr[0] + i, TILE);
        read_group(over + 3 * i, o.bgr[0] + i, TILE);
    }
    tones(constants, curves, count, &u);
    tones(constants, curves, count, &o);
    mix(constants, curves, count, &u, &o, wide, down, &m);
    colours(constants, count, &u, &o, &m, wide, down, fused);
    for (int32_t i = 0; i < count; i += GROUP)
        write_group(fused[0] + i, TILE, out + 3 * i);
}

/* `count` pixels that are no whole number of groups: the last group is done in room of its own. */
static void tile_row_of_any_width(const Constants *constants, const Curves *curves, const uint8_t *under, const uint8_t *over, const float *wide,
                                  float down, int32_t count, uint8_t *out)
{
    int32_t whole = count / GROUP * GROUP, rest = count - whole;
    uint8_t room[3][3 * GROUP] = {{0}};
    size_t bytes = 3 * (size_t)rest;
    if (rest) { /* read before anything is written: `out` may be one of the exposures */
        memcpy(room[0], under + 3 * whole, bytes);
        memcpy(room[1], over + 3 * whole, bytes);
    }
    if (whole)
        tile_row(constants, curves, under, over, wide, down, whole, out);
    if (rest) {
        tile_row(constants, curves, room[0], room[1], wide + whole, down, GROUP, room[2]);
        memcpy(out + 3 * whole, room[2], bytes);
    }
}

/* ---- tiles ---- */

typedef struct {
    float *along;    /* of each column, how far it is on the way from one small column to the next */
    int32_t *starts; /* see lay_out */
} Columns;

/* Columns x..x+count between the small rows `first` and the next: planes above, then the steps to those below. */
static void widen(const ToneJob *job, const Columns *columns, int32_t first, int32_t x, int32_t count, float *wide)
{
    int32_t small = job->small_width, second = first + 1 < job->small_height ? first + 1 : first;
    const float *above = job->steering + (size_t)first * STEERING * small, *below = job->steering + (size_t)second * STEERING * small;
    float along;
    int32_t left = between(x, job->under.width, small, &along);
    for (; left < small && columns->starts[left] < x + count; left++) {
        int32_t right = left + 1 < small ? left + 1 : left, from = columns->starts[left] > x ? columns->starts[left] : x;
        int32_t to = columns->starts[left + 1] < x + count ? columns->starts[left + 1] : x + count;
        for (int p = 0; p < STEERING; p++) {
            float low = above[p * small + left], step = above[p * small + right] - low;
            float low2 = below[p * small + left] - low, step2 = below[p * small + right] - below[p * small + left] - step;
            float *up = wide + p * ROOM - x, *steps = wide + (STEERING + p) * ROOM - x;
            for (int32_t i = from; i < to; i += LANES) { /* the next small column's overwrites what is too much */
                F part = load(columns->along + i);
                store(up + i, low + part * step);
                store(steps + i, low2 + part * step2);
            }
        }
    }
}

/* An exposure, and the rows of a band of it: as they are, or as of the reference's moment, in `room`. */
typedef struct {
    const Picture *picture;
    const Compensation *motion;
    Shares shares;
    uint8_t *room;
    const uint8_t **rows;
} Exposure;

static int start_exposure(const Picture *picture, const Compensation *motion, int32_t most_rows, Exposure *exposure)
{
    size_t bytes = motion ? 3 * (size_t)picture->width : 0;
    Exposure started = {.picture = picture, .motion = motion, .rows = malloc((size_t)most_rows * (sizeof(uint8_t *) + bytes))};
    started.room = (uint8_t *)(started.rows + most_rows);
    int failed = !started.rows || (motion && start_shares(motion, &started.shares));
    if (failed) {
        free(started.rows);
        started.rows = NULL;
    }
    *exposure = started;
    return failed;
}

static void end_exposure(Exposure *exposure)
{
    if (exposure->rows && exposure->motion)
        end_shares(&exposure->shares);
    free(exposure->rows);
}

static void take_rows(Exposure *exposure, int32_t first, int32_t end)
{
    for (int32_t y = first; y < end; y++) {
        if (exposure->motion)
            exposure->shares.row = exposure->room + 3 * (size_t)exposure->picture->width * (size_t)(y - first);
        exposure->rows[y - first] = exposure->motion ? compensated_row(exposure->motion, &exposure->shares, row_of(&exposure->motion->reference, y), y) : row_of(exposure->picture, y);
    }
}

/* A tile's rows lie too far apart for the processor to guess which memory comes next. */
static void fetch(const uint8_t *p, int32_t count)
{
    for (int32_t i = 0; i < 3 * count; i += 64)
        __builtin_prefetch(p + i);
}

static void fuse_band(const Constants *constants, const Curves *curves, const ToneJob *job, const Columns *columns, const Exposure *under,
                      const Exposure *over, int32_t small_row, int32_t top, int32_t bottom)
{
    ALIGNED float wide[2 * STEERING * ROOM];
    int32_t width = job->under.width;
    for (int32_t x = 0; x < width; x += TILE) {
        int32_t count = width - x < TILE ? width - x : TILE;
        widen(job, columns, small_row, x, count, wide);
        for (int32_t y = top; y < bottom; y++) {
            float down;
            between(y, job->under.height, job->small_height, &down);
            int32_t next = y + 1 < bottom ? x : x + TILE < width ? x + TILE : x, row = y + 1 < bottom ? y + 1 - top : 0;
            fetch(under->rows[row] + 3 * next, width - next < TILE ? width - next : TILE);
            fetch(over->rows[row] + 3 * next, width - next < TILE ? width - next : TILE);
            tile_row_of_any_width(constants, curves, under->rows[y - top] + 3 * x, over->rows[y - top] + 3 * x, wide, down, count,
                                  (uint8_t *)job->out + y * job->out_stride + 3 * x);
        }
    }
}

/* Rows at most that are done together where small pixels are large. */
#define BAND 16

/* Fuse rows top..bottom. 0, or 1 if out of memory. `out` may be one of the exposures, if none is compensated. */
int tone_rows(const Constants *constants, const Curves *curves, const ToneJob *job, int32_t top, int32_t bottom)
{
    size_t width = (size_t)job->under.width, small = (size_t)job->small_width;
    Exposure under, over;
    Columns columns = {.along = calloc(width + LANES + small + 1, sizeof(float))};
    if (!columns.along)
        return 1;
    columns.starts = (int32_t *)(columns.along + width + LANES);
    lay_out(job->under.width, job->small_width, 1, columns.along, columns.starts);
    int failed = start_exposure(&job->under, job->under_motion, BAND, &under) | start_exposure(&job->over, job->over_motion, BAND, &over);
    for (int32_t y = top, end; !failed && y < bottom; y = end) {
        float down;
        int32_t first = between(y, job->under.height, job->small_height, &down);
        for (end = y + 1; end < bottom && end < y + BAND && between(end, job->under.height, job->small_height, &down) == first;)
            end++;
        take_rows(&under, y, end);
        take_rows(&over, y, end);
        fuse_band(constants, curves, job, &columns, &under, &over, first, y, end);
    }
    end_exposure(&over);
    end_exposure(&under);
    free(columns.along);
    return failed;
}
#endif
