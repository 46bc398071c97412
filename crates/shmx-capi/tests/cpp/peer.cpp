// A peer over shmx.hpp: see tests/README.md.
#include "check.hpp"
#include <chrono>
#include <shmx.hpp>
#include <thread>

using namespace std::chrono_literals;

constexpr shmxx::Stream<std::uint64_t> TICK{1, "tick"};
constexpr shmxx::Stream<std::array<float, 3>> POSITION{2, "position"};
constexpr shmxx::Stream<std::uint8_t> BLOB{3, "blob"};
constexpr std::size_t POINTS = 50, BLOB_BYTES = 4096;
constexpr std::uint32_t DONE = 0x3001;

static std::size_t points_of(std::uint64_t tick) { return 1 + static_cast<std::size_t>(tick % POINTS); }
static float point_of(std::uint64_t tick, std::size_t i) { return static_cast<float>(tick % 1000 + i); }
static std::uint8_t blob_of(std::uint64_t tick, std::size_t i) { return static_cast<std::uint8_t>(tick * 31 + i); }

static void serve(const std::string& name, std::size_t readers) {
    auto options = shmxx::ServerOptions().stream(TICK, 1).stream(POSITION, POINTS).stream(BLOB, BLOB_BYTES);
    auto server = shmxx::Server::create(name, std::move(options)).value();
    std::vector<std::array<float, 3>> points;
    std::vector<std::uint8_t> blob(BLOB_BYTES);
    std::size_t done = 0;
    std::uint64_t tick = 0;
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (server.readers_connected().value() < readers && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(1ms);
    while (done < readers && std::chrono::steady_clock::now() < end) {
        ++tick;
        points.resize(points_of(tick));
        for (std::size_t i = 0; i < points.size() * 3; ++i) points[i / 3][i % 3] = point_of(tick, i);
        for (std::size_t i = 0; i < blob.size(); ++i) blob[i] = blob_of(tick, i);
        const auto time = static_cast<double>(tick);
        auto sent = server.publish(time, part(TICK, tick), part(POSITION, points), part(BLOB, blob));
        CHECK(sent || sent.status() == SHMX_STATUS_NO_FREE_SLOT);
        const auto messages = server.poll().value();
        for (const auto m : messages) done += m.type() == DONE;
    }
    CHECK(done == readers);
    std::printf("published %llu\n", static_cast<unsigned long long>(tick));
}

static void read(const std::string& name, std::uint64_t until) {
    auto client = shmxx::Client::open(name, shmxx::ClientOptions().open_timeout(30s)).value();
    const auto tick = client.stream(TICK).value();
    const auto position = client.stream(POSITION).value();
    std::uint64_t now = 0, last = 0, frames = 0;
    while (now < until) {
        auto got = client.wait(30s);
        if (!got && (got.status() == SHMX_STATUS_CHECKSUM || got.status() == SHMX_STATUS_LAPPED)) continue;
        auto& frame = got.value();
        CHECK(frame);
        now = frame.value(tick).value();
        CHECK(now > last && frame.sim_time() == static_cast<double>(now));
        const auto points = frame.get(position).value();
        CHECK(points.size() == points_of(now));
        for (std::size_t i = 0; i < points.size() * 3; ++i) CHECK(points[i / 3][i % 3] == point_of(now, i));
        const auto blob = frame.get(BLOB).value();
        CHECK(blob.size() == BLOB_BYTES);
        for (std::size_t i = 0; i < blob.size(); ++i) CHECK(blob[i] == blob_of(now, i));
        last = now;
        ++frames;
    }
    client.send(DONE, now).value();
    std::printf("read %llu\n", static_cast<unsigned long long>(frames));
}

int main(int argc, char** argv) {
    CHECK(argc == 4);
    const std::string role = argv[1];
    if (role == "serve") {
        serve(argv[2], std::strtoul(argv[3], nullptr, 10));
    } else {
        read(argv[2], std::strtoull(argv[3], nullptr, 10));
    }
}
