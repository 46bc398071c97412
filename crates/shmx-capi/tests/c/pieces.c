// A peer that hands out frames in pieces, or follows them, over shmx.h: see tests/README.md.
#include "check.h"

enum { IMAGE_LEN = 32 << 10, PIECE = 1 << 10, FRAMES = 60 };

static shmx_stream image_stream(void) { return stream_of(1, "image", SHMX_ELEMENT_U32, 1); }
static uint32_t value_of(uint64_t n, size_t i) { return (uint32_t)n * 1000003u + (uint32_t)i; }

static void write_piece(shmx_writer *writer, uint64_t n, size_t first, size_t count) {
    void *room = NULL;
    size_t bytes = 0, i;
    OK(shmx_writer_fill_rest(writer, &room, &bytes));
    CHECK(bytes == (IMAGE_LEN - first) * 4);
    for (i = 0; i < count; ++i) ((uint32_t *)room)[i] = value_of(n, first + i);
    OK(shmx_writer_fill_commit(writer, count * 4));
}

static void serve(const char *name) {
    shmx_stream_spec spec = spec_of(image_stream(), IMAGE_LEN);
    shmx_stream image = image_stream();
    shmx_server_options options;
    shmx_server *server = NULL;
    shmx_writer *writer = NULL;
    uint64_t n, start = shmx_now();
    uint32_t connected = 0;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.streams = &spec;
    options.stream_count = 1;
    OK(shmx_server_create(name, &options, &server));
    while (connected == 0) {
        const struct timespec pause = {0, 1000000};
        CHECK(shmx_now() - start < 60 * SECOND);
        nanosleep(&pause, NULL);
        OK(shmx_server_readers_connected(server, &connected));
    }
    for (n = 1; n <= FRAMES + 1; ++n) {
        size_t at;
        do {
            CHECK(shmx_now() - start < 120 * SECOND);
        } while (shmx_server_begin_when_taken(server, SECOND, &writer) != SHMX_STATUS_OK);
        OK(shmx_writer_fill(writer, &image, IMAGE_LEN * 4));
        for (at = 0; at < IMAGE_LEN; at += PIECE) {
            if (n > FRAMES && at >= IMAGE_LEN / 2) {
                /* Half of the last one: this process is killed once the reader has it. */
                const struct timespec pause = {120, 0};
                nanosleep(&pause, NULL);
                exit(1);
            }
            if (n % 7 == 0 && at >= IMAGE_LEN / 4) break;
            write_piece(writer, n, at, PIECE);
        }
        if (n % 7 == 0) {
            shmx_writer_abandon(&writer);
        } else {
            OK(shmx_writer_publish(&writer, (double)n, NULL));
        }
    }
}

static void read_from(const char *name) {
    shmx_client_options options;
    shmx_client *client = NULL;
    shmx_following following;
    shmx_view view = no_view();
    shmx_stream image = image_stream();
    unsigned long frames = 0, voids = 0;
    uint32_t id = 0;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.open_timeout_ns = 30 * SECOND;
    options.flags = SHMX_CLIENT_EVERY_FRAME;
    memset(&following, 0, sizeof following);
    following.size = sizeof following;
    OK(shmx_client_open(name, &options, &client));
    OK(shmx_client_find(client, &image, &id, NULL));
    for (;;) {
        size_t done = 0;
        uint32_t first = 0;
        shmx_status status = shmx_client_follow_next(client, 30 * SECOND, &following);
        if (status == SHMX_STATUS_SERVER_GONE) break;
        CHECK(status == SHMX_STATUS_OK);
        for (;;) {
            shmx_prefix prefix;
            size_t i;
            status = shmx_following_stream(&following, id, &prefix);
            CHECK(status == SHMX_STATUS_OK || (status == SHMX_STATUS_NOTHING && done == 0));
            if (status == SHMX_STATUS_OK) {
                const uint32_t *values = (const uint32_t *)prefix.data;
                CHECK(prefix.total_bytes == IMAGE_LEN * 4 && prefix.bytes >= done * 4 && prefix.bytes % 4 == 0);
                if (done == 0 && prefix.bytes > 0) first = values[0];
                for (i = done; i < prefix.bytes / 4; ++i) CHECK(values[i] == first + (uint32_t)i);
                done = prefix.bytes / 4;
                if (done == IMAGE_LEN / 2 && first == value_of(FRAMES + 1, 0)) {
                    puts("half");
                    fflush(stdout);
                }
            }
            if (following.whole) break;
            status = shmx_client_follow_wait(client, 30 * SECOND, &following);
            if (status != SHMX_STATUS_OK) break;
        }
        if (status == SHMX_STATUS_ABANDONED) {
            ++voids;
            IS(SHMX_STATUS_ABANDONED, shmx_client_finish(client, 0, &view));
        } else if (status == SHMX_STATUS_SERVER_GONE) {
            /* What there was of it is no frame. */
            IS(SHMX_STATUS_SERVER_GONE, shmx_client_finish(client, 0, &view));
            CHECK(done == IMAGE_LEN / 2);
            ++voids;
            break;
        } else {
            CHECK(status == SHMX_STATUS_OK);
            OK(shmx_client_finish(client, 0, &view));
            CHECK(done == IMAGE_LEN && first == value_of((uint64_t)view.sim_time, 0));
            ++frames;
        }
    }
    shmx_client_free(&client);
    printf("frames %lu voids %lu\n", frames, voids);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    if (strcmp(argv[1], "serve") == 0) {
        serve(argv[2]);
    } else {
        read_from(argv[2]);
    }
    return 0;
}
