// SPDX-License-Identifier: MIT
//
// SHMX for C++20: a header over shmx.h. Namespace `shmxx`, so that the original's headers (`shmx`) fit into the same
// program. See docs/cpp.md.
//
//     constexpr shmxx::Stream<std::array<float, 3>> position{2, "position"};
//     auto server = shmxx::Server::create("demo", shmxx::ServerOptions().stream(position, 100)).value();
//     server.publish(0.5, shmxx::part(position, points)).value();
//
//     auto client = shmxx::Client::open("demo").value();
//     auto frame = client.wait(1s).value();
//     if (frame) for (auto& p : frame.get(position).value()) ...
//
// Calls that can fail return a `Result`. `value()` throws `shmxx::Exception`, or prints and aborts where exceptions are
// off; nothing else throws but for want of memory. What a `Frame` lends is valid until the next call on its reader.
#ifndef SHMX_HPP
#define SHMX_HPP

#include "shmx.h"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define SHMXX_EXCEPTIONS 1
#include <stdexcept>
#else
#define SHMXX_EXCEPTIONS 0
#endif

// Out of the way of what happens for every frame.
#if defined(__GNUC__)
#define SHMXX_COLD __attribute__((cold, noinline))
#else
#define SHMXX_COLD
#endif

namespace shmxx {

// Any `std::chrono::duration`; its header is for the program to include, which takes the compiler a while.
template <class T>
concept Duration = requires(const T& time) {
    { T::period::num + T::period::den } -> std::convertible_to<std::intmax_t>;
    time.count();
};

// ---- Errors ---------------------------------------------------------------------------------------------------------

// A status that is an error, with the text that says what to do about it.
class Error {
public:
    Error(shmx_status status, std::string text) noexcept : status_(status), text_(std::move(text)) {}

    // The last error of this thread.
    [[nodiscard]] SHMXX_COLD static Error last(shmx_status status) {
        return Error(status, status == SHMX_STATUS_NOTHING ? "nothing" : shmx_last_error());
    }
    [[nodiscard]] shmx_status status() const noexcept { return status_; }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    shmx_status status_;
    std::string text_;
};

#if SHMXX_EXCEPTIONS
// What `Result::value` throws.
class Exception : public std::runtime_error {
public:
    explicit Exception(const Error& error) : std::runtime_error(error.text()), status_(error.status()) {}
    [[nodiscard]] shmx_status status() const noexcept { return status_; }

private:
    shmx_status status_;
};
#endif

namespace detail {

[[noreturn]] inline void fail(const Error& error) {
#if SHMXX_EXCEPTIONS
    throw Exception(error);
#else
    std::fprintf(stderr, "shmx: %s\n", error.text().c_str());
    std::abort();
#endif
}

struct Nothing {};

// What ends a range.
struct End {};

template <Duration T>
[[nodiscard]] constexpr std::uint64_t nanoseconds(const T& time) noexcept {
    const double ns = static_cast<double>(time.count()) * 1e9 * static_cast<double>(T::period::num) /
                      static_cast<double>(T::period::den);
    if (!(ns > 0)) return 0;
    // Years are for ever.
    return ns < 9e18 ? static_cast<std::uint64_t>(ns) : SHMX_FOREVER;
}

} // namespace detail

// A value, or an error.
template <class T = void>
class [[nodiscard]] Result {
    using Value = std::conditional_t<std::is_void_v<T>, detail::Nothing, T>;
    // Otherwise an assignment could end half way.
    static_assert(std::is_nothrow_move_constructible_v<Value>, "the value's move constructor is to be noexcept");

public:
    Result() noexcept
        requires std::is_void_v<T>
        : value_(), ok_(true) {}
    // A value that is to be filled where it lies.
    explicit Result(std::in_place_t) noexcept : value_(), ok_(true) {}
    Result(Value value) noexcept(std::is_nothrow_move_constructible_v<Value>) // NOLINT: meant to convert
        : value_(std::move(value)), ok_(true) {}
    Result(Error error) noexcept : error_(std::move(error)), ok_(false) {} // NOLINT: meant to convert
    Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<Value>) : ok_(other.ok_) {
        if (ok_) {
            ::new (static_cast<void*>(&value_)) Value(std::move(other.value_));
        } else {
            ::new (static_cast<void*>(&error_)) Error(std::move(other.error_));
        }
    }
    Result& operator=(Result&& other) noexcept(std::is_nothrow_move_constructible_v<Value>) {
        if (this != &other) {
            this->~Result();
            ::new (static_cast<void*>(this)) Result(std::move(other));
        }
        return *this;
    }
    Result(const Result&) = delete;
    Result& operator=(const Result&) = delete;
    ~Result() {
        if (ok_) {
            value_.~Value();
        } else {
            error_.~Error();
        }
    }

    // Ends the value.
    void fail(Error error) noexcept {
        this->~Result();
        ::new (static_cast<void*>(this)) Result(std::move(error));
    }

    [[nodiscard]] bool has_value() const noexcept { return ok_; }
    explicit operator bool() const noexcept { return ok_; }

    // Throws where there is none, or aborts without exceptions.
    Value& value() & {
        need();
        return value_;
    }
    const Value& value() const& {
        need();
        return value_;
    }
    Value value() && {
        need();
        return std::move(value_);
    }
    // Only where there is one.
    [[nodiscard]] Value& operator*() & noexcept { return value_; }
    [[nodiscard]] const Value& operator*() const& noexcept { return value_; }
    [[nodiscard]] Value operator*() && noexcept(std::is_nothrow_move_constructible_v<Value>) {
        return std::move(value_);
    }
    [[nodiscard]] Value* operator->() noexcept { return &value_; }
    [[nodiscard]] const Value* operator->() const noexcept { return &value_; }
    // Only where there is no value.
    [[nodiscard]] const Error& error() const noexcept { return error_; }
    [[nodiscard]] shmx_status status() const noexcept { return ok_ ? SHMX_STATUS_OK : error_.status(); }

private:
    void need() const {
        if (!ok_) detail::fail(error_);
    }

    union {
        Value value_;
        Error error_;
    };
    bool ok_;
};

namespace detail {

// The status of a call that returns nothing else.
inline Result<> done(shmx_status status) {
    if (status == SHMX_STATUS_OK) return {};
    return Error::last(status);
}

// The first use of the library: that of the program's header, or a newer one.
inline std::optional<Error> too_old() {
    if (shmx_abi_version() >= SHMX_ABI_VERSION) return std::nullopt;
    return Error(SHMX_STATUS_OLD_LIBRARY,
                 "libshmx is older than the header this was compiled with; install a newer one");
}

template <class T, void (*Free)(T**)>
class Handle {
public:
    Handle() noexcept = default;
    explicit Handle(T* handle) noexcept : handle_(handle) {}
    Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            Free(&handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
        if (handle_) Free(&handle_);
    }
    [[nodiscard]] T* get() const noexcept { return handle_; }
    [[nodiscard]] T** place() noexcept { return &handle_; }

private:
    T* handle_ = nullptr;
};

template <class T>
[[nodiscard]] T sized() noexcept {
    T value{};
    value.size = sizeof(T);
    return value;
}

[[nodiscard]] inline std::span<const std::byte> bytes(const void* data, std::size_t count) noexcept {
    return {static_cast<const std::byte*>(data), count};
}

[[nodiscard]] inline std::string_view text(const void* data, std::size_t count) noexcept {
    return {static_cast<const char*>(data), count};
}

} // namespace detail

// ---- Streams --------------------------------------------------------------------------------------------------------

// Half precision and bfloat16, as their bits.
struct f16 {
    std::uint16_t bits;
};
struct bf16 {
    std::uint16_t bits;
};

// What a type is as an element. Specialise it for structs of components of one type:
//
//     template <> struct shmxx::element<Pose> : shmxx::components<double, 7> {};
template <class T>
struct element;

template <class T, std::uint32_t Count>
struct components {
    static constexpr std::uint32_t type = element<T>::type;
    static constexpr std::uint32_t count = element<T>::count * Count;
};

namespace detail {
template <std::uint32_t Type>
struct scalar {
    static constexpr std::uint32_t type = Type;
    static constexpr std::uint32_t count = 1;
};
} // namespace detail

template <>
struct element<bool> : detail::scalar<SHMX_ELEMENT_BOOL> {};
template <>
struct element<std::int8_t> : detail::scalar<SHMX_ELEMENT_I8> {};
template <>
struct element<std::uint8_t> : detail::scalar<SHMX_ELEMENT_U8> {};
template <>
struct element<std::byte> : detail::scalar<SHMX_ELEMENT_U8> {};
template <>
struct element<std::int16_t> : detail::scalar<SHMX_ELEMENT_I16> {};
template <>
struct element<std::uint16_t> : detail::scalar<SHMX_ELEMENT_U16> {};
template <>
struct element<std::int32_t> : detail::scalar<SHMX_ELEMENT_I32> {};
template <>
struct element<std::uint32_t> : detail::scalar<SHMX_ELEMENT_U32> {};
template <>
struct element<std::int64_t> : detail::scalar<SHMX_ELEMENT_I64> {};
template <>
struct element<std::uint64_t> : detail::scalar<SHMX_ELEMENT_U64> {};
template <>
struct element<f16> : detail::scalar<SHMX_ELEMENT_F16> {};
template <>
struct element<bf16> : detail::scalar<SHMX_ELEMENT_BF16> {};
template <>
struct element<float> : detail::scalar<SHMX_ELEMENT_F32> {};
template <>
struct element<double> : detail::scalar<SHMX_ELEMENT_F64> {};
template <class T, std::size_t N>
struct element<std::array<T, N>> : components<T, static_cast<std::uint32_t>(N)> {};

// A type whose values are elements of a stream.
template <class T>
concept Element = std::is_trivially_copyable_v<T> && alignof(T) <= 8 && requires {
    { element<T>::type } -> std::convertible_to<std::uint32_t>;
    { element<T>::count } -> std::convertible_to<std::uint32_t>;
};

// An element that may be seen where it lies in a frame: any bytes are a value. A bool is not; take it by `value`.
template <class T>
concept PlainElement = Element<T> && element<T>::type != SHMX_ELEMENT_BOOL;

// A stream as a program knows it: number, name and type. A producer uses the number, a reader looks for the name.
template <Element T>
struct Stream {
    std::uint32_t id;
    const char* name;

    [[nodiscard]] constexpr shmx_stream raw() const noexcept {
        return {id, element<T>::type, element<T>::count, 0, name};
    }
};

// A stream of one region whose type was compared with the directory: from `Client::stream` and the like. Reading by it
// costs no look at the directory. Of another session it is looked up again, by its name.
template <Element T>
struct StreamId {
    std::uint32_t id;
    std::uint64_t session_id;
    Stream<T> stream;
};

// Data for one stream of a frame; for `Server::publish` and `Writer::append`. Refers to what it was made from.
template <Element T>
[[nodiscard]] constexpr shmx_part part(const Stream<T>& stream, std::span<const T> values) noexcept {
    return {stream.raw(), values.data(), values.size_bytes()};
}
template <Element T>
[[nodiscard]] constexpr shmx_part part(const Stream<T>& stream, const T& value) noexcept {
    return {stream.raw(), &value, sizeof(T)};
}
template <Element T>
[[nodiscard]] constexpr shmx_part part(const Stream<T>& stream, const std::vector<T>& values) noexcept {
    return {stream.raw(), values.data(), values.size() * sizeof(T)};
}
// By what `Server::stream` has compared: its name is not compared again.
template <Element T>
[[nodiscard]] constexpr shmx_part part(const StreamId<T>& stream, std::span<const T> values) noexcept {
    return {{stream.id, element<T>::type, element<T>::count, 0, nullptr}, values.data(), values.size_bytes()};
}
template <Element T>
[[nodiscard]] constexpr shmx_part part(const StreamId<T>& stream, const T& value) noexcept {
    return {{stream.id, element<T>::type, element<T>::count, 0, nullptr}, &value, sizeof(T)};
}
template <Element T>
[[nodiscard]] constexpr shmx_part part(const StreamId<T>& stream, const std::vector<T>& values) noexcept {
    return part(stream, std::span<const T>(values));
}
// By number alone: whole elements of the stream, of whatever type it has.
[[nodiscard]] inline shmx_part part(std::uint32_t id, std::span<const std::byte> data) noexcept {
    return {{id, SHMX_ELEMENT_ANY, 0, 0, nullptr}, data.data(), data.size()};
}

// ---- Frames ---------------------------------------------------------------------------------------------------------

// The data of one stream in a frame.
class Data {
public:
    explicit Data(const shmx_data& data) noexcept : data_(data) {}
    [[nodiscard]] std::uint32_t stream_id() const noexcept { return data_.stream_id; }
    [[nodiscard]] std::uint32_t elem_count() const noexcept { return data_.elem_count; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return detail::bytes(data_.data, data_.bytes); }
    // As whole values of a type, which is not compared with the directory.
    template <PlainElement T>
    [[nodiscard]] std::span<const T> as() const noexcept {
        return {static_cast<const T*>(data_.data), data_.bytes / sizeof(T)};
    }

private:
    shmx_data data_;
};

// The streams of a frame, in order. Ends at damage as well.
class StreamRange {
public:
    class iterator {
    public:
        using value_type = Data;
        using difference_type = std::ptrdiff_t;
        iterator() noexcept = default;
        explicit iterator(const shmx_view* view) noexcept : view_(view) { look(); }
        [[nodiscard]] Data operator*() const noexcept { return Data(data_); }
        iterator& operator++() noexcept {
            ++index_;
            look();
            return *this;
        }
        void operator++(int) noexcept { ++*this; }
        [[nodiscard]] bool operator==(detail::End) const noexcept { return view_ == nullptr; }

    private:
        void look() noexcept {
            if (shmx_view_at(view_, index_, &data_) != SHMX_STATUS_OK) view_ = nullptr;
        }
        const shmx_view* view_ = nullptr;
        std::size_t index_ = 0;
        shmx_data data_{};
    };

    explicit StreamRange(const shmx_view* view) noexcept : view_(view) {}
    [[nodiscard]] iterator begin() const noexcept { return iterator(view_); }
    [[nodiscard]] detail::End end() const noexcept { return {}; }

private:
    const shmx_view* view_;
};

namespace detail {

// One word of a record. Each is loaded by itself: in a frame that was copied just now, a wider load than the store
// before it would wait (a store-forwarding stall).
[[nodiscard]] inline std::uint32_t word(const unsigned char* at) noexcept {
    std::uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// `shmx_view_stream` without a call, where all records up to the stream's are plain (docs/wire-format.md, 5.3); each
// word is read once. What is not plain, and who is not found, is left to the library, which knows what to say.
[[nodiscard]] inline bool plainly(const shmx_view& view, std::uint32_t id, shmx_data& out) noexcept {
    using record = shmx_record;
    // What `length` does not count, and what it does before the data.
    constexpr std::size_t before = offsetof(record, stream_id), fixed = sizeof(record) - before;
    const auto* at = static_cast<const unsigned char*>(view.payload);
    for (std::size_t left = view.bytes; left >= sizeof(record);) {
        const std::uint32_t type = word(at + offsetof(record, record_type));
        const std::uint32_t length = word(at + offsetof(record, length)), bytes = word(at + offsetof(record, bytes));
        if (type != SHMX_RECORD_STREAM || length > left - before || length < fixed || bytes > length - fixed) {
            return false;
        }
        if (word(at + offsetof(record, stream_id)) == id) {
            out = {id, word(at + offsetof(record, elem_count)), at + sizeof(record), bytes};
            return true;
        }
        constexpr std::size_t align = SHMX_RECORD_ALIGN - 1;
        const std::size_t step = (std::size_t{length} + before + align) & ~align;
        if (step >= left) return false;
        at += step;
        left -= step;
    }
    return false;
}

inline shmx_status find_stream(const shmx_view& view, std::uint32_t id, shmx_data& out) noexcept {
    if (plainly(view, id, out)) [[likely]]
        return SHMX_STATUS_OK;
    return shmx_view_stream(&view, id, &out);
}

// What can be asked of a frame, however it is held. `Self` finds a stream in its directory.
template <class Self>
class Readable {
public:
    [[nodiscard]] std::uint64_t frame_id() const noexcept { return view_.frame_id; }
    [[nodiscard]] std::uint64_t session_id() const noexcept { return view_.session_id; }
    [[nodiscard]] double sim_time() const noexcept { return view_.sim_time; }
    [[nodiscard]] std::uint64_t missed_before() const noexcept { return view_.missed_before; }
    [[nodiscard]] std::uint32_t slot() const noexcept { return view_.slot; }
    [[nodiscard]] bool is_leased() const noexcept { return view_.leased != 0; }
    [[nodiscard]] shmx_checksum_state checksum() const noexcept {
        return static_cast<shmx_checksum_state>(view_.checksum_state);
    }
    [[nodiscard]] std::span<const std::byte> payload() const noexcept { return bytes(view_.payload, view_.bytes); }
    [[nodiscard]] StreamRange streams() const noexcept { return StreamRange(&view_); }
    [[nodiscard]] const shmx_view& raw() const noexcept { return view_; }

    // The bytes of a stream by its number; none if the frame does not carry it.
    [[nodiscard]] Result<std::optional<Data>> stream(std::uint32_t id) const {
        shmx_data data{};
        const shmx_status status = detail::find_stream(view_, id, data);
        if (status == SHMX_STATUS_OK) return std::optional<Data>(Data(data));
        if (status == SHMX_STATUS_NOTHING) return std::optional<Data>();
        return Error::last(status);
    }

    // The values of a stream where they lie. An error where the frame does not carry it.
    template <PlainElement T>
    [[nodiscard]] Result<std::span<const T>> get(const StreamId<T>& stream) const {
        if (stream.session_id == view_.session_id) [[likely]]
            return values<T>(stream.id);
        return get(stream.stream);
    }
    template <PlainElement T>
    [[nodiscard]] Result<std::span<const T>> get(const Stream<T>& stream) const {
        const shmx_stream raw = stream.raw();
        std::uint32_t id = 0;
        const shmx_status status = static_cast<const Self*>(this)->find(raw, id);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return values<T>(id);
    }

    // The value of a stream that has one element in this frame.
    template <class Key>
    [[nodiscard]] auto value(const Key& stream) const {
        return one(stream);
    }

protected:
    Readable() noexcept = default;
    // Nothing is to be found in it any more.
    void end() noexcept {
        view_.payload = nullptr;
        view_.bytes = 0;
    }
    shmx_view view_ = sized<shmx_view>();

private:
    // Why there is no value; `length` is what is said of data of another length.
    [[nodiscard]] SHMXX_COLD Error no_value(shmx_status status, std::uint32_t id, const char* length) const {
        if (status == SHMX_STATUS_NOTHING) {
            return Error(status,
                         "frame " + std::to_string(view_.frame_id) + " does not carry stream " + std::to_string(id));
        }
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Error(SHMX_STATUS_LENGTH, "stream " + std::to_string(id) + length);
    }
    template <class T>
    [[nodiscard]] Result<std::span<const T>> values(std::uint32_t id) const {
        shmx_data data{};
        const shmx_status status = detail::find_stream(view_, id, data);
        if (status != SHMX_STATUS_OK || data.bytes % sizeof(T) != 0) [[unlikely]]
            return no_value(status, id, " has no whole number of values");
        return std::span<const T>(static_cast<const T*>(data.data), data.bytes / sizeof(T));
    }
    template <class T>
    [[nodiscard]] Result<T> one(const Stream<T>& stream) const {
        const shmx_stream raw = stream.raw();
        std::uint32_t id = 0;
        const shmx_status status = static_cast<const Self*>(this)->find(raw, id);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return one<T>(id);
    }
    template <class T>
    [[nodiscard]] Result<T> one(const StreamId<T>& stream) const {
        if (stream.session_id == view_.session_id) [[likely]]
            return one<T>(stream.id);
        return one(stream.stream);
    }
    template <class T>
    [[nodiscard]] Result<T> one(std::uint32_t id) const {
        shmx_data data{};
        const shmx_status status = detail::find_stream(view_, id, data);
        if (status != SHMX_STATUS_OK || data.bytes != sizeof(T)) [[unlikely]]
            return no_value(status, id, " has not one value; use `get`");
        std::remove_const_t<T> value{};
        if constexpr (element<T>::type == SHMX_ELEMENT_BOOL) {
            // Another process may have written a 2, and may still write: what was compared is what is taken.
            std::array<unsigned char, sizeof(T)> raw;
            std::memcpy(raw.data(), data.data, sizeof(T));
            for (const unsigned char byte : raw) {
                if (byte > 1) return Error(SHMX_STATUS_DAMAGED, "a bool of stream " + std::to_string(id) + " is none");
            }
            std::memcpy(&value, raw.data(), sizeof(T));
        } else {
            std::memcpy(&value, data.data, sizeof(T));
        }
        return Result<T>(value);
    }
};

} // namespace detail

// A frame that was kept: cannot change any more, and outlives its reader.
class OwnedFrame : public detail::Readable<OwnedFrame> {
public:
    explicit OwnedFrame(shmx_frame* handle) noexcept : handle_(handle) { shmx_frame_view(handle, &view_); }

    // Nanoseconds since it was published; none if its producer gives no time.
    [[nodiscard]] std::optional<std::uint64_t> age_ns() const noexcept {
        std::uint64_t ns = 0;
        if (shmx_frame_age(handle_.get(), &ns) != SHMX_STATUS_OK) return std::nullopt;
        return ns;
    }
    [[nodiscard]] shmx_frame* handle() const noexcept { return handle_.get(); }

private:
    friend class detail::Readable<OwnedFrame>;
    [[nodiscard]] shmx_status find(const shmx_stream& stream, std::uint32_t& id) const noexcept {
        return shmx_frame_find(handle_.get(), &stream, &id);
    }
    detail::Handle<shmx_frame, shmx_frame_free> handle_;
};

namespace detail {

// The functions of a reader: those of clients, or those of taps.
template <class H>
struct Calls;
template <>
struct Calls<shmx_client> {
    static constexpr auto release = shmx_client_release;
    static constexpr auto keep = shmx_client_keep;
    static constexpr auto lent = shmx_client_lent;
    static constexpr auto age = shmx_client_age;
    static constexpr auto find = shmx_client_find;
};
template <>
struct Calls<shmx_tap> {
    static constexpr auto release = shmx_tap_release;
    static constexpr auto keep = shmx_tap_keep;
    static constexpr auto lent = shmx_tap_lent;
    static constexpr auto age = shmx_tap_age;
    static constexpr auto find = shmx_tap_find;
};

} // namespace detail

// A frame that a reader lends, or none: compare with true first. Its destructor ends the lease. Valid until the next
// call on its reader, and no longer than that lives.
template <class H>
class LentFrame : public detail::Readable<LentFrame<H>> {
    using Calls = detail::Calls<H>;

public:
    LentFrame() noexcept = default;
    LentFrame(LentFrame&& other) noexcept
        : detail::Readable<LentFrame>(other), reader_(std::exchange(other.reader_, nullptr)) {
        other.end();
    }
    LentFrame& operator=(LentFrame&& other) noexcept {
        if (this != &other) {
            release();
            this->view_ = other.view_;
            reader_ = std::exchange(other.reader_, nullptr);
            other.end();
        }
        return *this;
    }
    LentFrame(const LentFrame&) = delete;
    LentFrame& operator=(const LentFrame&) = delete;
    ~LentFrame() { release(); }

    explicit operator bool() const noexcept { return reader_ != nullptr; }

    // Ends the lease, and the frame.
    void release() noexcept {
        if (reader_ && this->view_.leased) Calls::release(reader_, this->view_.lend);
        reader_ = nullptr;
        this->end();
    }
    // The same frame for as long as anybody likes. Ends this one.
    [[nodiscard]] Result<OwnedFrame> keep() {
        H* reader = std::exchange(reader_, nullptr);
        this->end();
        std::uint32_t lent = 0;
        shmx_status status = Calls::lent(reader, &lent);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        // Another one is lent by now, which is not to be taken for this.
        if (lent != this->view_.lend) return Error(SHMX_STATUS_BAD_ARGUMENT, "the frame ended before it was kept");
        shmx_frame* kept = nullptr;
        status = Calls::keep(reader, &kept);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return OwnedFrame(kept);
    }
    // Nanoseconds since it was published; none if its producer gives no time.
    [[nodiscard]] std::optional<std::uint64_t> age_ns() const noexcept {
        std::uint64_t ns = 0;
        if (Calls::age(reader_, &ns) != SHMX_STATUS_OK) return std::nullopt;
        return ns;
    }

    // For readers.
    [[nodiscard]] shmx_view* place() noexcept { return &this->view_; }
    void lent_by(H* reader) noexcept { reader_ = reader; }

private:
    friend class detail::Readable<LentFrame>;
    [[nodiscard]] shmx_status find(const shmx_stream& stream, std::uint32_t& id) const noexcept {
        return Calls::find(reader_, &stream, &id, nullptr);
    }
    H* reader_ = nullptr;
};

using Frame = LentFrame<shmx_client>;
using TapFrame = LentFrame<shmx_tap>;

// ---- Directory, messages --------------------------------------------------------------------------------------------

// A stream as the directory has it. Refers to its `Directory`.
class StreamInfo {
public:
    explicit StreamInfo(const shmx_stream_info& info) noexcept : info_(info) {}
    [[nodiscard]] std::uint32_t id() const noexcept { return info_.stream_id; }
    [[nodiscard]] std::uint32_t element_type() const noexcept { return info_.element_type; }
    [[nodiscard]] std::uint32_t components() const noexcept { return info_.components; }
    [[nodiscard]] std::uint32_t bytes_per_elem() const noexcept { return info_.bytes_per_elem; }
    [[nodiscard]] std::string_view name() const noexcept { return detail::text(info_.name, info_.name_bytes); }
    [[nodiscard]] std::string_view extra() const noexcept { return detail::text(info_.extra, info_.extra_bytes); }
    [[nodiscard]] const shmx_stream_info& raw() const noexcept { return info_; }

private:
    shmx_stream_info info_;
};

// The stream directory of a region at one moment.
class Directory {
public:
    explicit Directory(shmx_directory* handle) noexcept : handle_(handle) {}
    [[nodiscard]] std::size_t size() const noexcept { return shmx_directory_count(handle_.get()); }
    [[nodiscard]] StreamInfo operator[](std::size_t index) const noexcept {
        auto info = detail::sized<shmx_stream_info>();
        (void)shmx_directory_at(handle_.get(), index, &info);
        return StreamInfo(info);
    }
    template <Element T>
    [[nodiscard]] Result<StreamInfo> find(const Stream<T>& stream) const {
        const shmx_stream raw = stream.raw();
        auto info = detail::sized<shmx_stream_info>();
        const shmx_status status = shmx_directory_find(handle_.get(), &raw, &info);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return StreamInfo(info);
    }
    [[nodiscard]] shmx_directory* handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<shmx_directory, shmx_directory_free> handle_;
};

// A control message. Refers to its `Messages`.
class Message {
public:
    explicit Message(const shmx_message& message) noexcept : message_(message) {}
    [[nodiscard]] std::uint32_t type() const noexcept { return message_.message_type; }
    [[nodiscard]] std::uint64_t reader_id() const noexcept { return message_.reader_id; }
    [[nodiscard]] std::uint32_t reader_index() const noexcept { return message_.reader_index; }
    [[nodiscard]] std::span<const std::byte> body() const noexcept {
        return detail::bytes(message_.data, message_.bytes);
    }
    // The body as a value; none if it has another size.
    template <class T>
        requires std::is_trivially_copyable_v<T>
    [[nodiscard]] std::optional<T> as() const noexcept {
        if (message_.bytes != sizeof(T)) return std::nullopt;
        T value{};
        std::memcpy(&value, message_.data, sizeof(T));
        return value;
    }

private:
    shmx_message message_;
};

// Control messages of all readers, in order within each.
class Messages {
public:
    class iterator {
    public:
        using value_type = Message;
        using difference_type = std::ptrdiff_t;
        iterator() noexcept = default;
        iterator(const Messages* of, std::size_t at) noexcept : of_(of), at_(at) {}
        [[nodiscard]] Message operator*() const noexcept { return (*of_)[at_]; }
        iterator& operator++() noexcept {
            ++at_;
            return *this;
        }
        iterator operator++(int) noexcept { return iterator(of_, at_++); }
        [[nodiscard]] bool operator==(const iterator& other) const noexcept { return at_ == other.at_; }

    private:
        const Messages* of_ = nullptr;
        std::size_t at_ = 0;
    };

    explicit Messages(shmx_messages* handle) noexcept : handle_(handle) {}
    [[nodiscard]] std::size_t size() const noexcept { return shmx_messages_count(handle_.get()); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] Message operator[](std::size_t index) const noexcept {
        auto message = detail::sized<shmx_message>();
        (void)shmx_messages_at(handle_.get(), index, &message);
        return Message(message);
    }
    [[nodiscard]] iterator begin() const noexcept { return {this, 0}; }
    [[nodiscard]] iterator end() const noexcept { return {this, size()}; }
    [[nodiscard]] shmx_messages* handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<shmx_messages, shmx_messages_free> handle_;
};

using Region = shmx_region;
using Stats = shmx_stats;
using Reader = shmx_reader;

namespace detail {

template <class H, class Call>
Result<std::vector<Reader>> readers(H* handle, Call call) {
    std::vector<Reader> all;
    std::size_t count = 16;
    do {
        all.assign(count, Reader{});
        const shmx_status status = call(handle, all.data(), sizeof(Reader), all.size(), &count);
        if (status != SHMX_STATUS_OK) return Error::last(status);
    } while (count > all.size());
    all.resize(count);
    return all;
}

template <class T, class H, class Call>
Result<T> filled(H* handle, Call call) {
    auto value = sized<T>();
    const shmx_status status = call(handle, &value);
    if (status != SHMX_STATUS_OK) return Error::last(status);
    return value;
}

// A result that is a handle of its own.
template <class T, class Raw, class H, class Call>
Result<T> made(H* handle, Call call) {
    Raw* raw = nullptr;
    const shmx_status status = call(handle, &raw);
    if (status != SHMX_STATUS_OK) return Error::last(status);
    return T(raw);
}

// A result that is a number.
template <class T, class H, class Call>
Result<T> number(H* handle, Call call) {
    T value{};
    const shmx_status status = call(handle, &value);
    if (status != SHMX_STATUS_OK) return Error::last(status);
    return Result<T>(value);
}

} // namespace detail

// ---- Server ---------------------------------------------------------------------------------------------------------

// How a server makes its region.
class ServerOptions {
public:
    // Declares a stream with at most `max_elems` elements in a frame. `extra` says what it means, see docs/streams.md.
    template <Element T>
    ServerOptions& stream(const Stream<T>& stream, std::uint32_t max_elems, std::string extra = {}) & {
        auto spec = detail::sized<shmx_stream_spec>();
        spec.stream_id = stream.id;
        spec.element_type = element<T>::type;
        spec.components = element<T>::count;
        spec.max_elems = max_elems;
        return declare(spec, stream.name ? stream.name : "", std::move(extra));
    }
    template <Element T>
    ServerOptions&& stream(const Stream<T>& stream, std::uint32_t max_elems, std::string extra = {}) && {
        return std::move(this->stream(stream, max_elems, std::move(extra)));
    }
    // With a type that is known at run time; name and extra data are taken from the other arguments.
    ServerOptions& declare(const shmx_stream_spec& spec, std::string name, std::string extra = {}) & {
        specs_.push_back(spec);
        names_.push_back(std::move(name));
        extras_.push_back(std::move(extra));
        return *this;
    }
    // All other options: see `shmx_server_options`.
    ServerOptions&& slots(std::uint32_t slots) && { return set(&shmx_server_options::slots, slots); }
    ServerOptions&& history(std::uint32_t frames) && { return set(&shmx_server_options::history, frames); }
    ServerOptions&& reader_slots(std::uint32_t count) && {
        return set(&shmx_server_options::reader_slots, count ? count : SHMX_NONE);
    }
    ServerOptions&& frame_bytes(std::uint32_t bytes) && { return set(&shmx_server_options::frame_bytes, bytes); }
    ServerOptions&& directory_bytes(std::uint32_t bytes) && {
        return set(&shmx_server_options::directory_bytes, bytes ? bytes : SHMX_NONE);
    }
    ServerOptions&& control_bytes(std::uint32_t bytes) && {
        return set(&shmx_server_options::control_bytes, bytes ? bytes : SHMX_NONE);
    }
    ServerOptions&& checksum(shmx_checksum checksum) && {
        return set(&shmx_server_options::checksum, static_cast<std::uint32_t>(checksum));
    }
    ServerOptions&& mode(std::uint32_t mode) && { return set(&shmx_server_options::mode, mode); }
    ServerOptions&& publish_time(bool on) && { return flag(SHMX_SERVER_NO_PUBLISH_TIME, !on); }
    ServerOptions&& replace(bool on) && { return flag(SHMX_SERVER_REPLACE, on); }
    ServerOptions&& ring_always(bool on) && { return flag(SHMX_SERVER_RING_ALWAYS, on); }
    ServerOptions&& huge_pages(bool on) && { return flag(SHMX_SERVER_HUGE_PAGES, on); }
    ServerOptions&& streaming_stores(bool on) && { return flag(SHMX_SERVER_STREAMING_STORES, on); }
    // What happens once the name was taken away: no frame is begun any more, or a successor is made under it.
    ServerOptions&& end_with_name(bool on) && { return flag(SHMX_SERVER_END_WITH_NAME, on); }
    ServerOptions&& come_back(bool on) && { return flag(SHMX_SERVER_COME_BACK, on); }
    // For several threads at once.
    ServerOptions&& shared(bool on) && { return flag(SHMX_SERVER_SHARED, on); }
    [[nodiscard]] shmx_server_options& raw() noexcept { return options_; }

    // As C has it; refers to this.
    [[nodiscard]] shmx_server_options finish() {
        for (std::size_t i = 0; i < specs_.size(); ++i) {
            specs_[i].name = names_[i].c_str();
            specs_[i].extra = extras_[i].data();
            specs_[i].extra_bytes = extras_[i].size();
        }
        options_.streams = specs_.data();
        options_.stream_count = specs_.size();
        return options_;
    }

private:
    ServerOptions&& set(std::uint32_t shmx_server_options::* field, std::uint32_t value) noexcept {
        options_.*field = value;
        return std::move(*this);
    }
    ServerOptions&& flag(std::uint32_t flag, bool on) noexcept {
        options_.flags = on ? options_.flags | flag : options_.flags & ~flag;
        return std::move(*this);
    }
    shmx_server_options options_ = detail::sized<shmx_server_options>();
    std::vector<shmx_stream_spec> specs_;
    std::vector<std::string> names_, extras_;
};

class Writer;

// A stream of a frame under construction that is filled from its start to its end. What was committed is final, and
// readers that follow the frame have it at once. Refers to its `Writer`, and lasts no longer than the frame.
template <PlainElement T>
class Fill {
public:
    Fill(Writer& writer, std::size_t count) noexcept : writer_(&writer), count_(count) {}

    // The values that are not committed yet, to be written in place; they hold what an earlier frame left there.
    [[nodiscard]] Result<std::span<T>> rest();
    // Takes the first `count` of the rest as final. Nothing is committed where it fails.
    Result<> commit(std::size_t count);
    // Copies values in and commits them.
    Result<> write(std::span<const T> values);
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] std::size_t committed() const noexcept { return done_; }
    [[nodiscard]] bool is_filled() const noexcept { return done_ == count_; }

private:
    // Its bytes are counted here, too: another stream's are not to be taken for them.
    [[nodiscard]] Result<> fits(std::size_t count) const {
        if (count <= count_ - done_) return {};
        return Error(SHMX_STATUS_FULL, std::to_string(count) + " values were committed and " +
                                           std::to_string(count_ - done_) + " are left; commit what was written");
    }
    Writer* writer_;
    std::size_t count_, done_ = 0;
};

// A frame under construction, in the slot that it will be read from. Its destructor gives the slot back.
class Writer {
public:
    explicit Writer(shmx_writer* handle) noexcept : handle_(handle) {}

    Result<> append(const shmx_part& part) { return detail::done(shmx_writer_append(handle_.get(), &part)); }
    template <Element T>
    Result<> append(const Stream<T>& stream, std::span<const T> values) {
        return append(part(stream, values));
    }
    template <Element T>
    Result<> append(const Stream<T>& stream, const T& value) {
        return append(part(stream, value));
    }
    template <Element T>
    Result<> append(const Stream<T>& stream, const std::vector<T>& values) {
        return append(part(stream, values));
    }
    // Room for `count` values, to be written in place: all of it, as it holds what an earlier frame left there.
    template <PlainElement T>
    [[nodiscard]] Result<std::span<T>> reserve(const Stream<T>& stream, std::size_t count) {
        if (count > SIZE_MAX / sizeof(T)) return Error(SHMX_STATUS_FULL, "more values than a frame can have");
        const shmx_stream raw = stream.raw();
        void* room = nullptr;
        const shmx_status status = shmx_writer_reserve(handle_.get(), &raw, count * sizeof(T), &room);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return std::span<T>(static_cast<T*>(room), count);
    }
    // A stream of `count` values that is filled in pieces, for readers that follow. The frame cannot be published, and
    // other streams not appended, before all are committed. What was reserved before is final from now on.
    template <PlainElement T>
    [[nodiscard]] Result<Fill<T>> fill(const Stream<T>& stream, std::size_t count) {
        if (count > SIZE_MAX / sizeof(T)) return Error(SHMX_STATUS_FULL, "more values than a frame can have");
        const shmx_stream raw = stream.raw();
        const shmx_status status = shmx_writer_fill(handle_.get(), &raw, count * sizeof(T));
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Fill<T>(*this, count);
    }
    // Publishes the frame and returns its id. Ends the writer in any case.
    Result<std::uint64_t> publish(double sim_time) {
        std::uint64_t id = 0;
        const shmx_status status = shmx_writer_publish(handle_.place(), sim_time, &id);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return id;
    }
    void abandon() noexcept { shmx_writer_abandon(handle_.place()); }
    [[nodiscard]] shmx_writer* handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<shmx_writer, shmx_writer_abandon> handle_;
};

template <PlainElement T>
Result<std::span<T>> Fill<T>::rest() {
    if (is_filled()) return std::span<T>();
    void* room = nullptr;
    std::size_t bytes = 0;
    const shmx_status status = shmx_writer_fill_rest(writer_->handle(), &room, &bytes);
    if (status != SHMX_STATUS_OK && status != SHMX_STATUS_NOTHING) return Error::last(status);
    if (bytes != (count_ - done_) * sizeof(T)) {
        return Error(SHMX_STATUS_BAD_ARGUMENT, "the frame of this stream has ended; begin another one");
    }
    return std::span<T>(static_cast<T*>(room), count_ - done_);
}

template <PlainElement T>
Result<> Fill<T>::commit(std::size_t count) {
    if (auto fit = fits(count); !fit || count == 0) return fit;
    const shmx_status status = shmx_writer_fill_commit(writer_->handle(), count * sizeof(T));
    if (status == SHMX_STATUS_OK) done_ += count;
    return detail::done(status);
}

template <PlainElement T>
Result<> Fill<T>::write(std::span<const T> values) {
    if (auto fit = fits(values.size()); !fit || values.empty()) return fit;
    const shmx_status status = shmx_writer_fill_write(writer_->handle(), values.data(), values.size_bytes());
    if (status == SHMX_STATUS_OK) done_ += values.size();
    return detail::done(status);
}

// The producer's end of a region. One thread at a time uses it, and while a frame is under construction only that;
// several with `ServerOptions::shared`.
class Server {
public:
    [[nodiscard]] static Result<Server> create(const char* name, ServerOptions options = {}) {
        if (auto old = detail::too_old()) return std::move(*old);
        const shmx_server_options raw = options.finish();
        shmx_server* handle = nullptr;
        const shmx_status status = shmx_server_create(name, &raw, &handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Server(handle);
    }
    [[nodiscard]] static Result<Server> create(const std::string& name, ServerOptions options = {}) {
        return create(name.c_str(), std::move(options));
    }

    // Publishes a frame of these parts in one call, the quickest way.
    template <class... Parts>
        requires(sizeof...(Parts) > 0 && (std::is_same_v<Parts, shmx_part> && ...))
    Result<std::uint64_t> publish(double sim_time, const Parts&... parts) {
        const shmx_part all[] = {parts...};
        return publish(sim_time, std::span<const shmx_part>(all));
    }
    Result<std::uint64_t> publish(double sim_time, std::span<const shmx_part> parts) {
        std::uint64_t id = 0;
        const shmx_status status = shmx_server_publish(get(), sim_time, parts.data(), parts.size(), &id);
        if (status != SHMX_STATUS_OK) [[unlikely]]
            return Error::last(status);
        return id;
    }
    [[nodiscard]] Result<Writer> begin() { return detail::made<Writer, shmx_writer>(get(), shmx_server_begin); }
    // A frame that overwrites nothing that a reader with `ClientOptions::every_frame` has not taken; waits for that.
    template <Duration D>
    [[nodiscard]] Result<Writer> begin_when_taken(const D& timeout) {
        shmx_writer* raw = nullptr;
        const shmx_status status = shmx_server_begin_when_taken(get(), detail::nanoseconds(timeout), &raw);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Writer(raw);
    }
    // Waits until every reader with `ClientOptions::every_frame` has taken this frame; or every reader there is.
    template <Duration D>
    Result<> wait_taken(std::uint64_t frame_id, const D& timeout, bool by_all = false) {
        return detail::done(shmx_server_wait_taken(get(), frame_id, by_all ? 1 : 0, detail::nanoseconds(timeout)));
    }

    // A stream whose number, name and type were compared with the directory, for publishing without looking again.
    template <Element T>
    [[nodiscard]] Result<StreamId<T>> stream(const Stream<T>& stream) const {
        auto found = directory();
        if (!found) return found.error();
        auto info = found->find(stream);
        if (!info) return info.error();
        if (info->id() != stream.id) return Error(SHMX_STATUS_WRONG_TYPE, "the stream has another number here");
        return StreamId<T>{stream.id, 0, stream};
    }
    [[nodiscard]] Result<Messages> poll(std::size_t max = 256) {
        shmx_messages* raw = nullptr;
        const shmx_status status = shmx_server_poll(get(), max, &raw);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Messages(raw);
    }
    // Waits for a message, or for a reader that comes or goes.
    template <Duration D>
    [[nodiscard]] Result<Messages> wait_control(const D& timeout, std::size_t max = 256) {
        shmx_messages* raw = nullptr;
        const shmx_status status = shmx_server_wait_control(get(), max, detail::nanoseconds(timeout), &raw);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Messages(raw);
    }
    // For an event loop: readable when readers may have sent messages, come or gone. The caller closes it.
    [[nodiscard]] Result<int> control_fd() { return detail::number<int>(get(), shmx_server_control_fd); }
    template <Element T>
    Result<> add_stream(const Stream<T>& stream, const std::string& extra = {}) {
        auto spec = detail::sized<shmx_stream_spec>();
        spec.stream_id = stream.id;
        spec.element_type = element<T>::type;
        spec.components = element<T>::count;
        spec.name = stream.name;
        spec.extra = extra.data();
        spec.extra_bytes = extra.size();
        return detail::done(shmx_server_add_stream(get(), &spec));
    }
    [[nodiscard]] Result<Directory> directory() const {
        return detail::made<Directory, shmx_directory>(get(), shmx_server_directory);
    }
    [[nodiscard]] Result<Region> region() const { return detail::filled<Region>(get(), shmx_server_region); }
    [[nodiscard]] Result<std::vector<Reader>> readers() const { return detail::readers(get(), shmx_server_readers); }
    [[nodiscard]] Result<std::uint64_t> frames_published() const {
        return detail::number<std::uint64_t>(get(), shmx_server_frames);
    }
    [[nodiscard]] Result<std::uint32_t> readers_connected() const {
        return detail::number<std::uint32_t>(get(), shmx_server_readers_connected);
    }
    // Frees the slots of dead readers, and of silent ones without a liveness lock; how many.
    Result<std::size_t> reap() { return reap_ns(SHMX_FOREVER); }
    template <Duration D>
    Result<std::size_t> reap(const D& silent_for) {
        return reap_ns(detail::nanoseconds(silent_for));
    }
    Result<std::size_t> reap_ns(std::uint64_t ns) {
        std::size_t count = 0;
        const shmx_status status = shmx_server_reap(get(), ns, &count);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return count;
    }
    // Ends the server before its destructor does.
    void close() noexcept { (void)shmx_server_close(get()); }
    [[nodiscard]] shmx_server* handle() const noexcept { return get(); }

private:
    explicit Server(shmx_server* handle) noexcept : handle_(handle) {}
    [[nodiscard]] shmx_server* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_server, shmx_server_free> handle_;
};

// ---- Readers --------------------------------------------------------------------------------------------------------

// Which frames a range gives.
enum class Order { every, newest };

// Frames until the time for one is up, or an error. For use in a `for`; each is valid in its round.
template <class R>
class FrameRange {
public:
    class iterator {
    public:
        using value_type = typename R::frame_type;
        using difference_type = std::ptrdiff_t;
        iterator() noexcept = default;
        explicit iterator(FrameRange* range) : range_(range) { range_->advance(); }
        [[nodiscard]] value_type& operator*() const noexcept { return range_->frame_; }
        iterator& operator++() {
            range_->advance();
            return *this;
        }
        void operator++(int) { ++*this; }
        [[nodiscard]] bool operator==(detail::End) const noexcept { return !range_->frame_; }

    private:
        FrameRange* range_ = nullptr;
    };

    FrameRange(R& reader, Order order, std::uint64_t timeout_ns) noexcept
        : reader_(&reader), order_(order), timeout_ns_(timeout_ns) {}
    [[nodiscard]] iterator begin() { return iterator(this); }
    [[nodiscard]] detail::End end() const noexcept { return {}; }
    // What ended it; none if the time was up.
    [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

private:
    void advance() {
        auto got = order_ == Order::every ? reader_->next_ns(timeout_ns_) : reader_->wait_ns(timeout_ns_);
        if (got) {
            frame_ = std::move(*got);
        } else {
            frame_.release();
            error_ = got.error();
        }
    }
    R* reader_;
    Order order_;
    std::uint64_t timeout_ns_;
    typename R::frame_type frame_;
    std::optional<Error> error_;
};

namespace detail {

template <class H, class Call, class... Args>
[[nodiscard]] inline Result<LentFrame<H>> take(H* reader, Call call, Args... args) {
    // Filled in the caller's own memory: moving what was written just now makes the processor wait.
    Result<LentFrame<H>> frame(std::in_place);
    const shmx_status status = call(reader, args..., frame->place());
    if (status == SHMX_STATUS_OK) {
        frame->lent_by(reader);
    } else if (status != SHMX_STATUS_NOTHING) [[unlikely]] {
        frame.fail(Error::last(status));
    }
    return frame;
}

} // namespace detail

// ---- Frames that are read while they are written ---------------------------------------------------------------------

// What has become of a frame since the last look at it: there is more, it is whole and published, nothing new.
enum class Step { more, whole, waiting };

// What there is of a stream.
template <class T>
struct Part {
    // From the first one on. They do not change any more.
    std::span<const T> values;
    // How many there will be.
    std::size_t size;
    [[nodiscard]] bool is_whole() const noexcept { return values.size() == size; }
};

// A frame, and what was made of it while it was written.
template <class R>
struct Folded {
    Frame frame;
    R value;
};

// A frame that is read while it is written, or none: compare with true first. What it hands out is final, but the frame
// is not published yet, and may never be: what is made of the parts is a result only once `finish` has given the frame,
// or `fold` the result along with it. An error of these and of `wait` that is not UNFINISHED says that there will be no
// frame; the parts are gone then.
//
// Keeps a slot, which its destructor gives back. Valid until the next call on its client that takes a frame, and no
// longer than that lives.
class Following {
public:
    Following() noexcept = default;
    Following(Following&& other) noexcept : client_(std::exchange(other.client_, nullptr)), raw_(other.raw_) {
        other.end();
    }
    Following& operator=(Following&& other) noexcept {
        if (this != &other) {
            release();
            client_ = std::exchange(other.client_, nullptr);
            raw_ = other.raw_;
            other.end();
        }
        return *this;
    }
    Following(const Following&) = delete;
    Following& operator=(const Following&) = delete;
    ~Following() { release(); }

    explicit operator bool() const noexcept { return client_ != nullptr; }

    // Waits for more of the frame, or for its end. Returns at once once it is whole.
    template <Duration D>
    [[nodiscard]] Result<Step> wait(const D& timeout) {
        return wait_ns(detail::nanoseconds(timeout));
    }
    [[nodiscard]] Result<Step> wait_ns(std::uint64_t timeout_ns) {
        const shmx_status status = shmx_client_follow_wait(client_, timeout_ns, &raw_);
        if (status == SHMX_STATUS_OK) return raw_.whole ? Step::whole : Step::more;
        if (status == SHMX_STATUS_NOTHING) return Step::waiting;
        end();
        return Error::last(status);
    }
    // Whether it is whole and published, as of the last `wait`.
    [[nodiscard]] bool is_whole() const noexcept { return raw_.whole != 0; }
    // The payload so far.
    [[nodiscard]] std::span<const std::byte> payload() const noexcept {
        return detail::bytes(raw_.payload, raw_.bytes);
    }

    // What there is of a stream, as of the last `wait`; none if it was not begun yet.
    template <PlainElement T>
    [[nodiscard]] Result<std::optional<Part<T>>> part(const StreamId<T>& stream) const {
        if (stream.session_id == raw_.session_id) return part<T>(stream.id);
        return part(stream.stream);
    }
    template <PlainElement T>
    [[nodiscard]] Result<std::optional<Part<T>>> part(const Stream<T>& stream) const {
        const shmx_stream raw = stream.raw();
        std::uint32_t id = 0;
        const shmx_status status = shmx_client_find(client_, &raw, &id, nullptr);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return part<T>(id);
    }

    // Waits for the frame, and ends this. UNFINISHED when the time is up: it is followed as before.
    template <Duration D>
    [[nodiscard]] Result<Frame> finish(const D& timeout) {
        return finish_ns(detail::nanoseconds(timeout));
    }
    [[nodiscard]] Result<Frame> finish_ns(std::uint64_t timeout_ns) {
        Result<Frame> frame(std::in_place);
        const shmx_status status = shmx_client_finish(client_, timeout_ns, frame->place());
        if (status == SHMX_STATUS_OK) {
            frame->lent_by(std::exchange(client_, nullptr));
            end();
        } else if (status == SHMX_STATUS_NOTHING) {
            frame.fail(unfinished());
        } else {
            end();
            frame.fail(Error::last(status));
        }
        return frame;
    }

    // Makes one value of a stream, piece by piece as it comes, and gives it with the frame, or an error. `f` gets the
    // value so far, the number of the piece's first element, and the piece.
    template <class Key, Duration D, class R, class F>
    [[nodiscard]] Result<Folded<R>> fold(const Key& stream, const D& timeout, R value, F&& f) {
        const std::uint64_t limit = detail::nanoseconds(timeout), start = shmx_now();
        std::size_t done = 0;
        for (;;) {
            auto step = wait_ns(0);
            if (!step) return step.error();
            auto found = part(stream);
            if (!found) return found.error();
            if (*found) {
                const auto values = (*found)->values;
                if (values.size() < done) return Error(SHMX_STATUS_DAMAGED, "the stream is shorter than it was");
                if (values.size() > done) value = f(std::move(value), done, values.subspan(done));
                done = values.size();
            }
            if (*step == Step::whole) {
                auto frame = finish_ns(0);
                if (!frame) return frame.error();
                return Folded<R>{std::move(*frame), std::move(value)};
            }
            if (*step == Step::waiting) {
                const std::uint64_t passed = shmx_now() - start;
                step = wait_ns(passed < limit ? limit - passed : 0);
                if (!step) return step.error();
                if (*step == Step::waiting && shmx_now() - start >= limit) return unfinished();
            }
        }
    }

    // Gives the frame up.
    void release() noexcept {
        if (client_) (void)shmx_client_release(client_, raw_.lend);
        client_ = nullptr;
        end();
    }

    // For clients.
    [[nodiscard]] shmx_following* place() noexcept { return &raw_; }
    void lent_by(shmx_client* client) noexcept { client_ = client; }

private:
    // Nothing is to be found in it any more.
    void end() noexcept {
        raw_.payload = nullptr;
        raw_.bytes = 0;
        raw_.whole = 0;
    }
    SHMXX_COLD static Error unfinished() {
        return Error(SHMX_STATUS_UNFINISHED,
                     "the frame is still being written and the time is up; `wait` or `finish` goes on with it");
    }
    template <class T>
    [[nodiscard]] Result<std::optional<Part<T>>> part(std::uint32_t id) const {
        shmx_prefix found{};
        const shmx_status status = shmx_following_stream(&raw_, id, &found);
        if (status == SHMX_STATUS_NOTHING) return std::optional<Part<T>>();
        if (status != SHMX_STATUS_OK) return Error::last(status);
        if (found.total_bytes % sizeof(T) != 0) {
            return Error(SHMX_STATUS_LENGTH, "stream " + std::to_string(id) + " will have no whole number of values");
        }
        const std::span<const T> values(static_cast<const T*>(found.data), found.bytes / sizeof(T));
        return std::optional<Part<T>>(Part<T>{values, found.total_bytes / sizeof(T)});
    }
    shmx_client* client_ = nullptr;
    shmx_following raw_ = detail::sized<shmx_following>();
};

// Sends control messages for a client, from any thread.
class Sender {
public:
    explicit Sender(shmx_sender* handle) noexcept : handle_(handle) {}
    Result<> send(std::uint32_t type, std::span<const std::byte> body = {}) {
        return detail::done(shmx_sender_send(handle_.get(), type, body.data(), body.size()));
    }

private:
    detail::Handle<shmx_sender, shmx_sender_free> handle_;
};

// How a client opens a region and reads it: see `shmx_client_options`.
class ClientOptions {
public:
    ClientOptions&& verify(shmx_verify verify) && {
        return set(&shmx_client_options::verify, static_cast<std::uint32_t>(verify));
    }
    ClientOptions&& hold(shmx_hold hold) && {
        return set(&shmx_client_options::hold, static_cast<std::uint32_t>(hold));
    }
    ClientOptions&& copy_up_to(std::uint32_t bytes) && {
        return set(&shmx_client_options::copy_up_to, bytes ? bytes : SHMX_NONE);
    }
    ClientOptions&& start(shmx_start start) && {
        return set(&shmx_client_options::start, static_cast<std::uint32_t>(start));
    }
    ClientOptions&& start_after(std::uint64_t session_id, std::uint64_t frame_id) && {
        raw_.after_session = session_id;
        raw_.after_frame = frame_id;
        return set(&shmx_client_options::start, SHMX_START_AFTER);
    }
    template <Duration D>
    ClientOptions&& spin(const D& spin) && {
        const std::uint64_t ns = detail::nanoseconds(spin);
        raw_.spin_ns = ns > 0 ? ns : SHMX_FOREVER;
        return std::move(*this);
    }
    // How long opening waits for a server.
    template <Duration D>
    ClientOptions&& open_timeout(const D& timeout) && {
        raw_.open_timeout_ns = detail::nanoseconds(timeout);
        return std::move(*this);
    }
    ClientOptions&& prefault(bool on) && { return flag(SHMX_CLIENT_NO_PREFAULT, !on); }
    ClientOptions&& huge_pages(bool on) && { return flag(SHMX_CLIENT_HUGE_PAGES, on); }
    ClientOptions&& require_slot(bool on) && { return flag(SHMX_CLIENT_SLOT_OPTIONAL, !on); }
    ClientOptions&& every_frame(bool on) && { return flag(SHMX_CLIENT_EVERY_FRAME, on); }
    ClientOptions&& reconnect(bool on) && { return flag(SHMX_CLIENT_RECONNECT, on); }
    [[nodiscard]] const shmx_client_options& raw() const noexcept { return raw_; }

private:
    ClientOptions&& set(std::uint32_t shmx_client_options::* field, std::uint32_t value) noexcept {
        raw_.*field = value;
        return std::move(*this);
    }
    ClientOptions&& flag(std::uint32_t flag, bool on) noexcept {
        raw_.flags = on ? raw_.flags | flag : raw_.flags & ~flag;
        return std::move(*this);
    }
    shmx_client_options raw_ = detail::sized<shmx_client_options>();
};

// A reader of a region. One thread at a time uses it.
class Client {
public:
    using frame_type = Frame;

    [[nodiscard]] static Result<Client> open(const char* name, const ClientOptions& options = {}) {
        if (auto old = detail::too_old()) return std::move(*old);
        shmx_client* handle = nullptr;
        const shmx_status status = shmx_client_open(name, &options.raw(), &handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Client(handle);
    }
    [[nodiscard]] static Result<Client> open(const std::string& name, const ClientOptions& options = {}) {
        return open(name.c_str(), options);
    }

    // The newest frame, seen before or not.
    [[nodiscard]] Result<Frame> latest() { return detail::take(get(), shmx_client_latest); }
    // Waits for a frame newer than the last one, and takes the newest; an empty one when the time is up.
    template <Duration D>
    [[nodiscard]] Result<Frame> wait(const D& timeout) {
        return wait_ns(detail::nanoseconds(timeout));
    }
    [[nodiscard]] Result<Frame> wait_ns(std::uint64_t timeout_ns) {
        return detail::take(get(), shmx_client_wait, timeout_ns);
    }
    // Waits for the next frame in order; an empty one when the time is up.
    template <Duration D>
    [[nodiscard]] Result<Frame> next(const D& timeout) {
        return next_ns(detail::nanoseconds(timeout));
    }
    [[nodiscard]] Result<Frame> next_ns(std::uint64_t timeout_ns) {
        return detail::take(get(), shmx_client_next, timeout_ns);
    }
    [[nodiscard]] Result<Frame> try_wait() { return detail::take(get(), shmx_client_wait, std::uint64_t{0}); }
    [[nodiscard]] Result<Frame> try_next() { return detail::take(get(), shmx_client_next, std::uint64_t{0}); }
    [[nodiscard]] Result<Frame> read_id(std::uint64_t frame_id) {
        return detail::take(get(), shmx_client_read_id, frame_id);
    }
    // The next frame while it is written, as soon as its producer has begun to hand it out; none when the time is up. A
    // frame that is being written goes before one that was published and not taken yet. Where frames cannot be followed
    // it comes with the whole frame.
    template <Duration D>
    [[nodiscard]] Result<Following> follow(const D& timeout) {
        return follow_by(shmx_client_follow, detail::nanoseconds(timeout));
    }
    // The next one in order: each that was published since the last one, and then the one that is being written.
    template <Duration D>
    [[nodiscard]] Result<Following> follow_next(const D& timeout) {
        return follow_by(shmx_client_follow_next, detail::nanoseconds(timeout));
    }
    template <Duration D>
    [[nodiscard]] FrameRange<Client> frames(const D& timeout, Order order = Order::every) noexcept {
        return {*this, order, detail::nanoseconds(timeout)};
    }

    // A stream whose type was compared with the directory, for reading without further looks at it.
    template <Element T>
    [[nodiscard]] Result<StreamId<T>> stream(const Stream<T>& stream) {
        const shmx_stream raw = stream.raw();
        StreamId<T> found{0, 0, stream};
        const shmx_status status = shmx_client_find(get(), &raw, &found.id, &found.session_id);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return found;
    }
    Result<> send(std::uint32_t type, std::span<const std::byte> body = {}) {
        return detail::done(shmx_client_send(get(), type, body.data(), body.size()));
    }
    template <class T>
        requires std::is_trivially_copyable_v<T> && (!std::is_convertible_v<T, std::span<const std::byte>>)
    Result<> send(std::uint32_t type, const T& value) {
        return detail::done(shmx_client_send(get(), type, &value, sizeof(T)));
    }
    // For an event loop: readable when there may be news. The client's own; it is not read from and not closed.
    [[nodiscard]] Result<int> wait_fd() { return detail::number<int>(get(), shmx_client_wait_fd); }
    [[nodiscard]] Result<Sender> sender() { return detail::made<Sender, shmx_sender>(get(), shmx_client_sender); }
    [[nodiscard]] Result<Directory> directory() {
        return detail::made<Directory, shmx_directory>(get(), shmx_client_directory);
    }
    [[nodiscard]] Result<Region> region() { return detail::filled<Region>(get(), shmx_client_region); }
    // These end what is lent.
    [[nodiscard]] Result<Stats> stats() { return detail::filled<Stats>(get(), shmx_client_stats); }
    [[nodiscard]] Result<shmx_server_state> server_state() {
        std::uint32_t state = 0;
        const shmx_status status = shmx_client_server_state(get(), &state);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return static_cast<shmx_server_state>(state);
    }
    Result<> reopen() { return detail::done(shmx_client_reopen(get())); }
    Result<> heartbeat() { return detail::done(shmx_client_heartbeat(get())); }
    void close() noexcept { (void)shmx_client_close(get()); }
    [[nodiscard]] shmx_client* handle() const noexcept { return get(); }

private:
    friend class Aligner;
    explicit Client(shmx_client* handle) noexcept : handle_(handle) {}
    template <class Call>
    [[nodiscard]] Result<Following> follow_by(Call call, std::uint64_t timeout_ns) {
        Result<Following> following(std::in_place);
        const shmx_status status = call(get(), timeout_ns, following->place());
        if (status == SHMX_STATUS_OK) {
            following->lent_by(get());
        } else if (status != SHMX_STATUS_NOTHING) {
            following.fail(Error::last(status));
        }
        return following;
    }
    [[nodiscard]] shmx_client* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_client, shmx_client_free> handle_;
};

// A read-only follower that nobody notices. One thread at a time uses it.
class Tap {
public:
    using frame_type = TapFrame;

    [[nodiscard]] static Result<Tap> open(const std::string& name, shmx_start start = SHMX_START_OLDEST) {
        if (auto old = detail::too_old()) return std::move(*old);
        auto options = detail::sized<shmx_tap_options>();
        options.start = static_cast<std::uint32_t>(start);
        shmx_tap* handle = nullptr;
        const shmx_status status = shmx_tap_open(name.c_str(), &options, &handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Tap(handle);
    }
    [[nodiscard]] Result<TapFrame> latest() { return detail::take(get(), shmx_tap_latest); }
    template <Duration D>
    [[nodiscard]] Result<TapFrame> wait(const D& timeout) {
        return wait_ns(detail::nanoseconds(timeout));
    }
    [[nodiscard]] Result<TapFrame> wait_ns(std::uint64_t timeout_ns) {
        return detail::take(get(), shmx_tap_wait, timeout_ns);
    }
    template <Duration D>
    [[nodiscard]] Result<TapFrame> next(const D& timeout) {
        return next_ns(detail::nanoseconds(timeout));
    }
    [[nodiscard]] Result<TapFrame> next_ns(std::uint64_t timeout_ns) {
        return detail::take(get(), shmx_tap_next, timeout_ns);
    }
    template <Duration D>
    [[nodiscard]] FrameRange<Tap> frames(const D& timeout, Order order = Order::every) noexcept {
        return {*this, order, detail::nanoseconds(timeout)};
    }
    [[nodiscard]] Result<Directory> directory() {
        return detail::made<Directory, shmx_directory>(get(), shmx_tap_directory);
    }
    [[nodiscard]] Result<Stats> stats() { return detail::filled<Stats>(get(), shmx_tap_stats); }
    [[nodiscard]] shmx_tap* handle() const noexcept { return get(); }

private:
    friend class Aligner;
    explicit Tap(shmx_tap* handle) noexcept : handle_(handle) {}
    [[nodiscard]] shmx_tap* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_tap, shmx_tap_free> handle_;
};

// ---- Several readers ------------------------------------------------------------------------------------------------

// Waits for news of any number of clients and taps in one sleep. It holds none of them, and one that ends leaves by
// itself. One thread uses it; any may interrupt it.
class WaitSet {
public:
    [[nodiscard]] static Result<WaitSet> create() {
        if (auto old = detail::too_old()) return std::move(*old);
        shmx_wait_set* handle = nullptr;
        const shmx_status status = shmx_wait_set_new(&handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return WaitSet(handle);
    }
    // How the set will name the reader. What the reader lends ends.
    [[nodiscard]] Result<std::uint64_t> add(Client& client) {
        return added(shmx_wait_set_add_client, client.handle());
    }
    [[nodiscard]] Result<std::uint64_t> add(Tap& tap) { return added(shmx_wait_set_add_tap, tap.handle()); }
    // False if it was not in the set any more.
    bool remove(std::uint64_t token) noexcept { return shmx_wait_set_remove(get(), token) == SHMX_STATUS_OK; }
    // The readers that there may be news of, until the next wait; none when the time is up or the set was interrupted.
    // Each is named again until `try_next` or `try_wait` of it has found nothing.
    template <Duration D>
    [[nodiscard]] Result<std::span<const std::uint64_t>> wait(const D& timeout) {
        std::size_t count = 0;
        shmx_status status =
            shmx_wait_set_wait(get(), detail::nanoseconds(timeout), ready_.data(), ready_.size(), &count);
        if (status == SHMX_STATUS_OK && count > ready_.size()) {
            // All of them are named again at once, or those that are left.
            ready_.resize(count);
            status = shmx_wait_set_wait(get(), 0, ready_.data(), ready_.size(), &count);
        }
        if (status == SHMX_STATUS_NOTHING) return std::span<const std::uint64_t>();
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return std::span<const std::uint64_t>(ready_.data(), count < ready_.size() ? count : ready_.size());
    }
    // Ends the wait that another thread is in, or the next one.
    void interrupt() const noexcept { (void)shmx_wait_set_interrupt(get()); }
    [[nodiscard]] shmx_wait_set* handle() const noexcept { return get(); }

private:
    explicit WaitSet(shmx_wait_set* handle) noexcept : handle_(handle) {}
    template <class Call, class H>
    Result<std::uint64_t> added(Call call, H* reader) {
        std::uint64_t token = 0;
        const shmx_status status = call(get(), reader, &token);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return token;
    }
    [[nodiscard]] shmx_wait_set* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_wait_set, shmx_wait_set_free> handle_;
    // Grows to as many as were ever ready at once.
    std::vector<std::uint64_t> ready_;
};

// Frames of several regions that belong to one moment: one of each source, in the order in which these were added.
struct Aligned {
    std::vector<OwnedFrame> frames;
    std::uint64_t spread_ns;
};

// Hands out frames of several regions that are nearest to one moment.
class Aligner {
public:
    template <Duration D>
    [[nodiscard]] static Result<Aligner> create(shmx_align by, const D& tolerance) {
        if (auto old = detail::too_old()) return std::move(*old);
        shmx_aligner* handle = nullptr;
        const shmx_status status =
            shmx_aligner_new(static_cast<std::uint32_t>(by), detail::nanoseconds(tolerance), &handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Aligner(handle);
    }
    // The reader is the aligner's from now on.
    Result<> add(Client client) { return added(shmx_aligner_add_client(get(), client.handle_.place())); }
    Result<> add(Tap tap) { return added(shmx_aligner_add_tap(get(), tap.handle_.place())); }
    // The next set; none when the time is up.
    template <Duration D>
    [[nodiscard]] Result<std::optional<Aligned>> next(const D& timeout) {
        Aligned set{{}, 0};
        std::vector<shmx_frame*> raw(sources_);
        set.frames.reserve(sources_);
        const shmx_status status =
            shmx_aligner_next(get(), detail::nanoseconds(timeout), raw.data(), raw.size(), &set.spread_ns);
        if (status == SHMX_STATUS_NOTHING) return std::optional<Aligned>();
        if (status != SHMX_STATUS_OK) return Error::last(status);
        for (shmx_frame* frame : raw) set.frames.emplace_back(frame);
        return std::optional<Aligned>(std::move(set));
    }
    // Frames of a source that found no partner.
    [[nodiscard]] std::uint64_t unmatched(std::size_t source) const noexcept {
        std::uint64_t count = 0;
        (void)shmx_aligner_unmatched(get(), source, &count);
        return count;
    }
    [[nodiscard]] shmx_aligner* handle() const noexcept { return get(); }

private:
    explicit Aligner(shmx_aligner* handle) noexcept : handle_(handle) {}
    Result<> added(shmx_status status) {
        if (status == SHMX_STATUS_OK) ++sources_;
        return detail::done(status);
    }
    [[nodiscard]] shmx_aligner* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_aligner, shmx_aligner_free> handle_;
    std::size_t sources_ = 0;
};

// ---- Looking at regions ---------------------------------------------------------------------------------------------

// A change of a region. `server` says how one has ended.
struct Event {
    std::string name;
    shmx_change change;
    shmx_server_state server;
};

// Tells when regions appear, end or are replaced; it begins with those that are there. One thread at a time uses it.
class Events {
public:
    // Of these names; of all regions of the machine if there are none.
    [[nodiscard]] static Result<Events> open(std::span<const char* const> names = {}) {
        if (auto old = detail::too_old()) return std::move(*old);
        shmx_events* handle = nullptr;
        const shmx_status status = shmx_events_open(names.data(), names.size(), &handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Events(handle);
    }
    // The next event; none when the time is up.
    template <Duration D>
    [[nodiscard]] Result<std::optional<Event>> next(const D& timeout) {
        auto raw = detail::sized<shmx_event>();
        const shmx_status status = shmx_events_next(get(), detail::nanoseconds(timeout), &raw);
        if (status == SHMX_STATUS_NOTHING) return std::optional<Event>();
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return std::optional<Event>(Event{raw.name, static_cast<shmx_change>(raw.change),
                                          static_cast<shmx_server_state>(raw.server)});
    }
    // For an event loop: then ask with a timeout of 0 until there is none. It is not read from and not closed.
    [[nodiscard]] Result<int> wait_fd() { return detail::number<int>(get(), shmx_events_wait_fd); }
    [[nodiscard]] shmx_events* handle() const noexcept { return get(); }

private:
    explicit Events(shmx_events* handle) noexcept : handle_(handle) {}
    [[nodiscard]] shmx_events* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_events, shmx_events_free> handle_;
};

// A read-only view of a live region or of a dump. Any thread may use it.
class Inspector {
public:
    [[nodiscard]] static Result<Inspector> open(const std::string& name) { return opened(name, shmx_inspector_open); }
    [[nodiscard]] static Result<Inspector> open_file(const std::string& path) {
        return opened(path, shmx_inspector_open_file);
    }

    [[nodiscard]] Result<Region> region() const { return detail::filled<Region>(get(), shmx_inspector_region); }
    [[nodiscard]] Result<shmx_header> header() const {
        return detail::filled<shmx_header>(get(), shmx_inspector_header);
    }
    [[nodiscard]] Result<Directory> directory() const {
        return detail::made<Directory, shmx_directory>(get(), shmx_inspector_directory);
    }
    [[nodiscard]] Result<std::vector<Reader>> readers() const { return detail::readers(get(), shmx_inspector_readers); }
    // A copy of the newest frame; none while there is none.
    [[nodiscard]] Result<std::optional<OwnedFrame>> latest() const {
        shmx_frame* frame = nullptr;
        const shmx_status status = shmx_inspector_latest(get(), &frame);
        if (status == SHMX_STATUS_NOTHING) return std::optional<OwnedFrame>();
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return std::optional<OwnedFrame>(std::in_place, frame);
    }
    // A slot, and the frame in it if there is one.
    [[nodiscard]] Result<std::pair<shmx_slot, std::optional<OwnedFrame>>> slot(std::uint32_t index) const {
        std::pair<shmx_slot, std::optional<OwnedFrame>> found{detail::sized<shmx_slot>(), std::nullopt};
        shmx_frame* frame = nullptr;
        const shmx_status status = shmx_inspector_slot(get(), index, &found.first, &frame);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        if (frame) found.second.emplace(frame);
        return found;
    }
    [[nodiscard]] Result<Messages> peek(std::uint32_t reader_index) const {
        shmx_messages* raw = nullptr;
        const shmx_status status = shmx_inspector_peek(get(), reader_index, &raw);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Messages(raw);
    }
    [[nodiscard]] shmx_inspector* handle() const noexcept { return get(); }

private:
    explicit Inspector(shmx_inspector* handle) noexcept : handle_(handle) {}
    template <class Call>
    static Result<Inspector> opened(const std::string& name, Call call) {
        if (auto old = detail::too_old()) return std::move(*old);
        shmx_inspector* handle = nullptr;
        const shmx_status status = call(name.c_str(), &handle);
        if (status != SHMX_STATUS_OK) return Error::last(status);
        return Inspector(handle);
    }
    [[nodiscard]] shmx_inspector* get() const noexcept { return handle_.get(); }
    detail::Handle<shmx_inspector, shmx_inspector_free> handle_;
};

// Removes what a dead server has left under a name; with `force` also what has no liveness lock.
inline Result<shmx_removed> remove(const std::string& name, bool force = false) {
    std::uint32_t what = 0;
    const shmx_status status = shmx_remove(name.c_str(), force ? 1 : 0, &what);
    if (status != SHMX_STATUS_OK) return Error::last(status);
    return static_cast<shmx_removed>(what);
}

} // namespace shmxx

#endif // SHMX_HPP
