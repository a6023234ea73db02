/* What the passes over the pixels are given: pixels.c and tone.c. */
#ifndef LIVEMEF_JOB_H
#define LIVEMEF_JOB_H

#include "motion.h"

/* Planes interpolated for each pixel, of n exposures: A of each and C of the lightness, the parts of the chroma of all but the
 * brightest, and for the colour transfer `tone` the drift of B, G, R of as many. `tone` compares the chroma of two exposures alone. */
#define PARTS(n) ((n) + 1)
#define DRIFTS(n) ((n) == 2 ? 4 : (n) + 1)
#define STEERING(n) (DRIFTS(n) + 3 * ((n) - 1))

/* An exposure, and what makes it one of the reference's moment; NULL: it is taken as it is. */
typedef struct {
    Picture picture;
    const Compensation *motion;
} Input;

typedef struct {
    const Input *inputs; /* dark to bright, each compensated by its neighbour towards `reference` */
    int32_t count, reference;
    void *out;
    ptrdiff_t out_stride;
    const float *steering; /* small_height x planes x small_width; the coefficients map fy to fy */
    int32_t small_height, small_width;
    const float *lightness; /* height x width fused L*, 0..100, or NULL: then from the coefficients */
    int32_t select, transfer, planes;
} Job;

#endif
