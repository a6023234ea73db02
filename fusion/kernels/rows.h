/* What the loops over rows have in common: pictures in memory, and places between the pixels of small pictures. */
#ifndef LIVEMEF_ROWS_H
#define LIVEMEF_ROWS_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK 128 /* pixels done together: they stay in the first-level cache */

#define VECTORISED /* a loop that the compiler turns into vector instructions; each flavour of the library into its own */

typedef struct {
    const void *pixels;
    ptrdiff_t stride;
    int32_t height, width, bytes_per_sample;
} Picture;

static inline const void *row_of(const Picture *picture, int32_t row)
{
    return (const char *)picture->pixels + row * picture->stride;
}

/* Where a pixel's centre lies between the centres of small pixels: the first of the two, and how far along. */
static inline int32_t between(int32_t index, int32_t size, int32_t small, float *along)
{
    double position = (index + 0.5) * ((double)small / size) - 0.5;
    position = position < 0 ? 0 : position > small - 1 ? small - 1 : position;
    int32_t last = small > 1 ? small - 2 : 0;
    int32_t first = (int32_t)position < last ? (int32_t)position : last;
    *along = (float)(position - first);
    return first;
}

/* The same for every pixel of a row: how far along, once for each of its `samples`, and the first pixel that lies right of
 * each small pixel's centre, and the end, small + 1 in all. */
static inline void lay_out(int32_t size, int32_t small, int32_t samples, float *along, int32_t *starts)
{
    int32_t reached = -1;
    for (int32_t x = 0; x < size; x++) {
        float part;
        int32_t left = between(x, size, small, &part);
        while (reached < left)
            starts[++reached] = x;
        for (int32_t s = 0; s < samples; s++)
            along[samples * x + s] = part;
    }
    while (reached < small)
        starts[++reached] = size;
}

#endif
