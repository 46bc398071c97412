// Looks at a region without being noticed: `inspector_cpp NAME [--then-stop]`.
#include "robot.hpp"

int main(int argc, char** argv) {
    const auto name = name_of(argc, argv);
    auto opened = shmxx::Inspector::open(name);
    for (int i = 0; i < 1000 && !opened; ++i) {
        std::this_thread::sleep_for(10ms);
        opened = shmxx::Inspector::open(name);
    }
    const auto& inspector = opened.value();
    auto newest = inspector.latest().value();
    while (!newest) newest = inspector.latest().value();
    std::printf("frame %llu at %g:", static_cast<unsigned long long>(newest->frame_id()), newest->sim_time());
    for (const auto stream : newest->streams())
        std::printf(" stream %u, %zu bytes;", stream.stream_id(), stream.bytes().size());
    const auto directory = inspector.directory().value();
    for (std::size_t i = 0; i < directory.size(); ++i) {
        const auto info = directory[i];
        std::printf("\n%u is %s", info.id(), std::string(info.name()).c_str());
    }
    std::printf("\n");
    for (const auto& reader : inspector.readers().value()) {
        if (reader.in_use) std::printf("reader %u of process %u\n", reader.index, reader.pid);
    }
    if (argc > 2 && std::string(argv[2]) == "--then-stop") {
        shmxx::Client::open(name).value().send(STOP).value();
    }
}
