// Frames that are read while they are written, through shmx.hpp, in one process: `follow NAME`.
#include "check.hpp"
#include <algorithm>
#include <chrono>
#include <shmx.hpp>

using namespace std::chrono_literals;

constexpr shmxx::Stream<std::uint64_t> ROW{1, "row"};
constexpr shmxx::Stream<std::array<float, 4>> POINTS{2, "points"};
constexpr std::size_t COUNT = 4096;

static_assert(std::is_nothrow_move_constructible_v<shmxx::Following>);
static_assert(!std::is_copy_constructible_v<shmxx::Following>);

static shmxx::Server serve(const std::string& name) {
    auto options = shmxx::ServerOptions().stream(ROW, 1).stream(POINTS, COUNT);
    return shmxx::Server::create(name, std::move(options)).value();
}

// A client that the server knows to follow.
static shmxx::Client follower(const std::string& name) {
    auto client = shmxx::Client::open(name).value();
    CHECK(!client.follow(0s).value());
    return client;
}

static std::array<float, 4> point(std::size_t i) {
    const auto x = static_cast<float>(i);
    return {x, x + 1, x + 2, x + 3};
}

static void pieces(const std::string& name) {
    auto server = serve(name);
    auto client = follower(name);
    const auto points = client.stream(POINTS).value();
    auto writer = server.begin().value();
    writer.append(ROW, std::uint64_t{5}).value();
    auto fill = writer.fill(POINTS, COUNT).value();
    auto room = fill.rest().value();
    CHECK(room.size() == COUNT && fill.size() == COUNT);
    for (std::size_t i = 0; i < 10; ++i) room[i] = point(i);
    fill.commit(10).value();
    CHECK(fill.commit(COUNT).status() == SHMX_STATUS_FULL && fill.committed() == 10);
    CHECK(writer.append(ROW, std::uint64_t{6}).status() == SHMX_STATUS_BUSY);

    auto read = client.follow(10s).value();
    CHECK(read && read.wait(10s).value() == shmxx::Step::more && !read.is_whole());
    auto part = read.part(points).value();
    CHECK(part && part->values.size() == 10 && part->size == COUNT && !part->is_whole());
    CHECK(part->values[9] == point(9));
    CHECK(read.part(ROW).value()->is_whole() && read.part(ROW).value()->values[0] == 5);
    CHECK(read.part(shmxx::Stream<double>{2, "points"}).status() == SHMX_STATUS_WRONG_TYPE);
    CHECK(read.wait(0s).value() == shmxx::Step::waiting);
    CHECK(read.finish(0s).status() == SHMX_STATUS_UNFINISHED && read);
    auto moved = std::move(read);
    CHECK(!read && moved && read.payload().empty() && moved.part(points).value()->values.size() == 10);

    std::vector<std::array<float, 4>> rest;
    for (std::size_t i = 10; i < COUNT; ++i) rest.push_back(point(i));
    fill.write(rest).value();
    CHECK(fill.is_filled() && fill.rest().value().empty());
    writer.publish(1.5).value();
    CHECK(fill.write(rest).status() == SHMX_STATUS_FULL);
    auto frame = moved.finish(10s).value();
    CHECK(!moved && frame && frame.sim_time() == 1.5 && frame.get(points).value()[COUNT - 1] == point(COUNT - 1));
    CHECK(moved.wait(0s).status() == SHMX_STATUS_NULL);
    auto kept = frame.keep().value();
    CHECK(kept.value(ROW).value() == 5);

    // A destructor gives the slot back, and that of a frame that was moved from does nothing.
    auto next = server.begin().value();
    auto other = next.fill(POINTS, 1).value();
    CHECK(!other.is_filled());
    {
        auto left = client.follow(0s).value();
        CHECK(!left);
        CHECK(next.append(ROW, std::uint64_t{1}).status() == SHMX_STATUS_BUSY);
    }
    next.abandon();
    CHECK(other.rest().status() == SHMX_STATUS_NULL && other.commit(1).status() == SHMX_STATUS_NULL);
}

static void folded(const std::string& name) {
    auto server = serve(name);
    auto client = follower(name);
    auto writer = server.begin().value();
    auto fill = writer.fill(POINTS, COUNT).value();
    std::vector<std::array<float, 4>> values(COUNT, {1, 2, 3, 4});
    fill.write(std::span(values).first(100)).value();
    auto read = client.follow_next(10s).value();
    const auto sum = [](double so_far, std::size_t first, std::span<const std::array<float, 4>> piece) {
        CHECK(first < COUNT && !piece.empty());
        for (const auto& p : piece) so_far += static_cast<double>(p[0] + p[1] + p[2] + p[3]);
        return so_far;
    };
    // No frame, no value.
    CHECK(read.fold(POINTS, 1ms, 0.0, sum).status() == SHMX_STATUS_UNFINISHED);
    fill.write(std::span(values).subspan(100)).value();
    writer.publish(0.0).value();
    auto got = read.fold(POINTS, 10s, 0.0, sum).value();
    CHECK(got.frame.frame_id() == 1 && got.value > 10 * COUNT - 0.5 && got.value < 10 * COUNT + 0.5);
    got.frame.release();

    // One that is given up has a status of its own, and nothing of it is left.
    auto again = server.begin().value();
    auto some = again.fill(POINTS, COUNT).value();
    some.write(std::span(values).first(7)).value();
    auto lost = client.follow(10s).value();
    CHECK(lost.wait(10s).value() == shmxx::Step::more && lost.part(POINTS).value()->values.size() == 7);
    CHECK(again.publish(0.0).status() == SHMX_STATUS_UNFINISHED);
    CHECK(lost.fold(POINTS, 10s, 0.0, sum).status() == SHMX_STATUS_ABANDONED);
    CHECK(!lost.part(POINTS).value() && lost.payload().empty());
    auto none = lost.finish(10s);
    CHECK(!none && none.status() == SHMX_STATUS_ABANDONED && none.error().text().find("gave") != std::string::npos);
    CHECK(lost.wait(0s).status() == SHMX_STATUS_ABANDONED);
    lost.release();
    CHECK(!client.follow(0s).value());

    // The client goes on, and what it lends next ends what is followed.
    auto begun = server.begin().value();
    auto open = begun.fill(POINTS, 1).value();
    open.write(std::span(values).first(1)).value();
    auto followed = client.follow(10s).value();
    CHECK(followed && !client.try_next().value());
    CHECK(followed.finish(0s).status() == SHMX_STATUS_BAD_ARGUMENT);
}

int main(int argc, char** argv) {
    CHECK(argc == 2);
    pieces(argv[1]);
    folded(argv[1]);
    std::puts("follow: ok");
}
