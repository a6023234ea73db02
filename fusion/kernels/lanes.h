/* Vectors of LANES floats in GCC's and clang's own notation, one source for AVX-512, AVX2 and NEON, and the few things that have
 * no notation: pixels in and out (B, G, R bytes in turn), estimates of 1/x, and tables in registers. */
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

LANES_FN F every(float x) { return x - (F){0}; }
LANES_FN F load(const float *p) { return *(const Unaligned *)p; }
LANES_FN void store(float *p, F x) { *(Unaligned *)p = x; }

/* A smooth function: a polynomial for each piece of its range, which is told by the leading bits of x, a float. All of them lie in a
 * few registers. PIECES and DEGREE are found by fusion/cpu/compiled_tone.py through tone_pieces() and tone_degree(). */
#if LANES == 16
#define PIECES 16
#define DEGREE 2
#define PIECE_SHIFT 21
#else
#define PIECES 8
#define DEGREE 3
#define PIECE_SHIFT 22
#endif
typedef struct {
    float terms[DEGREE + 1][PIECES]; /* lowest power first; a piece's place is its leading bits modulo PIECES */
} Piecewise;

#if LANES == 16
LANES_FN F least(F a, F b) { return _mm512_min_ps(a, b); }
LANES_FN F most(F a, F b) { return _mm512_max_ps(a, b); }
LANES_FN F reciprocal(F x) { return _mm512_rcp14_ps(x); } /* within 2^-14 of it */

LANES_FN F piecewise(const Piecewise *t, F x)
{
    __m512i piece = _mm512_srli_epi32((__m512i)x, PIECE_SHIFT);
    F sum = _mm512_permutexvar_ps(piece, _mm512_loadu_ps(t->terms[DEGREE]));
    for (int d = DEGREE - 1; d >= 0; d--)
        sum = sum * x + (F)_mm512_permutexvar_ps(piece, _mm512_loadu_ps(t->terms[d]));
    return sum;
}
#elif LANES == 8
LANES_FN F least(F a, F b) { return _mm256_min_ps(a, b); }
LANES_FN F most(F a, F b) { return _mm256_max_ps(a, b); }
LANES_FN F reciprocal(F x) { return _mm256_rcp_ps(x); } /* within 4e-4 of it: a tenth of a code, and luma is set right afterwards */

LANES_FN F piecewise(const Piecewise *t, F x)
{
    __m256i piece = _mm256_srli_epi32((__m256i)x, PIECE_SHIFT);
    F sum = _mm256_permutevar8x32_ps(_mm256_loadu_ps(t->terms[DEGREE]), piece);
    for (int d = DEGREE - 1; d >= 0; d--)
        sum = sum * x + (F)_mm256_permutevar8x32_ps(_mm256_loadu_ps(t->terms[d]), piece);
    return sum;
}
#else
LANES_FN F least(F a, F b) { return (F)vminq_f32((float32x4_t)a, (float32x4_t)b); }
LANES_FN F most(F a, F b) { return (F)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
LANES_FN F reciprocal(F x) /* the estimate, within 2^-8, and one step */
{
    float32x4_t v = (float32x4_t)x, r = vrecpeq_f32(v);
    return (F)vmulq_f32(r, vrecpsq_f32(v, r));
}

LANES_FN F piecewise(const Piecewise *t, F x)
{
    uint32x4_t piece = vandq_u32(vshrq_n_u32((uint32x4_t)x, PIECE_SHIFT), vdupq_n_u32(PIECES - 1));
    uint8x16_t bytes = (uint8x16_t)vaddq_u32(vmulq_n_u32(piece, 0x04040404u), vdupq_n_u32(0x03020100u));
    F sum = {0};
    for (int d = DEGREE; d >= 0; d--) {
        uint8x16x2_t table = {{(uint8x16_t)vld1q_f32(t->terms[d]), (uint8x16_t)vld1q_f32(t->terms[d] + 4)}};
        F term = (F)vqtbl2q_u8(table, bytes);
        sum = d == DEGREE ? term : sum * x + term;
    }
    return sum;
}
#endif

/* GROUP pixels, 3 GROUP bytes: to planes of floats 0..1, `plane` floats apart, and back from floats 0..255, rounded and held within
 * 0..255. */
#if LANES >= 8
#define BYTES(...) _mm_setr_epi8(__VA_ARGS__)
#define NO -1

LANES_FN __m128i joined(__m128i a, __m128i b, __m128i c) { return _mm_or_si128(_mm_or_si128(a, b), c); }

LANES_FN void put_plane(__m128i codes, float *out)
{
#if LANES == 16
    store(out, (F)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes)) * (1.0f / 255.0f));
#else
    store(out, (F)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes)) * (1.0f / 255.0f));
    store(out + 8, (F)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(codes, 8))) * (1.0f / 255.0f));
#endif
}

LANES_FN void read_group(const uint8_t *p, float *out, int32_t plane)
{
    __m128i a = _mm_loadu_si128((const void *)p), b = _mm_loadu_si128((const void *)(p + 16)), c = _mm_loadu_si128((const void *)(p + 32));
    put_plane(joined(_mm_shuffle_epi8(a, BYTES(0, 3, 6, 9, 12, 15, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO)),
                     _mm_shuffle_epi8(b, BYTES(NO, NO, NO, NO, NO, NO, 2, 5, 8, 11, 14, NO, NO, NO, NO, NO)),
                     _mm_shuffle_epi8(c, BYTES(NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 1, 4, 7, 10, 13))), out);
    put_plane(joined(_mm_shuffle_epi8(a, BYTES(1, 4, 7, 10, 13, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO)),
                     _mm_shuffle_epi8(b, BYTES(NO, NO, NO, NO, NO, 0, 3, 6, 9, 12, 15, NO, NO, NO, NO, NO)),
                     _mm_shuffle_epi8(c, BYTES(NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 2, 5, 8, 11, 14))), out + plane);
    put_plane(joined(_mm_shuffle_epi8(a, BYTES(2, 5, 8, 11, 14, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO)),
                     _mm_shuffle_epi8(b, BYTES(NO, NO, NO, NO, NO, 1, 4, 7, 10, 13, NO, NO, NO, NO, NO, NO)),
                     _mm_shuffle_epi8(c, BYTES(NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 0, 3, 6, 9, 12, 15))), out + 2 * plane);
}

LANES_FN __m128i take_plane(const float *in)
{
#if LANES == 16
    return _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(most(load(in), every(0))));
#else
    __m256i low = _mm256_cvtps_epi32(load(in)), high = _mm256_cvtps_epi32(load(in + 8));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
#endif
}

LANES_FN void write_group(const float *in, int32_t plane, uint8_t *p)
{
    __m128i b = take_plane(in), g = take_plane(in + plane), r = take_plane(in + 2 * plane);
    _mm_storeu_si128((void *)p,
                     joined(_mm_shuffle_epi8(b, BYTES(0, NO, NO, 1, NO, NO, 2, NO, NO, 3, NO, NO, 4, NO, NO, 5)),
                            _mm_shuffle_epi8(g, BYTES(NO, 0, NO, NO, 1, NO, NO, 2, NO, NO, 3, NO, NO, 4, NO, NO)),
                            _mm_shuffle_epi8(r, BYTES(NO, NO, 0, NO, NO, 1, NO, NO, 2, NO, NO, 3, NO, NO, 4, NO))));
    _mm_storeu_si128((void *)(p + 16),
                     joined(_mm_shuffle_epi8(b, BYTES(NO, NO, 6, NO, NO, 7, NO, NO, 8, NO, NO, 9, NO, NO, 10, NO)),
                            _mm_shuffle_epi8(g, BYTES(5, NO, NO, 6, NO, NO, 7, NO, NO, 8, NO, NO, 9, NO, NO, 10)),
                            _mm_shuffle_epi8(r, BYTES(NO, 5, NO, NO, 6, NO, NO, 7, NO, NO, 8, NO, NO, 9, NO, NO))));
    _mm_storeu_si128((void *)(p + 32),
                     joined(_mm_shuffle_epi8(b, BYTES(NO, 11, NO, NO, 12, NO, NO, 13, NO, NO, 14, NO, NO, 15, NO, NO)),
                            _mm_shuffle_epi8(g, BYTES(NO, NO, 11, NO, NO, 12, NO, NO, 13, NO, NO, 14, NO, NO, 15, NO)),
                            _mm_shuffle_epi8(r, BYTES(10, NO, NO, 11, NO, NO, 12, NO, NO, 13, NO, NO, 14, NO, NO, 15))));
}
#else
LANES_FN void read_group(const uint8_t *p, float *out, int32_t plane)
{
    uint8x16x3_t planes = vld3q_u8(p);
    for (int k = 0; k < 3; k++, out += plane) {
        uint16x8_t low = vmovl_u8(vget_low_u8(planes.val[k])), high = vmovl_high_u8(planes.val[k]);
        store(out, (F)vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))) * (1.0f / 255.0f));
        store(out + 4, (F)vcvtq_f32_u32(vmovl_high_u16(low)) * (1.0f / 255.0f));
        store(out + 8, (F)vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))) * (1.0f / 255.0f));
        store(out + 12, (F)vcvtq_f32_u32(vmovl_high_u16(high)) * (1.0f / 255.0f));
    }
}

LANES_FN void write_group(const float *in, int32_t plane, uint8_t *p)
{
    uint8x16x3_t planes;
    for (int k = 0; k < 3; k++, in += plane) {
        uint16x4_t v[4];
        for (int q = 0; q < 4; q++)
            v[q] = vqmovun_s32(vcvtnq_s32_f32((float32x4_t)load(in + 4 * q)));
        planes.val[k] = vcombine_u8(vqmovn_u16(vcombine_u16(v[0], v[1])), vqmovn_u16(vcombine_u16(v[2], v[3])));
    }
    vst3q_u8(p, planes);
}
#endif
#endif
#endif
