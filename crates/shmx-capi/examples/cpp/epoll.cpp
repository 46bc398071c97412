// A reader within an event loop: `epoll_cpp NAME`.
#include "robot.hpp"
#include <cerrno>
#include <sys/epoll.h>
#include <unistd.h>

int main(int argc, char** argv) {
    auto client = shmxx::Client::open(name_of(argc, argv), shmxx::ClientOptions().open_timeout(10s)).value();
    const int loop = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, client.wait_fd().value(), &event) != 0) return 1;
    int count = 0;
    while (count < 10) {
        const int ready = epoll_wait(loop, &event, 1, 10000);
        // What serves the descriptor may interrupt the call.
        if (ready < 0 && errno == EINTR) continue;
        if (ready != 1) return 1;
        // Until there is nothing more.
        while (auto frame = client.try_next().value()) {
            std::printf("frame %llu at %g\n", static_cast<unsigned long long>(frame.frame_id()), frame.sim_time());
            ++count;
        }
    }
    client.send(STOP).value();
    close(loop);
    return 0;
}
