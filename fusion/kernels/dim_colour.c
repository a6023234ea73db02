/* Colours where a darker reference is dim, from the other exposure nearby (fusion/motion/dim_colour.py). No state. */
#include "grids.h"
#include "rows.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TOGETHER 16  /* pixels */
#define LEAST_ROWS 4 /* that are worth another thread */

/* Luma, and blue and red less luma, over luma. */
typedef struct {
    float *luma, *blue, *red;
} Colours;

VECTORISED static void colours_of_row(const Tinting *tinting, const float *restrict cells, int32_t count, float *restrict luma,
                                      float *restrict blue, float *restrict red)
{
    float first = tinting->luma[0], second = tinting->luma[1], third = tinting->luma[2], least = tinting->least_luma;
    for (int32_t i = 0; i < count; i++) {
        float grey = first * cells[3 * i] + second * cells[3 * i + 1] + third * cells[3 * i + 2];
        float over = 1 / (grey > least ? grey : least);
        luma[i] = grey;
        blue[i] = (cells[3 * i] - grey) * over;
        red[i] = (cells[3 * i + 2] - grey) * over;
    }
}

/* Some pixels of a row, and sums over what was seen about them. */
typedef struct {
    float luma[TOGETHER], blue[TOGETHER], red[TOGETHER], wide[TOGETHER];
    float weights[TOGETHER], sum_blue[TOGETHER], sum_red[TOGETHER];
} Pixels;

VECTORISED static void add_seen(Pixels *restrict pixels, const float *restrict luma, const float *restrict blue,
                                const float *restrict red, float colour)
{
    for (int32_t i = 0; i < TOGETHER; i++) {
        float lighter = luma[i] - pixels->luma[i];
        float bluer = (blue[i] - pixels->blue[i]) * pixels->luma[i], redder = (red[i] - pixels->red[i]) * pixels->luma[i];
        float astray = (bluer * bluer + redder * redder) * colour;
        float weight = 1 / ((1 + lighter * lighter * pixels->wide[i]) * (1 + astray));
        weight *= weight;
        pixels->sum_blue[i] += weight * blue[i];
        pixels->sum_red[i] += weight * red[i];
        pixels->weights[i] += weight;
    }
}

typedef struct {
    const Tinting *tinting;
    const float *reference;
    const uint8_t *needed;
    Colours seen; /* of the other exposure; rows of `pitch`, which go on to both sides as they end */
    int32_t height, width, pitch;
    float *out;
    _Atomic int failed; /* out of memory */
} Job;

/* Replaces the colours of TOGETHER pixels from column x on by those seen about them. */
static void look_around(const Job *job, int32_t x, int32_t y, Colours own)
{
    const Tinting *tinting = job->tinting;
    Pixels pixels;
    for (int32_t i = 0; i < TOGETHER; i++) {
        float apart = 1 / (tinting->light_part * own.luma[x + i] + tinting->light_least);
        pixels.luma[i] = own.luma[x + i];
        pixels.blue[i] = own.blue[x + i];
        pixels.red[i] = own.red[x + i];
        pixels.wide[i] = apart * apart;
        pixels.weights[i] = tinting->grey;
        pixels.sum_blue[i] = pixels.sum_red[i] = 0;
    }
    for (int32_t down = -tinting->reach; down <= tinting->reach; down += tinting->stride) {
        int32_t row = y + down < 0 ? 0 : y + down < job->height ? y + down : job->height - 1;
        for (int32_t across = 0; across <= 2 * tinting->reach; across += tinting->stride) {
            size_t place = (size_t)row * job->pitch + x + across;
            add_seen(&pixels, job->seen.luma + place, job->seen.blue + place, job->seen.red + place, tinting->colour);
        }
    }
    const uint8_t *needed = job->needed + (size_t)y * job->width;
    for (int32_t i = 0; i < TOGETHER && x + i < job->width; i++)
        if (needed[x + i]) {
            own.blue[x + i] = pixels.sum_blue[i] / pixels.weights[i];
            own.red[x + i] = pixels.sum_red[i] / pixels.weights[i];
        }
}

static void tint_rows(void *argument, int32_t top, int32_t bottom)
{
    Job *job = argument;
    const Tinting *tinting = job->tinting;
    int32_t width = job->width, padded = width + TOGETHER;
    size_t knots = (size_t)tinting->knots + 1;
    float *room = calloc(6 * (size_t)padded, sizeof *room), *made = room;
    Colours own = {room + 3 * padded, room + 4 * padded, room + 5 * padded};
    if (!room) {
        job->failed = 1;
        return;
    }
    for (int32_t y = top; y < bottom; y++) {
        const float *cells = job->reference + 3 * (size_t)y * width;
        const uint8_t *needed = job->needed + (size_t)y * width;
        float *out = job->out + 3 * (size_t)y * width;
        for (int32_t i = 0; i < 3 * width; i++)
            made[i] = tinting->curves[(size_t)(i % 3) * knots + (size_t)(int32_t)(cells[i] * (float)tinting->knots + 0.5f)];
        colours_of_row(tinting, made, width, own.luma, own.blue, own.red);
        for (int32_t x = 0; x < width; x += TOGETHER)
            if (memchr(needed + x, 1, (size_t)(width - x < TOGETHER ? width - x : TOGETHER)))
                look_around(job, x, y, own);
        for (int32_t x = 0; x < width; x++) {
            float luma = own.luma[x];
            out[3 * x] = luma * (1 + own.blue[x]);
            out[3 * x + 1] = luma * (1 - (tinting->luma[0] * own.blue[x] + tinting->luma[2] * own.red[x]) / tinting->luma[1]);
            out[3 * x + 2] = luma * (1 + own.red[x]);
        }
    }
    free(room);
}

/* 1 where a pixel of a row or one beside it has a share. */
VECTORISED static void mark_beside(const float *restrict mask, int32_t width, uint8_t *restrict marks)
{
    for (int32_t x = 0; x < width; x++)
        marks[x] = mask[x] > 0;
    for (int32_t x = width - 1; x > 0; x--)
        marks[x] |= mask[x - 1] > 0;
    for (int32_t x = 0; x + 1 < width; x++)
        marks[x] |= mask[x + 1] > 0;
}

/* Whether any of the marks of three rows lies where the reference is dim: those are needed. */
VECTORISED static int needed_of_row(const float *restrict reference, float clear, const uint8_t *restrict above, const uint8_t *restrict here,
                                    const uint8_t *restrict below, int32_t width, uint8_t *restrict needed)
{
    int any = 0;
    for (int32_t x = 0; x < width; x++) {
        int dim = (reference[3 * x] < clear) & (reference[3 * x + 1] < clear) & (reference[3 * x + 2] < clear);
        needed[x] = (uint8_t)((above[x] | here[x] | below[x]) & dim);
        any |= needed[x];
    }
    return any;
}

/* Writes 1 where a pixel or one beside it has a share in the mask (height x width) and the reference is dim; returns whether any.
 * marks: room for as many. */
static int find_needed(const float *mask, const float *reference, float clear, int32_t height, int32_t width, uint8_t *marks,
                       uint8_t *needed)
{
    int any = 0;
    size_t row = (size_t)width;
    for (int32_t y = 0; y < height; y++)
        mark_beside(mask + row * y, width, marks + row * y);
    for (int32_t y = 0; y < height; y++) {
        const uint8_t *here = marks + row * y, *above = y > 0 ? here - row : here, *below = y + 1 < height ? here + row : here;
        any |= needed_of_row(reference + 3 * row * y, clear, above, here, below, width, needed + row * y);
    }
    return any;
}

/* A row of `width` values goes on to both sides as it ends. */
static void go_on(float *row, int32_t width, int32_t reach)
{
    for (int32_t i = 0; i < reach; i++)
        row[i] = row[reach];
    for (int32_t i = reach + width; i < 2 * reach + width + TOGETHER; i++)
        row[i] = row[reach + width - 1];
}

/* `tints` of fusion/motion/dim_colour.py; small pictures and `out`: height x width x 3, mask: height x width. 1, or 0 if not needed
 * (nothing is written), or -1 if out of memory. */
int tints(Pool *pool, const Tinting *tinting, const float *reference, const float *there, const float *mask, int32_t height, int32_t width,
          float *out)
{
    int32_t reach = tinting->reach, pitch = width + 2 * reach + TOGETHER;
    size_t plane = (size_t)height * pitch, cells = (size_t)height * width;
    float *room = malloc(3 * plane * sizeof *room + 2 * cells);
    if (!room)
        return -1;
    uint8_t *needed = (uint8_t *)(room + 3 * plane);
    int any = find_needed(mask, reference, tinting->clear, height, width, needed + cells, needed), failed = 0;
    if (any) {
        Job job = {tinting, reference, needed, {room, room + plane, room + 2 * plane}, height, width, pitch, out, 0};
        for (int32_t y = 0; y < height; y++) {
            float *luma = room + (size_t)y * pitch, *blue = luma + plane, *red = blue + plane;
            colours_of_row(tinting, there + 3 * (size_t)y * width, width, luma + reach, blue + reach, red + reach);
            go_on(luma, width, reach);
            go_on(blue, width, reach);
            go_on(red, width, reach);
        }
        pool_run(pool, tint_rows, &job, height, LEAST_ROWS);
        failed = job.failed;
    }
    free(room);
    return failed ? -1 : any;
}
