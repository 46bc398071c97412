// Every part of shmx.h in one process, and what misuse gets. `features NAME`.
#include "check.h"
#ifndef _WIN32
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#endif

static uint32_t seen_in_use(shmx_server *server) {
    shmx_reader readers[32];
    size_t count = 0, i;
    uint32_t leased = 0;
    memset(readers, 0, sizeof readers);
    OK(shmx_server_readers(server, readers, sizeof readers[0], 32, &count));
    CHECK(count == 16);
    for (i = 0; i < count; ++i) leased += readers[i].leased_slots;
    return leased;
}

static void publish(shmx_server *server, uint64_t tick, size_t blob) {
    static unsigned char bytes[4096];
    shmx_part parts[2];
    uint64_t id = 0;
    parts[0] = part_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), &tick, 8);
    parts[1] = part_of(stream_of(3, NULL, SHMX_ELEMENT_ANY, 0), bytes, blob);
    OK(shmx_server_publish(server, 0.25, parts, 2, &id));
    CHECK(id > 0);
}

static void leases_end_once(shmx_server *server, const char *name) {
    shmx_client *client = NULL;
    shmx_view view = no_view(), old;
    shmx_frame *frame = NULL;
    uint64_t age = 1;
    OK(shmx_client_open(name, NULL, &client));
    IS(SHMX_STATUS_NOTHING, shmx_client_wait(client, 0, &view));
    CHECK(view.payload == NULL);
    publish(server, 1, 4096);
    OK(shmx_client_wait(client, SECOND, &view));
    CHECK(view.leased == 1 && seen_in_use(server) == 1);
    OK(shmx_client_age(client, &age));
    old = view;
    publish(server, 2, 4096);
    OK(shmx_client_next(client, SECOND, &view));
    CHECK(view.frame_id == old.frame_id + 1 && seen_in_use(server) == 1);
    OK(shmx_client_release(client, old.lend));
    CHECK(seen_in_use(server) == 1); /* another lending */
    OK(shmx_client_release(client, view.lend));
    CHECK(seen_in_use(server) == 0);
    OK(shmx_client_release(client, view.lend));
    OK(shmx_client_latest(client, &view));
    OK(shmx_client_keep(client, &frame));
    CHECK(seen_in_use(server) == 1);
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_keep(client, &frame));
    shmx_client_free(&client);
    CHECK(client == NULL);
    OK(shmx_frame_view(frame, &view));
    CHECK(view.bytes > 4096 && seen_in_use(server) == 1); /* it outlives its reader */
    shmx_frame_free(&frame);
    shmx_frame_free(&frame);
    CHECK(seen_in_use(server) == 0);
}

static void streams_are_compared(shmx_server *server, const char *name) {
    shmx_client *client = NULL;
    shmx_directory *directory = NULL;
    shmx_stream_info info;
    shmx_stream asked = stream_of(9, "tick", SHMX_ELEMENT_U64, 1);
    shmx_stream_spec spec = spec_of(stream_of(7, "later", SHMX_ELEMENT_F32, 3), 0);
    shmx_writer *writer = NULL;
    shmx_part part;
    uint32_t id = 77;
    uint64_t session = 0, tick = 5;
    OK(shmx_client_open(name, NULL, &client));
    OK(shmx_client_find(client, &asked, &id, &session));
    CHECK(id == 1 && session != 0);
    asked.element_type = SHMX_ELEMENT_F64;
    id = 77;
    IS(SHMX_STATUS_WRONG_TYPE, shmx_client_find(client, &asked, &id, NULL));
    CHECK(id == 77 &&
          strstr(shmx_last_error(), "shmx_client_find: stream 1 `tick` has elements of u64, not f64") != NULL);
    asked.element_type = 99;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_find(client, &asked, &id, NULL));
    asked = stream_of(1, "tock", SHMX_ELEMENT_U64, 1);
    IS(SHMX_STATUS_UNKNOWN_STREAM, shmx_client_find(client, &asked, &id, NULL));
    OK(shmx_server_add_stream(server, &spec));
    IS(SHMX_STATUS_STREAM, shmx_server_add_stream(server, &spec));
    OK(shmx_client_directory(client, &directory));
    CHECK(shmx_directory_count(directory) == 4);
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    OK(shmx_directory_at(directory, 3, &info));
    CHECK(info.stream_id == 7 && info.name_bytes == 5 && memcmp(info.name, "later", 5) == 0);
    IS(SHMX_STATUS_NOTHING, shmx_directory_at(directory, 4, &info));
    OK(shmx_directory_id(directory, "blob", &id));
    CHECK(id == 3);
    shmx_directory_free(&directory);
    shmx_directory_free(&directory);
    OK(shmx_server_begin(server, &writer));
    part = part_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), &tick, 7);
    IS(SHMX_STATUS_LENGTH, shmx_writer_append(writer, &part));
    part.bytes = 8;
    OK(shmx_writer_append(writer, &part));
    IS(SHMX_STATUS_DUPLICATE, shmx_writer_append(writer, &part));
    part.stream.stream_id = 2;
    IS(SHMX_STATUS_WRONG_TYPE, shmx_writer_append(writer, &part));
    OK(shmx_writer_append_undeclared(writer, 500, 1, "abc", 3));
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    CHECK(writer == NULL);
    shmx_client_free(&client);
}

static void one_frame_at_a_time(shmx_server *server) {
    shmx_writer *writer = NULL, *other = NULL;
    uint64_t frames = 0, before = 0;
    uint32_t used = 9, left = 0;
    OK(shmx_server_frames(server, &before));
    OK(shmx_server_begin(server, &writer));
    IS(SHMX_STATUS_BUSY, shmx_server_begin(server, &other));
    CHECK(other == NULL);
    IS(SHMX_STATUS_BUSY, shmx_server_frames(server, &frames));
    OK(shmx_writer_info(writer, &used, &left, NULL));
    CHECK(used == 0 && left > 4096);
    IS(SHMX_STATUS_EMPTY, shmx_writer_publish(&writer, 0.0, NULL));
    CHECK(writer == NULL);
    IS(SHMX_STATUS_NULL, shmx_writer_publish(&writer, 0.0, NULL));
    OK(shmx_server_begin(server, &writer));
    shmx_writer_abandon(&writer);
    shmx_writer_abandon(&writer);
    OK(shmx_server_frames(server, &frames));
    CHECK(frames == before);
}

static void control_both_ways(shmx_server *server, const char *name) {
    shmx_client *client = NULL;
    shmx_sender *sender = NULL;
    shmx_inspector *inspector = NULL;
    shmx_messages *messages = NULL;
    shmx_message message;
    static const char long_body[8192] = {0};
    float wish = 2.5f, got = 0;
    OK(shmx_client_open(name, NULL, &client));
    OK(shmx_client_sender(client, &sender));
    OK(shmx_client_send(client, SHMX_CONTROL_USER + 1, &wish, sizeof wish));
    OK(shmx_sender_send(sender, SHMX_CONTROL_USER + 2, NULL, 0));
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_sender_send(sender, 0, NULL, 0));
    IS(SHMX_STATUS_NULL, shmx_sender_send(sender, 1, NULL, 4));
    IS(SHMX_STATUS_TOO_LONG, shmx_sender_send(sender, 1, long_body, sizeof long_body));
    OK(shmx_inspector_open(name, &inspector));
    OK(shmx_inspector_peek(inspector, 0, &messages));
    CHECK(shmx_messages_count(messages) >= 2);
    shmx_messages_free(&messages);
    OK(shmx_server_poll(server, 10, &messages));
    memset(&message, 0, sizeof message);
    message.size = sizeof message;
    OK(shmx_messages_at(messages, 0, &message));
    CHECK(message.message_type == SHMX_CONTROL_USER + 1 && message.bytes == 4 && message.reader_id != 0);
    memcpy(&got, message.data, 4);
    CHECK(got > 2.4f && got < 2.6f);
    IS(SHMX_STATUS_NOTHING, shmx_messages_damaged(messages, 0, &message.message_type, NULL));
    shmx_messages_free(&messages);
    shmx_messages_free(&messages);
    shmx_inspector_free(&inspector);
    shmx_sender_free(&sender);
    shmx_sender_free(&sender);
    shmx_client_free(&client);
}

#ifdef _WIN32
static void slept_on(const char *name) {
    shmx_server *server = NULL;
    shmx_client *client = NULL;
    int fd = -7;
    OK(shmx_server_create(name, NULL, &server));
    OK(shmx_client_open(name, NULL, &client));
    IS(SHMX_STATUS_UNSUPPORTED, shmx_client_wait_fd(client, &fd));
    IS(SHMX_STATUS_UNSUPPORTED, shmx_server_control_fd(server, &fd));
    CHECK(fd == -7);
    shmx_client_free(&client);
    shmx_server_free(&server);
}
#else
static int readable(struct pollfd *fd) {
    int ready;
    do {
        ready = poll(fd, 1, 10000);
    } while (ready < 0 && errno == EINTR); /* what serves the descriptor may interrupt the call */
    return ready == 1;
}

static void slept_on(const char *name) {
    shmx_server *server = NULL;
    shmx_client *client = NULL;
    shmx_messages *messages = NULL;
    shmx_view view = no_view();
    struct pollfd polled[2];
    int news = -1, control = -1;
    OK(shmx_server_create(name, NULL, &server));
    OK(shmx_client_open(name, NULL, &client));
    IS(SHMX_STATUS_NULL, shmx_client_wait_fd(client, NULL));
    OK(shmx_client_wait_fd(client, &news));
    OK(shmx_server_control_fd(server, &control));
    memset(polled, 0, sizeof polled);
    polled[0].fd = news;
    polled[1].fd = control;
    polled[0].events = polled[1].events = POLLIN;
    OK(shmx_server_publish_records(server, 0.0, "\0\40\0\0\30\0\0\0\1\0\0\0\1\0\0\0\10\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0",
                                   32, 1, NULL));
    CHECK(readable(polled));
    OK(shmx_client_wait(client, 0, &view));
    OK(shmx_client_send(client, DONE, NULL, 0));
    CHECK(readable(polled + 1));
    OK(shmx_server_wait_control(server, 4, SECOND, &messages));
    CHECK(shmx_messages_count(messages) == 1);
    shmx_messages_free(&messages);
    close(control);
    shmx_client_free(&client);
    shmx_server_free(&server);
}
#endif

static void looked_at(shmx_server *server, const char *name) {
    shmx_inspector *inspector = NULL;
    shmx_frame *frame = NULL;
    shmx_tap *tap = NULL;
    shmx_view view = no_view();
    shmx_slot slot;
    shmx_stats stats;
    shmx_region region;
    shmx_header header;
    shmx_listing *listing = NULL;
    shmx_listed listed;
    shmx_data data;
    unsigned char magic[8];
    uint32_t state = 0, current = 0, whole = 0, sum = 9;
    uint64_t id = 0;
    size_t got = 0, i, found = 0, streams = 0;
    publish(server, 8, 16);
    OK(shmx_inspector_open(name, &inspector));
    memset(&region, 0, sizeof region);
    region.size = sizeof region;
    memset(&header, 0, sizeof header);
    header.size = sizeof header;
    memset(&slot, 0, sizeof slot);
    slot.size = sizeof slot;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    OK(shmx_inspector_region(inspector, &region));
    OK(shmx_inspector_header(inspector, &header));
    CHECK(region.slots == 8 && region.session_id == header.session_id && header.frame_seq > 0);
    OK(shmx_inspector_server_state(inspector, &state));
    CHECK(state == SHMX_SERVER_STATE_LIVE);
    OK(shmx_inspector_is_current(inspector, &current, &whole));
    CHECK(current == 1 && whole == 1);
    OK(shmx_inspector_latest(inspector, &frame));
    OK(shmx_frame_view(frame, &view));
    while (shmx_view_at(&view, streams, &data) == SHMX_STATUS_OK) ++streams;
    CHECK(streams == 2);
    OK(shmx_inspector_slot(inspector, view.slot, &slot, NULL));
    CHECK(slot.state == SHMX_SLOT_STATE_FRAME && slot.frame_id == view.frame_id);
    OK(shmx_inspector_checksum(inspector, view.slot, &id, &sum));
    CHECK(id == view.frame_id && sum == SHMX_CHECKSUM_STATE_VERIFIED);
    IS(SHMX_STATUS_NOTHING, shmx_inspector_slot(inspector, 1000, &slot, NULL));
    OK(shmx_inspector_read(inspector, 0, magic, sizeof magic, &got));
    CHECK(got == 8);
    shmx_frame_free(&frame);
    shmx_inspector_free(&inspector);
    shmx_inspector_free(&inspector);

    OK(shmx_tap_open(name, NULL, &tap));
    for (i = 0; shmx_tap_next(tap, 0, &view) == SHMX_STATUS_OK; ++i) CHECK(view.leased == 0);
    CHECK(i > 1);
    OK(shmx_tap_latest(tap, &view));
    OK(shmx_tap_stats(tap, &stats));
    CHECK(stats.delivered == i && stats.behind == 0);
    OK(shmx_tap_close(tap));
    IS(SHMX_STATUS_CLOSED, shmx_tap_latest(tap, &view));
    shmx_tap_free(&tap);

    OK(shmx_list(&listing));
    memset(&listed, 0, sizeof listed);
    listed.size = sizeof listed;
    for (i = 0; shmx_listing_at(listing, i, &listed) == SHMX_STATUS_OK; ++i) {
        found += strcmp(listed.name, name) == 0 && listed.kind == SHMX_KIND_REGION;
    }
    CHECK(found == 1 && i == shmx_listing_count(listing));
    shmx_listing_free(&listing);
    IS(SHMX_STATUS_HELD, shmx_remove(name, 1, &state));
}

static void misuse(shmx_server *server, const char *name) {
    shmx_client *client = NULL, *none = (shmx_client *)0;
    shmx_view view = no_view(), untouched;
    shmx_client_options options;
    shmx_server_options server_options;
    shmx_server *other = NULL;
    struct {
        shmx_client_options known;
        uint64_t later;
    } newer;
    char misaligned[sizeof(shmx_client_options) + 8];
    IS(SHMX_STATUS_NULL, shmx_client_open(NULL, NULL, &client));
    CHECK(strcmp(shmx_last_error(), "shmx_client_open: `name` is null; pass a pointer to it") == 0);
    IS(SHMX_STATUS_NULL, shmx_client_open(name, NULL, NULL));
    IS(SHMX_STATUS_NAME, shmx_client_open("", NULL, &client));
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_open("\xff\xfe", NULL, &client));
    IS(SHMX_STATUS_NOT_FOUND, shmx_client_open("shmx-capi-nobody", NULL, &client));
    CHECK(client == NULL && strstr(shmx_last_error(), "check the name") != NULL);
    memset(&options, 0, sizeof options);
    IS(SHMX_STATUS_BAD_SIZE, shmx_client_open(name, &options, &client));
    options.size = sizeof options;
    options.hold = 7;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_open(name, &options, &client));
    options.hold = 0;
    options.flags = 1u << 31;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_open(name, &options, &client));
    options.flags = 0;
    memset(&newer, 0, sizeof newer);
    newer.known.size = sizeof newer;
    newer.later = 1;
    IS(SHMX_STATUS_BAD_SIZE, shmx_client_open(name, &newer.known, &client));
    memcpy(misaligned + 1, &options, sizeof options);
    IS(SHMX_STATUS_BAD_ARGUMENT,
       shmx_client_open(name, (const shmx_client_options *)(const void *)(misaligned + 1), &client));
    newer.later = 0;
    OK(shmx_client_open(name, &newer.known, &client));
    IS(SHMX_STATUS_NULL, shmx_client_latest(none, &view));
    IS(SHMX_STATUS_NULL, shmx_client_latest(client, NULL));
    view.size = 3;
    untouched = view;
    IS(SHMX_STATUS_BAD_SIZE, shmx_client_latest(client, &view));
    CHECK(memcmp(&view, &untouched, sizeof view) == 0);
    OK(shmx_client_close(client));
    OK(shmx_client_close(client));
    view = no_view();
    IS(SHMX_STATUS_CLOSED, shmx_client_latest(client, &view));
    IS(SHMX_STATUS_CLOSED, shmx_client_send(client, DONE, NULL, 0));
    shmx_client_free(&client);
    shmx_client_free(&client);
    shmx_client_free(NULL);
    IS(SHMX_STATUS_HELD, shmx_server_create(name, NULL, &other));
    memset(&server_options, 0, sizeof server_options);
    server_options.size = sizeof server_options;
    server_options.stream_count = 2;
    IS(SHMX_STATUS_NULL, shmx_server_create("shmx-capi-never", &server_options, &other));
    CHECK(other == NULL);
    IS(SHMX_STATUS_NULL, shmx_server_publish(server, 0.0, NULL, 3, NULL));
    IS(SHMX_STATUS_EMPTY, shmx_server_publish(server, 0.0, NULL, 0, NULL));
    CHECK(shmx_directory_count(NULL) == 0 && shmx_messages_count(NULL) == 0 && shmx_listing_count(NULL) == 0);
    CHECK(strcmp(shmx_status_name(SHMX_STATUS_LAPPED), "lapped") == 0 && strcmp(shmx_status_name(-5), "unknown") == 0);
}

int main(int argc, char **argv) {
    shmx_stream_spec specs[3];
    shmx_server_options options;
    shmx_server *server = NULL;
    shmx_client *client = NULL;
    shmx_view view = no_view();
    shmx_writer *writer = NULL;
    shmx_part part;
    uint64_t tick = 3;
    uint32_t state = 0;
    CHECK(argc == 2 && shmx_abi_version() >= SHMX_ABI_VERSION && strchr(shmx_version(), '.') != NULL);
    specs[0] = spec_of(stream_of(1, "tick", SHMX_ELEMENT_U64, 1), 1);
    specs[1] = spec_of(stream_of(2, "position", SHMX_ELEMENT_F32, 3), 10);
    specs[2] = spec_of(stream_of(3, "blob", SHMX_ELEMENT_U8, 1), 8192);
    specs[2].extra = "{\"unit\":\"m\"}";
    specs[2].extra_bytes = strlen("{\"unit\":\"m\"}");
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.streams = specs;
    options.stream_count = 3;
    OK(shmx_server_create(argv[1], &options, &server));
    leases_end_once(server, argv[1]);
    streams_are_compared(server, argv[1]);
    one_frame_at_a_time(server);
    control_both_ways(server, argv[1]);
    looked_at(server, argv[1]);
    misuse(server, argv[1]);
    {
        char other[256];
        snprintf(other, sizeof other, "%s-slept", argv[1]);
        slept_on(other);
    }

    /* A frame under construction outlives its server's handle, and the server ends with it. */
    OK(shmx_client_open(argv[1], NULL, &client));
    OK(shmx_server_begin(server, &writer));
    shmx_server_free(&server);
    shmx_server_free(&server);
    part = part_of(stream_of(1, NULL, SHMX_ELEMENT_ANY, 0), &tick, 8);
    OK(shmx_writer_append(writer, &part));
    OK(shmx_client_server_state(client, &state));
    CHECK(state == SHMX_SERVER_STATE_LIVE);
    OK(shmx_writer_publish(&writer, 1.0, NULL));
    OK(shmx_client_server_state(client, &state));
    CHECK(state == SHMX_SERVER_STATE_CLOSED);
    OK(shmx_client_wait(client, SECOND, &view));
    IS(SHMX_STATUS_SERVER_GONE, shmx_client_wait(client, SECOND, &view));
    shmx_client_free(&client);
    puts("features: ok");
    return 0;
}
