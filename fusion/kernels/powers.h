/* Powers of 2, for loops that the compiler vectorises. The logarithm is log_of in pixels.h. */
#ifndef LIVEMEF_POWERS_H
#define LIVEMEF_POWERS_H

#include <stdint.h>
#include <string.h>

/* 2 to the power x (held within -126..126), to about one unit in the last place. */
static inline __attribute__((always_inline)) float exp2_of(float x)
{
    x = x < -126.0f ? -126.0f : x > 126.0f ? 126.0f : x;
    int32_t whole = (int32_t)(x + 126.5f) - 126; /* the nearest */
    float part = x - (float)whole;
    float series = 1.0f + part * (0.693147181f + part * (0.240226507f + part * (0.0555041087f + part * (0.00961812911f
                   + part * (0.00133335581f + part * 0.000154035304f)))));
    int32_t bits;
    memcpy(&bits, &series, sizeof bits);
    bits += whole * (1 << 23);
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
