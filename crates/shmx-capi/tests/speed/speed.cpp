// Nanoseconds of publishing a frame and reading it, through shmx.hpp: `speed NAME BYTES TIMES`.
#include <algorithm>
#include <shmx.hpp>

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const std::size_t bytes = std::strtoul(argv[2], nullptr, 10), times = std::strtoul(argv[3], nullptr, 10);
    constexpr shmxx::Stream<std::uint64_t> BLOB{1, "blob"};
    const auto words = static_cast<std::uint32_t>(bytes / 8);
    auto server = shmxx::Server::create(argv[1], shmxx::ServerOptions().stream(BLOB, words)).value();
    auto client = shmxx::Client::open(argv[1]).value();
    const auto blob = client.stream(BLOB).value(), sent = server.stream(BLOB).value();
    std::vector<std::uint64_t> data(words);
    std::vector<double> batches;
    std::uint64_t sum = 0;
    for (int batch = 0; batch < 15; ++batch) {
        const std::uint64_t start = shmx_now();
        for (std::size_t i = 0; i < times; ++i) {
            data[0] = i;
            if (!server.publish(0.5, part(sent, data))) return 3;
            auto frame = client.try_next();
            if (!frame || !*frame) return 4;
            sum += frame->get(blob).value()[0];
        }
        batches.push_back(static_cast<double>(shmx_now() - start) / static_cast<double>(times));
    }
    std::sort(batches.begin(), batches.end());
    std::printf("%.1f %llu\n", batches[7], static_cast<unsigned long long>(sum));
}
