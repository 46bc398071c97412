// What the examples in C agree on.
#ifndef ROBOT_H
#define ROBOT_H
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L // nanosleep
#endif
#include <shmx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RATE (SHMX_CONTROL_USER + 1) // body: frames per second, a double
#define STOP (SHMX_CONTROL_USER + 2) // no body

static const shmx_stream TICK = {1, SHMX_ELEMENT_U64, 1, 0, "tick"};
static const shmx_stream POSITION = {2, SHMX_ELEMENT_F32, 3, 0, "position"};

// Ends the program with the reason.
static inline void need(shmx_status status) {
    if (status == SHMX_STATUS_OK) return;
    fprintf(stderr, "%s\n", status == SHMX_STATUS_NOTHING ? "nothing came" : shmx_last_error());
    exit(1);
}

static inline shmx_server *create(const char *name) {
    shmx_stream_spec streams[2] = {
        {.size = sizeof streams[0], .stream_id = 1, .element_type = SHMX_ELEMENT_U64, .max_elems = 1, .name = "tick"},
        {.size = sizeof streams[0],
         .stream_id = 2,
         .element_type = SHMX_ELEMENT_F32,
         .components = 3,
         .max_elems = 100,
         .name = "position"},
    };
    shmx_server_options options = {.size = sizeof options, .streams = streams, .stream_count = 2};
    shmx_server *server = NULL;
    need(shmx_server_create(name, &options, &server));
    return server;
}

static inline void pause_for(double seconds) {
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

// What readers have sent: whether one wants an end, and the rate that one asks for.
static inline int hear(shmx_server *server, double *rate) {
    shmx_messages *messages = NULL;
    shmx_message message = {.size = sizeof message};
    int stop = 0;
    need(shmx_server_poll(server, 16, &messages));
    for (size_t i = 0; shmx_messages_at(messages, i, &message) == SHMX_STATUS_OK; ++i) {
        stop |= message.message_type == STOP;
        if (message.message_type == RATE && message.bytes == sizeof *rate) memcpy(rate, message.data, sizeof *rate);
    }
    shmx_messages_free(&messages);
    return stop;
}
#endif
