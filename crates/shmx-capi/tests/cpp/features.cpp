// Every part of shmx.hpp, in two units with `other.cpp`: `features NAME`.
#include "check.hpp"
#include <chrono>
#include <memory>
#include <shmx.hpp>
#include <thread>

using namespace std::chrono_literals;

struct Pose {
    std::array<double, 3> position;
    std::array<double, 4> orientation;
};
template <>
struct shmxx::element<Pose> : shmxx::components<double, 7> {};

constexpr shmxx::Stream<std::uint64_t> TICK{1, "tick"};
constexpr shmxx::Stream<std::array<float, 3>> POSITION{2, "position"};
constexpr shmxx::Stream<Pose> POSE{3, "pose"};
constexpr shmxx::Stream<bool> ON{4, "on"};
constexpr shmxx::Stream<std::uint8_t> BLOB{5, "blob"};

std::uint64_t newest_tick(shmxx::Client& client); // other.cpp

static_assert(std::is_nothrow_move_constructible_v<shmxx::Server> && !std::is_copy_constructible_v<shmxx::Server>);
static_assert(std::is_nothrow_move_constructible_v<shmxx::Frame> && !std::is_copy_constructible_v<shmxx::Frame>);
static_assert(std::is_nothrow_move_assignable_v<shmxx::Result<shmxx::Frame>>);
static_assert(!shmxx::PlainElement<bool> && shmxx::Element<bool> && !shmxx::Element<std::string>);

static void typed(shmxx::Server& server, shmxx::Client& client) {
    const std::vector<std::array<float, 3>> points{{1, 2, 3}, {4, 5, 6}};
    const Pose pose{{1, 2, 3}, {0, 0, 0, 1}};
    CHECK(server.publish(0.5, part(TICK, std::uint64_t{7}), part(POSITION, points), part(POSE, pose), part(ON, true))
              .value() > 0);
    auto frame = client.wait(1s).value();
    CHECK(frame && frame.sim_time() == 0.5);
    const auto position = client.stream(POSITION).value();
    CHECK(frame.get(position).value().size() == 2 && frame.get(POSITION).value()[1][2] == 6.0f);
    CHECK(frame.value(POSE).value().position[1] == 2.0 && frame.value(TICK).value() == 7 && frame.value(ON).value());
    CHECK(frame.get(BLOB).status() == SHMX_STATUS_NOTHING);
    constexpr shmxx::Stream<double> wrong{1, "tick"};
    CHECK(frame.value(wrong).status() == SHMX_STATUS_WRONG_TYPE);
    CHECK(frame.value(POSITION).status() == SHMX_STATUS_LENGTH);
    std::size_t streams = 0;
    for (const auto data : frame.streams()) streams += data.bytes().size() > 0;
    CHECK(streams == 4 && frame.stream(2).value()->elem_count() == 2 && !frame.stream(99).value());
    const auto kept = frame.keep().value();
    CHECK(!frame && newest_tick(client) == 7);
    CHECK(kept.get(position).value()[0][0] == 1.0f && kept.age_ns().has_value());
}

static void checked_once(shmxx::Server& server, shmxx::Client& client) {
    const auto tick = server.stream(TICK).value();
    server.publish(0.0, part(tick, std::uint64_t{77})).value();
    CHECK(newest_tick(client) == 77);
    constexpr shmxx::Stream<float> wrong{1, "tick"};
    constexpr shmxx::Stream<std::uint64_t> unknown{1, "tock"};
    CHECK(server.stream(wrong).status() == SHMX_STATUS_WRONG_TYPE);
    CHECK(server.stream(unknown).status() == SHMX_STATUS_UNKNOWN_STREAM);
}

static std::uint32_t leased(const shmxx::Server& server) {
    std::uint32_t count = 0;
    for (const auto& reader : server.readers().value()) count += reader.leased_slots;
    return count;
}

static void leases(shmxx::Server& server, shmxx::Client& client) {
    const std::vector<std::uint8_t> blob(4096, 9);
    {
        server.publish(0.0, part(BLOB, blob)).value();
        auto frame = client.wait(1s).value();
        CHECK(frame.is_leased() && leased(server) == 1);
        auto moved = std::move(frame);
        CHECK(!frame && moved && leased(server) == 1); // NOLINT: looked at after the move on purpose
        server.publish(0.0, part(BLOB, blob)).value();
        auto next = client.next(1s).value();
        moved.release(); // another lending by now
        CHECK(leased(server) == 1 && next.get(BLOB).value().size() == 4096);
    }
    CHECK(leased(server) == 0);
}

static void in_place(shmxx::Server& server, shmxx::Client& client) {
    auto writer = server.begin().value();
    writer.append(TICK, std::uint64_t{11}).value();
    auto room = writer.reserve(POSITION, 5).value();
    for (auto& p : room) p = {1, 1, 1};
    CHECK(writer.reserve(POSITION, 5).status() == SHMX_STATUS_DUPLICATE);
    CHECK(server.begin().status() == SHMX_STATUS_BUSY);
    CHECK(writer.publish(1.0));
    CHECK(writer.publish(1.0).status() == SHMX_STATUS_NULL);
    CHECK(client.wait(1s).value().get(POSITION).value().size() == 5);
    auto abandoned = server.begin().value();
    abandoned.abandon();
    CHECK(server.publish(0.0, std::span<const shmx_part>()).status() == SHMX_STATUS_EMPTY);
}

static void ranges(shmxx::Server& server, shmxx::Client& client, const std::string& name) {
    for (std::uint64_t i = 100; i < 103; ++i) server.publish(0.0, part(TICK, i)).value();
    std::uint64_t sum = 0;
    auto frames = client.frames(0s);
    for (auto& frame : frames) sum += frame.value(TICK).value();
    CHECK(sum == 303 && !frames.error());
    auto tap = shmxx::Tap::open(name).value();
    std::size_t seen = 0;
    for (auto& frame : tap.frames(0s)) seen += frame.frame_id() > 0;
    CHECK(seen > 3 && tap.stats().value().delivered == seen);
}

static void control(shmxx::Server& server, shmxx::Client& client) {
    client.send(SHMX_CONTROL_USER, 2.5f).value();
    auto sender = client.sender().value();
    std::thread([&] { sender.send(SHMX_CONTROL_USER + 1).value(); }).join();
    const auto messages = server.poll().value();
    CHECK(messages.size() == 2 && messages[0].as<float>() == 2.5f && !messages[1].as<float>());
    std::uint32_t types = 0;
    for (const auto message : messages) types += message.type();
    CHECK(types == 2 * SHMX_CONTROL_USER + 1);
}

static void threads(const std::string& name) {
    auto options = shmxx::ServerOptions().stream(TICK, 1).shared(true).slots(16);
    auto server = shmxx::Server::create(name, std::move(options)).value();
    std::vector<std::thread> all;
    for (std::uint64_t t = 0; t < 4; ++t) {
        all.emplace_back([&server, t] {
            for (std::uint64_t i = 0; i < 1000; ++i) {
                if (i % 2) {
                    server.publish(0.0, part(TICK, t)).value();
                } else {
                    auto writer = server.begin().value();
                    writer.append(TICK, t).value();
                    writer.publish(0.0).value();
                }
            }
        });
    }
    for (auto& thread : all) thread.join();
    CHECK(server.frames_published().value() == 4000);
}

int main(int argc, char** argv) {
    CHECK(argc == 2);
    const std::string name = argv[1];
    auto options =
        shmxx::ServerOptions().stream(TICK, 1).stream(POSITION, 10).stream(POSE, 1).stream(ON, 1).stream(BLOB, 8192);
    auto server = shmxx::Server::create(name, std::move(options)).value();
    auto client = shmxx::Client::open(name).value();
    typed(server, client);
    checked_once(server, client);
    leases(server, client);
    in_place(server, client);
    ranges(server, client, name);
    control(server, client);
    threads(name + "-threads");
    const auto inspector = shmxx::Inspector::open(name).value();
    CHECK(inspector.latest().value()->value(TICK).value() == 102 && inspector.directory().value().size() == 5);
    CHECK(shmxx::Client::open("shmx-capi-nobody").status() == SHMX_STATUS_NOT_FOUND);
#if SHMXX_EXCEPTIONS
    try {
        (void)shmxx::Client::open("shmx-capi-nobody").value();
        CHECK(false);
    } catch (const shmxx::Exception& e) {
        CHECK(e.status() == SHMX_STATUS_NOT_FOUND && std::string(e.what()).find("check the name") != std::string::npos);
    }
#endif
    server.close();
    CHECK(server.publish(0.0, part(TICK, std::uint64_t{1})).status() == SHMX_STATUS_CLOSED);
    CHECK(client.server_state().value() == SHMX_SERVER_STATE_CLOSED);
    std::puts("features: ok");
}
