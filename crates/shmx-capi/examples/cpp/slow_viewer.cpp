// Draws the lines of `slow_camera_c` as they are read out, each frame before it is published: `slow_viewer_cpp NAME`.
#include <shmx.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;

constexpr shmxx::Stream<std::uint8_t> IMAGE{1, "image"};
constexpr std::size_t WIDTH = 64;

// Draws whole lines and adds up their pixels.
static std::uint64_t draw(std::uint64_t sum, std::span<const std::uint8_t> pixels) {
    while (!pixels.empty()) {
        std::string line;
        const auto row = pixels.first(std::min(WIDTH, pixels.size()));
        for (const auto pixel : row) {
            line += " .:-=+*#%@"[pixel * 9 / 255];
            sum += pixel;
        }
        std::puts(line.c_str());
        pixels = pixels.subspan(row.size());
    }
    return sum;
}

int main(int argc, char** argv) {
    auto client =
        shmxx::Client::open(argc > 1 ? argv[1] : "camera", shmxx::ClientOptions().open_timeout(60s)).value();
    for (;;) {
        auto begun = client.follow_next(10s);
        if (begun.status() == SHMX_STATUS_SERVER_GONE) return 0;
        auto& coming = begun.value();
        if (!coming) continue;
        // What is drawn is for the eye. The sum is a result, so it comes with the frame or not at all.
        auto got = coming.fold(IMAGE, 10s, std::uint64_t{0},
                               [](auto sum, std::size_t, auto pixels) { return draw(sum, pixels); });
        if (got) {
            std::printf("frame %llu, brightness %llu\n", static_cast<unsigned long long>(got->frame.frame_id()),
                        static_cast<unsigned long long>(got->value));
        } else {
            std::printf("no frame: %s\n", got.error().text().c_str());
        }
    }
}
