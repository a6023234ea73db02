/* Vectors of LANES floats in GCC's and clang's own notation, one source for AVX-512, AVX2 and NEON, and the few things that have
 * no notation: pixels in and out (B, G, R in turn), 1/x, and tables in registers. */
#ifndef LIVEMEF_LANES_H
#define LIVEMEF_LANES_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define LANES 4
#else
#define LANES 0 /* the plain loops serve */
#endif

#if LANES
#define GROUP 16 /* pixels read and written together */
#define LANES_FN static inline __attribute__((always_inline))

typedef float F __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Bits __attribute__((vector_size(4 * LANES)));
typedef int32_t UnalignedBits __attribute__((vector_size(4 * LANES), aligned(4)));

LANES_FN F every(float x) { return x - (F){0}; }
LANES_FN F load(const float *p) { return *(const Unaligned *)p; }
LANES_FN Bits load_bits(const int32_t *p) { return *(const UnalignedBits *)p; }
LANES_FN void store(float *p, F x) { *(Unaligned *)p = x; }

/* A smooth function: a polynomial for each piece of its range. The leading bits of x, a float, are the piece's number, so that
 * pieces are longer the larger x is. All terms lie in a few registers. Coarse: DEGREE, in x. Fine: FINE_DEGREE, in the distance
 * from the piece's start. */
#if LANES == 16
#define PIECES 16
#define PIECE_SHIFT 21
#define FINE_DEGREE 4
#else
#define PIECES 8
#define PIECE_SHIFT 22
#define FINE_DEGREE 5
#endif
#define DEGREE 2
typedef float Terms[FINE_DEGREE + 1][PIECES]; /* lowest power first; a piece's place is its number modulo PIECES */

/* least, most: of two; rough_reciprocal: 1/x within 1.5 2^-12 of it or better; piece_of: see piecewise; pieces: of these numbers,
 * 0..PIECES-1; term: of PIECES floats those of the pieces */
#if LANES == 16
typedef __m512i Piece;
LANES_FN F least(F a, F b) { return _mm512_min_ps(a, b); }
LANES_FN F most(F a, F b) { return _mm512_max_ps(a, b); }
LANES_FN F rough_reciprocal(F x) { return _mm512_rcp14_ps(x); }
LANES_FN int any_above(F x, F limit) { return _mm512_cmp_ps_mask(x, limit, _CMP_GT_OQ) != 0; }
LANES_FN Piece piece_of(F x) { return _mm512_srli_epi32((__m512i)x, PIECE_SHIFT); }
LANES_FN Piece pieces(Bits numbers) { return (Piece)numbers; }
LANES_FN F term(const float *terms, Piece piece) { return _mm512_permutexvar_ps(piece, _mm512_loadu_ps(terms)); }
#elif LANES == 8
typedef __m256i Piece;
LANES_FN F least(F a, F b) { return _mm256_min_ps(a, b); }
LANES_FN F most(F a, F b) { return _mm256_max_ps(a, b); }
LANES_FN F rough_reciprocal(F x) { return _mm256_rcp_ps(x); }
LANES_FN int any_above(F x, F limit) { return _mm256_movemask_ps(_mm256_cmp_ps(x, limit, _CMP_GT_OQ)) != 0; }
LANES_FN Piece piece_of(F x) { return _mm256_srli_epi32((__m256i)x, PIECE_SHIFT); }
LANES_FN Piece pieces(Bits numbers) { return (Piece)numbers; }
LANES_FN F term(const float *terms, Piece piece) { return _mm256_permutevar8x32_ps(_mm256_loadu_ps(terms), piece); }
#else
typedef uint8x16_t Piece; /* places of its bytes */
LANES_FN F least(F a, F b) { return (F)vminq_f32((float32x4_t)a, (float32x4_t)b); }
LANES_FN F most(F a, F b) { return (F)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
LANES_FN F rough_reciprocal(F x) /* the estimate, within 2^-8, and one step */
{
    float32x4_t v = (float32x4_t)x, r = vrecpeq_f32(v);
    return (F)vmulq_f32(r, vrecpsq_f32(v, r));
}

LANES_FN int any_above(F x, F limit) { return vmaxvq_u32(vcgtq_f32((float32x4_t)x, (float32x4_t)limit)) != 0; }
LANES_FN Piece pieces(Bits numbers)
{
    return (uint8x16_t)vaddq_u32(vmulq_n_u32((uint32x4_t)numbers, 0x04040404u), vdupq_n_u32(0x03020100u));
}

LANES_FN Piece piece_of(F x) { return pieces((Bits)vandq_u32(vshrq_n_u32((uint32x4_t)x, PIECE_SHIFT), vdupq_n_u32(PIECES - 1))); }

LANES_FN F term(const float *terms, Piece piece)
{
    uint8x16x2_t table = {{(uint8x16_t)vld1q_f32(terms), (uint8x16_t)vld1q_f32(terms + 4)}};
    return (F)vqtbl2q_u8(table, piece);
}
#endif

/* 1/x; `fine`: within a few units in the last place. */
LANES_FN F reciprocal(F x, int fine)
{
    F r = rough_reciprocal(x);
    return fine ? r + r * (1.0f - x * r) : r;
}

LANES_FN F piecewise(const Terms terms, F x, int fine)
{
    Piece piece = piece_of(x);
    int degree = fine ? FINE_DEGREE : DEGREE;
    F place = fine ? x - (F)((Bits)x & -(1 << PIECE_SHIFT)) : x, sum = term(terms[degree], piece);
    for (int power = degree - 1; power >= 0; power--)
        sum = sum * place + term(terms[power], piece);
    return sum;
}

/* GROUP pixels, 3 GROUP codes: to planes of floats, `plane` floats apart, and back, rounded and held within the codes' range. */
#if LANES == 16
#define NO -1
#define IN_EACH_LANE(...) _mm512_broadcast_i32x4(_mm_setr_epi8(__VA_ARGS__))

LANES_FN void read8(const uint8_t *p, float *out, int32_t plane)
{
    __m512i spread = _mm512_setr_epi32(0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12); /* four pixels to each lane */
    __m512i codes = _mm512_permutexvar_epi32(spread, _mm512_maskz_loadu_epi32(0x0FFF, p));
    __m512i blue = _mm512_shuffle_epi8(codes, IN_EACH_LANE(0, NO, NO, NO, 3, NO, NO, NO, 6, NO, NO, NO, 9, NO, NO, NO));
    __m512i green = _mm512_shuffle_epi8(codes, IN_EACH_LANE(1, NO, NO, NO, 4, NO, NO, NO, 7, NO, NO, NO, 10, NO, NO, NO));
    __m512i red = _mm512_shuffle_epi8(codes, IN_EACH_LANE(2, NO, NO, NO, 5, NO, NO, NO, 8, NO, NO, NO, 11, NO, NO, NO));
    store(out, (F)_mm512_cvtepi32_ps(blue));
    store(out + plane, (F)_mm512_cvtepi32_ps(green));
    store(out + 2 * plane, (F)_mm512_cvtepi32_ps(red));
}

LANES_FN void write8(const float *in, int32_t plane, uint8_t *p)
{
    __m512i blue = _mm512_cvtps_epi32(load(in)), green = _mm512_cvtps_epi32(load(in + plane)), red = _mm512_cvtps_epi32(load(in + 2 * plane));
    __m512i planes = _mm512_packus_epi16(_mm512_packs_epi32(blue, green), _mm512_packs_epi32(red, red)); /* in each lane of four pixels */
    __m512i pixels = _mm512_shuffle_epi8(planes, IN_EACH_LANE(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, NO, NO, NO, NO));
    __m512i dense = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3);
    pixels = _mm512_permutexvar_epi32(dense, pixels);
    _mm256_storeu_si256((void *)p, _mm512_castsi512_si256(pixels));
    _mm_storeu_si128((void *)(p + 32), _mm512_extracti32x4_epi32(pixels, 2));
}

/* Every third word of 48, from the one of this number on, widened. */
LANES_FN F third_words(__m512i first, __m512i last, int from)
{
    __m512i place = _mm512_add_epi32(_mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45), _mm512_set1_epi32(from));
    return (F)_mm512_cvtepi32_ps(_mm512_maskz_permutex2var_epi16(0x55555555, first, place, last));
}

LANES_FN void read16(const uint16_t *p, float *out, int32_t plane)
{
    __m512i first = _mm512_loadu_si512(p), last = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(p + 32)));
    for (int c = 0; c < 3; c++)
        store(out + c * plane, third_words(first, last, c));
}

#define FOUR(lane) /* pixels of a lane of four: from words b b b b g g g g, and r r r r of the other */ \
    8 * lane, 8 * lane + 4, 32 + 8 * lane, 8 * lane + 1, 8 * lane + 5, 33 + 8 * lane, \
    8 * lane + 2, 8 * lane + 6, 34 + 8 * lane, 8 * lane + 3, 8 * lane + 7, 35 + 8 * lane
static const _Alignas(64) int16_t DENSE_WORDS[64] = {FOUR(0), FOUR(1), FOUR(2), FOUR(3)};

LANES_FN void write16(const float *in, int32_t plane, uint16_t *p)
{
    __m512i blue = _mm512_cvtps_epi32(load(in)), green = _mm512_cvtps_epi32(load(in + plane)), red = _mm512_cvtps_epi32(load(in + 2 * plane));
    __m512i both = _mm512_packus_epi32(blue, green), reds = _mm512_packus_epi32(red, red);
    _mm512_storeu_si512(p, _mm512_permutex2var_epi16(both, _mm512_load_si512(DENSE_WORDS), reds));
    __m512i rest = _mm512_permutex2var_epi16(both, _mm512_load_si512(DENSE_WORDS + 32), reds);
    _mm256_storeu_si256((void *)(p + 32), _mm512_castsi512_si256(rest));
}
#elif LANES == 8
#define NO -1

/* Both lanes of 16 bytes. */
LANES_FN __m256i lanes_of(const void *low, const void *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
}

LANES_FN void read8(const uint8_t *p, float *out, int32_t plane)
{
    for (int half = 0; half < 2; half++, p += 24, out += 8) {
        __m256i codes = lanes_of(p, p + 8); /* the four pixels of the second lane begin at its fifth byte */
        for (int c = 0; c < 3; c++) {
            __m256i first = _mm256_setr_epi8(0, NO, NO, NO, 3, NO, NO, NO, 6, NO, NO, NO, 9, NO, NO, NO,
                                             4, NO, NO, NO, 7, NO, NO, NO, 10, NO, NO, NO, 13, NO, NO, NO);
            __m256i place = _mm256_add_epi32(first, _mm256_set1_epi32(c));
            store(out + c * plane, (F)_mm256_cvtepi32_ps(_mm256_shuffle_epi8(codes, place)));
        }
    }
}

LANES_FN void write8(const float *in, int32_t plane, uint8_t *p)
{
    for (int half = 0; half < 2; half++, p += 24, in += 8) {
        __m256i blue = _mm256_cvtps_epi32(load(in)), green = _mm256_cvtps_epi32(load(in + plane)), red = _mm256_cvtps_epi32(load(in + 2 * plane));
        __m256i planes = _mm256_packus_epi16(_mm256_packs_epi32(blue, green), _mm256_packs_epi32(red, red)); /* in each lane of four pixels */
        __m256i pixels = _mm256_shuffle_epi8(planes, _mm256_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, NO, NO, NO, NO,
                                                                      0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, NO, NO, NO, NO));
        pixels = _mm256_permutevar8x32_epi32(pixels, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 3));
        _mm_storeu_si128((void *)p, _mm256_castsi256_si128(pixels));
        _mm_storel_epi64((void *)(p + 16), _mm256_extracti128_si256(pixels, 1));
    }
}

LANES_FN void read16(const uint16_t *p, float *out, int32_t plane)
{
    for (int half = 0; half < 2; half++, p += 24, out += 8) {
        __m256i first = lanes_of(p, p + 12), last = lanes_of(p + 4, p + 16); /* of four pixels each: the first eight words, and the last */
        for (int c = 0; c < 3; c++) {
            __m256i early = _mm256_setr_epi8(0, 1, NO, NO, 6, 7, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
                                             0, 1, NO, NO, 6, 7, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO);
            __m256i late = _mm256_setr_epi8(NO, NO, NO, NO, NO, NO, NO, NO, 4, 5, NO, NO, 10, 11, NO, NO,
                                            NO, NO, NO, NO, NO, NO, NO, NO, 4, 5, NO, NO, 10, 11, NO, NO);
            int words = 2 * c * 0x0101;
            early = _mm256_add_epi32(early, _mm256_setr_epi32(words, words, 0, 0, words, words, 0, 0));
            late = _mm256_add_epi32(late, _mm256_setr_epi32(0, 0, words, words, 0, 0, words, words));
            __m256i codes = _mm256_or_si256(_mm256_shuffle_epi8(first, early), _mm256_shuffle_epi8(last, late));
            store(out + c * plane, (F)_mm256_cvtepi32_ps(codes));
        }
    }
}

LANES_FN void write16(const float *in, int32_t plane, uint16_t *p)
{
    for (int half = 0; half < 2; half++, p += 24, in += 8) {
        __m256i blue = _mm256_cvtps_epi32(load(in)), green = _mm256_cvtps_epi32(load(in + plane)), red = _mm256_cvtps_epi32(load(in + 2 * plane));
        __m256i both = _mm256_packus_epi32(blue, green), reds = _mm256_packus_epi32(red, red); /* in each lane of four pixels */
        __m256i first = _mm256_or_si256(
            _mm256_shuffle_epi8(both, _mm256_setr_epi8(0, 1, 8, 9, NO, NO, 2, 3, 10, 11, NO, NO, 4, 5, 12, 13,
                                                       0, 1, 8, 9, NO, NO, 2, 3, 10, 11, NO, NO, 4, 5, 12, 13)),
            _mm256_shuffle_epi8(reds, _mm256_setr_epi8(NO, NO, NO, NO, 0, 1, NO, NO, NO, NO, 2, 3, NO, NO, NO, NO,
                                                       NO, NO, NO, NO, 0, 1, NO, NO, NO, NO, 2, 3, NO, NO, NO, NO)));
        __m256i last = _mm256_or_si256(
            _mm256_shuffle_epi8(both, _mm256_setr_epi8(NO, NO, 6, 7, 14, 15, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
                                                       NO, NO, 6, 7, 14, 15, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO)),
            _mm256_shuffle_epi8(reds, _mm256_setr_epi8(4, 5, NO, NO, NO, NO, 6, 7, NO, NO, NO, NO, NO, NO, NO, NO,
                                                       4, 5, NO, NO, NO, NO, 6, 7, NO, NO, NO, NO, NO, NO, NO, NO)));
        _mm_storeu_si128((void *)p, _mm256_castsi256_si128(first));
        _mm_storel_epi64((void *)(p + 8), _mm256_castsi256_si128(last));
        _mm_storeu_si128((void *)(p + 12), _mm256_extracti128_si256(first, 1));
        _mm_storel_epi64((void *)(p + 20), _mm256_extracti128_si256(last, 1));
    }
}
#else
LANES_FN void put8(uint16x8_t codes, float *out)
{
    store(out, (F)vcvtq_f32_u32(vmovl_u16(vget_low_u16(codes))));
    store(out + 4, (F)vcvtq_f32_u32(vmovl_high_u16(codes)));
}

LANES_FN uint16x8_t rounded8(const float *in) /* held within 16 bits */
{
    return vcombine_u16(vqmovun_s32(vcvtnq_s32_f32((float32x4_t)load(in))), vqmovun_s32(vcvtnq_s32_f32((float32x4_t)load(in + 4))));
}

LANES_FN void read8(const uint8_t *p, float *out, int32_t plane)
{
    uint8x16x3_t planes = vld3q_u8(p);
    for (int c = 0; c < 3; c++, out += plane) {
        put8(vmovl_u8(vget_low_u8(planes.val[c])), out);
        put8(vmovl_high_u8(planes.val[c]), out + 8);
    }
}

LANES_FN void write8(const float *in, int32_t plane, uint8_t *p)
{
    uint8x16x3_t planes;
    for (int c = 0; c < 3; c++, in += plane)
        planes.val[c] = vcombine_u8(vqmovn_u16(rounded8(in)), vqmovn_u16(rounded8(in + 8)));
    vst3q_u8(p, planes);
}

LANES_FN void read16(const uint16_t *p, float *out, int32_t plane)
{
    for (int half = 0; half < 2; half++, p += 24, out += 8) {
        uint16x8x3_t planes = vld3q_u16(p);
        for (int c = 0; c < 3; c++)
            put8(planes.val[c], out + c * plane);
    }
}

LANES_FN void write16(const float *in, int32_t plane, uint16_t *p)
{
    for (int half = 0; half < 2; half++, p += 24, in += 8) {
        uint16x8x3_t planes;
        for (int c = 0; c < 3; c++)
            planes.val[c] = rounded8(in + c * plane);
        vst3q_u16(p, planes);
    }
}
#endif

LANES_FN void read_group(const void *row, int bytes, int32_t pixel, float *out, int32_t plane)
{
    if (bytes == 1)
        read8((const uint8_t *)row + 3 * pixel, out, plane);
    else
        read16((const uint16_t *)row + 3 * pixel, out, plane);
}

LANES_FN void write_group(const float *in, int32_t plane, int bytes, int32_t pixel, void *row)
{
    if (bytes == 1)
        write8(in, plane, (uint8_t *)row + 3 * pixel);
    else
        write16(in, plane, (uint16_t *)row + 3 * pixel);
}
#endif
#endif
