// Reads ten frames in order, then asks for an end: `client_c NAME`.
#include "robot.h"

int main(int argc, char **argv) {
    const shmx_client_options options = {.size = sizeof options, .open_timeout_ns = 10000000000u};
    shmx_client *client = NULL;
    shmx_view view = {.size = sizeof view};
    shmx_data data;
    uint32_t position = 0;
    need(shmx_client_open(argc > 1 ? argv[1] : "robot", &options, &client));
    need(shmx_client_find(client, &POSITION, &position, NULL)); // by its name; its type is compared once
    for (int i = 0; i < 10; ++i) {
        need(shmx_client_next(client, 10000000000u, &view));
        need(shmx_view_stream(&view, position, &data)); // valid until the next call
        const float *xyz = data.data;
        printf("frame %llu at %g: %u points, the first at %g %g %g\n", (unsigned long long)view.frame_id, view.sim_time,
               data.elem_count, xyz[0], xyz[1], xyz[2]);
    }
    need(shmx_client_send(client, STOP, NULL, 0));
    shmx_client_free(&client);
    return 0;
}
