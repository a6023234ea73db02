/* The network of the tests, `Curve` of tests/fusion/brackets.py, as a kernel: it takes its turn in the stream like any other. */
#include "../../../fusion/kernels/bracket.cuh"

extern "C" const unsigned bracket_bytes = sizeof(Bracket), remake_bytes = sizeof(Remake);

KERNEL(curve, 6)
{
    int32_t x = thread_x(), y = thread_y();
    if (x >= p.network_width || y >= p.network_height)
        return;
    size_t place = (size_t)y * p.network_width + x, plane = (size_t)p.network_height * p.network_width;
    const float *whole = (const float *)p.network_in;
    const Half *half = (const Half *)p.network_in;
    float dark = p.half ? (float)half[place] : whole[place], bright = p.half ? (float)half[plane + place] : whole[plane + place];
    float fused = within(0.5f * dark + 0.6f * bright - 0.25f * dark * bright, 0.0f, 1.0f);
    if (p.half)
        ((Half *)p.network_out)[place] = (Half)fused;
    else
        ((float *)p.network_out)[place] = fused;
}
