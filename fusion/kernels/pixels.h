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

/* So many exposures at most. */
#define MOST_EXPOSURES 16

#ifdef __CUDACC__
#define PIXEL_FN static __device__ __forceinline__
#else
#define PIXEL_FN static inline __attribute__((always_inline))
#endif

/* Loops over exposures: unrolled where their number is known, or a compiler turns no loop over pixels into vector instructions. */
#if defined(__CUDACC__) || defined(__clang__)
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 12")
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
    Ramp tie, wide_tie;              /* `select`: over an exposure's weight beside the strongest other; of two, of more */
    float shoulder, least_luma, luma_low, luma_high, near_floor, near_floor_of_more, least_step; /* `tone`; least_step in units of f */
    float colour_floor, least_code;  /* `tone`: part of the brightest exposure's L*; encoded */
    Ramp code_clip;                  /* `tone`: reliability, over the largest encoded channel */
    float clipped_from;              /* `tone`: see clipped_gain */
    Curve luma_of_f, f_of_luma;      /* of neutral greys */
    Ramp seen_dark, seen_clip;       /* drift: over the darker and the brighter exposure's encoded value */
    float drift_lift, most_drift;
    float edge_variance, least_spread, headroom; /* of the local affine model of three and more exposures */
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

/* Factor on the trust of all exposures but the brightest, for being shown brighter than they are. */
PIXEL_FN float brightened_trust(const Constants *k, float fy, float fy_out)
{
    float ratio = smaller(k->brightening * fy / fy_out, 1.0f);
    ratio *= ratio;
    return ratio * ratio;
}

/* Shares of n exposures' colours, 0..1, from their parts of the regional chroma (of all but the brightest, which has the rest)
 * and the pixels' trusts: chroma_map.shares. */
PIXEL_FN void shares_of(const Constants *k, int n, int select, const float *parts, const float *trusts, float *shares)
{
    float weights[MOST_EXPOSURES], rest = 1.0f, total = 0.0f, trust = 0.0f, left = 1.0f;
    UNROLLED
    for (int j = 0; j < n; j++) {
        float part = j < n - 1 ? parts[j] : rest;
        rest -= part;
        weights[j] = part * trusts[j];
        total = j ? total + weights[j] : weights[j];
        trust = j ? larger(trust, trusts[j]) : trusts[j];
    }
    UNROLLED
    for (int j = 0; j < n; j++)
        shares[j] = weights[j] / total;
    if (select) {
        float chosen[MOST_EXPOSURES];
        total = 0.0f;
        UNROLLED
        for (int j = 0; j < n; j++) {
            float strongest = 0.0f;
            UNROLLED
            for (int i = 0; i < n; i++)
                strongest = i == j ? strongest : larger(strongest, shares[i]);
            chosen[j] = n == 2 ? smoothstep(k->tie, shares[j]) : smoothstep(k->wide_tie, shares[j] / (shares[j] + strongest));
            total += chosen[j];
        }
        UNROLLED
        for (int j = 0; j < n; j++)
            shares[j] += trust * ((n == 2 ? chosen[j] : chosen[j] / total) - shares[j]);
    }
    UNROLLED
    for (int j = 0; j < n - 1; j++)
        left -= shares[j];
    shares[n - 1] = left;
}

/* Linear B, G, R of a fused pixel that keeps the chromaticity of its n exposures: their light, of these luminances, is scaled to
 * the fused luminance `y` and mixed. An exposure darker than the knee (L* 8) is brightened as if it lay there, lest the noise of
 * darkness be scaled up without bound; grey makes up for what is missing then. Channels may lie outside 0..1. */
PIXEL_FN void light_of(const Constants *k, int n, const float (*linear)[3], const float *luminances, float y, const float *shares,
                       float *bgr)
{
    float least = larger(smaller(k->cube_knee, y), 1e-9f), product = 1.0f, both;
    UNROLLED
    for (int j = 0; j < n; j++)
        product = j ? product * larger(luminances[j], least) : larger(luminances[j], least);
    both = n <= 4 ? y / product : 0.0f;
    bgr[0] = bgr[1] = bgr[2] = 0.0f;
    UNROLLED
    for (int j = 0; j < n; j++) {
        float gain = shares[j] * both;
        UNROLLED
        for (int i = 0; i < n; i++)
            gain = i == j ? gain : gain * larger(luminances[i], least);
        gain = n <= 4 ? gain : shares[j] * y / larger(luminances[j], least);
        for (int c = 0; c < 3; c++)
            bgr[c] = j ? bgr[c] + gain * linear[j][c] : gain * linear[j][c];
    }
    float missing = y - dot3(k->xyz_from_bgr + 3, bgr[0], bgr[1], bgr[2]);
    for (int c = 0; c < 3; c++)
        bgr[c] += missing;
}

/* The same with a* and b* as they are in the exposures. A share of exactly 0 leaves an exposure's a and b without any
 * influence, whatever they are. */
PIXEL_FN void colour_of(const Constants *k, int n, const Tone *tones, float fy, float y, const float *shares, float *bgr)
{
    float a = 0.0f, b = 0.0f;
    UNROLLED
    for (int j = 0; j < n; j++) {
        a += shares[j] * tones[j].a;
        b += shares[j] * tones[j].b;
    }
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

/* By what part the odds of an exposure's clipped channels are too low beside its luma, as the next darker exposure shows them. */
PIXEL_FN void clipped_gain(const Constants *k, const Encoded *darker, const Encoded *own, float *gain)
{
    float top = k->shoulder, low = within(darker->luma, k->luma_low, k->luma_high), luma = within(own->luma, k->luma_low, k->luma_high);
    float lumas = luma * (top - low), below = low * (top - luma);
    UNROLLED
    for (int c = 0; c < 3; c++) {
        float dark = darker->bgr[c], held = larger(own->bgr[c], k->code_clip.start);
        float ratio = lumas * dark * (top - held) / (below * (top - dark) * held);
        gain[c] = along(k->code_clip, own->bgr[c]) * along(k->seen_dark, dark) * larger(ratio - k->clipped_from, 0.0f);
    }
}

/* What the exposures so far add up to: fractions, so that one division does for all exposures, and of two for all channels; the
 * sum of their weights; how far f is on the way from the last one to the next. */
typedef struct {
    float over[3], under[3], weights, reached;
} Mixture;

/* Add an exposure. darker: the one before it, of all but the first; next_f: of the next one; part: of the chroma, 1 where it is not
 * compared; floor: least nearness; drift: of B, G, R to the next one. */
PIXEL_FN void add_exposure(const Constants *k, Mixture *mix, int first, int last, const Encoded *darker, const Encoded *own,
                           float next_f, float f, float end, float part, float floor, const float *drift)
{
    float reached = first ? 1.0f : mix->reached, top = k->shoulder;
    float t = last ? 0.0f : within((f - own->f) / larger(next_f - own->f, k->least_step), 0.0f, 1.0f);
    float near = last ? reached : first ? 1.0f - t : reached * (1.0f - t);
    float weight = own->trust * part * larger(near, floor);
    Step step = step_of(k, own->luma, end);
    float gain[3] = {0.0f, 0.0f, 0.0f};
    if (!first)
        clipped_gain(k, darker, own, gain);
    UNROLLED
    for (int c = 0; c < 3; c++) {
        float factor = last ? step.over : step.over * (1.0f + (drift[c] - 1.0f) * t);
        factor += factor * (1.0f - reached) * gain[c];
        float under = top * step.under + (factor - step.under) * own->bgr[c];
        float over = weight * factor * own->bgr[c];
        mix->over[c] = first ? over : mix->over[c] * under + over * mix->under[c];
        mix->under[c] = first ? under : mix->under[c] * under;
    }
    mix->weights = first ? weight : mix->weights + weight;
    mix->reached = t;
}

/* Encoded B, G, R of the mixture, of this luma. */
PIXEL_FN void mixed_bgr(const Constants *k, const Mixture *mix, int of_two, float luma, float *bgr)
{
    const float *over = mix->over, *under = mix->under;
    if (of_two) {
        float one = k->shoulder / (mix->weights * under[0] * under[1] * under[2]);
        bgr[0] = over[0] * under[1] * under[2] * one;
        bgr[1] = over[1] * under[0] * under[2] * one;
        bgr[2] = over[2] * under[0] * under[1] * one;
    } else { /* the product of all would leave the range of single precision */
        UNROLLED
        for (int c = 0; c < 3; c++)
            bgr[c] = k->shoulder * over[c] / (mix->weights * under[c]);
    }
    float missing = luma - luminance_of(k, bgr[0], bgr[1], bgr[2]);
    UNROLLED
    for (int c = 0; c < 3; c++)
        bgr[c] = within(bgr[c] + missing, 0.0f, 1.0f);
}

/* Encoded B, G, R of the fused pixel from n exposures' pixels, dark to bright, up to four, the fused f, the darker one's part of the
 * chroma, which is of two alone, and the drift of B, G, R from each to the next. */
PIXEL_FN void tone_of_pixel(const Constants *k, int n, const Encoded *own, float f, float part, const float *drifts, int fine, float *bgr)
{
    f = larger(f, least_f(k, own[n - 1]));
    float luma = on_curve(&k->luma_of_f, f, fine), end = within(luma, k->luma_low, k->luma_high);
    Mixture mix;
    UNROLLED
    for (int j = 0; j < n; j++) {
        int last = j == n - 1, next = last ? j : j + 1;
        float its = n > 2 ? 1.0f : last ? 1.0f - part : part;
        add_exposure(k, &mix, j == 0, last, own + (j ? j - 1 : 0), own + j, own[next].f, f, end, its,
                     n == 2 ? k->near_floor : k->near_floor_of_more, drifts + 3 * (last ? 0 : j));
    }
    mixed_bgr(k, &mix, n == 2, luma, bgr);
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
