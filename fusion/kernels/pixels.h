/* The method's arithmetic for one pixel, in single precision, for CPU loops and GPU kernels alike.
 *
 * Every number comes in through `Constants`, which fusion/pixels.py fills from fusion/colour.py and fusion/chroma_map.py.
 * Nothing here branches, so that a compiler can turn a loop over pixels into vector instructions. Tristimulus values are
 * over the white's; "f" is CIELAB's compressed value: L* = 116 fy - 16, a* = 500 (fx - fy), b* = 200 (fy - fz).
 */
#ifndef LIVEMEF_PIXELS_H
#define LIVEMEF_PIXELS_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define PIXEL_FN static __device__ __forceinline__
#else
#define PIXEL_FN static inline __attribute__((always_inline))
#endif

typedef struct {
    float start, scale; /* 0 below start, 1 above start + 1 / scale */
} Ramp;

typedef struct {
    float xyz_from_bgr[9];           /* rows X, Y, Z; columns B, G, R */
    float bgr_from_xyz[9];           /* rows B, G, R; columns X, Y, Z */
    float cube_knee, line_slope, line_offset; /* f = cube root above cube_knee, else line_slope t + line_offset */
    float f_knee, inverse_slope;     /* t = f^3 above f_knee, else inverse_slope (f - line_offset) */
    float black_f;                   /* f of L* = 0 */
    Ramp dark, clip;                 /* reliability: over fy, over the largest linear channel */
    float unreliable, chroma_offset;
    Ramp tie;                        /* `select`: over the under-exposed picture's weight */
    float follow;
} Constants;

/* Colour of one exposure's pixel. */
typedef struct {
    float fy, a, b; /* a = fx - fy, b = fy - fz */
} Tone;

PIXEL_FN float smaller(float a, float b) { return a < b ? a : b; }
PIXEL_FN float larger(float a, float b) { return a > b ? a : b; }
PIXEL_FN float within(float value, float low, float high) { return smaller(larger(value, low), high); }

PIXEL_FN float smoothstep(Ramp ramp, float value)
{
    float t = within((value - ramp.start) * ramp.scale, 0.0f, 1.0f);
    return t * t * (3.0f - 2.0f * t);
}

/* Cube root of a normal positive number to about one unit in the last place, without a division: an estimate r of
 * x^(-1/3) from the exponent bits (3 % off), one third-order step (2e-4), then x r^2 and the series of its error. */
PIXEL_FN float cube_root(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = 0x54A22000 - (int32_t)((float)bits * (1.0f / 3.0f));
    float r;
    memcpy(&r, &bits, sizeof r);
    float c = x * r * r * r;
    r *= 14.0f / 9.0f + c * (2.0f / 9.0f * c - 7.0f / 9.0f);
    float y = x * r * r;
    float error = 1.0f - y * r;
    return y + y * (error * (2.0f / 3.0f + 5.0f / 9.0f * error));
}

/* Below the knee the root is held at the knee and the line is lower; above it the line, a tangent of the root, is higher. */
PIXEL_FN float lab_f(const Constants *k, float ratio)
{
    return smaller(cube_root(larger(ratio, k->cube_knee)), k->line_slope * ratio + k->line_offset);
}

PIXEL_FN float lab_f_inverse(const Constants *k, float f)
{
    float line = k->inverse_slope * (f - k->line_offset);
    return f > k->f_knee ? f * f * f : line;
}

PIXEL_FN float dot3(const float *row, float x, float y, float z) { return row[0] * x + row[1] * y + row[2] * z; }

PIXEL_FN float lightness_f(const Constants *k, float blue, float green, float red)
{
    return lab_f(k, dot3(k->xyz_from_bgr + 3, blue, green, red));
}

/* How far the pixel's colour can be believed. */
PIXEL_FN float trust_of(const Constants *k, float fy, float blue, float green, float red)
{
    float largest = larger(larger(blue, green), red);
    float trusted = smoothstep(k->dark, fy) * (1.0f - smoothstep(k->clip, largest));
    return k->unreliable + (1.0f - k->unreliable) * trusted;
}

PIXEL_FN Tone tone_of(const Constants *k, float fy, float blue, float green, float red)
{
    Tone tone;
    tone.fy = fy;
    tone.a = lab_f(k, dot3(k->xyz_from_bgr, blue, green, red)) - fy;
    tone.b = fy - lab_f(k, dot3(k->xyz_from_bgr + 6, blue, green, red));
    return tone;
}

/* The under-exposed picture's weight, 0..1, from regional chroma scales and the pixels' trusts. */
PIXEL_FN float under_weight(const Constants *k, float chroma_under, float chroma_over, float trust_under, float trust_over)
{
    float under = (chroma_under + k->chroma_offset) * trust_under;
    float over = (chroma_over + k->chroma_offset) * trust_over;
    return under / (under + over);
}

/* Linear B, G, R of the fused pixel, within the gamut. fy: the fused lightness; share: the under-exposed picture's. A share of
 * exactly 0 or 1 leaves the other exposure's a and b without any influence, whatever they are. */
PIXEL_FN void colour_of(const Constants *k, Tone under, Tone over, float fy, float share, float *bgr)
{
    float rest = 1.0f - share;
    float gain = 1.0f + k->follow * (fy / (share * under.fy + rest * over.fy) - 1.0f);
    float a = gain * (share * under.a + rest * over.a);
    float b = gain * (share * under.b + rest * over.b);
    float x = lab_f_inverse(k, fy + a);
    float y = within(lab_f_inverse(k, fy), 0.0f, 1.0f);
    float z = lab_f_inverse(k, fy - b);
    float blue = dot3(k->bgr_from_xyz, x, y, z);
    float green = dot3(k->bgr_from_xyz + 3, x, y, z);
    float red = dot3(k->bgr_from_xyz + 6, x, y, z);
    float highest = larger(larger(larger(blue, green), red), 1.0f);
    float lowest = smaller(smaller(smaller(blue, green), red), 0.0f);
    float tiny = 1e-30f;
    float keep = smaller((1.0f - y) / larger(highest - y, tiny), y / larger(y - lowest, tiny));
    bgr[0] = within(y + keep * (blue - y), 0.0f, 1.0f);
    bgr[1] = within(y + keep * (green - y), 0.0f, 1.0f);
    bgr[2] = within(y + keep * (red - y), 0.0f, 1.0f);
}

#endif
