// Frames that are read while they are written, in one process: `follow NAME`. Came with version 4 of the interface.
#include "check.h"
#ifndef _WIN32
#include <sys/mman.h>
#endif

enum { IMAGE_LEN = 64 << 10 };

static shmx_stream row_stream(void) { return stream_of(1, "row", SHMX_ELEMENT_U64, 1); }
static shmx_stream image_stream(void) { return stream_of(2, "image", SHMX_ELEMENT_U8, 1); }

static shmx_server *serve(const char *name, shmx_checksum checksum) {
    shmx_stream_spec specs[2];
    shmx_server_options options;
    shmx_server *server = NULL;
    specs[0] = spec_of(row_stream(), 1);
    specs[1] = spec_of(image_stream(), IMAGE_LEN);
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.checksum = (uint32_t)checksum;
    options.streams = specs;
    options.stream_count = 2;
    OK(shmx_server_create(name, &options, &server));
    return server;
}

static shmx_following nothing_followed(void) {
    shmx_following following;
    memset(&following, 0, sizeof following);
    following.size = sizeof following;
    return following;
}

// A client that the server knows to follow.
static shmx_client *follower(const char *name, shmx_hold hold, shmx_verify verify) {
    shmx_client_options options;
    shmx_client *client = NULL;
    shmx_following following = nothing_followed();
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.hold = (uint32_t)hold;
    options.verify = (uint32_t)verify;
    OK(shmx_client_open(name, &options, &client));
    IS(SHMX_STATUS_NOTHING, shmx_client_follow(client, 0, &following));
    CHECK(following.payload == NULL && following.lend == 0);
    return client;
}

static uint32_t leased(shmx_server *server) {
    shmx_reader readers[32];
    size_t count = 0, i;
    uint32_t sum = 0;
    memset(readers, 0, sizeof readers);
    OK(shmx_server_readers(server, readers, sizeof readers[0], 32, &count));
    for (i = 0; i < count && i < 32; ++i) sum += readers[i].leased_slots;
    return sum;
}

static void append_row(shmx_writer *writer, uint64_t row) {
    shmx_part part = part_of(row_stream(), &row, sizeof row);
    OK(shmx_writer_append(writer, &part));
}

static void pieces_come_as_they_are_committed(const char *name) {
    shmx_server *server = serve(name, SHMX_CHECKSUM_AUTO);
    shmx_client *client = follower(name, SHMX_HOLD_AUTO, SHMX_VERIFY_AUTO);
    shmx_following following = nothing_followed();
    shmx_stream image = image_stream();
    shmx_directory *directory = NULL;
    shmx_writer *writer = NULL;
    shmx_prefix prefix;
    shmx_view view = no_view();
    shmx_frame *kept = NULL;
    shmx_data data;
    unsigned char line[16];
    void *room = NULL;
    size_t left = 0;
    uint64_t id = 0, row = 0;
    uint32_t image_id = 0, lent = 0;
    const void *place;
    OK(shmx_server_begin(server, &writer));
    append_row(writer, 5);
    IS(SHMX_STATUS_NOTHING, shmx_client_follow(client, 0, &following)); /* nothing was handed out yet */
    OK(shmx_writer_fill(writer, &image, IMAGE_LEN));
    OK(shmx_writer_fill_rest(writer, &room, &left));
    CHECK(left == IMAGE_LEN);
    memset(room, 1, 10);
    OK(shmx_writer_fill_commit(writer, 10));

    OK(shmx_client_follow(client, SECOND, &following));
    OK(shmx_client_lent(client, &lent));
    CHECK(lent == following.lend && lent != 0 && following.session_id != 0);
    OK(shmx_client_follow_wait(client, SECOND, &following));
    CHECK(following.whole == 0);
    OK(shmx_client_find(client, &image, &image_id, NULL));
    OK(shmx_following_stream(&following, image_id, &prefix));
    CHECK(prefix.bytes == 10 && prefix.total_bytes == IMAGE_LEN && prefix.elem_count == IMAGE_LEN);
    CHECK(((const unsigned char *)prefix.data)[9] == 1);
    place = prefix.data;
    OK(shmx_following_at(&following, 0, &prefix));
    CHECK(prefix.stream_id == 1 && prefix.bytes == 8 && prefix.total_bytes == 8);
    memcpy(&row, prefix.data, 8);
    CHECK(row == 5);
    IS(SHMX_STATUS_NOTHING, shmx_following_at(&following, 2, &prefix));
    IS(SHMX_STATUS_NOTHING, shmx_following_stream(&following, 77, &prefix));
    IS(SHMX_STATUS_NOTHING, shmx_client_follow_wait(client, 0, &following));
    IS(SHMX_STATUS_NOTHING, shmx_client_finish(client, 0, &view));
    CHECK(view.payload == NULL);

    memset(line, 2, sizeof line);
    OK(shmx_writer_fill_write(writer, line, sizeof line));
    OK(shmx_client_follow_wait(client, SECOND, &following));
    OK(shmx_client_directory(client, &directory)); /* keeps what is lent */
    CHECK(shmx_directory_count(directory) == 2);
    shmx_directory_free(&directory);
    OK(shmx_following_stream(&following, image_id, &prefix));
    CHECK(prefix.data == place && prefix.bytes == 26 && ((const unsigned char *)prefix.data)[25] == 2);
    OK(shmx_writer_fill_rest(writer, &room, &left));
    CHECK(left == IMAGE_LEN - 26);
    memset(room, 3, left);
    OK(shmx_writer_fill_commit(writer, left));
    room = NULL;
    IS(SHMX_STATUS_NOTHING, shmx_writer_fill_rest(writer, &room, &left));
    CHECK(room == NULL);
    OK(shmx_client_follow_wait(client, SECOND, &following));
    IS(SHMX_STATUS_NOTHING, shmx_client_finish(client, 0, &view)); /* it is not published */
    OK(shmx_writer_publish(&writer, 1.5, &id));
    OK(shmx_client_follow_wait(client, SECOND, &following));
    CHECK(following.whole == 1 && leased(server) == 1);
    OK(shmx_client_finish(client, SECOND, &view));
    CHECK(view.frame_id == id && view.sim_time == 1.5 && view.leased == 1 && view.lend != lent);
    OK(shmx_view_stream(&view, image_id, &data));
    CHECK(data.data == place && data.bytes == IMAGE_LEN && ((const unsigned char *)data.data)[IMAGE_LEN - 1] == 3);
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_follow_wait(client, 0, &following));
    OK(shmx_client_keep(client, &kept));
    IS(SHMX_STATUS_NOTHING, shmx_client_wait(client, 0, &view)); /* it was delivered */
    shmx_frame_free(&kept);
    CHECK(leased(server) == 0);

    /* A frame that is left is not taken up again, and its slot is free. */
    OK(shmx_server_begin(server, &writer));
    OK(shmx_writer_fill(writer, &image, 2));
    OK(shmx_writer_fill_write(writer, "a", 1));
    OK(shmx_client_follow(client, SECOND, &following));
    OK(shmx_client_release(client, following.lend));
    OK(shmx_client_lent(client, &lent));
    CHECK(lent == 0);
    IS(SHMX_STATUS_NOTHING, shmx_client_follow(client, 0, &following));
    OK(shmx_writer_fill_write(writer, "b", 1));
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    CHECK(leased(server) == 0);
    OK(shmx_client_follow_next(client, SECOND, &following)); /* whole by now */
    CHECK(following.whole == 1);
    OK(shmx_following_at(&following, 0, &prefix));
    CHECK(prefix.bytes == 2 && memcmp(prefix.data, "ab", 2) == 0);
    shmx_client_free(&client);
    shmx_server_free(&server);
}

static void what_comes_to_nothing_says_so(const char *name) {
    shmx_server *server = serve(name, SHMX_CHECKSUM_AUTO);
    shmx_client *client = follower(name, SHMX_HOLD_AUTO, SHMX_VERIFY_AUTO);
    shmx_following following = nothing_followed(), before;
    shmx_stream image = image_stream();
    shmx_writer *writer = NULL;
    shmx_view view = no_view();
    shmx_stats stats;
    int published;
    for (published = 0; published < 2; ++published) {
        OK(shmx_server_begin(server, &writer));
        OK(shmx_writer_fill(writer, &image, IMAGE_LEN));
        OK(shmx_writer_fill_write(writer, "abc", 3));
        OK(shmx_client_follow(client, SECOND, &following));
        OK(shmx_client_follow_wait(client, SECOND, &following));
        if (published) {
            IS(SHMX_STATUS_UNFINISHED, shmx_writer_publish(&writer, 0.0, NULL));
        } else {
            shmx_writer_abandon(&writer);
        }
        CHECK(writer == NULL);
        before = following;
        IS(SHMX_STATUS_ABANDONED, shmx_client_follow_wait(client, SECOND, &following));
        CHECK(memcmp(&before, &following, sizeof before) == 0);
        CHECK(strstr(shmx_last_error(), "shmx_client_follow_wait: the producer gave the frame up") != NULL);
        IS(SHMX_STATUS_ABANDONED, shmx_client_follow_wait(client, 0, &following)); /* and stays so */
        IS(SHMX_STATUS_ABANDONED, shmx_client_finish(client, SECOND, &view));
        CHECK(view.payload == NULL && leased(server) == 0);
    }
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    OK(shmx_client_stats(client, &stats));
    CHECK(stats.delivered == 0);
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_finish(client, 0, &view)); /* the call before it has ended it */
    shmx_server_free(&server);
    IS(SHMX_STATUS_SERVER_GONE, shmx_client_follow(client, SECOND, &following));
    shmx_client_free(&client);
}

static void misuse(const char *name) {
    shmx_server *server = serve(name, SHMX_CHECKSUM_AUTO);
    shmx_client *client = follower(name, SHMX_HOLD_AUTO, SHMX_VERIFY_AUTO);
    shmx_following following = nothing_followed();
    shmx_stream row = row_stream(), image = image_stream(), wrong;
    shmx_writer *writer = NULL;
    shmx_view view = no_view();
    shmx_prefix prefix;
    shmx_part part = part_of(row_stream(), "12345678", 8);
    void *room = &room;
    size_t left = 77;
    uint32_t used = 0;
    IS(SHMX_STATUS_NULL, shmx_client_follow(NULL, 0, &following));
    IS(SHMX_STATUS_NULL, shmx_client_follow(client, 0, NULL));
    CHECK(strcmp(shmx_last_error(), "shmx_client_follow: `following` is null; pass a pointer to it") == 0);
    following.size = 3;
    IS(SHMX_STATUS_BAD_SIZE, shmx_client_follow_next(client, 0, &following));
    IS(SHMX_STATUS_BAD_SIZE, shmx_following_at(&following, 0, &prefix));
    following = nothing_followed();
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_follow_wait(client, 0, &following));
    CHECK(strstr(shmx_last_error(), "shmx_client_follow") != NULL);
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_client_finish(client, 0, &view));
    IS(SHMX_STATUS_NOTHING, shmx_following_at(&following, 0, &prefix));
    following.bytes = 100;
    IS(SHMX_STATUS_NULL, shmx_following_stream(&following, 0, &prefix));
    IS(SHMX_STATUS_NULL, shmx_following_stream(NULL, 0, &prefix));
    IS(SHMX_STATUS_NULL, shmx_following_stream(&following, 0, NULL));

    IS(SHMX_STATUS_NULL, shmx_writer_fill(NULL, &image, 4));
    OK(shmx_server_begin(server, &writer));
    IS(SHMX_STATUS_NULL, shmx_writer_fill(writer, NULL, 4));
    IS(SHMX_STATUS_NOTHING, shmx_writer_fill_rest(writer, &room, &left));
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_writer_fill_commit(writer, 1));
    wrong = stream_of(2, "image", SHMX_ELEMENT_F32, 1);
    IS(SHMX_STATUS_WRONG_TYPE, shmx_writer_fill(writer, &wrong, 4));
    IS(SHMX_STATUS_LENGTH, shmx_writer_fill(writer, &row, 4));
    IS(SHMX_STATUS_FULL, shmx_writer_fill(writer, &image, 1u << 30));
    OK(shmx_writer_fill(writer, &image, 4));
    IS(SHMX_STATUS_BUSY, shmx_writer_fill(writer, &row, 8));
    IS(SHMX_STATUS_BUSY, shmx_writer_append(writer, &part));
    IS(SHMX_STATUS_BUSY, shmx_writer_reserve(writer, &row, 8, &room));
    IS(SHMX_STATUS_BUSY, shmx_writer_room(writer, &room, &left));
    IS(SHMX_STATUS_BUSY, shmx_writer_commit(writer, 0, 0));
    IS(SHMX_STATUS_BUSY, shmx_writer_append_records(writer, NULL, 0, 0));
    IS(SHMX_STATUS_BUSY, shmx_writer_append_undeclared(writer, 500, 1, "abc", 3));
    CHECK(room == &room && left == 77);
    OK(shmx_writer_info(writer, &used, NULL, NULL));
    CHECK(used >= 28);
    IS(SHMX_STATUS_NULL, shmx_writer_fill_rest(writer, NULL, &left));
    IS(SHMX_STATUS_NULL, shmx_writer_fill_rest(writer, &room, NULL));
    IS(SHMX_STATUS_NULL, shmx_writer_fill_write(writer, NULL, 2));
    IS(SHMX_STATUS_FULL, shmx_writer_fill_commit(writer, 5));
    IS(SHMX_STATUS_FULL, shmx_writer_fill_commit(writer, SIZE_MAX));
    IS(SHMX_STATUS_FULL, shmx_writer_fill_write(writer, "abcde", 5));
    OK(shmx_writer_fill_write(writer, "abcd", 4));
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_writer_fill_write(writer, "e", 1));
    OK(shmx_writer_append(writer, &part));
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    IS(SHMX_STATUS_NULL, shmx_writer_fill_commit(writer, 1));
    OK(shmx_server_begin(server, &writer));
    OK(shmx_writer_fill(writer, &image, 0)); /* nothing is left to fill */
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    OK(shmx_client_follow(client, SECOND, &following));
    OK(shmx_client_close(client));
    IS(SHMX_STATUS_CLOSED, shmx_client_follow(client, 0, &following));
    IS(SHMX_STATUS_CLOSED, shmx_client_follow_wait(client, 0, &following));
    IS(SHMX_STATUS_CLOSED, shmx_client_finish(client, 0, &view));
    shmx_client_free(&client);
    shmx_server_free(&server);
}

// What was reserved may be written until the frame is published, whatever was appended behind it.
static void what_is_written_late_is_in_the_frame(const char *name) {
    static unsigned char large[IMAGE_LEN];
    shmx_server *server = serve(name, SHMX_CHECKSUM_ALWAYS);
    shmx_client *client = follower(name, SHMX_HOLD_AUTO, SHMX_VERIFY_ALWAYS);
    shmx_following following = nothing_followed();
    shmx_stream row = row_stream(), image = image_stream();
    shmx_part part = part_of(image_stream(), large, sizeof large);
    shmx_writer *writer = NULL;
    shmx_view view = no_view();
    shmx_data data;
    void *room = NULL;
    uint64_t late = 7, got = 0;
    OK(shmx_server_begin(server, &writer));
    OK(shmx_writer_reserve(writer, &row, 8, &room));
    memset(room, 0, 8);
    OK(shmx_writer_append(writer, &part));
    IS(SHMX_STATUS_NOTHING, shmx_client_follow(client, 0, &following));
    memcpy(room, &late, 8);
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    OK(shmx_client_follow(client, SECOND, &following));
    OK(shmx_client_finish(client, SECOND, &view));
    CHECK(view.checksum_state == SHMX_CHECKSUM_STATE_VERIFIED);
    OK(shmx_view_stream(&view, 1, &data));
    memcpy(&got, data.data, 8);
    CHECK(got == late);

    /* Without such room a large stream is handed out as it is copied in. */
    OK(shmx_server_begin(server, &writer));
    append_row(writer, 8);
    OK(shmx_writer_append(writer, &part));
    OK(shmx_client_follow(client, SECOND, &following));
    OK(shmx_client_follow_wait(client, SECOND, &following));
    CHECK(following.whole == 0 && following.bytes > IMAGE_LEN);
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    OK(shmx_client_finish(client, SECOND, &view));
    CHECK(view.checksum_state == SHMX_CHECKSUM_STATE_VERIFIED);

    /* And a stream that is begun in pieces says that what lies before it is final. */
    OK(shmx_server_begin(server, &writer));
    OK(shmx_writer_reserve(writer, &row, 8, &room));
    memcpy(room, &late, 8);
    OK(shmx_writer_fill(writer, &image, 16));
    OK(shmx_writer_fill_write(writer, large, 4));
    OK(shmx_client_follow(client, SECOND, &following));
    shmx_writer_abandon(&writer);
    shmx_client_free(&client);
    shmx_server_free(&server);
}

static void who_copies_gets_whole_frames(const char *name) {
    shmx_server *server = serve(name, SHMX_CHECKSUM_AUTO);
    shmx_client *client = follower(name, SHMX_HOLD_COPY, SHMX_VERIFY_AUTO);
    shmx_following following = nothing_followed();
    shmx_stream image = image_stream();
    shmx_writer *writer = NULL;
    shmx_view view = no_view();
    shmx_prefix prefix;
    OK(shmx_server_begin(server, &writer));
    OK(shmx_writer_fill(writer, &image, 4));
    OK(shmx_writer_fill_write(writer, "abc", 3));
    IS(SHMX_STATUS_NOTHING, shmx_client_follow(client, 0, &following));
    OK(shmx_writer_fill_write(writer, "d", 1));
    OK(shmx_writer_publish(&writer, 0.0, NULL));
    OK(shmx_client_follow(client, SECOND, &following));
    OK(shmx_client_follow_wait(client, 0, &following));
    OK(shmx_following_at(&following, 0, &prefix));
    CHECK(following.whole == 1 && prefix.bytes == 4 && memcmp(prefix.data, "abcd", 4) == 0);
    OK(shmx_client_finish(client, 0, &view));
    CHECK(view.leased == 0);
    shmx_client_free(&client);
    shmx_server_free(&server);
}

#ifndef _WIN32
// What else came with version 4: a server whose name is taken away.
static void what_becomes_of_a_server_without_its_name(const char *name) {
    static const uint32_t flags[3] = {SHMX_SERVER_STREAMING_STORES, SHMX_SERVER_END_WITH_NAME, SHMX_SERVER_COME_BACK};
    shmx_server_options options;
    shmx_server *server = NULL;
    char object[256];
    int how;
    snprintf(object, sizeof object, "/%s", name);
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.flags = SHMX_SERVER_END_WITH_NAME | SHMX_SERVER_COME_BACK;
    IS(SHMX_STATUS_BAD_ARGUMENT, shmx_server_create(name, &options, &server));
    for (how = 0; how < 3; ++how) {
        const uint64_t start = shmx_now();
        shmx_status status = SHMX_STATUS_OK;
        uint32_t current = 0;
        options.flags = flags[how];
        OK(shmx_server_create(name, &options, &server));
        CHECK(shm_unlink(object) == 0);
        for (;;) {
            shmx_writer *writer = NULL;
            CHECK(shmx_now() - start < 20 * SECOND);
            status = shmx_server_begin(server, &writer);
            if (how == 1 && status == SHMX_STATUS_NAME_LOST) break;
            CHECK(status == SHMX_STATUS_OK);
            OK(shmx_writer_append_undeclared(writer, 9, 1, "a", 1));
            OK(shmx_writer_publish(&writer, 0.0, NULL));
            OK(shmx_server_is_current(server, &current));
            if (how == 0 || (how == 2 && current == 1)) break;
        }
        shmx_server_free(&server);
    }
}
#endif

int main(int argc, char **argv) {
    CHECK(argc == 2 && shmx_abi_version() >= 4);
    pieces_come_as_they_are_committed(argv[1]);
    what_comes_to_nothing_says_so(argv[1]);
    misuse(argv[1]);
    what_is_written_late_is_in_the_frame(argv[1]);
    who_copies_gets_whole_frames(argv[1]);
#ifndef _WIN32
    what_becomes_of_a_server_without_its_name(argv[1]);
#endif
    puts("follow: ok");
    return 0;
}
