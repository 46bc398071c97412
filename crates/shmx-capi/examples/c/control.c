// A server and a reader of its own that asks for another rate, on one thread: `control_c NAME`.
#include "robot.h"

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "robot";
    shmx_server *server = create(name);
    shmx_client *client = NULL;
    double rate = 100;
    const double wish = 2000;
    need(shmx_client_open(name, NULL, &client));
    need(shmx_client_send(client, RATE, &wish, sizeof wish));
    for (uint64_t tick = 1; !hear(server, &rate); ++tick) {
        const float point[3] = {(float)rate, 0, 0};
        const shmx_part parts[2] = {{TICK, &tick, sizeof tick}, {POSITION, point, sizeof point}};
        const shmx_status status = shmx_server_publish(server, (double)tick, parts, 2, NULL);
        if (status != SHMX_STATUS_NO_FREE_SLOT) need(status);
        pause_for(1 / rate);
    }
    shmx_client_free(&client);
    shmx_server_free(&server);
    return rate == wish ? 0 : 1;
}
