// A peer that hands out frames in pieces, or follows them, over shmx.hpp: see tests/README.md.
#include "check.hpp"
#include <chrono>
#include <shmx.hpp>
#include <thread>

using namespace std::chrono_literals;

constexpr shmxx::Stream<std::uint32_t> IMAGE{1, "image"};
constexpr std::size_t IMAGE_LEN = 32 << 10, PIECE = 1 << 10;
constexpr std::uint64_t FRAMES = 60;

static std::uint32_t value_of(std::uint64_t n, std::size_t i) {
    return static_cast<std::uint32_t>(n) * 1000003u + static_cast<std::uint32_t>(i);
}

static void serve(const std::string& name) {
    auto server = shmxx::Server::create(name, shmxx::ServerOptions().stream(IMAGE, IMAGE_LEN)).value();
    const auto end = std::chrono::steady_clock::now() + 120s;
    while (server.readers_connected().value() == 0) {
        CHECK(std::chrono::steady_clock::now() < end);
        std::this_thread::sleep_for(1ms);
    }
    for (std::uint64_t n = 1; n <= FRAMES + 1; ++n) {
        auto writer = server.begin_when_taken(60s).value();
        auto image = writer.fill(IMAGE, IMAGE_LEN).value();
        std::vector<std::uint32_t> piece(PIECE);
        while (!image.is_filled()) {
            if (n > FRAMES && image.committed() >= IMAGE_LEN / 2) {
                // Half of the last one: this process is killed once the reader has it.
                std::this_thread::sleep_for(120s);
                std::exit(1);
            }
            if (n % 7 == 0 && image.committed() >= IMAGE_LEN / 4) break;
            for (std::size_t i = 0; i < PIECE; ++i) piece[i] = value_of(n, image.committed() + i);
            image.write(piece).value();
        }
        if (n % 7 == 0) {
            writer.abandon();
        } else {
            writer.publish(static_cast<double>(n)).value();
        }
    }
}

static void read(const std::string& name) {
    auto options = shmxx::ClientOptions().open_timeout(30s).every_frame(true);
    auto client = shmxx::Client::open(name, options).value();
    const auto image = client.stream(IMAGE).value();
    unsigned frames = 0, voids = 0;
    for (;;) {
        auto begun = client.follow_next(30s);
        if (begun.status() == SHMX_STATUS_SERVER_GONE) break;
        auto& following = begun.value();
        CHECK(following);
        std::size_t done = 0;
        // The first value, once there is one.
        auto got = following.fold(image, 30s, std::optional<std::uint32_t>(),
                                  [&](std::optional<std::uint32_t> first, std::size_t at,
                                      std::span<const std::uint32_t> values) {
                                      if (at == 0) first = values[0];
                                      for (std::size_t i = 0; i < values.size(); ++i)
                                          CHECK(values[i] == *first + static_cast<std::uint32_t>(at + i));
                                      done = at + values.size();
                                      if (done == IMAGE_LEN / 2 && *first == value_of(FRAMES + 1, 0)) {
                                          std::puts("half");
                                          std::fflush(stdout);
                                      }
                                      return first;
                                  });
        if (got) {
            const auto n = static_cast<std::uint64_t>(got->frame.sim_time());
            CHECK(done == IMAGE_LEN && got->value == value_of(n, 0));
            ++frames;
            continue;
        }
        ++voids;
        if (got.status() == SHMX_STATUS_ABANDONED) continue;
        // What there was of it is no frame.
        CHECK(got.status() == SHMX_STATUS_SERVER_GONE && done == IMAGE_LEN / 2);
        CHECK(following.finish(0s).status() == SHMX_STATUS_SERVER_GONE);
        break;
    }
    std::printf("frames %u voids %u\n", frames, voids);
}

int main(int argc, char** argv) {
    CHECK(argc == 3);
    const std::string role = argv[1];
    if (role == "serve") {
        serve(argv[2]);
    } else {
        read(argv[2]);
    }
}
