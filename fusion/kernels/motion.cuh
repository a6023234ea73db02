/* One exposure as it would have been at another's moment: fusion/motion/exposure_synthesis.py, pixel by pixel. */
#pragma once

#include "bracket.cuh"

#define PLACES 16 /* places between pixels are rounded to such parts */

/* Where a pixel's centre lies between the centres of small ones: the first of the two, and how far along. */
PIXEL_FN int32_t between(int32_t index, int32_t size, int32_t small, float *along)
{
    float position = ((float)index + 0.5f) * ((float)small / (float)size) - 0.5f;
    position = within(position, 0.0f, (float)(small - 1));
    int32_t first = least((int32_t)position, most(small - 2, 0));
    *along = position - (float)first;
    return first;
}

/* A plane of height x width cells of `step` values each, `plane` of them, at a pixel of the picture. */
PIXEL_FN float plane_at(const Remake &p, const float *plane, int32_t height, int32_t width, int32_t step, int32_t x, int32_t y)
{
    float along, down;
    int32_t left = between(x, p.width, width, &along), above = between(y, p.height, height, &down);
    int32_t right = least(left + 1, width - 1), below = least(above + 1, height - 1);
    const float *upper = plane + (size_t)above * width * step, *lower = plane + (size_t)below * width * step;
    float top = upper[left * step] + along * (upper[right * step] - upper[left * step]);
    float bottom = lower[left * step] + along * (lower[right * step] - lower[left * step]);
    return top + down * (bottom - top);
}

/* The other exposure's pixel, moved; beyond the border the nearest. */
template <typename Sample> PIXEL_FN void other_at(const Remake &p, int32_t x, int32_t y, uint32_t *codes)
{
    int32_t place_x = PLACES * x, place_y = PLACES * y;
    if (p.across) {
        place_x = most(0, least(place_x + p.across[y], PLACES * (p.width - 1)));
        place_y = most(0, least(place_y + p.down[x], PLACES * (p.height - 1)));
    }
    int32_t left = place_x / PLACES, above = place_y / PLACES;
    uint32_t right_part = (uint32_t)place_x % PLACES, down_part = (uint32_t)place_y % PLACES;
    const Sample *upper = (const Sample *)(p.other + above * p.other_stride);
    const Sample *lower = (const Sample *)(p.other + least(above + 1, p.height - 1) * p.other_stride);
    int32_t first = 3 * left, second = 3 * least(left + 1, p.width - 1);
    for (int c = 0; c < 3; c++) {
        uint32_t top = (PLACES - right_part) * upper[first + c] + right_part * upper[second + c];
        uint32_t bottom = (PLACES - right_part) * lower[first + c] + right_part * lower[second + c];
        codes[c] = ((PLACES - down_part) * top + down_part * bottom + PLACES * PLACES / 2) / (PLACES * PLACES);
    }
}

/* Where the reference clips: see with_fill of fusion/motion/saturation_fill.py. */
PIXEL_FN void fill_in(const Remake &p, int32_t x, int32_t y, const float *reference, const uint32_t *there, float *made)
{
    float clips[3], fill[3], bright = 1.0f, differs = 0.0f;
    for (int c = 0; c < 3; c++) {
        clips[c] = within((reference[c] - p.clip_start) * p.clip_scale, 0.0f, 1.0f);
        fill[c] = plane_at(p, p.fill + c, p.fill_height, p.fill_width, 3, x, y);
        bright = smaller(bright, clips[c] + (1.0f - clips[c]) * made[c] / larger(fill[c], p.least_fill));
        float more = (float)there[c] - made[c]; /* a channel that clips may have been brighter */
        differs = larger(differs, larger(-more, (1.0f - clips[c]) * more) / larger(made[c], p.least_fill));
    }
    float stays = larger(1.0f - differs / p.like, 0.0f);
    for (int c = 0; c < 3; c++)
        made[c] += clips[c] * larger(stays * (float)there[c] + (1.0f - stays) * bright * fill[c] - made[c], 0.0f);
}

/* Where a darker reference is dim: see with_tints of fusion/motion/dim_colour.py. */
template <typename Sample> PIXEL_FN void tint_in(const Remake &p, int32_t x, int32_t y, float largest, float *made)
{
    float belief = within((largest - p.dim) * p.dim_scale, 0.0f, 1.0f);
    if (belief >= 1.0f)
        return;
    float tint[3], luma = 0.114f * made[0] + 0.587f * made[1] + 0.299f * made[2];
    for (int c = 0; c < 3; c++)
        tint[c] = plane_at(p, p.fill + c, p.fill_height, p.fill_width, 3, x, y);
    float smooth = 0.114f * tint[0] + 0.587f * tint[1] + 0.299f * tint[2], apart = luma - smooth, square = apart * apart;
    float gain = (smooth + apart * square / (square + p.grain) + p.faint) / (smooth + p.faint);
    for (int c = 0; c < 3; c++)
        made[c] = belief * made[c] + (1.0f - belief) * within((tint[c] + p.faint) * gain - p.faint, 0.0f, (float)(Sample)~0u);
}

/* A thread a pixel. */
template <typename Sample> PIXEL_FN void remake(const Remake &p)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.width || y >= p.height)
        return;
    uint32_t codes[3];
    other_at<Sample>(p, x, y, codes);
    float share = plane_at(p, p.mask, p.grid_height, p.grid_width, 1, x, y);
    if (share > 0.0f) {
        const Sample *seen = (const Sample *)(p.reference + y * p.reference_stride) + 3 * (size_t)x;
        float reference[3], made[3], largest = 0.0f;
        for (int c = 0; c < 3; c++) {
            reference[c] = (float)seen[c];
            made[c] = p.table[(c << 8 * sizeof(Sample)) + seen[c]];
            largest = larger(largest, reference[c]);
        }
        if (p.fill && p.tinted)
            tint_in<Sample>(p, x, y, largest, made);
        else if (p.fill && largest > p.clip_start)
            fill_in(p, x, y, reference, codes, made);
        for (int c = 0; c < 3; c++)
            codes[c] = (uint32_t)((float)codes[c] + share * (made[c] - (float)codes[c]) + 0.5f);
    }
    Sample *out = (Sample *)(p.out + y * p.out_stride) + 3 * (size_t)x;
    for (int c = 0; c < 3; c++)
        out[c] = (Sample)codes[c];
}

KERNEL_OF(Remake, remake8, 6) { remake<uint8_t>(p); }
KERNEL_OF(Remake, remake16, 6) { remake<uint16_t>(p); }
