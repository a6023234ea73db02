/* Lamps that an exposure misses now and then (fusion/motion/blinking.py), for the CPU. No state. */
#include "grids.h"
#include "rows.h"

#include <stddef.h>

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
