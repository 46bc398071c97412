// A server and a thread that asks it for another rate: `control_cpp NAME`.
#include "robot.hpp"

int main(int argc, char** argv) {
    const auto name = name_of(argc, argv);
    auto server = create(name);
    const double wish = 2000;
    std::thread asking([&] {
        auto client = shmxx::Client::open(name).value();
        client.send(RATE, wish).value();
        (void)client.wait(10s).value();
    });
    double rate = 100;
    for (std::uint64_t tick = 1; !hear(server, rate); ++tick) {
        const Point point{static_cast<float>(rate), 0, 0};
        sent(server.publish(static_cast<double>(tick), part(TICK, tick), part(POSITION, point)));
        pause(rate);
    }
    asking.join();
    return rate == wish ? 0 : 1;
}
