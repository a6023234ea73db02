/* The method's arithmetic for one pixel, in single precision, for CPU loops and GPU kernels alike.
 *
 * Every number comes in through `Constants`, which fusion/cpu/compiled.py fills from fusion/method/colour.py and fusion/method/chroma_map.py.
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

/* A curve in three parts: a line up to `low`, then polynomials in a place that runs from -1 to 1, up to `high` and beyond.
 * Within 1.2e-4 (0.03 of an 8-bit code), `fine` within 3e-7. */
#define LOW_TERMS 4
#define HIGH_TERMS 6
#define FINE_LOW_TERMS 8
#define FINE_HIGH_TERMS 14

typedef struct {
    float low, high, slope, offset;
    Ramp low_place, high_place; /* not limited */
    float low_terms[LOW_TERMS], high_terms[HIGH_TERMS]; /* lowest power first */
    float fine_low_terms[FINE_LOW_TERMS], fine_high_terms[FINE_HIGH_TERMS];
} Curve;

typedef struct {
    float xyz_from_bgr[9];           /* rows X, Y, Z; columns B, G, R */
    float bgr_from_xyz[9];           /* rows B, G, R; columns X, Y, Z */
    float cube_knee, line_slope, line_offset; /* f = cube root above cube_knee, else line_slope t + line_offset */
    float f_knee, inverse_slope;     /* t = f^3 above f_knee, else inverse_slope (f - line_offset) */
    float black_f;                   /* f of L* = 0 */
    Ramp dark, clip;                 /* reliability: over fy, over the largest linear channel */
    float dark_floor, clip_loss, brightening;
    Ramp tie;                        /* `select`: over the under-exposed picture's weight */
    float shoulder, least_luma, luma_low, luma_high, near_floor, least_step; /* `tone`; least_step in units of f */
    float colour_floor, least_code;  /* `tone`: part of the brightest exposure's L*; encoded */
    Ramp code_clip;                  /* `tone`: reliability, over the largest encoded channel */
    Curve luma_of_f, f_of_luma;      /* of neutral greys */
    Ramp seen_dark, seen_clip;       /* drift: over the darker and the brighter exposure's encoded value */
    float drift_lift, most_drift;
} Constants;

/* Colour of one exposure's pixel. */
typedef struct {
    float fy, a, b; /* a = fx - fy, b = fy - fz */
} Tone;

PIXEL_FN float smaller(float a, float b) { return a < b ? a : b; }
PIXEL_FN float larger(float a, float b) { return a > b ? a : b; }
PIXEL_FN float within(float value, float low, float high) { return smaller(larger(value, low), high); }

PIXEL_FN float along(Ramp ramp, float value)
{
    return within((value - ramp.start) * ramp.scale, 0.0f, 1.0f);
}

PIXEL_FN float smoothstep(Ramp ramp, float value)
{
    float t = along(ramp, value);
    return t * t * (3.0f - 2.0f * t);
}

/* Cube root of a normal positive number, without a division: an estimate r of x^(-1/3) from the exponent bits (3 % off), one
 * third-order step, then x r^2: within 1e-4, a few hundredths of an 8-bit code. `fine` adds the series of its error, for 16
 * bits: about one unit in the last place. */
PIXEL_FN float cube_root(float x, int fine)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = 0x54A22000 - (int32_t)((float)bits * (1.0f / 3.0f));
    float r;
    memcpy(&r, &bits, sizeof r);
    float c = x * r * r * r;
    r *= 14.0f / 9.0f + c * (2.0f / 9.0f * c - 7.0f / 9.0f);
    float y = x * r * r;
    if (!fine)
        return y;
    float error = 1.0f - y * r;
    return y + y * (error * (2.0f / 3.0f + 5.0f / 9.0f * error));
}

/* Below the knee the root is held at the knee and the line is lower; above it the line, a tangent of the root, is higher. */
PIXEL_FN float lab_f(const Constants *k, float ratio, int fine)
{
    return smaller(cube_root(larger(ratio, k->cube_knee), fine), k->line_slope * ratio + k->line_offset);
}

PIXEL_FN float lab_f_inverse(const Constants *k, float f)
{
    float line = k->inverse_slope * (f - k->line_offset);
    return f > k->f_knee ? f * f * f : line;
}

PIXEL_FN float dot3(const float *row, float x, float y, float z) { return row[0] * x + row[1] * y + row[2] * z; }

PIXEL_FN float luminance_of(const Constants *k, float blue, float green, float red)
{
    return dot3(k->xyz_from_bgr + 3, blue, green, red);
}

/* How far the pixel's colour can be believed. */
PIXEL_FN float trust_of(const Constants *k, float fy, float blue, float green, float red)
{
    float largest = larger(larger(blue, green), red);
    return larger(along(k->dark, fy), k->dark_floor) * (1.0f - k->clip_loss * along(k->clip, largest));
}

PIXEL_FN Tone tone_of(const Constants *k, float fy, float blue, float green, float red)
{
    Tone tone;
    tone.fy = fy;
    tone.a = lab_f(k, dot3(k->xyz_from_bgr, blue, green, red), 1) - fy;
    tone.b = fy - lab_f(k, dot3(k->xyz_from_bgr + 6, blue, green, red), 1);
    return tone;
}

/* Factor on the under-exposed picture's trust, for being shown brighter than it is. */
PIXEL_FN float brightened_trust(const Constants *k, float fy, float fy_out)
{
    float ratio = smaller(k->brightening * fy / fy_out, 1.0f);
    ratio *= ratio;
    return ratio * ratio;
}

/* The under-exposed picture's share, 0..1, from its part of the regional chroma and the pixels' trusts. */
PIXEL_FN float under_weight(float part, float trust_under, float trust_over)
{
    float under = part * trust_under;
    return under / (under + (1.0f - part) * trust_over);
}

/* Linear B, G, R of a fused pixel that keeps the chromaticity of its exposures: their light is scaled to the fused luminance
 * `y` and mixed. An exposure darker than the knee (L* 8) is brightened as if it lay there, lest the noise of darkness be scaled
 * up without bound; grey makes up for what is missing then. Channels may lie outside 0..1. */
PIXEL_FN void light_of(const Constants *k, const float *under, float under_y, const float *over, float over_y, float y,
                       float share, float *bgr)
{
    float least = larger(smaller(k->cube_knee, y), 1e-9f);
    under_y = larger(under_y, least);
    over_y = larger(over_y, least);
    float both = y / (under_y * over_y);
    float gain_under = share * both * over_y, gain_over = (1.0f - share) * both * under_y;
    float blue = gain_under * under[0] + gain_over * over[0];
    float green = gain_under * under[1] + gain_over * over[1];
    float red = gain_under * under[2] + gain_over * over[2];
    float missing = y - dot3(k->xyz_from_bgr + 3, blue, green, red);
    bgr[0] = blue + missing;
    bgr[1] = green + missing;
    bgr[2] = red + missing;
}

/* The same with a* and b* as they are in the exposures. A share of exactly 0 or 1 leaves the other exposure's a and b without
 * any influence, whatever they are. */
PIXEL_FN void colour_of(const Constants *k, Tone under, Tone over, float fy, float y, float share, float *bgr)
{
    float a = share * under.a + (1.0f - share) * over.a;
    float b = share * under.b + (1.0f - share) * over.b;
    float x = lab_f_inverse(k, fy + a);
    float z = lab_f_inverse(k, fy - b);
    bgr[0] = dot3(k->bgr_from_xyz, x, y, z);
    bgr[1] = dot3(k->bgr_from_xyz + 3, x, y, z);
    bgr[2] = dot3(k->bgr_from_xyz + 6, x, y, z);
}

PIXEL_FN float polynomial(const float *terms, int count, float x)
{
    float sum = terms[count - 1];
    for (int i = count - 2; i >= 0; i--)
        sum = sum * x + terms[i];
    return sum;
}

PIXEL_FN float on_curve(const Curve *curve, float x, int fine)
{
    float line = curve->slope * x + curve->offset;
    float low_place = (x - curve->low_place.start) * curve->low_place.scale;
    float high_place = (x - curve->high_place.start) * curve->high_place.scale;
    float low = fine ? polynomial(curve->fine_low_terms, FINE_LOW_TERMS, low_place)
                     : polynomial(curve->low_terms, LOW_TERMS, low_place);
    float high = fine ? polynomial(curve->fine_high_terms, FINE_HIGH_TERMS, high_place)
                      : polynomial(curve->high_terms, HIGH_TERMS, high_place);
    low = x > curve->low ? low : line;
    return x > curve->high ? high : low;
}

/* ---- colour transfer `tone`: fusion/method/colour_transfer.py ---- */

/* One exposure's pixel: encoded B, G, R 0..1, their luma, f of the grey with that luma, and how far the colour can be believed. */
typedef struct {
    float bgr[3], luma, f, trust;
} Encoded;

PIXEL_FN Encoded encoded_of(const Constants *k, float blue, float green, float red, int fine)
{
    float luma = luminance_of(k, blue, green, red), f = on_curve(&k->f_of_luma, luma, fine);
    float largest = larger(larger(blue, green), red);
    float trust = larger(along(k->dark, f), k->dark_floor) * (1.0f - k->clip_loss * along(k->code_clip, largest));
    Encoded encoded = {{blue, green, red}, luma, f, trust};
    return encoded;
}

/* An exposure step, a factor on the odds, as a fraction: so that it needs no division. */
typedef struct {
    float over, under;
} Step;

PIXEL_FN Step step_of(const Constants *k, float luma, float end)
{
    Step step;
    float start = larger(within(luma, k->luma_low, k->luma_high), smaller(k->least_luma, end));
    step.over = end * (k->shoulder - start);
    step.under = start * (k->shoulder - end);
    return step;
}

/* The f below which a pixel is not darkened, by the brightest exposure's L* and saturation. */
PIXEL_FN float least_f(const Constants *k, Encoded brightest)
{
    float largest = larger(larger(brightest.bgr[0], brightest.bgr[1]), brightest.bgr[2]);
    float part = k->colour_floor * (1.0f - brightest.luma / larger(largest, k->least_code));
    return k->black_f + part * (brightest.f - k->black_f);
}

/* Encoded B, G, R of the fused pixel from both exposures' pixels, the fused f, the under-exposed one's part of the chroma, and
 * the drift of its channels. One division for all: the denominators are multiplied. */
PIXEL_FN void tone_of_pixel(const Constants *k, Encoded under, Encoded over, float f, float part, const float *drift, int fine,
                            float *bgr)
{
    f = larger(f, least_f(k, over));
    float t = within((f - under.f) / larger(over.f - under.f, k->least_step), 0.0f, 1.0f);
    float dark = under.trust * part * larger(1.0f - t, k->near_floor);
    float bright = over.trust * (1.0f - part) * larger(t, k->near_floor);
    float luma = on_curve(&k->luma_of_f, f, fine), end = within(luma, k->luma_low, k->luma_high), top = k->shoulder;
    Step from_dark = step_of(k, under.luma, end), from_bright = step_of(k, over.luma, end);
    float sums[3], both[3];
    for (int c = 0; c < 3; c++) {
        float factor = from_dark.over * (1.0f + (drift[c] - 1.0f) * t);
        float below = top * from_dark.under + (factor - from_dark.under) * under.bgr[c];
        float above = top * from_bright.under + (from_bright.over - from_bright.under) * over.bgr[c];
        sums[c] = dark * factor * under.bgr[c] * above + bright * from_bright.over * over.bgr[c] * below;
        both[c] = below * above;
    }
    float one = top / ((dark + bright) * both[0] * both[1] * both[2]);
    bgr[0] = sums[0] * both[1] * both[2] * one;
    bgr[1] = sums[1] * both[0] * both[2] * one;
    bgr[2] = sums[2] * both[0] * both[1] * one;
    float missing = luma - luminance_of(k, bgr[0], bgr[1], bgr[2]);
    for (int c = 0; c < 3; c++)
        bgr[c] = within(bgr[c] + missing, 0.0f, 1.0f);
}

/* Natural logarithm of a normal positive number, within 3e-7 of it. */
PIXEL_FN float log_of(float x)
{
    int32_t bits, exponent;
    memcpy(&bits, &x, sizeof bits);
    exponent = (bits - 0x3F2AAAAB) >> 23; /* leaves 2/3..4/3 */
    bits -= exponent * (1 << 23);
    float m;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    return (float)exponent * 0.69314718f + 2.0f * s * (1.0f + s2 * (1.0f / 3.0f + s2 * (1.0f / 5.0f + s2 * (1.0f / 7.0f))));
}

/* How well one channel of two small pictures (encoded 0..1) shows the colour drift: fusion/method/drift.py. */
PIXEL_FN float drift_seen(const Constants *k, float dark, float bright)
{
    return along(k->seen_dark, dark) * (1.0f - along(k->seen_clip, bright));
}

/* The logarithm of the drift that it shows; lumas of the same pictures. */
PIXEL_FN float drift_measured(const Constants *k, float dark, float bright, float luma_dark, float luma_bright)
{
    float top = k->shoulder, lift = k->drift_lift;
    float more = (bright + lift) * (top - dark) * (luma_dark + lift) * (top - luma_bright);
    float less = (top - bright) * (dark + lift) * (top - luma_dark) * (luma_bright + lift);
    return within(log_of(more / less), -k->most_drift, k->most_drift);
}

/* Share of the colour that may stay, the rest being grey of luminance y, for channels to lie within 0..1. */
PIXEL_FN float gamut_share(float y, float lowest, float highest)
{
    float tiny = 1e-30f;
    return smaller((1.0f - y) / larger(larger(highest, 1.0f) - y, tiny), y / larger(y - smaller(lowest, 0.0f), tiny));
}

#endif
