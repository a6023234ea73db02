/* Receive fused frames in C and write the first as PPM: cc subscribe.c -lzmq -o subscribe && ./subscribe ENDPOINT out.ppm
   docs/wire.md describes the message. A real program reads the header with a JSON library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static long field(const char *header, const char *name) {
    const char *at = strstr(header, name);
    return at ? atol(at + strlen(name)) : 0;
}

int main(int argc, char **argv) {
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    char topic[64], header[65536];
    int queue = 2, patience_ms = 30000, length;
    zmq_msg_t payload;
    if (argc < 3 || zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue) ||
        zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms) ||
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "fused", 5) || zmq_connect(socket, argv[1]))
        return fprintf(stderr, "usage: subscribe tcp://127.0.0.1:5556 out.ppm\n"), 2;
    zmq_msg_init(&payload);
    if (zmq_recv(socket, topic, sizeof topic, 0) < 0 || (length = zmq_recv(socket, header, sizeof header - 1, 0)) < 0 ||
        length >= (int)sizeof header || zmq_msg_recv(&payload, socket, 0) < 0)
        return fprintf(stderr, "%s\n", zmq_strerror(zmq_errno())), 2;
    header[length] = 0;
    long width = field(header, "\"width\":"), height = field(header, "\"height\":"), step = field(header, "\"step\":");
    if (!strstr(header, "\"bgr8\"") || !strstr(header, "\"raw\"") || zmq_msg_size(&payload) != (size_t)(height * step))
        return fprintf(stderr, "not a raw 8-bit picture: %s\n", header), 2;
    FILE *out = fopen(argv[2], "wb");
    if (!out) return perror(argv[2]), 2;
    fprintf(out, "P6 %ld %ld 255\n", width, height);
    for (long row = 0; row < height; row++)
        for (const unsigned char *bgr = (unsigned char *)zmq_msg_data(&payload) + row * step, *end = bgr + 3 * width; bgr < end; bgr += 3)
            fputc(bgr[2], out), fputc(bgr[1], out), fputc(bgr[0], out);
    printf("frame %ld: %ldx%ld\n", field(header, "\"seq\":"), width, height);
    return fclose(out) ? 2 : 0;
}
