// The same through the original's headers or the drop-in, by include path.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include "shmx_client.h"
#include "shmx_server.h"

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const auto bytes = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
    const std::size_t times = std::strtoul(argv[3], nullptr, 10);
    shmx::Server server;
    shmx::Server::Config config;
    config.name = argv[1];
    config.slots = 4;
    config.frame_bytes_cap = bytes + 64;
    if (!server.create(config, {{1, shmx::DT_U64, 1, 0, 8, "blob", {}}})) return 3;
    shmx::Client client;
    if (!client.open(argv[1])) return 4;
    std::vector<std::uint64_t> data(bytes / 8);
    std::vector<double> batches;
    std::uint64_t sum = 0;
    shmx::FrameView view;
    shmx::DecodedFrame decoded;
    for (int batch = 0; batch < 15; ++batch) {
        const auto start = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i < times; ++i) {
            data[0] = i;
            auto frame = server.begin_frame();
            if (!shmx::Server::append_stream(frame, 1, data.data(), bytes / 8, bytes)) return 5;
            if (!server.publish_frame(frame, 0.5)) return 6;
            if (!client.latest(view) || !shmx::Client::decode(view, decoded)) return 7;
            std::uint64_t first = 0;
            std::memcpy(&first, decoded.streams[0].second.ptr, 8);
            sum += first;
        }
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
        batches.push_back(took.count() / static_cast<double>(times));
    }
    std::sort(batches.begin(), batches.end());
    std::printf("%.1f %llu\n", batches[7], static_cast<unsigned long long>(sum));
}
