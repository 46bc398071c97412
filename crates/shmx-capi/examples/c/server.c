// Publishes until a reader asks for an end: `server_c NAME`.
#include "robot.h"

int main(int argc, char **argv) {
    shmx_server *server = create(argc > 1 ? argv[1] : "robot");
    float points[2][3] = {{0, 1, 2}, {3, 4, 5}};
    double rate = 1000;
    for (uint64_t tick = 1; !hear(server, &rate); ++tick) {
        const shmx_part parts[2] = {{TICK, &tick, sizeof tick}, {POSITION, points, sizeof points}};
        const shmx_status status = shmx_server_publish(server, (double)tick, parts, 2, NULL);
        // Readers may hold every slot: this frame is skipped then.
        if (status != SHMX_STATUS_NO_FREE_SLOT) need(status);
        pause_for(1 / rate);
    }
    shmx_server_free(&server);
    return 0;
}
