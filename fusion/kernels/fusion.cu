/* The method's kernels. One file, so that one compilation gives one binary: see fusion/kernels/build.py. */
#include "motion.cuh"
#include "small.cuh"

/* ---- every pixel ---- */

/* One exposure's pixel as the fused one needs it. */
struct Light {
    float bgr[3], y, fy, trust;
};

/* The first pixel of a group. */
template <typename Sample> PIXEL_FN Light light_of_first(const Pair &p, const Group<Sample> &group)
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
template <typename Sample> PIXEL_FN void full_lightness(const Pair &p)
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

PIXEL_FN float4 steering_at(const Pair &p, int32_t x, int32_t above, int32_t below, float down, Columns *columns)
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

PIXEL_FN float share_of(const Pair &p, const Light &under, const Light &over, float fy, float part)
{
    float trust_under = under.trust * brightened_trust(&p.constants, under.fy, fy);
    float share = under_weight(part, trust_under, over.trust);
    if (!p.select)
        return share;
    return share + larger(trust_under, over.trust) * (smoothstep(p.constants.tie, share) - share);
}

/* Linear B, G, R of the fused pixel, within 0..1. */
PIXEL_FN void fused_light(const Pair &p, const Light &under, const Light &over, float fy, float part, float *bgr)
{
    const Constants *k = &p.constants;
    float share = share_of(p, under, over, fy, part), y = within(lab_f_inverse(k, fy), 0.0f, 1.0f);
    if (p.transfer == CHROMATICITY) {
        light_of(k, under.bgr, under.y, over.bgr, over.y, y, share, bgr);
    } else {
        Tone dark = tone_of(k, under.fy, under.bgr[0], under.bgr[1], under.bgr[2]);
        Tone bright = tone_of(k, over.fy, over.bgr[0], over.bgr[1], over.bgr[2]);
        colour_of(k, dark, bright, fy, y, share, bgr);
    }
    float lowest = smaller(smaller(bgr[0], bgr[1]), bgr[2]), highest = larger(larger(bgr[0], bgr[1]), bgr[2]);
    float keep = lowest < 0.0f || highest > 1.0f ? gamut_share(y, lowest, highest) : 1.0f;
    for (int c = 0; c < 3; c++)
        bgr[c] = within(y + keep * (bgr[c] - y), 0.0f, 1.0f);
}

template <typename Sample> PIXEL_FN void fuse(const Pair &p)
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
        Light under = light_of_first(p, dark), over = light_of_first(p, bright);
        float fy = p.full ? (p.target[(size_t)y * p.width + x] + 16.0f) * (1.0f / 116.0f)
                          : steering.x * under.fy + steering.y * over.fy + steering.z;
        float bgr[3];
        fused_light(p, under, over, within(fy, p.constants.black_f, 1.0f), steering.w, bgr);
        uint32_t codes[3];
        for (int c = 0; c < 3; c++)
            codes[c] = (uint32_t)(interpolated(p.encode, p.encode_steps, sqrtf(bgr[c])) + 0.5f);
        shift(bright, codes);
        shift(dark, codes); /* which so becomes the fused group */
    }
    store_group<Sample>(dark, p.out + y * p.out_stride, group, row_bytes);
}

/* A pixel's values are too many for 40 registers: at 6 blocks two of them would go through memory. */
KERNEL(fuse8, 5) { fuse<uint8_t>(p); }
KERNEL(fuse16, 5) { fuse<uint16_t>(p); }

/* ---- every pixel, colour transfer `tone`: on encoded values, without tables ---- */

template <typename Sample> PIXEL_FN Encoded encoded_first(const Pair &p, const Group<Sample> &group)
{
    const float one = 1.0f / full_code<Sample>();
    return encoded_of(&p.constants, one * (float)sample_of(group, 0), one * (float)sample_of(group, 1),
                      one * (float)sample_of(group, 2), 1);
}

/* Drift is so smooth that it is read anew for each pixel: what is kept would not fit into the registers. */
PIXEL_FN float4 drift_at(const Pair &p, int32_t x, int32_t above, int32_t below, float down)
{
    float along;
    int32_t first = between(x, p.width, p.small_width, &along), second = least(first + 1, p.small_width - 1);
    float4 left = mixed(p.drift[above + first], p.drift[below + first], down);
    return mixed(left, mixed(p.drift[above + second], p.drift[below + second], down), along);
}

template <typename Sample> PIXEL_FN void tone(const Pair &p)
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
        Encoded under = encoded_first(p, dark), over = encoded_first(p, bright);
        float f = p.full ? (p.target[(size_t)y * p.width + x] + 16.0f) * (1.0f / 116.0f)
                         : steering.x * under.f + steering.y * over.f + steering.z;
        float drift[3] = {factors.x, factors.y, factors.z}, bgr[3];
        tone_of_pixel(&p.constants, under, over, within(f, p.constants.black_f, 1.0f), steering.w, drift, 1, bgr);
        uint32_t codes[3];
        for (int c = 0; c < 3; c++)
            codes[c] = (uint32_t)(bgr[c] * full_code<Sample>() + 0.5f);
        shift(bright, codes);
        shift(dark, codes);
    }
    store_group<Sample>(dark, p.out + y * p.out_stride, group, row_bytes);
}

KERNEL(tone8, 5) { tone<uint8_t>(p); }
KERNEL(tone16, 5) { tone<uint16_t>(p); }
