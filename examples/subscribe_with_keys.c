/* Receive encrypted: cc subscribe_with_keys.c -lzmq -o keyed && ./keyed tcp://camera.local:5556 ~/.config/livemef/keys camera.local
   docs/wire.md describes the files of the keys. HOST is as known_hosts has it. Prints the number of the first frame. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
static int decode(const char *text, unsigned char *key) { /* 43 characters of base64url are 32 bytes */
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0, bits = 0, value = 0; i < 43; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit) return 0;
        value = (value << 6 | (int)(digit - digits)) & 0xffff, bits += 6;
        if (bits >= 8) *key++ = value >> (bits -= 8) & 0xff;
    }
    return 1;
}
static int read_key(const char *folder, const char *name, const char *host, unsigned char *key) {
    char line[1024];
    snprintf(line, sizeof line, "%s/%s", folder, name);
    FILE *file = fopen(line, "r");
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file))
        for (char *word = strtok(line, " \n"), *first = word; word && !found; word = strtok(NULL, " \n"))
            found = strlen(word) == 43 && (!host || !strcmp(first, host)) && decode(word, key); /* known_hosts: HOST first */
    return file && (fclose(file), found);
}
int main(int argc, char **argv) {
    unsigned char theirs[32], ours[32], secret[32];
    char header[65536];
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    int patience_ms = 30000, length;
    if (argc < 4 || !read_key(argv[2], "known_hosts", argv[3], theirs) || !read_key(argv[2], "id.pub", NULL, ours) || !read_key(argv[2], "id.key", NULL, secret))
        return fprintf(stderr, "usage: keyed tcp://HOST:PORT KEYS_FOLDER HOST; after livemef keys new, trust\n"), 2;
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, theirs, 32) || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, ours, 32) || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 32) ||
        zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms) || zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "fused", 5) ||
        zmq_connect(socket, argv[1]) || zmq_recv(socket, header, 64, 0) < 0 || (length = zmq_recv(socket, header, sizeof header - 1, 0)) < 0)
        return fprintf(stderr, "%s\n", zmq_strerror(zmq_errno())), 2;
    const char *seq = (header[length < (int)sizeof header ? length : 0] = 0, strstr(header, "\"seq\":"));
    return printf("frame %ld\n", seq ? atol(seq + 6) : -1), 0;
}
