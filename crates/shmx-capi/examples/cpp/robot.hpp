// What the examples in C++ agree on.
#pragma once
#include <shmx.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

using namespace std::chrono_literals;

using Point = std::array<float, 3>;
inline constexpr shmxx::Stream<std::uint64_t> TICK{1, "tick"};
inline constexpr shmxx::Stream<Point> POSITION{2, "position"};

inline constexpr std::uint32_t RATE = SHMX_CONTROL_USER + 1; // body: frames per second, a double
inline constexpr std::uint32_t STOP = SHMX_CONTROL_USER + 2; // no body

inline std::string name_of(int argc, char** argv) { return argc > 1 ? argv[1] : "robot"; }

inline shmxx::Server create(const std::string& name) {
    return shmxx::Server::create(name, shmxx::ServerOptions().stream(TICK, 1).stream(POSITION, 100)).value();
}

// What readers have sent: whether one wants an end, and the rate that one asks for.
inline bool hear(shmxx::Server& server, double& rate) {
    bool stop = false;
    const auto messages = server.poll().value();
    for (const auto message : messages) {
        stop = stop || message.type() == STOP;
        if (message.type() == RATE) rate = message.as<double>().value_or(rate);
    }
    return stop;
}

inline void pause(double rate) { std::this_thread::sleep_for(std::chrono::duration<double>(1 / rate)); }

// Readers may hold every slot: the frame is skipped then.
template <class T>
bool sent(const shmxx::Result<T>& result) {
    if (result.status() != SHMX_STATUS_NO_FREE_SLOT) (void)result.value();
    return result.has_value();
}
