// Every public member of the original's headers, with either include path; what it prints is compared. `members NAME`.
#include <cstdio>
#include <type_traits>
#include "shmx_client.h"
#include "shmx_inspector.h"
#include "shmx_server.h"

using namespace shmx;

#define SAY(...) (std::printf(__VA_ARGS__), std::printf("\n"))
// Declarations are the same, qualifiers and all.
#define SAME(member, type) static_assert(std::is_same_v<decltype(member), type>, #member)

SAME(&Server::create, bool (Server::*)(const Server::Config&, const std::vector<StaticStream>&));
SAME(&Server::destroy, void (Server::*)() noexcept);
SAME(&Server::write_static_append, bool (Server::*)(const void*, std::uint32_t) const);
SAME(&Server::begin_frame, Server::FrameMap (Server::*)() const);
SAME(&Server::append_stream, bool (*)(Server::FrameMap&, std::uint32_t, const void*, std::uint32_t, std::uint32_t));
SAME(&Server::publish_frame, bool (Server::*)(Server::FrameMap&, double) const);
SAME(&Server::snapshot_readers, std::vector<Server::ReaderInfo> (Server::*)() const);
SAME(&Server::poll_control, bool (Server::*)(std::vector<Server::ControlMsg>&, std::uint32_t) const);
SAME(&Server::header, const GlobalHeader* (Server::*)() const noexcept);
SAME(&Server::static_ptr, std::uint8_t* (Server::*)() const noexcept);
SAME(&Server::static_used, std::uint32_t (Server::*)() const noexcept);
SAME(&Server::readers_connected, std::uint32_t (Server::*)() const noexcept);
SAME(&Server::reap_stale_readers, bool (Server::*)(std::uint64_t, std::uint64_t) const);
SAME(&Client::open, bool (Client::*)(const std::string&));
SAME(&Client::close, void (Client::*)() noexcept);
SAME(&Client::header, GlobalHeader* (Client::*)() noexcept);
SAME(&Client::refresh_static, bool (Client::*)(StaticState&));
SAME(&Client::latest, bool (Client::*)(FrameView&));
SAME(&Client::decode, bool (*)(const FrameView&, DecodedFrame&));
SAME(&Client::control_send, bool (Client::*)(std::uint32_t, const void*, std::uint32_t));
SAME(&Inspector::open, bool (Inspector::*)(const std::string&));
SAME(&Inspector::close, void (Inspector::*)());
SAME(&Inspector::header, const GlobalHeader* (Inspector::*)() const);
SAME(&Inspector::layout, InspectLayout (Inspector::*)() const);
SAME(&Inspector::snapshot_readers, std::vector<InspectReader> (Inspector::*)() const);
SAME(&Inspector::decode_static_dir, std::vector<InspectDirEntry> (Inspector::*)() const);
SAME(&Inspector::latest, bool (Inspector::*)(InspectFrameView&) const);
SAME(&Inspector::slot_view, bool (Inspector::*)(std::uint32_t, InspectFrameView&) const);
SAME(&Inspector::list_slots, std::vector<InspectSlotView> (Inspector::*)() const);
SAME(&Inspector::peek_control, std::vector<InspectControlMsg> (Inspector::*)(std::uint32_t, std::uint32_t) const);
SAME(&Map::create, bool (Map::*)(std::string_view, std::size_t) noexcept);
SAME(&Map::open, bool (Map::*)(std::string_view, std::size_t) noexcept);
SAME(&Map::remap, bool (Map::*)(std::size_t) noexcept);
SAME(&Map::close, void (Map::*)() noexcept);
SAME(&Map::data, std::uint8_t* (Map::*)() const noexcept);
SAME(&Map::size, std::size_t (Map::*)() const noexcept);

static void constants() {
    SAY("%llx %u %u %x", static_cast<unsigned long long>(MAGIC), VER_MAJOR, VER_MINOR, ENDIAN_TAG);
    SAY("%u %u %u %x %x %x", ALIGN_STATIC, ALIGN_SLOT, ALIGN_TLV, TLV_STATIC_DIR, TLV_FRAME_STREAM, TLV_CONTROL_USER);
    SAY("%u %u %u %u %u %u %u", DT_BOOL, DT_I8, DT_U8, DT_I16, DT_U16, DT_I32, DT_U32);
    SAY("%u %u %u %u %u %u", DT_I64, DT_U64, DT_F16, DT_BF16, DT_F32, DT_F64);
    SAY("%u %u %u %u", LAYOUT_SOA_SCALAR, LAYOUT_AOS_VECTOR, align_up(0, 16), align_up(17, 16));
    SAY("%llx %x", static_cast<unsigned long long>(fnv1a64("shmx", 4)), checksum32("shmx", 4));
    SAY("%zu %zu %zu", sizeof(TLV), sizeof(StaticStreamDesc), sizeof(FrameStreamTLV));
    SAY("%zu %zu %zu", sizeof(GlobalHeader), sizeof(FrameHeader), sizeof(ReaderSlot));
    SAY("%zu %zu", offsetof(GlobalHeader, frame_seq), offsetof(FrameHeader, checksum));
    static_assert(align_up(1, 64) == 64);
}

#define AT(type, field) SAY("%s.%s %zu %zu", #type, #field, offsetof(type, field), sizeof(type::field))

// Where each field lies, and how large it is.
static void fields() {
    AT(TLV, type);
    AT(TLV, length);
    AT(StaticStreamDesc, stream_id);
    AT(StaticStreamDesc, element_type);
    AT(StaticStreamDesc, components);
    AT(StaticStreamDesc, layout);
    AT(StaticStreamDesc, bytes_per_elem);
    AT(StaticStreamDesc, reserved);
    AT(StaticStreamDesc, name_len);
    AT(StaticStreamDesc, extra_len);
    AT(FrameStreamTLV, stream_id);
    AT(FrameStreamTLV, elem_count);
    AT(FrameStreamTLV, bytes_payload);
    AT(FrameStreamTLV, reserved);
    AT(GlobalHeader, magic);
    AT(GlobalHeader, ver_major);
    AT(GlobalHeader, ver_minor);
    AT(GlobalHeader, endianness);
    AT(GlobalHeader, session_id);
    AT(GlobalHeader, static_gen);
    AT(GlobalHeader, static_hash);
    AT(GlobalHeader, static_offset);
    AT(GlobalHeader, static_bytes_cap);
    AT(GlobalHeader, static_bytes_used);
    AT(GlobalHeader, slots);
    AT(GlobalHeader, slot_stride);
    AT(GlobalHeader, slots_offset);
    AT(GlobalHeader, frame_bytes_cap);
    AT(GlobalHeader, reader_slots);
    AT(GlobalHeader, reader_slot_stride);
    AT(GlobalHeader, readers_offset);
    AT(GlobalHeader, control_offset);
    AT(GlobalHeader, control_per_reader);
    AT(GlobalHeader, control_stride);
    AT(GlobalHeader, frame_seq);
    AT(GlobalHeader, write_index);
    AT(GlobalHeader, readers_connected);
    AT(GlobalHeader, reserve_index);
    AT(FrameHeader, session_id_copy);
    AT(FrameHeader, frame_id);
    AT(FrameHeader, sim_time);
    AT(FrameHeader, payload_bytes);
    AT(FrameHeader, tlv_count);
    AT(FrameHeader, checksum);
    AT(FrameHeader, reserved);
    AT(ReaderSlot, reader_id);
    AT(ReaderSlot, heartbeat);
    AT(ReaderSlot, last_frame_seen);
    AT(ReaderSlot, in_use);
    AT(ReaderSlot, pad);
    AT(ReaderSlot, reserved);
    const StaticStreamInfo info{1, DT_F32, 3, LAYOUT_AOS_VECTOR, 12, "x", {7}};
    const DecodedItem decoded{&info, 4, 5};
    const InspectItem item{&info, 4, 5};
    SAY("%u %s %zu %d %u %u %d %u %u", info.id, info.name.c_str(), info.extra.size(), decoded.ptr == &info, decoded.bytes,
        decoded.elem_count, item.ptr == &info, item.bytes, item.elem_count);
}

static void map(const std::string& name) {
    Map one, other;
    SAY("map %d %zu", one.data() == nullptr, one.size());
    SAY("remap %d", one.remap(64));
    SAY("open %d", other.open(name + "-none", 64));
    const bool created = one.create(name + "-map", 4096);
    SAY("create %d %zu", created, one.size());
    one.data()[5] = 9;
    const bool opened = other.open(name + "-map", 64);
    SAY("open %d %d", opened, other.data()[5]);
    const bool more = other.remap(4096);
    SAY("remap %d %zu", more, other.size());
    other.close();
    SAY("closed %d %zu", other.data() == nullptr, other.size());
    ::shm_unlink(("/" + name + "-map").c_str());
}

static void say(const StaticState& state) {
    SAY("static: gen %u, %u bytes, %zu streams", state.static_gen, state.payload_bytes, state.dir.size());
    for (const auto& s : state.dir) {
        SAY("  %u %u %u %u %u %s %zu", s.id, s.elem_type, s.components, s.layout, s.bytes_per_elem, s.name.c_str(),
            s.extra.size());
    }
}

static void say(const DecodedFrame& frame) {
    for (const auto& [id, item] : frame.streams) {
        SAY("  stream %u: %u elements, %u bytes, first %d", id, item.elem_count, item.bytes,
            *static_cast<const signed char*>(item.ptr));
    }
}

static bool publish(Server& server, std::uint64_t tick) {
    auto frame = server.begin_frame();
    const float points[6] = {1, 2, 3, 4, 5, 6};
    bool ok = Server::append_stream(frame, 1, &tick, 1, 8);
    ok = ok && Server::append_stream(frame, 2, points, 2, 24);
    return ok && server.publish_frame(frame, static_cast<double>(tick));
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const std::string name = argv[1];
    constants();
    fields();
    map(name);

    Client client;
    Inspector inspector;
    FrameView view;
    SAY("before: %d", client.open(name));
    SAY("before: %d", inspector.open(name));
    SAY("closed: %d %d", client.latest(view), client.control_send(1, "x", 1));
    client.close();

    Server server;
    Server::Config config;
    SAY("defaults: %u %u %u %u %u", config.slots, config.reader_slots, config.static_bytes_cap, config.frame_bytes_cap,
        config.control_per_reader);
    config.name = name;
    SAY("no capacity: %d", server.create(config, {}));
    config.frame_bytes_cap = 1000;
    config.slots = 4;
    config.reader_slots = 3;
    config.static_bytes_cap = 1024;
    config.control_per_reader = 256;
    const StaticStream extra{2, DT_F32, 3, LAYOUT_AOS_VECTOR, 12, "position", {1, 2, 3}};
    SAY("create: %d", server.create(config, {{1, DT_U64, 1, LAYOUT_SOA_SCALAR, 8, "tick", {}}, extra}));
    const GlobalHeader* h = server.header();
    SAY("header: %u %u %u %u %u", h->slots, h->slot_stride, h->slots_offset, h->frame_bytes_cap, h->reader_slots);
    SAY("header: %u %u %u %u %u", h->reader_slot_stride, h->readers_offset, h->control_offset, h->control_per_reader,
        h->control_stride);
    SAY("header: %u %u %u %u", h->static_offset, h->static_bytes_cap, h->static_bytes_used, h->static_gen.load());
    SAY("static: %u %x", server.static_used(), checksum32(server.static_ptr(), server.static_used()));

    const bool attached = client.open(name);
    SAY("open: %d, readers %u", attached, server.readers_connected());
    StaticState state{};
    const bool fresh = client.refresh_static(state);
    SAY("refresh: %d, hash %d", fresh, state.static_hash == fnv1a64(server.static_ptr(), server.static_used()));
    say(state);
    SAY("nothing yet: %d", client.latest(view));

    for (std::uint64_t tick = 1; tick <= 6; ++tick) {
        const bool sent = publish(server, tick);
        SAY("publish: %d, frame %llu", sent, static_cast<unsigned long long>(h->frame_seq.load()));
        const bool got = client.latest(view);
        SAY("latest: %d, id %llu, time %g, %u bytes, %u records, sum %d, mismatch %d %u", got,
            static_cast<unsigned long long>(view.fh->frame_id.load()), view.fh->sim_time, view.bytes,
            view.fh->tlv_count, view.fh->checksum == checksum32(view.payload, view.bytes), view.session_mismatch,
            view.checksum_mismatch);
        SAY("header: %u bytes, session %d", view.fh->payload_bytes,
            view.fh->session_id_copy == client.header()->session_id);
        DecodedFrame decoded;
        SAY("decode: %d", Client::decode(view, decoded));
        say(decoded);
    }
    const bool again = client.latest(view);
    SAY("again: %d, id %llu", again, static_cast<unsigned long long>(view.fh->frame_id.load()));

    // In place, by the public fields.
    auto frame = server.begin_frame();
    SAY("frame: %u %u %u", frame.capacity, frame.tlv_count, frame.used);
    const std::vector<char> large(990);
    SAY("too large: %d", Server::append_stream(frame, 1, large.data(), 1, 990));
    SAY("no data: %d", Server::append_stream(frame, 1, nullptr, 0, 0));
    const TLV record{TLV_FRAME_STREAM, 24};
    const FrameStreamTLV stream{77, 1, 8, 0};
    std::memcpy(frame.payload, &record, sizeof record);
    std::memcpy(frame.payload + 8, &stream, sizeof stream);
    std::memset(frame.payload + 24, 5, 8);
    frame.used = 32;
    frame.tlv_count = 1;
    SAY("in place: %d", server.publish_frame(frame, 7.0));
    DecodedFrame decoded;
    const bool found = client.latest(view);
    SAY("latest: %d %d", found, Client::decode(view, decoded));
    say(decoded);
    const FrameView none{};
    const bool empty = Client::decode(none, decoded);
    SAY("nothing: %d %zu", empty, decoded.streams.size());

    const auto readers = server.snapshot_readers();
    SAY("readers: %zu, in use %d, seen %llu, id %d, beat %d", readers.size(), readers[0].in_use,
        static_cast<unsigned long long>(readers[0].last_frame_seen), readers[0].reader_id != 0,
        readers[0].heartbeat != 0);
    const bool first = client.control_send(TLV_CONTROL_USER, "hello", 5);
    SAY("send: %d %d", first, client.control_send(TLV_CONTROL_USER + 1, "", 0));
    SAY("too long: %d", client.control_send(TLV_CONTROL_USER, large.data(), 250));

    SAY("inspect: %d", inspector.open(name));
    SAY("inspect header: %d", inspector.header()->session_id == h->session_id);
    const InspectLayout l = inspector.layout();
    SAY("layout: %u %u %u %u %u %u %u", l.static_offset, l.static_used, l.static_cap, l.readers_offset, l.reader_stride,
        l.reader_slots, l.control_offset);
    SAY("layout: %u %u %u %u %u %u", l.control_stride, l.control_per_reader, l.slots_offset, l.slot_stride, l.slots,
        l.frame_bytes_cap);
    for (const auto& r : inspector.snapshot_readers()) {
        SAY("reader: %d %d %llu %d", r.in_use, r.reader_id == readers[0].reader_id,
            static_cast<unsigned long long>(r.last_frame_seen), r.heartbeat != 0);
    }
    for (const auto& e : inspector.decode_static_dir()) {
        SAY("entry: %u %u %u %u %u %s %zu", e.stream_id, e.element_type, e.components, e.layout, e.bytes_per_elem,
            e.name.c_str(), e.extra.size());
    }
    InspectFrameView seen{};
    const bool newest = inspector.latest(seen);
    SAY("inspect latest: %d, id %llu, %u bytes, whole %d", newest,
        static_cast<unsigned long long>(seen.fh->frame_id.load()), seen.bytes, seen.checksum_ok);
    std::vector<std::pair<std::uint32_t, InspectItem>> items;
    const bool walked = Inspector::decode_frame(seen, items);
    SAY("decode: %d, %zu, stream %u, %u, %u", walked, items.size(), items[0].first, items[0].second.bytes,
        items[0].second.elem_count);
    SAY("past the last: %d, slots %zu", inspector.slot_view(99, seen), inspector.list_slots().size());
    for (const auto& slot : inspector.list_slots()) {
        SAY("slot %u: %u bytes, whole %d, records %u", slot.index, slot.view.bytes, slot.view.checksum_ok,
            slot.view.fh->tlv_count);
    }
    for (const auto& m : inspector.peek_control(0, 9)) {
        SAY("peek: %x, %zu bytes, %d", m.type, m.data.size(), m.reader_id == readers[0].reader_id);
    }
    SAY("peek past the last: %zu, at most %zu", inspector.peek_control(99, 9).size(),
        inspector.peek_control(0, 1).size());

    std::vector<Server::ControlMsg> messages;
    SAY("poll: %d", server.poll_control(messages, 1));
    for (const auto& m : messages) SAY("  %x %zu %d", m.type, m.data.size(), m.reader_id == readers[0].reader_id);
    SAY("poll: %d", server.poll_control(messages, 10));
    for (const auto& m : messages) SAY("  %x %zu", m.type, m.data.size());
    const bool polled = server.poll_control(messages, 10);
    SAY("poll: %d %zu", polled, messages.size());

    // A whole record of the directory's kind.
    std::uint8_t entry[48] = {};
    const TLV head{TLV_STATIC_DIR, 36};
    const StaticStreamDesc desc{9, DT_U8, 1, LAYOUT_SOA_SCALAR, 1, 0, 4, 0};
    std::memcpy(entry, &head, 8);
    std::memcpy(entry + 8, &desc, 32);
    std::memcpy(entry + 40, "more", 4);
    SAY("append: %d %d", server.write_static_append(entry, 48), server.write_static_append(nullptr, 0));
    SAY("refresh: %d", client.refresh_static(state));
    say(state);
    SAY("too much: %d", server.write_static_append(large.data(), 990));

    SAY("nobody stale: %d", server.reap_stale_readers(0, 0));
    inspector.close();
    client.close();
    SAY("left: %u", server.readers_connected());
    server.destroy();
    SAY("destroyed: %d %d", server.header() == nullptr, server.write_static_append(entry, 48));
    server.destroy();
    ::shm_unlink(("/" + name).c_str());
}
