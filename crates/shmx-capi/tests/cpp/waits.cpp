// What came with version 2 of the interface, through shmx.hpp, and what frames do that have ended: `waits NAME`.
#include "check.hpp"
#include <chrono>
#include <shmx.hpp>
#include <thread>

using namespace std::chrono_literals;

constexpr shmxx::Stream<std::uint64_t> TICK{1, "tick"};
constexpr shmxx::Stream<std::uint8_t> BLOB{2, "blob"};

static shmxx::Server serve(const std::string& name, std::uint32_t slots = 8) {
    return shmxx::Server::create(name, shmxx::ServerOptions().stream(TICK, 1).stream(BLOB, 4096).slots(slots)).value();
}

static_assert(std::is_nothrow_move_constructible_v<shmxx::WaitSet> && !std::is_copy_constructible_v<shmxx::WaitSet>);
static_assert(std::is_nothrow_move_constructible_v<shmxx::Aligner>);
static_assert(std::is_nothrow_move_constructible_v<shmxx::Events>);

static void many(const std::string& left, const std::string& right) {
    auto servers = std::array{serve(left), serve(right)};
    auto clients = std::array{shmxx::Client::open(left).value(), shmxx::Client::open(right).value()};
    auto set = shmxx::WaitSet::create().value();
    const auto first = set.add(clients[0]).value(), second = set.add(clients[1]).value();
    CHECK(set.wait(1s).value().size() == 2);
    // A reader may be named without news.
    do {
        for (auto& client : clients) CHECK(!client.try_wait().value());
    } while (!set.wait(0s).value().empty());
    std::thread producer([&] { servers[1].publish(0.0, part(TICK, std::uint64_t{5})).value(); });
    bool found = false;
    while (!found) {
        for (const auto token : set.wait(10s).value()) {
            CHECK(token == first || token == second);
            auto frame = (token == first ? clients[0] : clients[1]).try_wait().value();
            if (frame) {
                CHECK(token == second && frame.value(TICK).value() == 5);
                found = true;
            }
        }
    }
    producer.join();
    CHECK(set.remove(first) && !set.remove(first));
    std::thread interrupting([&] { set.interrupt(); });
    do {
        CHECK(!clients[1].try_wait().value());
    } while (!set.wait(1000h).value().empty());
    interrupting.join();
}

static void none_is_lost(const std::string& name) {
    auto server = serve(name, 2);
    auto client = shmxx::Client::open(name, shmxx::ClientOptions().every_frame(true)).value();
    std::thread producer([&] {
        for (std::uint64_t i = 1; i <= 500; ++i) {
            auto writer = server.begin_when_taken(10s).value();
            writer.append(TICK, i).value();
            writer.publish(0.0).value();
        }
        server.wait_taken(500, 10s).value();
    });
    std::uint64_t expected = 1;
    for (; expected <= 500; ++expected) CHECK(client.next(10s).value().value(TICK).value() == expected);
    CHECK(!client.try_next().value());
    producer.join();
    CHECK(server.wait_taken(501, 0s).status() == SHMX_STATUS_NOT_TAKEN);
}

static void come_and_go(const std::string& name) {
    const std::array names{name.c_str()};
    auto events = shmxx::Events::open(names).value();
    CHECK(events.wait_fd().value() >= 0 && !events.next(0s).value());
    auto server = serve(name);
    auto event = events.next(10s).value();
    CHECK(event && event->name == name && event->change == SHMX_CHANGE_APPEARED);
    server.close();
    event = events.next(10s).value();
    CHECK(event && event->change == SHMX_CHANGE_ENDED && event->server == SHMX_SERVER_STATE_CLOSED);
}

static void of_one_moment(const std::string& left, const std::string& right) {
    auto servers = std::array{serve(left), serve(right)};
    auto aligner = shmxx::Aligner::create(SHMX_ALIGN_SIM_TIME, 4ms).value();
    CHECK(!aligner.next(0s).value());
    aligner.add(shmxx::Client::open(left, shmxx::ClientOptions().every_frame(true)).value()).value();
    aligner.add(shmxx::Tap::open(right).value()).value();
    servers[0].publish(0.9, part(TICK, std::uint64_t{1})).value();
    servers[0].publish(1.0, part(TICK, std::uint64_t{2})).value();
    servers[1].publish(1.003, part(TICK, std::uint64_t{3})).value();
    auto set = aligner.next(10s).value();
    CHECK(set && set->frames.size() == 2 && set->frames[0].value(TICK).value() == 2 && set->spread_ns < 4000000);
    CHECK(aligner.unmatched(0) == 1 && aligner.unmatched(1) == 0 && aligner.unmatched(7) == 0);
}

static void ended_frames(const std::string& name) {
    auto server = serve(name);
    auto client = shmxx::Client::open(name).value();
    const auto blob = client.stream(BLOB).value();
    const auto publish = [&](std::uint8_t value) {
        server.publish(0.0, part(BLOB, std::vector<std::uint8_t>(4096, value))).value();
    };
    publish(1);
    auto frame = client.next(1s).value();
    CHECK(frame.get(blob).value()[0] == 1);
    // Looking into a frame that has ended finds nothing, rather than what lies there now.
    auto moved = std::move(frame);
    CHECK(frame.get(blob).status() == SHMX_STATUS_NOTHING && frame.payload().empty()); // NOLINT: after the move
    CHECK(frame.keep().status() == SHMX_STATUS_NULL);
    moved.release();
    CHECK(!moved && moved.get(blob).status() == SHMX_STATUS_NOTHING);
    // A frame that was followed by another one is not kept in its place.
    publish(2);
    auto old = client.next(1s).value();
    publish(3);
    auto newer = client.next(1s).value();
    CHECK(old.keep().status() == SHMX_STATUS_BAD_ARGUMENT && !old);
    CHECK(newer.get(blob).value()[0] == 3);
    auto kept = newer.keep().value();
    CHECK(kept.get(blob).value()[4095] == 3 && newer.get(blob).status() == SHMX_STATUS_NOTHING);
    // A stream may have no name.
    constexpr shmxx::Stream<float> nameless{9, nullptr};
    auto options = shmxx::ServerOptions().stream(nameless, 1);
    CHECK(shmxx::Server::create(name + "-nameless", std::move(options)).value().directory().value()[0].name().empty());
}

// Damaged records: what is found without the library is what the library finds.
static void as_the_library_says() {
    constexpr std::size_t size = 256;
    alignas(16) std::array<unsigned char, size> bytes{};
    std::uint64_t seed = 1;
    const auto random = [&seed](std::uint64_t below) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return (seed >> 33) % below;
    };
    std::size_t found = 0, alike = 0;
    for (int round = 0; round < 20000; ++round) {
        bytes.fill(0);
        std::size_t used = 0;
        while (used + 64 <= size) {
            const auto data = static_cast<std::uint32_t>(random(24));
            const std::uint32_t words[] = {0x2000, 16 + data, static_cast<std::uint32_t>(random(4)), 1, data, 0};
            std::memcpy(bytes.data() + used, words, sizeof words);
            used += (sizeof words + data + 15) & ~std::size_t{15};
        }
        for (std::uint64_t i = random(4); i > 0; --i) {
            const std::uint32_t hostile[] = {0, 1, 15, 16, 0x1000, 0x2000, 0xfffffff0u, 0xffffffffu};
            const std::uint32_t value = hostile[random(8)];
            std::memcpy(bytes.data() + 4 * random(size / 4), &value, sizeof value);
        }
        auto view = shmxx::detail::sized<shmx_view>();
        view.payload = bytes.data();
        view.bytes = random(8) ? used : random(size);
        for (std::uint32_t id = 0; id < 4; ++id) {
            shmx_data ours{}, theirs{};
            const bool plain = shmxx::detail::plainly(view, id, ours);
            const shmx_status status = shmx_view_stream(&view, id, &theirs);
            CHECK(!plain || status == SHMX_STATUS_OK);
            if (plain) {
                CHECK(ours.data == theirs.data && ours.bytes == theirs.bytes && ours.elem_count == theirs.elem_count);
            }
            alike += plain;
            found += status == SHMX_STATUS_OK;
        }
    }
    CHECK(alike > 20000 && found >= alike);
}

int main(int argc, char** argv) {
    CHECK(argc == 2);
    const std::string name = argv[1], other = name + "-other";
    many(name, other);
    none_is_lost(name);
    come_and_go(name);
    of_one_moment(name, other);
    ended_frames(name);
    as_the_library_says();
    std::puts("waits: ok");
}
