// Reads ten frames in order, then asks for an end: `client_cpp NAME`.
#include "robot.hpp"

int main(int argc, char** argv) {
    auto client = shmxx::Client::open(name_of(argc, argv), shmxx::ClientOptions().open_timeout(10s)).value();
    const auto position = client.stream(POSITION).value(); // by its name; its type is compared once
    int count = 0;
    auto frames = client.frames(10s);
    for (auto& frame : frames) {
        const auto points = frame.get(position).value(); // valid in this round
        std::printf("frame %llu at %g: %zu points, the first at %g %g %g\n",
                    static_cast<unsigned long long>(frame.frame_id()), frame.sim_time(), points.size(), points[0][0],
                    points[0][1], points[0][2]);
        if (++count == 10) break;
    }
    client.send(STOP).value();
    return count == 10 ? 0 : 1;
}
