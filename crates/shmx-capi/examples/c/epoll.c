// A reader within an event loop: `epoll_c NAME`.
#include "robot.h"
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const shmx_client_options options = {.size = sizeof options, .open_timeout_ns = 10000000000u};
    shmx_client *client = NULL;
    shmx_view view = {.size = sizeof view};
    int fd = -1, count = 0;
    need(shmx_client_open(argc > 1 ? argv[1] : "robot", &options, &client));
    need(shmx_client_wait_fd(client, &fd)); // the client's own: not to be closed
    const int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0) return 1;
    while (count < 10) {
        const int ready = epoll_wait(loop, &event, 1, 10000);
        // What serves the descriptor may interrupt the call.
        if (ready < 0 && errno == EINTR) continue;
        if (ready != 1) return 1;
        shmx_status status;
        // Until there is nothing more.
        while ((status = shmx_client_next(client, 0, &view)) == SHMX_STATUS_OK) {
            printf("frame %llu at %g\n", (unsigned long long)view.frame_id, view.sim_time);
            ++count;
        }
        if (status != SHMX_STATUS_NOTHING) need(status);
    }
    need(shmx_client_send(client, STOP, NULL, 0));
    close(loop);
    shmx_client_free(&client);
    return 0;
}
