/* The method's kernels. One file, so that one compilation gives one binary: see fusion/kernels/build.py. */
#include "motion.cuh"
#include "small.cuh"

/* ---- every pixel ---- */

/* One exposure's pixel as the fused one needs it. */
struct Light {
    float bgr[3], y, fy, trust;
};

/* The first pixel of a group. */
template <typename Sample> PIXEL_FN Light light_of_first(const Bracket &p, const Group<Sample> &group)
{
    const Constants *k = &p.constants;
    Light light;
    for (int c = 0; c < 3; c++)
        light.bgr[c] = p.decode[sample_of(group, c)];
    light.y = luminance_of(k, light.bgr[0], light.bgr[1], light.bgr[2]);
    light.fy = lab_f(k, light.y, 1);
    light.trust = trust_of(k, light.fy, light.bgr[0], light.bgr[1], light.bgr[2]);
    return light;
}

/* Lightness of every pixel, as the network's input. A thread a pixel; the border repeats the last ones. */
template <typename Sample> PIXEL_FN void full_lightness(const Bracket &p)
{
    const Constants *k = &p.constants;
    int32_t x = thread_x(), y = thread_y(), z = (int32_t)blockIdx.z;
    if (x >= p.network_width || y >= p.network_height)
        return;
    const Sample *row = (const Sample *)(p.pictures[z] + least(y, p.height - 1) * p.strides[z]);
    const Sample *pixel = row + 3 * (size_t)least(x, p.width - 1);
    float f;
    if (p.transfer == TONE) {
        float one = 1.0f / full_code<Sample>();
        f = on_curve(&k->f_of_luma, luminance_of(k, one * pixel[0], one * pixel[1], one * pixel[2]), 1);
    } else {
        f = lab_f(k, luminance_of(k, p.decode[pixel[0]], p.decode[pixel[1]], p.decode[pixel[2]]), 1);
    }
    to_network(p, z, y, x, 116.0f * f - 16.0f);
}

KERNEL(full_lightness8, 6) { full_lightness<uint8_t>(p); }
KERNEL(full_lightness16, 6) { full_lightness<uint16_t>(p); }

PIXEL_FN float4 mixed(float4 a, float4 b, float share)
{
    a.x += share * (b.x - a.x);
    a.y += share * (b.y - a.y);
    a.z += share * (b.z - a.z);
    a.w += share * (b.w - a.w);
    return a;
}

/* Two neighbouring columns of steering planes, interpolated between two rows: good for all pixels that lie between them. */
struct Columns {
    float4 left, right;
    int32_t first;
};

PIXEL_FN float4 steering_at(const Bracket &p, int32_t x, int32_t above, int32_t below, float down, Columns *columns)
{
    float along;
    int32_t first = between(x, p.width, p.small_width, &along);
    if (first != columns->first) {
        int32_t second = least(first + 1, p.small_width - 1);
        columns->left = mixed(p.steering[above + first], p.steering[below + first], down);
        columns->right = mixed(p.steering[above + second], p.steering[below + second], down);
        columns->first = first;
    }
    return mixed(columns->left, columns->right, along);
}

/* Linear B, G, R of the fused pixel, within 0..1. */
template <int N> PIXEL_FN void fused_light(const Bracket &p, const Light *own, float fy, const float *parts, float *bgr)
{
    const Constants *k = &p.constants;
    float trusts[N], shares[N], y = within(lab_f_inverse(k, fy), 0.0f, 1.0f);
    UNROLLED
    for (int j = 0; j < N; j++)
        trusts[j] = j < N - 1 ? own[j].trust * brightened_trust(k, own[j].fy, fy) : own[j].trust;
    shares_of(k, N, p.select, parts, trusts, shares);
    if (p.transfer == CHROMATICITY) {
        float linear[N][3], luminances[N];
        UNROLLED
        for (int j = 0; j < N; j++) {
            luminances[j] = own[j].y;
            for (int c = 0; c < 3; c++)
                linear[j][c] = own[j].bgr[c];
        }
        light_of(k, N, linear, luminances, y, shares, bgr);
    } else {
        Tone tones[N];
        UNROLLED
        for (int j = 0; j < N; j++)
            tones[j] = tone_of(k, own[j].fy, own[j].bgr[0], own[j].bgr[1], own[j].bgr[2]);
        colour_of(k, N, tones, fy, y, shares, bgr);
    }
    float lowest = smaller(smaller(bgr[0], bgr[1]), bgr[2]), highest = larger(larger(bgr[0], bgr[1]), bgr[2]);
    float keep = lowest < 0.0f || highest > 1.0f ? gamut_share(y, lowest, highest) : 1.0f;
    for (int c = 0; c < 3; c++)
        bgr[c] = within(y + keep * (bgr[c] - y), 0.0f, 1.0f);
}

/* Codes of a pixel's linear light. */
PIXEL_FN void encoded_light(const Bracket &p, const float *bgr, uint32_t *codes)
{
    for (int c = 0; c < 3; c++)
        codes[c] = (uint32_t)(interpolated(p.encode, p.encode_steps, sqrtf(bgr[c])) + 0.5f);
}

template <typename Sample> PIXEL_FN void fuse(const Bracket &p)
{
    typedef Group<Sample> Twelve;
    int32_t group = thread_x(), y = thread_y(), row_bytes = 3 * p.width * (int32_t)sizeof(Sample);
    if (y >= p.height || GROUP_BYTES * group >= row_bytes)
        return;
    Twelve dark = load_group<Sample>(p.pictures[0] + y * p.strides[0], group, row_bytes);
    Twelve bright = load_group<Sample>(p.pictures[1] + y * p.strides[1], group, row_bytes);
    float down;
    int32_t above = between(y, p.height, p.small_height, &down), below = least(above + 1, p.small_height - 1);
    above *= p.small_width;
    below *= p.small_width;
    Columns columns;
    columns.first = -1;
    ROLLED
    for (int pixel = 0; pixel < Twelve::pixels; pixel++) {
        int32_t x = least(Twelve::pixels * group + pixel, p.width - 1);
        float4 steering = steering_at(p, x, above, below, down, &columns);
        Light own[2] = {light_of_first(p, dark), light_of_first(p, bright)};
        float fy = p.full ? (p.target[(size_t)y * p.width + x] + 16.0f) * (1.0f / 116.0f)
                          : steering.x * own[0].fy + steering.y * own[1].fy + steering.z;
        float bgr[3];
        fused_light<2>(p, own, within(fy, p.constants.black_f, 1.0f), &steering.w, bgr);
        uint32_t codes[3];
        encoded_light(p, bgr, codes);
        shift(bright, codes);
        shift(dark, codes); /* which so becomes the fused group */
    }
    store_group<Sample>(dark, p.out + y * p.out_stride, group, row_bytes);
}

/* A pixel's values are too many for 40 registers: at 6 blocks two of them would go through memory. */
KERNEL(fuse8, 5) { fuse<uint8_t>(p); }
KERNEL(fuse16, 5) { fuse<uint16_t>(p); }

/* ---- every pixel, colour transfer `tone`: on encoded values, without tables ---- */

template <typename Sample> PIXEL_FN Encoded encoded_first(const Bracket &p, const Group<Sample> &group)
{
    const float one = 1.0f / full_code<Sample>();
    return encoded_of(&p.constants, one * (float)sample_of(group, 0), one * (float)sample_of(group, 1),
                      one * (float)sample_of(group, 2), 1);
}

/* Drift is so smooth that it is read anew for each pixel: what is kept would not fit into the registers. */
PIXEL_FN float4 drift_at(const Bracket &p, int32_t x, int32_t above, int32_t below, float down)
{
    float along;
    int32_t first = between(x, p.width, p.small_width, &along), second = least(first + 1, p.small_width - 1);
    float4 left = mixed(p.drift[above + first], p.drift[below + first], down);
    return mixed(left, mixed(p.drift[above + second], p.drift[below + second], down), along);
}

template <typename Sample> PIXEL_FN void tone(const Bracket &p)
{
    typedef Group<Sample> Twelve;
    int32_t group = thread_x(), y = thread_y(), row_bytes = 3 * p.width * (int32_t)sizeof(Sample);
    if (y >= p.height || GROUP_BYTES * group >= row_bytes)
        return;
    Twelve dark = load_group<Sample>(p.pictures[0] + y * p.strides[0], group, row_bytes);
    Twelve bright = load_group<Sample>(p.pictures[1] + y * p.strides[1], group, row_bytes);
    float down;
    int32_t above = between(y, p.height, p.small_height, &down), below = least(above + 1, p.small_height - 1);
    above *= p.small_width;
    below *= p.small_width;
    Columns columns;
    columns.first = -1;
    ROLLED
    for (int pixel = 0; pixel < Twelve::pixels; pixel++) {
        int32_t x = least(Twelve::pixels * group + pixel, p.width - 1);
        float4 steering = steering_at(p, x, above, below, down, &columns), factors = drift_at(p, x, above, below, down);
        Encoded own[2] = {encoded_first(p, dark), encoded_first(p, bright)};
        float f = p.full ? (p.target[(size_t)y * p.width + x] + 16.0f) * (1.0f / 116.0f)
                         : steering.x * own[0].f + steering.y * own[1].f + steering.z;
        float drift[3] = {factors.x, factors.y, factors.z}, bgr[3];
        tone_of_pixel(&p.constants, 2, own, within(f, p.constants.black_f, 1.0f), steering.w, drift, 1, bgr);
        uint32_t codes[3];
        for (int c = 0; c < 3; c++)
            codes[c] = (uint32_t)(bgr[c] * full_code<Sample>() + 0.5f);
        shift(bright, codes);
        shift(dark, codes);
    }
    store_group<Sample>(dark, p.out + y * p.out_stride, group, row_bytes);
}

/* 64 registers: with 48 one of the targets would put a few floats into memory. */
KERNEL(tone8, 4) { tone<uint8_t>(p); }
KERNEL(tone16, 4) { tone<uint16_t>(p); }

/* ---- more than two exposures ---- */

/* Between four small cells, and how far along and down. */
struct Among {
    int32_t above_left, above_right, below_left, below_right;
    float along, down;
};

PIXEL_FN Among among(const Bracket &p, int32_t x, int32_t y)
{
    Among place;
    int32_t above = between(y, p.height, p.small_height, &place.down), below = least(above + 1, p.small_height - 1);
    int32_t left = between(x, p.width, p.small_width, &place.along), right = least(left + 1, p.small_width - 1);
    place.above_left = above * p.small_width + left;
    place.above_right = above * p.small_width + right;
    place.below_left = below * p.small_width + left;
    place.below_right = below * p.small_width + right;
    return place;
}

/* Four planes of `step` float4s a cell, at such a place. */
PIXEL_FN void four_at(const float4 *planes, int32_t step, const Among &place, float *out)
{
    float4 left = mixed(planes[step * place.above_left], planes[step * place.below_left], place.down);
    float4 right = mixed(planes[step * place.above_right], planes[step * place.below_right], place.down);
    float4 four = mixed(left, right, place.along);
    out[0] = four.x;
    out[1] = four.y;
    out[2] = four.z;
    out[3] = four.w;
}

/* The fused f of a pixel from the exposures', and all float4s of its steering. */
template <int N, int Quarters> PIXEL_FN float steered(const Bracket &p, const Among &place, int32_t x, int32_t y, const float *f,
                                                      float *steering)
{
    float sum = 0.0f;
    UNROLLED
    for (int i = 0; i < Quarters; i++)
        four_at(p.steering + i, Quarters, place, steering + 4 * i);
    UNROLLED
    for (int j = 0; j < N; j++)
        sum += steering[j] * f[j];
    sum = p.full ? (p.target[(size_t)y * p.width + x] + 16.0f) * (1.0f / 116.0f) : sum + steering[N];
    return within(sum, p.constants.black_f, 1.0f);
}

template <typename Sample, int N> PIXEL_FN void tone_more(const Bracket &p, const Group<Sample> *groups, int32_t x, int32_t y,
                                                          uint32_t *codes)
{
    Among place = among(p, x, y);
    Encoded own[N];
    float f[N], steering[8], drifts[3 * N], bgr[3];
    UNROLLED
    for (int j = 0; j < N; j++) {
        own[j] = encoded_first(p, groups[j]);
        f[j] = own[j].f;
    }
    UNROLLED
    for (int j = 0; j < N - 1; j++) {
        float factors[4];
        four_at(p.drift + cell_of(p, j, 0, 0), 1, place, factors);
        for (int c = 0; c < 3; c++)
            drifts[3 * j + c] = factors[c];
    }
    float fused = steered<N, N == 3 ? 1 : 2>(p, place, x, y, f, steering);
    tone_of_pixel(&p.constants, N, own, fused, 1.0f, drifts, 1, bgr);
    for (int c = 0; c < 3; c++)
        codes[c] = (uint32_t)(bgr[c] * full_code<Sample>() + 0.5f);
}

template <typename Sample, int N> PIXEL_FN void fuse_more(const Bracket &p, const Group<Sample> *groups, int32_t x, int32_t y,
                                                          uint32_t *codes)
{
    Among place = among(p, x, y);
    Light own[N];
    float f[N], steering[8], bgr[3];
    UNROLLED
    for (int j = 0; j < N; j++) {
        own[j] = light_of_first(p, groups[j]);
        f[j] = own[j].fy;
    }
    float fused = steered<N, 2>(p, place, x, y, f, steering);
    fused_light<N>(p, own, fused, steering + N + 1, bgr);
    encoded_light(p, bgr, codes);
}

template <typename Sample, int N, int Tones> PIXEL_FN void more(const Bracket &p)
{
    typedef Group<Sample> Twelve;
    int32_t group = thread_x(), y = thread_y(), row_bytes = 3 * p.width * (int32_t)sizeof(Sample);
    if (y >= p.height || GROUP_BYTES * group >= row_bytes)
        return;
    Twelve groups[N];
    UNROLLED
    for (int j = 0; j < N; j++)
        groups[j] = load_group<Sample>(p.pictures[j] + y * p.strides[j], group, row_bytes);
    ROLLED
    for (int pixel = 0; pixel < Twelve::pixels; pixel++) {
        int32_t x = least(Twelve::pixels * group + pixel, p.width - 1);
        uint32_t codes[3];
        if (Tones)
            tone_more<Sample, N>(p, groups, x, y, codes);
        else
            fuse_more<Sample, N>(p, groups, x, y, codes);
        UNROLLED
        for (int j = N - 1; j >= 0; j--)
            shift(groups[j], codes); /* the first of which so becomes the fused group */
    }
    store_group<Sample>(groups[0], p.out + y * p.out_stride, group, row_bytes);
}

/* With three exposures the values of a pixel take up to 128 registers, with four some more. */
KERNEL(tone8_3, 2) { more<uint8_t, 3, 1>(p); }
KERNEL(tone16_3, 2) { more<uint16_t, 3, 1>(p); }
KERNEL(tone8_4, 1) { more<uint8_t, 4, 1>(p); }
KERNEL(tone16_4, 1) { more<uint16_t, 4, 1>(p); }
KERNEL(fuse8_3, 3) { more<uint8_t, 3, 0>(p); }
KERNEL(fuse16_3, 3) { more<uint16_t, 3, 0>(p); }
KERNEL(fuse8_4, 3) { more<uint8_t, 4, 0>(p); }
KERNEL(fuse16_4, 3) { more<uint16_t, 4, 0>(p); }
