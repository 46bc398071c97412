// A peer over the original's headers, or the drop-in, by include path: see tests/README.md.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include "shmx_client.h"
#include "shmx_server.h"

constexpr std::size_t POINTS = 50, BLOB = 4096;
constexpr std::uint32_t DONE = 0x3001;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

static std::size_t points_of(std::uint64_t tick) { return 1 + static_cast<std::size_t>(tick % POINTS); }
static float point_of(std::uint64_t tick, std::size_t i) { return static_cast<float>(tick % 1000 + i); }
static std::uint8_t blob_of(std::uint64_t tick, std::size_t i) { return static_cast<std::uint8_t>(tick * 31 + i); }
static bool in_time() {
    static const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    return std::chrono::steady_clock::now() < end;
}

static void serve(const char* name, std::size_t readers) {
    shmx::Server server;
    shmx::Server::Config config;
    config.name = name;
    config.slots = 8;
    config.static_bytes_cap = 4096;
    config.frame_bytes_cap = 8192;
    config.control_per_reader = 4096;
    CHECK(server.create(config, {{1, shmx::DT_U64, 1, shmx::LAYOUT_SOA_SCALAR, 8, "tick", {}},
                                 {2, shmx::DT_F32, 3, shmx::LAYOUT_AOS_VECTOR, 12, "position", {}},
                                 {3, shmx::DT_U8, 1, shmx::LAYOUT_SOA_SCALAR, 1, "blob", {}}}));
    std::size_t done = 0;
    std::uint64_t tick = 0;
    std::vector<float> points;
    std::vector<std::uint8_t> blob(BLOB);
    std::vector<shmx::Server::ControlMsg> messages;
    while (done < readers && in_time()) {
        ++tick;
        points.resize(points_of(tick) * 3);
        for (std::size_t i = 0; i < points.size(); ++i) points[i] = point_of(tick, i);
        for (std::size_t i = 0; i < blob.size(); ++i) blob[i] = blob_of(tick, i);
        const auto count = static_cast<std::uint32_t>(points_of(tick));
        auto frame = server.begin_frame();
        if (frame.fh) {
            CHECK(shmx::Server::append_stream(frame, 1, &tick, 1, 8));
            CHECK(shmx::Server::append_stream(frame, 2, points.data(), count, count * 12));
            CHECK(shmx::Server::append_stream(frame, 3, blob.data(), BLOB, BLOB));
            CHECK(server.publish_frame(frame, static_cast<double>(tick)));
        }
        CHECK(server.poll_control(messages, 16));
        for (const auto& m : messages) done += m.type == DONE;
        // The original overwrites what readers look at: it needs a pause between frames.
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    CHECK(done == readers);
    std::printf("published %llu\n", static_cast<unsigned long long>(tick));
}

static void read(const char* name, std::uint64_t until) {
    shmx::Client client;
    while (!client.open(name) && in_time()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::uint64_t now = 0, frames = 0;
    shmx::FrameView view;
    shmx::DecodedFrame decoded;
    while (now < until && in_time()) {
        if (!client.latest(view)) continue;
        CHECK(shmx::Client::decode(view, decoded));
        // A frame that the original's server overwrites meanwhile can be anything for the original's reader.
        if (decoded.streams.size() != 3) continue;
        std::uint64_t tick = 0;
        CHECK(decoded.streams[0].first == 1);
        std::memcpy(&tick, decoded.streams[0].second.ptr, 8);
        if (tick == now) continue;
        bool whole = decoded.streams[1].second.elem_count == points_of(tick) && decoded.streams[2].second.bytes == BLOB;
        for (std::size_t i = 0; whole && i < points_of(tick) * 3; ++i) {
            whole = static_cast<const float*>(decoded.streams[1].second.ptr)[i] == point_of(tick, i);
        }
        for (std::size_t i = 0; whole && i < BLOB; ++i) {
            whole = static_cast<const std::uint8_t*>(decoded.streams[2].second.ptr)[i] == blob_of(tick, i);
        }
#ifdef MAY_TEAR
        if (!whole) continue;
#else
        CHECK(whole && tick > now);
#endif
        now = tick;
        ++frames;
    }
    CHECK(now >= until && client.control_send(DONE, &now, sizeof now));
    std::printf("read %llu\n", static_cast<unsigned long long>(frames));
}

int main(int argc, char** argv) {
    CHECK(argc == 4);
    if (std::strcmp(argv[1], "serve") == 0) {
        serve(argv[2], std::strtoul(argv[3], nullptr, 10));
    } else {
        read(argv[2], std::strtoull(argv[3], nullptr, 10));
    }
}
