// Writes frames where their readers read them, without a copy: `in_place_cpp NAME`.
#include "robot.hpp"

int main(int argc, char** argv) {
    auto server = create(name_of(argc, argv));
    double rate = 1000;
    for (std::uint64_t tick = 1; !hear(server, rate); ++tick) {
        auto begun = server.begin();
        if (!sent(begun)) continue;
        auto& frame = *begun;
        frame.append(TICK, tick).value();
        const auto room = frame.reserve(POSITION, 100).value();
        for (auto& point : room) point = {static_cast<float>(tick), 0, 0};
        frame.publish(static_cast<double>(tick)).value();
        pause(rate);
    }
}
