// A camera that is read out line by line, and hands out each line as it comes: `slow_camera_c NAME FRAMES`.
//
// `slow_viewer_cpp` draws the lines while the frame is still being read out.
#include "robot.h"

enum { WIDTH = 64, HEIGHT = 24 };

static const shmx_stream IMAGE = {1, SHMX_ELEMENT_U8, 1, 0, "image"};

// What a sensor would do: a bright spot that moves, a line after the other.
static void read_out(int n, int y, unsigned char *line) {
    const int cx = n * 3 % WIDTH, cy = n * 2 % HEIGHT;
    pause_for(0.002);
    for (int x = 0; x < WIDTH; ++x) {
        const int distance = abs(x - cx) + 2 * abs(y - cy);
        line[x] = (unsigned char)(distance < 16 ? 255 - 16 * distance : 0);
    }
}

int main(int argc, char **argv) {
    shmx_stream_spec stream = {.size = sizeof stream,
                               .stream_id = IMAGE.stream_id,
                               .element_type = IMAGE.element_type,
                               .max_elems = WIDTH * HEIGHT,
                               .name = IMAGE.name};
    shmx_server_options options = {.size = sizeof options, .streams = &stream, .stream_count = 1};
    shmx_server *server = NULL;
    const int frames = argc > 2 ? atoi(argv[2]) : 100;
    uint32_t readers = 0;
    need(shmx_server_create(argc > 1 ? argv[1] : "camera", &options, &server));
    while (readers == 0) {
        pause_for(0.01);
        need(shmx_server_readers_connected(server, &readers));
    }
    for (int n = 0; n < frames; ++n) {
        shmx_writer *frame = NULL;
        need(shmx_server_begin(server, &frame));
        need(shmx_writer_fill(frame, &IMAGE, WIDTH * HEIGHT));
        for (int y = 0; y < HEIGHT; ++y) {
            void *rest = NULL;
            size_t bytes = 0;
            need(shmx_writer_fill_rest(frame, &rest, &bytes));
            read_out(n, y, rest);
            need(shmx_writer_fill_commit(frame, WIDTH)); // whoever follows has the line now
        }
        need(shmx_writer_publish(&frame, n, NULL));
    }
    shmx_server_free(&server);
    return 0;
}
