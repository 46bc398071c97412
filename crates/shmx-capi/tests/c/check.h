// What the C test programs share. Also compiled as C++.
#ifndef CHECK_H
#define CHECK_H
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L // nanosleep
#endif
#include "shmx.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, shmx_last_error());        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define OK(call) CHECK((call) == SHMX_STATUS_OK)
#define IS(status, call) CHECK((call) == (status))

#define SECOND 1000000000ull
#define DONE 0x3001u

static inline shmx_stream stream_of(uint32_t id, const char *name, shmx_element type, uint32_t components) {
    shmx_stream s;
    s.stream_id = id;
    s.element_type = (uint32_t)type;
    s.components = components;
    s.reserved = 0;
    s.name = name;
    return s;
}

static inline shmx_stream_spec spec_of(shmx_stream s, uint32_t max_elems) {
    shmx_stream_spec spec;
    memset(&spec, 0, sizeof spec);
    spec.size = sizeof spec;
    spec.stream_id = s.stream_id;
    spec.element_type = s.element_type;
    spec.components = s.components;
    spec.max_elems = max_elems;
    spec.name = s.name;
    return spec;
}

static inline shmx_part part_of(shmx_stream s, const void *data, size_t bytes) {
    shmx_part part;
    part.stream = s;
    part.data = data;
    part.bytes = bytes;
    return part;
}

static inline shmx_view no_view(void) {
    shmx_view view;
    memset(&view, 0, sizeof view);
    view.size = sizeof view;
    return view;
}

// The frame of a tick.
enum { POINTS = 50, BLOB = 4096 };
static inline size_t points_of(uint64_t tick) { return 1 + (size_t)(tick % POINTS); }
static inline float point_of(uint64_t tick, size_t i) { return (float)(tick % 1000 + i); }
static inline unsigned char blob_of(uint64_t tick, size_t i) { return (unsigned char)(tick * 31 + i); }
#endif
