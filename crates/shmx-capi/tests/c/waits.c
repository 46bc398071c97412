// What came with versions 2 and 3 of the interface, in one process: `waits NAME`. Also compiled with the header of
// version 2.
#include "check.h"

static shmx_server *serve(const char *name, uint32_t slots) {
    shmx_stream_spec spec = spec_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), 1);
    shmx_server_options options;
    shmx_server *server = NULL;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.slots = slots;
    options.streams = &spec;
    options.stream_count = 1;
    OK(shmx_server_create(name, &options, &server));
    return server;
}

static uint64_t publish(shmx_server *server, uint64_t tick, double time) {
    shmx_part part = part_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), &tick, sizeof tick);
    uint64_t id = 0;
    OK(shmx_server_publish(server, time, &part, 1, &id));
    return id;
}

static int names(const uint64_t *ready, size_t count, uint64_t token) {
    size_t i;
    for (i = 0; i < count; ++i) {
        if (ready[i] == token) return 1;
    }
    return 0;
}

static void slept_for_many(const char *left, const char *right) {
    shmx_server *servers[2];
    shmx_client *clients[2] = {NULL, NULL};
    shmx_tap *tap = NULL;
    shmx_wait_set *set = NULL;
    shmx_view view = no_view();
    uint64_t tokens[3] = {0, 0, 0}, ready[3] = {7, 7, 7};
    size_t count = 9;
    int i;
    servers[0] = serve(left, 0);
    servers[1] = serve(right, 0);
    OK(shmx_wait_set_new(&set));
    IS(SHMX_STATUS_NOTHING, shmx_wait_set_wait(set, 0, NULL, 0, &count));
    OK(shmx_client_open(left, NULL, &clients[0]));
    OK(shmx_client_open(right, NULL, &clients[1]));
    OK(shmx_tap_open(right, NULL, &tap));
    OK(shmx_wait_set_add_client(set, clients[0], &tokens[0]));
    OK(shmx_wait_set_add_client(set, clients[1], &tokens[1]));
    OK(shmx_wait_set_add_tap(set, tap, &tokens[2]));
    CHECK(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    /* All of them until they have been asked in vain; `count` may be above the room. */
    OK(shmx_wait_set_wait(set, SECOND, ready, 1, &count));
    CHECK(count == 3 && ready[0] == tokens[0] && ready[1] == 7);
    /* A reader may be named without news. */
    do {
        for (i = 0; i < 2; ++i) IS(SHMX_STATUS_NOTHING, shmx_client_wait(clients[i], 0, &view));
        IS(SHMX_STATUS_NOTHING, shmx_tap_wait(tap, 0, &view));
        count = 9;
    } while (shmx_wait_set_wait(set, 0, ready, 3, &count) == SHMX_STATUS_OK);
    CHECK(count == 9);
    publish(servers[1], 5, 0.0);
    do {
        OK(shmx_wait_set_wait(set, 10 * SECOND, ready, 3, &count));
    } while (!names(ready, count, tokens[1]));
    OK(shmx_client_wait(clients[1], 0, &view));
    OK(shmx_wait_set_remove(set, tokens[1]));
    IS(SHMX_STATUS_NOTHING, shmx_wait_set_remove(set, tokens[1]));
    OK(shmx_wait_set_interrupt(set));
    shmx_tap_free(&tap); /* leaves by itself */
    while (shmx_wait_set_wait(set, SHMX_FOREVER, ready, 3, &count) == SHMX_STATUS_OK) {
        IS(SHMX_STATUS_NOTHING, shmx_client_wait(clients[0], 0, &view));
    }
    shmx_server_free(&servers[0]);
    OK(shmx_wait_set_wait(set, 10 * SECOND, ready, 3, &count));
    CHECK(count == 1 && ready[0] == tokens[0]); /* the end of a server is news */
    IS(SHMX_STATUS_NULL, shmx_wait_set_wait(set, 0, NULL, 3, &count));
    IS(SHMX_STATUS_NULL, shmx_wait_set_wait(NULL, 0, ready, 3, &count));
    IS(SHMX_STATUS_NULL, shmx_wait_set_wait(set, 0, ready, 3, NULL));
    IS(SHMX_STATUS_NULL, shmx_wait_set_add_client(set, NULL, tokens));
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_wait_set_wait(set, 0, ready, SIZE_MAX / 4, &count));
    OK(shmx_client_close(clients[0]));
    IS(SHMX_STATUS_CLOSED, shmx_wait_set_add_client(set, clients[0], tokens));
    shmx_wait_set_free(&set);
    shmx_wait_set_free(&set);
    IS(SHMX_STATUS_NULL, shmx_wait_set_interrupt(set));
    shmx_client_free(&clients[0]);
    shmx_client_free(&clients[1]);
    shmx_server_free(&servers[1]);
}

static void none_is_lost(const char *name) {
    shmx_server *server = serve(name, 2);
    shmx_client *client = NULL;
    shmx_client_options options;
    shmx_writer *writer = NULL;
    shmx_view view = no_view();
    shmx_part part;
    uint64_t tick, id = 0, sum = 0;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.flags = SHMX_CLIENT_EVERY_FRAME;
    OK(shmx_server_wait_taken(server, 99, 1, 0)); /* nobody to wait for */
    OK(shmx_client_open(name, &options, &client));
    part = part_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), &tick, sizeof tick);
    for (tick = 1; tick <= 2; ++tick) {
        OK(shmx_server_begin_when_taken(server, 0, &writer));
        OK(shmx_writer_append(writer, &part));
        OK(shmx_writer_publish(&writer, 0.0, &id));
    }
    IS(SHMX_STATUS_NOT_TAKEN, shmx_server_begin_when_taken(server, 0, &writer));
    CHECK(writer == NULL && strstr(shmx_last_error(), "shmx_server_begin_when_taken: ") != NULL);
    IS(SHMX_STATUS_NOT_TAKEN, shmx_server_wait_taken(server, 1, 0, 0));
    IS(SHMX_STATUS_NOT_TAKEN, shmx_server_wait_taken(server, 1, 1, 1));
    while (shmx_client_next(client, 0, &view) == SHMX_STATUS_OK) sum += view.frame_id;
    CHECK(sum == 3);
    OK(shmx_server_wait_taken(server, id, 0, 10 * SECOND));
    OK(shmx_server_begin_when_taken(server, 10 * SECOND, &writer));
    IS(SHMX_STATUS_BUSY, shmx_server_wait_taken(server, id, 0, 0));
    shmx_writer_abandon(&writer);
    IS(SHMX_STATUS_NULL, shmx_server_begin_when_taken(server, 0, NULL));
    shmx_client_free(&client);
    shmx_server_free(&server);
}

static void come_and_go(const char *name) {
    const char *names[1], *wrong[1] = {NULL};
    shmx_events *events = NULL;
    shmx_server *server = NULL;
    shmx_event event;
    int fd = -1;
    names[0] = name;
    memset(&event, 0, sizeof event);
    IS(SHMX_STATUS_NULL, shmx_events_open(wrong, 1, &events));
    IS(SHMX_STATUS_NULL, shmx_events_open(NULL, 1, &events));
    CHECK(events == NULL);
    OK(shmx_events_open(names, 1, &events));
#ifdef _WIN32
    IS(SHMX_STATUS_UNSUPPORTED, shmx_events_wait_fd(events, &fd));
#else
    OK(shmx_events_wait_fd(events, &fd));
    CHECK(fd >= 0);
#endif
    IS(SHMX_STATUS_BAD_SIZE, shmx_events_next(events, 0, &event));
    event.size = sizeof event;
    IS(SHMX_STATUS_NOTHING, shmx_events_next(events, 0, &event));
    CHECK(event.name == NULL);
    server = serve(name, 0);
    OK(shmx_events_next(events, 10 * SECOND, &event));
    CHECK(event.change == SHMX_CHANGE_APPEARED && strcmp(event.name, name) == 0);
    shmx_server_free(&server);
    OK(shmx_events_next(events, 10 * SECOND, &event));
    CHECK(event.change == SHMX_CHANGE_ENDED && event.server == SHMX_SERVER_STATE_CLOSED);
    shmx_events_free(&events);
    shmx_events_free(&events);
    IS(SHMX_STATUS_NULL, shmx_events_next(events, 0, &event));
}

static void of_one_moment(const char *left, const char *right) {
    shmx_server *servers[2];
    shmx_client *client = NULL;
    shmx_tap *tap = NULL;
    shmx_aligner *aligner = NULL;
    shmx_frame *frames[2] = {NULL, NULL};
    shmx_view view = no_view();
    uint64_t spread = 0, unmatched = 9;
    servers[0] = serve(left, 0);
    servers[1] = serve(right, 0);
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_aligner_new(99, 0, &aligner));
    OK(shmx_aligner_new(SHMX_ALIGN_SIM_TIME, 4000000, &aligner));
    IS(SHMX_STATUS_NOTHING, shmx_aligner_next(aligner, 0, NULL, 0, NULL));
    IS(SHMX_STATUS_NULL, shmx_aligner_add_client(aligner, &client));
    OK(shmx_client_open(left, NULL, &client));
    OK(shmx_client_close(client));
    IS(SHMX_STATUS_CLOSED, shmx_aligner_add_client(aligner, &client));
    CHECK(client == NULL);
    OK(shmx_client_open(left, NULL, &client));
    publish(servers[0], 1, 0.5);
    OK(shmx_client_latest(client, &view)); /* what is lent ends */
    OK(shmx_aligner_add_client(aligner, &client));
    CHECK(client == NULL);
    OK(shmx_tap_open(right, NULL, &tap));
    OK(shmx_aligner_add_tap(aligner, &tap));
    CHECK(tap == NULL);
    publish(servers[0], 2, 1.000);
    publish(servers[1], 3, 1.003);
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_aligner_next(aligner, SECOND, frames, 1, &spread));
    IS(SHMX_STATUS_NULL, shmx_aligner_next(aligner, SECOND, NULL, 2, &spread));
    OK(shmx_aligner_next(aligner, 10 * SECOND, frames, 2, &spread));
    CHECK(spread > 2900000 && spread < 3100000);
    OK(shmx_aligner_unmatched(aligner, 1, &unmatched));
    CHECK(unmatched == 0);
    IS(SHMX_STATUS_NOTHING, shmx_aligner_unmatched(aligner, 2, &unmatched));
    IS(SHMX_STATUS_NOTHING, shmx_aligner_next(aligner, 0, frames, 2, NULL));
    shmx_server_free(&servers[0]);
    IS(SHMX_STATUS_SERVER_GONE, shmx_aligner_next(aligner, 10 * SECOND, frames, 2, NULL));
    shmx_aligner_free(&aligner);
    shmx_aligner_free(&aligner);
    OK(shmx_frame_view(frames[0], &view)); /* they outlive it */
    CHECK(view.sim_time < 1.001);
    shmx_frame_free(&frames[0]);
    shmx_frame_free(&frames[1]);
    shmx_server_free(&servers[1]);
}

/* Arguments that only a mistake sends, and places that are also arguments. */
static void strange_arguments(const char *name) {
    shmx_server *server = serve(name, 0), *other = NULL;
    shmx_client *client = NULL, *second = NULL;
    shmx_client_options options;
    shmx_server_options server_options;
    shmx_stream_spec specs[2];
    shmx_view view = no_view();
    shmx_stream asked = stream_of(0, "tick", SHMX_ELEMENT_U64, 1);
    uint32_t lend = 9;
    OK(shmx_client_open(name, NULL, &client));
    /* A place for a result may be a field of what is asked. */
    OK(shmx_client_find(client, &asked, &asked.stream_id, NULL));
    CHECK(asked.stream_id == 1);
    asked.reserved = 1;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_find(client, &asked, &asked.stream_id, NULL));
    /* A size that was never set. */
    view.size = (size_t)0xdeadbeefdeadbeefull;
    IS(SHMX_STATUS_BAD_SIZE, shmx_client_latest(client, &view));
    memset(&options, 0xa5, sizeof options);
    IS(SHMX_STATUS_BAD_SIZE, shmx_client_open(name, &options, &second));
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.reserved = 1;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_open(name, &options, &second));
    CHECK(second == NULL);
    /* Elements of an array that say different sizes. */
    specs[0] = spec_of(stream_of(1, "a", SHMX_ELEMENT_U64, 1), 1);
    specs[1] = spec_of(stream_of(2, "b", SHMX_ELEMENT_U64, 1), 1);
    specs[1].size += 8;
    memset(&server_options, 0, sizeof server_options);
    server_options.size = sizeof server_options;
    server_options.streams = specs;
    server_options.stream_count = 2;
    IS(SHMX_STATUS_BAD_SIZE, shmx_server_create("shmx-capi-never", &server_options, &other));
    specs[1].size = specs[0].size;
    /* Values as large as they can be. */
    specs[0].max_elems = specs[0].bytes_per_elem = specs[0].components = 0xffffffffu;
    CHECK(shmx_server_create("shmx-capi-never", &server_options, &other) >= SHMX_STATUS_NAME);
    specs[0].bytes_per_elem = specs[0].components = 0;
    CHECK(shmx_server_create("shmx-capi-never", &server_options, &other) >= SHMX_STATUS_NAME);
    server_options.stream_count = 0;
    server_options.slots = server_options.reader_slots = server_options.frame_bytes = 0xfffffff0u;
    server_options.directory_bytes = server_options.control_bytes = 0xfffffff0u;
    CHECK(shmx_server_create("shmx-capi-never", &server_options, &other) >= SHMX_STATUS_NAME);
    CHECK(other == NULL);
    /* Which frame is lent. */
    publish(server, 1, 0.0);
    view = no_view();
    OK(shmx_client_lent(client, &lend));
    CHECK(lend == 0);
    OK(shmx_client_latest(client, &view));
    OK(shmx_client_lent(client, &lend));
    CHECK(lend == view.lend && lend != 0);
    OK(shmx_client_release(client, lend));
    OK(shmx_client_lent(client, &lend));
    CHECK(lend == 0);
    shmx_client_free(&client);
    shmx_server_free(&server);
}

#if SHMX_ABI_VERSION >= 3
/* Few frames are kept in few slots; a payload can be walked over by what the header says of it. */
static void few_are_kept(const char *name) {
    shmx_stream_spec spec = spec_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), 1);
    shmx_server_options options;
    shmx_server *server = NULL;
    shmx_client *client = NULL;
    shmx_view view = no_view();
    shmx_record record;
    uint64_t tick;
    uint32_t slots[4];
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.streams = &spec;
    options.stream_count = 1;
    options.history = 1;
    options.reserved = 1;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_server_create(name, &options, &server));
    options.reserved = 0;
    OK(shmx_server_create(name, &options, &server));
    for (tick = 0; tick < 4; ++tick) {
        const shmx_part part = part_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), &tick, sizeof tick);
        shmx_writer *writer = NULL;
        OK(shmx_server_begin(server, &writer));
        OK(shmx_writer_info(writer, NULL, NULL, &slots[tick]));
        OK(shmx_writer_append(writer, &part));
        OK(shmx_writer_publish(&writer, 0.0, NULL));
    }
    CHECK(slots[2] == slots[0] && slots[3] == slots[1]);
    OK(shmx_client_open(name, NULL, &client));
    OK(shmx_client_latest(client, &view));
    CHECK(view.bytes == 32 && view.bytes % SHMX_RECORD_ALIGN == 0);
    memcpy(&record, view.payload, sizeof record);
    CHECK(record.record_type == SHMX_RECORD_STREAM && record.length == 24 && record.stream_id == 1);
    CHECK(record.elem_count == 1 && record.bytes == 8 && record.reserved == 0);
    memcpy(&tick, (const char *)view.payload + sizeof record, sizeof tick);
    CHECK(tick == 3);
    shmx_client_free(&client);
    shmx_server_free(&server);
}
#endif

int main(int argc, char **argv) {
    char other[256];
    CHECK(argc == 2);
    snprintf(other, sizeof other, "%s-other", argv[1]);
    slept_for_many(argv[1], other);
    none_is_lost(argv[1]);
    come_and_go(argv[1]);
    of_one_moment(argv[1], other);
    strange_arguments(argv[1]);
#if SHMX_ABI_VERSION >= 3
    few_are_kept(argv[1]);
#endif
    puts("waits: ok");
    return 0;
}
