/* The method's loops over rows, for the CPU. Called through ctypes (fusion/cpu/compiled.py), in many threads at once: no state.
 *
 * Pictures are BGR, uint8 or uint16 (bytes_per_sample 1 or 2), rows `stride` bytes apart, pixels packed within a row. A row
 * is done in blocks that stay in the first-level cache: table look-ups one by one, everything between in loops that the
 * compiler vectorises. No result depends on how rows are cut into calls.
 */
#include "job.h"
#include "pixels.h"
#include "pool.h"

#include <math.h>
#include <stdlib.h>

/* Of the sources that this was compiled from: engine/processor.py compares it at load. */
#ifdef SOURCES_DIGEST
const char *sources_digest(void) { return SOURCES_DIGEST; }
#endif

enum { LAB, CHROMATICITY, TONE };

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LITTLE_ENDIAN_WORDS 1
#else
#define LITTLE_ENDIAN_WORDS 0
#endif

typedef struct {
    const float *decode;      /* linear light of every code */
    const float *decode_fine; /* linear light at fine_steps + 1 encoded values 0..1 */
    const uint8_t *encode8;   /* code of linear light by the leading bits of its float, see encode8_index */
    const float *encode16;    /* 0..65535 before rounding, at encode16_steps + 1 square roots of linear light 0..1 */
    int32_t fine_steps, encode8_first, encode8_shift, encode16_steps;
} Tables;

/* ---- blocks of a row ---- */

typedef struct {
    float blue[BLOCK], green[BLOCK], red[BLOCK];
} Linear;

/* One exposure's block; a and b only where they were needed. */
typedef struct {
    Linear linear;
    float y[BLOCK], fy[BLOCK], trust[BLOCK], a[BLOCK], b[BLOCK];
} Tones;

/* Eight pixels at a time, read as three words: loading is what this costs. */
#define EIGHT 8
#define SAMPLE(word, byte) ((word) >> (8 * (byte)) & 255)

static int32_t decode_eights(const float *table, const uint8_t *row, int32_t count, Linear *out)
{
    int32_t i = 0;
    for (; LITTLE_ENDIAN_WORDS && i + EIGHT <= count; i += EIGHT, row += 3 * EIGHT) {
        uint64_t w[3];
        memcpy(w, row, sizeof w);
        float *blue = out->blue + i, *green = out->green + i, *red = out->red + i;
        for (int n = 0; n < EIGHT; n++) { /* unrolled: every index is a constant */
            blue[n] = table[SAMPLE(w[3 * n / 8], 3 * n % 8)];
            green[n] = table[SAMPLE(w[(3 * n + 1) / 8], (3 * n + 1) % 8)];
            red[n] = table[SAMPLE(w[(3 * n + 2) / 8], (3 * n + 2) % 8)];
        }
    }
    return i;
}

static void decode_block(const float *table, const void *row, int bytes, int32_t start, int32_t count, Linear *out)
{
    if (bytes == 1) {
        const uint8_t *p = (const uint8_t *)row + 3 * (size_t)start;
        for (int32_t i = decode_eights(table, p, count, out); i < count; i++) {
            out->blue[i] = table[p[3 * i]];
            out->green[i] = table[p[3 * i + 1]];
            out->red[i] = table[p[3 * i + 2]];
        }
    } else {
        const uint16_t *p = (const uint16_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++, p += 3) {
            out->blue[i] = table[p[0]];
            out->green[i] = table[p[1]];
            out->red[i] = table[p[2]];
        }
    }
}

PIXEL_FN void light_loop(const Constants *constants, int32_t count, Tones *restrict tones, int fine)
{
    const Constants k = *constants;
    const Linear *in = &tones->linear;
    for (int32_t i = 0; i < count; i++) {
        float y = luminance_of(&k, in->blue[i], in->green[i], in->red[i]), fy = lab_f(&k, y, fine);
        tones->y[i] = y;
        tones->fy[i] = fy;
        tones->trust[i] = trust_of(&k, fy, in->blue[i], in->green[i], in->red[i]);
    }
}

VECTORISED static void light_block(const Constants *constants, int32_t count, Tones *restrict tones, int fine)
{
    if (fine)
        light_loop(constants, count, tones, 1);
    else
        light_loop(constants, count, tones, 0);
}

VECTORISED static void colour_block(const Constants *constants, int32_t count, Tones *restrict tones)
{
    const Constants k = *constants;
    const Linear *in = &tones->linear;
    for (int32_t i = 0; i < count; i++) {
        Tone tone = tone_of(&k, tones->fy[i], in->blue[i], in->green[i], in->red[i]);
        tones->a[i] = tone.a;
        tones->b[i] = tone.b;
    }
}

VECTORISED static void lightness_block(const Constants *constants, const Linear *restrict in, int32_t count,
                                       float *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++)
        out[i] = 116.0f * lab_f(&k, luminance_of(&k, in->blue[i], in->green[i], in->red[i]), 1) - 16.0f;
}

VECTORISED static void chroma_block(const Tones *restrict in, int32_t count, float *restrict lightness,
                                    float *restrict chroma)
{
    for (int32_t i = 0; i < count; i++) {
        float a = 500.0f * in->a[i], b = 200.0f * in->b[i];
        lightness[i] = 116.0f * in->fy[i] - 16.0f;
        chroma[i] = sqrtf(a * a + b * b);
    }
}

/* One row between two rows of steering planes, `plane` floats apart. */
VECTORISED static void blend_block(const float *restrict above, const float *restrict below, float down, int32_t plane,
                                   int32_t planes, int32_t count, float (*restrict out)[BLOCK])
{
    for (int p = 0; p < planes; p++)
        for (int32_t i = 0; i < count; i++)
            out[p][i] = above[(size_t)p * plane + i] + down * (below[(size_t)p * plane + i] - above[(size_t)p * plane + i]);
}

/* The fused fy: from the given L*, or from the coefficients and the exposures' fy. */
PIXEL_FN void target_loop(const Constants *constants, const Tones *restrict tones, int n, float (*restrict steering)[BLOCK],
                          int32_t count, float *restrict fy)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        float sum = steering[0][i] * tones[0].fy[i];
        UNROLLED
        for (int j = 1; j < n; j++)
            sum += steering[j][i] * tones[j].fy[i];
        fy[i] = within(sum + steering[n][i], k.black_f, 1.0f);
    }
}

VECTORISED static void target_block(const Constants *constants, const Tones *restrict tones, int n,
                                    float (*restrict steering)[BLOCK], const float *restrict lightness, int32_t count,
                                    float *restrict fy)
{
    const Constants k = *constants;
    if (lightness)
        for (int32_t i = 0; i < count; i++)
            fy[i] = within((lightness[i] + 16.0f) * (1.0f / 116.0f), k.black_f, 1.0f);
    else if (n == 2)
        target_loop(constants, tones, 2, steering, count, fy);
    else if (n == 3)
        target_loop(constants, tones, 3, steering, count, fy);
    else if (n == 4)
        target_loop(constants, tones, 4, steering, count, fy);
    else
        target_loop(constants, tones, n, steering, count, fy);
}

PIXEL_FN void share_loop(const Constants *constants, int select, const Tones *restrict tones, int n, const float *restrict fy,
                         float (*restrict parts)[BLOCK], int32_t count, float (*restrict shares)[BLOCK])
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        float trusts[MOST_EXPOSURES], own_parts[MOST_EXPOSURES], own[MOST_EXPOSURES];
        UNROLLED
        for (int j = 0; j < n; j++)
            trusts[j] = j < n - 1 ? tones[j].trust[i] * brightened_trust(&k, tones[j].fy[i], fy[i]) : tones[j].trust[i];
        UNROLLED
        for (int j = 0; j < n - 1; j++)
            own_parts[j] = parts[j][i];
        shares_of(&k, n, select, own_parts, trusts, own);
        UNROLLED
        for (int j = 0; j < n; j++)
            shares[j][i] = own[j];
    }
}

VECTORISED static void share_block(const Constants *constants, int select, const Tones *restrict tones, int n,
                                   const float *restrict fy, float (*restrict parts)[BLOCK], int32_t count,
                                   float (*restrict shares)[BLOCK])
{
    if (n == 2 && select)
        share_loop(constants, 1, tones, 2, fy, parts, count, shares);
    else if (n == 2)
        share_loop(constants, 0, tones, 2, fy, parts, count, shares);
    else if (n == 3)
        share_loop(constants, select, tones, 3, fy, parts, count, shares);
    else if (n == 4)
        share_loop(constants, select, tones, 4, fy, parts, count, shares);
    else
        share_loop(constants, select, tones, n, fy, parts, count, shares);
}

VECTORISED static int any_above(const float *restrict values, float limit, int32_t count)
{
    int any = 0;
    for (int32_t i = 0; i < count; i++)
        any |= values[i] > limit;
    return any;
}

VECTORISED static void luminance_block(const Constants *constants, const float *restrict fy, int32_t count,
                                       float *restrict y)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++)
        y[i] = within(lab_f_inverse(&k, fy[i]), 0.0f, 1.0f);
}

/* Fused colours in linear light, by light_of or, `lab`, by colour_of. */
PIXEL_FN void mix_loop(const Constants *constants, int lab, const Tones *restrict tones, int n, const float *restrict fy,
                       const float *restrict y, float (*restrict shares)[BLOCK], int32_t count, Linear *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        float linear[MOST_EXPOSURES][3], luminances[MOST_EXPOSURES], own[MOST_EXPOSURES], bgr[3];
        Tone colours[MOST_EXPOSURES];
        UNROLLED
        for (int j = 0; j < n; j++) {
            const Linear *in = &tones[j].linear;
            linear[j][0] = in->blue[i], linear[j][1] = in->green[i], linear[j][2] = in->red[i];
            luminances[j] = tones[j].y[i];
            own[j] = shares[j][i];
            colours[j].fy = tones[j].fy[i], colours[j].a = tones[j].a[i], colours[j].b = tones[j].b[i];
        }
        if (lab)
            colour_of(&k, n, colours, fy[i], y[i], own, bgr);
        else
            light_of(&k, n, linear, luminances, y[i], own, bgr);
        out->blue[i] = bgr[0];
        out->green[i] = bgr[1];
        out->red[i] = bgr[2];
    }
}

VECTORISED static void mix_block(const Constants *constants, int lab, const Tones *restrict tones, int n,
                                 const float *restrict fy, const float *restrict y, float (*restrict shares)[BLOCK],
                                 int32_t count, Linear *restrict out)
{
    if (n == 2 && lab)
        mix_loop(constants, 1, tones, 2, fy, y, shares, count, out);
    else if (n == 2)
        mix_loop(constants, 0, tones, 2, fy, y, shares, count, out);
    else if (n == 3)
        mix_loop(constants, lab, tones, 3, fy, y, shares, count, out);
    else if (n == 4)
        mix_loop(constants, lab, tones, 4, fy, y, shares, count, out);
    else
        mix_loop(constants, lab, tones, n, fy, y, shares, count, out);
}

VECTORISED static int outside_gamut(const Linear *restrict in, int32_t count)
{
    int outside = 0;
    for (int32_t i = 0; i < count; i++) {
        float lowest = smaller(smaller(in->blue[i], in->green[i]), in->red[i]);
        float highest = larger(larger(in->blue[i], in->green[i]), in->red[i]);
        outside |= (lowest < 0.0f) | (highest > 1.0f);
    }
    return outside;
}

VECTORISED static void limit_block(const float *restrict y, int32_t count, Linear *restrict bgr)
{
    for (int32_t i = 0; i < count; i++) {
        float blue = bgr->blue[i], green = bgr->green[i], red = bgr->red[i];
        float keep = gamut_share(y[i], smaller(smaller(blue, green), red), larger(larger(blue, green), red));
        bgr->blue[i] = within(y[i] + keep * (blue - y[i]), 0.0f, 1.0f);
        bgr->green[i] = within(y[i] + keep * (green - y[i]), 0.0f, 1.0f);
        bgr->red[i] = within(y[i] + keep * (red - y[i]), 0.0f, 1.0f);
    }
}

/* Place in the 8-bit table: exponent and leading mantissa bits. They step by a constant ratio, as codes nearly do, and cost no
 * square root. */
VECTORISED static void index_block(const float *restrict linear, int32_t first, int32_t shift, int32_t count,
                                   int32_t *restrict index)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, linear + i, sizeof bits);
        bits = (bits >> shift) - first;
        index[i] = bits > 0 ? bits : 0;
    }
}

static void encode8(const Tables *tables, const Linear *linear, int32_t count, uint8_t *out)
{
    const uint8_t *code = tables->encode8;
    int32_t first = tables->encode8_first, shift = tables->encode8_shift;
    int32_t blue[BLOCK], green[BLOCK], red[BLOCK];
    index_block(linear->blue, first, shift, count, blue);
    index_block(linear->green, first, shift, count, green);
    index_block(linear->red, first, shift, count, red);
    int32_t i = 0;
    for (; LITTLE_ENDIAN_WORDS && i + EIGHT <= count; i += EIGHT) { /* as in decode_eights */
        uint64_t w[3] = {0};
        for (int n = 0; n < EIGHT; n++) {
            w[3 * n / 8] |= (uint64_t)code[blue[i + n]] << 8 * (3 * n % 8);
            w[(3 * n + 1) / 8] |= (uint64_t)code[green[i + n]] << 8 * ((3 * n + 1) % 8);
            w[(3 * n + 2) / 8] |= (uint64_t)code[red[i + n]] << 8 * ((3 * n + 2) % 8);
        }
        memcpy(out + 3 * i, w, sizeof w);
    }
    for (; i < count; i++) {
        out[3 * i] = code[blue[i]];
        out[3 * i + 1] = code[green[i]];
        out[3 * i + 2] = code[red[i]];
    }
}

static void encode16(const Tables *tables, const float *linear, int32_t count, uint16_t *out)
{
    int32_t last = tables->encode16_steps - 1;
    for (int32_t i = 0; i < count; i++) {
        float position = sqrtf(linear[i]) * (float)tables->encode16_steps;
        int32_t index = (int32_t)position;
        index = index < last ? index : last;
        float low = tables->encode16[index];
        out[3 * i] = (uint16_t)(low + (position - (float)index) * (tables->encode16[index + 1] - low) + 0.5f);
    }
}

static void encode_block(const Tables *tables, const Linear *linear, int bytes, void *row, int32_t start, int32_t count)
{
    if (bytes == 1) {
        encode8(tables, linear, count, (uint8_t *)row + 3 * (size_t)start);
    } else {
        encode16(tables, linear->blue, count, (uint16_t *)row + 3 * (size_t)start);
        encode16(tables, linear->green, count, (uint16_t *)row + 3 * (size_t)start + 1);
        encode16(tables, linear->red, count, (uint16_t *)row + 3 * (size_t)start + 2);
    }
}

/* ---- colour transfer `tone`, on encoded values ---- */

/* Encoded values 0..1 of the pixels. */
VECTORISED static void codes_block(const void *row, int bytes, int32_t start, int32_t count, Linear *restrict out)
{
    if (bytes == 1) {
        const uint8_t *restrict p = (const uint8_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++) {
            out->blue[i] = (float)p[3 * i] * (1.0f / 255.0f);
            out->green[i] = (float)p[3 * i + 1] * (1.0f / 255.0f);
            out->red[i] = (float)p[3 * i + 2] * (1.0f / 255.0f);
        }
    } else {
        const uint16_t *restrict p = (const uint16_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++) {
            out->blue[i] = (float)p[3 * i] * (1.0f / 65535.0f);
            out->green[i] = (float)p[3 * i + 1] * (1.0f / 65535.0f);
            out->red[i] = (float)p[3 * i + 2] * (1.0f / 65535.0f);
        }
    }
}

/* Luma (in y), f and trust of encoded pixels (in linear). */
PIXEL_FN void luma_loop(const Constants *constants, int32_t count, Tones *restrict tones, int fine)
{
    const Constants k = *constants;
    const Linear *in = &tones->linear;
    for (int32_t i = 0; i < count; i++) {
        Encoded encoded = encoded_of(&k, in->blue[i], in->green[i], in->red[i], fine);
        tones->y[i] = encoded.luma;
        tones->fy[i] = encoded.f;
        tones->trust[i] = encoded.trust;
    }
}

VECTORISED static void luma_block(const Constants *constants, int32_t count, Tones *restrict tones, int fine)
{
    if (fine)
        luma_loop(constants, count, tones, 1);
    else
        luma_loop(constants, count, tones, 0);
}

PIXEL_FN void tone_loop(const Constants *constants, const Tones *restrict tones, int n, const float *restrict fy,
                        float (*restrict steering)[BLOCK], int32_t count, int fine, Linear *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        Encoded own[MOST_EXPOSURES];
        float part = n == 2 ? steering[PARTS(n)][i] : 1.0f, drifts[3 * MOST_EXPOSURES], bgr[3];
        UNROLLED
        for (int j = 0; j < n; j++) {
            own[j].bgr[0] = tones[j].linear.blue[i];
            own[j].bgr[1] = tones[j].linear.green[i];
            own[j].bgr[2] = tones[j].linear.red[i];
            own[j].luma = tones[j].y[i];
            own[j].f = tones[j].fy[i];
            own[j].trust = tones[j].trust[i];
        }
        UNROLLED
        for (int p = 0; p < 3 * (n - 1); p++)
            drifts[p] = steering[DRIFTS(n) + p][i];
        tone_of_pixel(&k, n, own, fy[i], part, drifts, fine, bgr);
        out->blue[i] = bgr[0];
        out->green[i] = bgr[1];
        out->red[i] = bgr[2];
    }
}

/* More exposures, one after the other. The first loop is of the darkest, the last of the brightest one. */
typedef struct {
    float over[3][BLOCK], under[3][BLOCK], weights[BLOCK], reached[BLOCK], f[BLOCK], luma[BLOCK];
} Mixtures;

PIXEL_FN void add_loop(const Constants *constants, const Tones *darker, const Tones *own, const Tones *next,
                       float (*restrict drifts)[BLOCK], int first, int last, int32_t count, Mixtures *restrict mixes)
{
    const Constants k = *constants;
    const Linear *in = &own->linear, *before = &darker->linear;
    for (int32_t i = 0; i < count; i++) {
        Encoded dark = {{before->blue[i], before->green[i], before->red[i]}, darker->y[i], darker->fy[i], darker->trust[i]};
        Encoded encoded = {{in->blue[i], in->green[i], in->red[i]}, own->y[i], own->fy[i], own->trust[i]};
        float drift[3] = {drifts[0][i], drifts[1][i], drifts[2][i]}, end = within(mixes->luma[i], k.luma_low, k.luma_high);
        Mixture mix;
        for (int c = 0; c < 3; c++) {
            mix.over[c] = first ? 0.0f : mixes->over[c][i] / mixes->under[c][i];
            mix.under[c] = 1.0f;
        }
        mix.weights = mixes->weights[i], mix.reached = mixes->reached[i];
        add_exposure(&k, &mix, first, last, &dark, &encoded, next->fy[i], mixes->f[i], end, 1.0f, k.near_floor_of_more, drift);
        for (int c = 0; c < 3; c++) {
            mixes->over[c][i] = mix.over[c];
            mixes->under[c][i] = mix.under[c];
        }
        mixes->weights[i] = mix.weights, mixes->reached[i] = mix.reached;
    }
}

PIXEL_FN void start_mixes(const Constants *constants, const Tones *restrict brightest, const float *restrict fy, int32_t count,
                          Mixtures *restrict mixes)
{
    const Constants k = *constants;
    const Linear *in = &brightest->linear;
    for (int32_t i = 0; i < count; i++) {
        Encoded own = {{in->blue[i], in->green[i], in->red[i]}, brightest->y[i], brightest->fy[i], brightest->trust[i]};
        mixes->f[i] = larger(fy[i], least_f(&k, own));
        mixes->luma[i] = on_curve(&k.luma_of_f, mixes->f[i], 1);
    }
}

PIXEL_FN void end_mixes(const Constants *constants, const Mixtures *restrict mixes, int32_t count, Linear *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        Mixture mix;
        float bgr[3];
        for (int c = 0; c < 3; c++) {
            mix.over[c] = mixes->over[c][i];
            mix.under[c] = mixes->under[c][i];
        }
        mix.weights = mixes->weights[i];
        mixed_bgr(&k, &mix, 0, mixes->luma[i], bgr);
        out->blue[i] = bgr[0];
        out->green[i] = bgr[1];
        out->red[i] = bgr[2];
    }
}

VECTORISED static void tone_of_many(const Constants *constants, const Tones *tones, int n, const float *fy,
                                    float (*steering)[BLOCK], int32_t count, Linear *out)
{
    _Alignas(64) Mixtures mixes;
    float(*drifts)[BLOCK] = steering + DRIFTS(n);
    start_mixes(constants, tones + n - 1, fy, count, &mixes);
    add_loop(constants, tones, tones, tones + 1, drifts, 1, 0, count, &mixes);
    for (int j = 1; j < n - 1; j++)
        add_loop(constants, tones + j - 1, tones + j, tones + j + 1, drifts + 3 * j, 0, 0, count, &mixes);
    add_loop(constants, tones + n - 2, tones + n - 1, tones + n - 1, drifts, 0, 1, count, &mixes);
    end_mixes(constants, &mixes, count, out);
}

VECTORISED static void tone_block(const Constants *constants, const Tones *restrict tones, int n, const float *restrict fy,
                                  float (*restrict steering)[BLOCK], int32_t count, int fine, Linear *restrict out)
{
    if (n == 2 && fine)
        tone_loop(constants, tones, 2, fy, steering, count, 1, out);
    else if (n == 2)
        tone_loop(constants, tones, 2, fy, steering, count, 0, out);
    else if (n == 3 && fine)
        tone_loop(constants, tones, 3, fy, steering, count, 1, out);
    else if (n == 3)
        tone_loop(constants, tones, 3, fy, steering, count, 0, out);
    else
        tone_of_many(constants, tones, n, fy, steering, count, out);
}

VECTORISED static void round_block(const Linear *restrict encoded, int bytes, void *row, int32_t start, int32_t count)
{
    if (bytes == 1) {
        uint8_t *restrict out = (uint8_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++) {
            out[3 * i] = (uint8_t)(int32_t)(encoded->blue[i] * 255.0f + 0.5f);
            out[3 * i + 1] = (uint8_t)(int32_t)(encoded->green[i] * 255.0f + 0.5f);
            out[3 * i + 2] = (uint8_t)(int32_t)(encoded->red[i] * 255.0f + 0.5f);
        }
    } else {
        uint16_t *restrict out = (uint16_t *)row + 3 * (size_t)start;
        for (int32_t i = 0; i < count; i++) {
            out[3 * i] = (uint16_t)(int32_t)(encoded->blue[i] * 65535.0f + 0.5f);
            out[3 * i + 1] = (uint16_t)(int32_t)(encoded->green[i] * 65535.0f + 0.5f);
            out[3 * i + 2] = (uint16_t)(int32_t)(encoded->red[i] * 65535.0f + 0.5f);
        }
    }
}

/* ---- the small picture's colours ---- */

static float decode_between(const Tables *tables, float encoded)
{
    float position = within(encoded, 0.0f, 1.0f) * (float)tables->fine_steps;
    int32_t index = (int32_t)position;
    index = index < tables->fine_steps ? index : tables->fine_steps - 1;
    float low = tables->decode_fine[index];
    return low + (position - (float)index) * (tables->decode_fine[index + 1] - low);
}

typedef struct {
    const Constants *constants;
    const Tables *tables;
    int32_t tone, count;
    const float *encoded;
    float *lightness, *chroma;
} SmallPicture;

VECTORISED static void luma_lightness(const Constants *constants, const float *restrict encoded, int32_t count, float *restrict out)
{
    const Constants k = *constants;
    for (int32_t i = 0; i < count; i++) {
        float luma = luminance_of(&k, encoded[3 * i], encoded[3 * i + 1], encoded[3 * i + 2]);
        out[i] = 116.0f * on_curve(&k.f_of_luma, luma, 1) - 16.0f;
    }
}

static void small_blocks(void *job, int32_t first, int32_t end)
{
    const SmallPicture *picture = job;
    const Constants *constants = picture->constants;
    const Tables *tables = picture->tables;
    const float *encoded = picture->encoded;
    float *lightness = picture->lightness, *chroma = picture->chroma;
    int32_t count = picture->count < BLOCK * end ? picture->count : BLOCK * end, tone = picture->tone;
    Tones tones;
    for (int32_t start = BLOCK * first; start < count; start += BLOCK) {
        int32_t block = count - start < BLOCK ? count - start : BLOCK;
        const float *p = encoded + 3 * (size_t)start;
        if (!tone || chroma) {
            float unused[BLOCK];
            for (int32_t i = 0; i < block; i++) {
                tones.linear.blue[i] = decode_between(tables, p[3 * i]);
                tones.linear.green[i] = decode_between(tables, p[3 * i + 1]);
                tones.linear.red[i] = decode_between(tables, p[3 * i + 2]);
            }
            light_block(constants, block, &tones, 1);
            colour_block(constants, block, &tones);
            chroma_block(&tones, block, lightness + start, chroma ? chroma + start : unused);
        }
        if (tone)
            luma_lightness(constants, p, block, lightness + start);
    }
}

#define LEAST_BLOCKS 12 /* that are worth another thread */

/* L*, or with `tone` that of the luma, and C*ab (NULL: not wanted) of `count` pixels, encoded 0..1. */
void small_lab(Pool *pool, const Constants *constants, const Tables *tables, int32_t tone, const float *encoded, int32_t count,
               float *lightness, float *chroma)
{
    SmallPicture job = {constants, tables, tone, count, encoded, lightness, chroma};
    pool_run(pool, small_blocks, &job, (count + BLOCK - 1) / BLOCK, LEAST_BLOCKS);
}

/* What a row of two small pictures (width x 3, encoded 0..1) shows of the colour drift: six rows, of each channel the logarithm
 * times how well it is seen, then how well it is seen. */
VECTORISED static void drift_of_row(const Constants *constants, const float *restrict dark, const float *restrict bright,
                                    int32_t width, float *restrict out)
{
    const Constants k = *constants;
#pragma omp simd
    for (int32_t i = 0; i < width; i++) {
        const float *d = dark + 3 * i, *b = bright + 3 * i;
        float luma_dark = luminance_of(&k, d[0], d[1], d[2]), luma_bright = luminance_of(&k, b[0], b[1], b[2]);
        float blue = drift_seen(&k, d[0], b[0]), green = drift_seen(&k, d[1], b[1]), red = drift_seen(&k, d[2], b[2]);
        out[i] = blue * drift_measured(&k, d[0], b[0], luma_dark, luma_bright);
        out[width + i] = green * drift_measured(&k, d[1], b[1], luma_dark, luma_bright);
        out[2 * width + i] = red * drift_measured(&k, d[2], b[2], luma_dark, luma_bright);
        out[3 * width + i] = blue;
        out[4 * width + i] = green;
        out[5 * width + i] = red;
    }
}

/* The same of all rows: height x 6 x width. */
void drift_evidence(const Constants *constants, const float *dark, const float *bright, int32_t height, int32_t width, float *out)
{
    for (int32_t y = 0; y < height; y++, dark += 3 * (size_t)width, bright += 3 * (size_t)width, out += 6 * (size_t)width)
        drift_of_row(constants, dark, bright, width, out);
}

/* ---- rows ---- */

/* L*, or with `tone` that of the luma, of rows top..bottom of a picture, into height x width floats. */
void lightness_rows(const Constants *constants, const Tables *tables, int32_t tone, const Picture *picture, float *lightness,
                    int32_t top, int32_t bottom)
{
    Tones tones;
    for (int32_t y = top; y < bottom; y++)
        for (int32_t x = 0; x < picture->width; x += BLOCK) {
            int32_t count = picture->width - x < BLOCK ? picture->width - x : BLOCK;
            float *out = lightness + (size_t)y * picture->width + x;
            if (tone) {
                codes_block(row_of(picture, y), picture->bytes_per_sample, x, count, &tones.linear);
                luma_block(constants, count, &tones, 1);
                for (int32_t i = 0; i < count; i++)
                    out[i] = 116.0f * tones.fy[i] - 16.0f;
            } else {
                decode_block(tables->decode, row_of(picture, y), picture->bytes_per_sample, x, count, &tones.linear);
                lightness_block(constants, &tones.linear, count, out);
            }
        }
}

/* Two neighbouring small rows of steering planes, interpolated to the full width; kept from row to row of the picture. */
typedef struct {
    float *above, *below; /* the planes of the full width, each */
    int32_t first;        /* small row in `above`, -1 before the first use */
    int32_t *starts;      /* first column that lies right of each small column's centre, small_width + 1 entries */
    float *along;         /* for every column how far it is on the way to the next small column */
} Steering;

static int start_steering(const Job *job, Steering *steering)
{
    int32_t across = job->inputs->picture.width;
    size_t width = (size_t)across, small = (size_t)job->small_width, planes = (size_t)job->planes;
    float *memory = malloc(width * (2 * planes + 1) * sizeof(float) + (small + 1) * sizeof(int32_t));
    if (!memory)
        return 1;
    steering->above = memory;
    steering->below = memory + planes * width;
    steering->along = memory + 2 * planes * width;
    steering->starts = (int32_t *)(memory + (2 * planes + 1) * width);
    steering->first = -1;
    lay_out(across, job->small_width, 1, steering->along, steering->starts);
    return 0;
}

static void end_steering(Steering *steering)
{
    free(steering->above < steering->below ? steering->above : steering->below);
}

VECTORISED static void widen(const Job *job, const Steering *steering, int32_t small_row, float *restrict wide)
{
    int32_t width = job->inputs->picture.width, small = job->small_width;
    const float *restrict along = steering->along;
    for (int p = 0; p < job->planes; p++, wide += width) {
        const float *plane = job->steering + ((size_t)small_row * job->planes + p) * small;
        for (int32_t left = 0; left < small; left++) {
            float low = plane[left], step = plane[left + 1 < small ? left + 1 : left] - low;
            for (int32_t x = steering->starts[left]; x < steering->starts[left + 1]; x++)
                wide[x] = low + along[x] * step;
        }
    }
}

static void steer_to(const Job *job, Steering *steering, int32_t first)
{
    if (steering->first == first)
        return;
    int32_t second = first + 1 < job->small_height ? first + 1 : first;
    if (steering->first == first - 1 && steering->first >= 0) {
        float *swap = steering->above;
        steering->above = steering->below;
        steering->below = swap;
    } else {
        widen(job, steering, first, steering->above);
    }
    widen(job, steering, second, steering->below);
    steering->first = first;
}

/* What a row needs at hand; a and b of the tones start at zero, since a share of 0 multiplies them. */
typedef struct {
    Tones *tones;              /* of each exposure */
    float (*steering)[BLOCK];  /* `planes` of them */
    float (*shares)[BLOCK];    /* of each exposure */
    const void **rows;         /* of each exposure */
    Linear fused;
    float fy[BLOCK], y[BLOCK];
} Scratch;

#define ALIGNMENT 64
#define ALIGNED(size) (((size) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static Scratch *new_scratch(const Job *job)
{
    size_t n = (size_t)job->count, own = ALIGNED(sizeof(Scratch)), tones = ALIGNED(n * sizeof(Tones));
    size_t steering = (size_t)job->planes * BLOCK * sizeof(float), shares = n * BLOCK * sizeof(float);
    size_t size = ALIGNED(own + tones + steering + shares + n * sizeof(void *));
    char *memory = aligned_alloc(ALIGNMENT, size);
    if (!memory)
        return NULL;
    memset(memory, 0, size);
    Scratch *s = (Scratch *)memory;
    s->tones = (Tones *)(memory + own);
    s->steering = (float(*)[BLOCK])(memory + own + tones);
    s->shares = (float(*)[BLOCK])(memory + own + tones + steering);
    s->rows = (const void **)(memory + own + tones + steering + shares);
    return s;
}

/* The other transfers, in linear light. */
static void light_or_lab_block(const Constants *constants, const Tables *tables, const Job *job, int32_t x, int32_t count,
                               Scratch *s, void *out)
{
    int n = job->count, lab = job->transfer == LAB;
    share_block(constants, job->select, s->tones, n, s->fy, s->steering + PARTS(n), count, s->shares);
    luminance_block(constants, s->fy, count, s->y);
    for (int j = 0; lab && j < n; j++)
        if (any_above(s->shares[j], 0.0f, count))
            colour_block(constants, count, s->tones + j);
    mix_block(constants, lab, s->tones, n, s->fy, s->y, s->shares, count, &s->fused);
    if (outside_gamut(&s->fused, count))
        limit_block(s->y, count, &s->fused);
    encode_block(tables, &s->fused, job->inputs->picture.bytes_per_sample, out, x, count);
}

/* Row y from that row of each exposure, in `s`. */
static void fuse_row(const Constants *constants, const Tables *tables, const Job *job, int32_t y, const Steering *steering,
                     float down, Scratch *s)
{
    int n = job->count, bytes = job->inputs->picture.bytes_per_sample;
    int32_t width = job->inputs->picture.width;
    int fine = bytes > 1 || job->transfer == LAB; /* a* and b* are differences of roots */
    void *out = (char *)job->out + y * job->out_stride;
    for (int32_t x = 0; x < width; x += BLOCK) {
        int32_t count = width - x < BLOCK ? width - x : BLOCK;
        const float *lightness = job->lightness ? job->lightness + (size_t)y * width + x : NULL;
        for (int j = 0; j < n; j++)
            if (job->transfer == TONE) {
                codes_block(s->rows[j], bytes, x, count, &s->tones[j].linear);
                luma_block(constants, count, s->tones + j, fine);
            } else {
                decode_block(tables->decode, s->rows[j], bytes, x, count, &s->tones[j].linear);
                light_block(constants, count, s->tones + j, fine);
            }
        blend_block(steering->above + x, steering->below + x, down, width, job->planes, count, s->steering);
        target_block(constants, s->tones, n, s->steering, lightness, count, s->fy);
        if (job->transfer == TONE) {
            tone_block(constants, s->tones, n, s->fy, s->steering, count, fine, &s->fused);
            round_block(&s->fused, bytes, out, x, count);
        } else {
            light_or_lab_block(constants, tables, job, x, count, s, out);
        }
    }
}

/* ---- exposures, read row by row ---- */

static int start_exposures(const Job *job, Shares *shares)
{
    for (int j = 0; j < job->count; j++)
        shares[j].share = NULL;
    for (int j = 0; j < job->count; j++)
        if (job->inputs[j].motion && start_shares(job->inputs[j].motion, shares + j))
            return 1;
    return 0;
}

static void end_exposures(const Job *job, Shares *shares)
{
    for (int j = 0; j < job->count; j++)
        if (shares[j].share)
            end_shares(shares + j);
}

static const void *exposure_row(const Job *job, Shares *shares, int32_t j, int32_t y, const void *neighbour)
{
    const Input *input = job->inputs + j;
    return input->motion ? compensated_row(input->motion, shares + j, neighbour, y) : row_of(&input->picture, y);
}

/* Row y of all exposures at the reference's moment, from the reference outward. */
static void exposure_rows(const Job *job, Shares *shares, int32_t y, const void **rows)
{
    int32_t reference = job->reference;
    rows[reference] = row_of(&job->inputs[reference].picture, y);
    for (int32_t j = reference - 1; j >= 0; j--)
        rows[j] = exposure_row(job, shares, j, y, rows[j + 1]);
    for (int32_t j = reference + 1; j < job->count; j++)
        rows[j] = exposure_row(job, shares, j, y, rows[j - 1]);
}

/* Fuse rows top..bottom of up to MOST_EXPOSURES exposures. 0, or 1 if out of memory. */
int fuse_rows(const Constants *constants, const Tables *tables, const Job *job, int32_t top, int32_t bottom)
{
    Steering steering;
    Shares shares[MOST_EXPOSURES];
    Scratch *scratch = new_scratch(job);
    if (!scratch || start_steering(job, &steering)) {
        free(scratch);
        return 1;
    }
    int failed = start_exposures(job, shares);
    for (int32_t y = top; !failed && y < bottom; y++) {
        float down;
        steer_to(job, &steering, between(y, job->inputs->picture.height, job->small_height, &down));
        exposure_rows(job, shares, y, scratch->rows);
        fuse_row(constants, tables, job, y, &steering, down, scratch);
    }
    end_exposures(job, shares);
    end_steering(&steering);
    free(scratch);
    return failed;
}
