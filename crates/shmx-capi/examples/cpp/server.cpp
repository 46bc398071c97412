// Publishes until a reader asks for an end: `server_cpp NAME`.
#include "robot.hpp"

int main(int argc, char** argv) {
    auto server = create(name_of(argc, argv));
    const std::vector<Point> points{{0, 1, 2}, {3, 4, 5}};
    double rate = 1000;
    for (std::uint64_t tick = 1; !hear(server, rate); ++tick) {
        sent(server.publish(static_cast<double>(tick), part(TICK, tick), part(POSITION, points)));
        pause(rate);
    }
}
