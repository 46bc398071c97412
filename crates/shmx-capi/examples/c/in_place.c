// Writes frames where their readers read them, without a copy: `in_place_c NAME`.
#include "robot.h"

int main(int argc, char **argv) {
    shmx_server *server = create(argc > 1 ? argv[1] : "robot");
    double rate = 1000;
    for (uint64_t tick = 1; !hear(server, &rate); ++tick) {
        shmx_writer *frame = NULL;
        void *room = NULL;
        const shmx_status status = shmx_server_begin(server, &frame);
        if (status == SHMX_STATUS_NO_FREE_SLOT) continue;
        need(status);
        need(shmx_writer_append(frame, &(shmx_part){TICK, &tick, sizeof tick}));
        need(shmx_writer_reserve(frame, &POSITION, 100 * 3 * sizeof(float), &room));
        for (size_t i = 0; i < 300; ++i) ((float *)room)[i] = (float)(tick + i);
        need(shmx_writer_publish(&frame, (double)tick, NULL));
        pause_for(1 / rate);
    }
    shmx_server_free(&server);
    return 0;
}
