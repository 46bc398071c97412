// A peer over shmx.h: see tests/README.md.
#include "check.h"

static shmx_stream tick_stream(void) { return stream_of(1, "tick", SHMX_ELEMENT_U64, 1); }
static shmx_stream position_stream(void) { return stream_of(2, "position", SHMX_ELEMENT_F32, 3); }
static shmx_stream blob_stream(void) { return stream_of(3, "blob", SHMX_ELEMENT_U8, 1); }

static void serve(const char *name, size_t readers) {
    shmx_stream_spec specs[3] = {spec_of(tick_stream(), 1), spec_of(position_stream(), POINTS),
                                 spec_of(blob_stream(), BLOB)};
    shmx_server_options options;
    shmx_server *server = NULL;
    uint64_t tick = 0, start = shmx_now();
    size_t done = 0;
    uint32_t connected = 0;
    static float points[POINTS * 3];
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.streams = specs;
    options.stream_count = 3;
    OK(shmx_server_create(name, &options, &server));
    do {
        const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        OK(shmx_server_readers_connected(server, &connected));
    } while (connected < readers && shmx_now() - start < 60 * SECOND);
    while (done < readers && shmx_now() - start < 60 * SECOND) {
        size_t count = points_of(++tick), i;
        shmx_writer *writer = NULL;
        shmx_messages *messages = NULL;
        shmx_message message;
        shmx_part part = part_of(tick_stream(), &tick, sizeof tick);
        shmx_stream blob = blob_stream();
        void *room = NULL;
        shmx_status status = shmx_server_begin(server, &writer);
        if (status != SHMX_STATUS_NO_FREE_SLOT) {
            CHECK(status == SHMX_STATUS_OK);
            OK(shmx_writer_append(writer, &part));
            for (i = 0; i < count * 3; ++i) points[i] = point_of(tick, i);
            part = part_of(position_stream(), points, count * 12);
            OK(shmx_writer_append(writer, &part));
            OK(shmx_writer_reserve(writer, &blob, BLOB, &room));
            for (i = 0; i < BLOB; ++i) ((unsigned char *)room)[i] = blob_of(tick, i);
            OK(shmx_writer_publish(&writer, (double)tick, NULL));
        }
        OK(shmx_server_poll(server, 16, &messages));
        memset(&message, 0, sizeof message);
        message.size = sizeof message;
        for (i = 0; shmx_messages_at(messages, i, &message) == SHMX_STATUS_OK; ++i)
            done += message.message_type == DONE;
        shmx_messages_free(&messages);
    }
    CHECK(done == readers);
    shmx_server_free(&server);
    printf("published %llu\n", (unsigned long long)tick);
}

static void read_from(const char *name, uint64_t until) {
    shmx_client_options options;
    shmx_client *client = NULL;
    shmx_view view = no_view();
    shmx_stream tick = tick_stream(), position = position_stream(), blob = blob_stream();
    uint32_t tick_id = 0, position_id = 0, blob_id = 0;
    uint64_t now = 0, last = 0, frames = 0;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.open_timeout_ns = 30 * SECOND;
    OK(shmx_client_open(name, &options, &client));
    OK(shmx_client_find(client, &tick, &tick_id, NULL));
    OK(shmx_client_find(client, &position, &position_id, NULL));
    OK(shmx_client_find(client, &blob, &blob_id, NULL));
    while (now < until) {
        shmx_data data;
        size_t i;
        shmx_status status = shmx_client_wait(client, 30 * SECOND, &view);
        // What a server of the original tears is rejected.
        if (status == SHMX_STATUS_CHECKSUM || status == SHMX_STATUS_LAPPED) continue;
        CHECK(status == SHMX_STATUS_OK);
        OK(shmx_view_stream(&view, tick_id, &data));
        CHECK(data.bytes == 8 && data.elem_count == 1);
        memcpy(&now, data.data, 8);
        CHECK(now > last && view.sim_time == (double)now);
        OK(shmx_view_stream(&view, position_id, &data));
        CHECK(data.elem_count == points_of(now) && data.bytes == points_of(now) * 12);
        for (i = 0; i < data.bytes / 4; ++i) CHECK(((const float *)data.data)[i] == point_of(now, i));
        OK(shmx_view_stream(&view, blob_id, &data));
        CHECK(data.bytes == BLOB);
        for (i = 0; i < BLOB; ++i) CHECK(((const unsigned char *)data.data)[i] == blob_of(now, i));
        last = now;
        ++frames;
    }
    OK(shmx_client_send(client, DONE, &now, sizeof now));
    shmx_client_free(&client);
    printf("read %llu\n", (unsigned long long)frames);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    if (strcmp(argv[1], "serve") == 0) {
        serve(argv[2], strtoul(argv[3], NULL, 10));
    } else {
        read_from(argv[2], strtoull(argv[3], NULL, 10));
    }
    return 0;
}
