// SPDX-License-Identifier: MIT
//
// SHMX: frames of typed streams between processes through named shared memory. See docs/cpp.md.
//
// Every function but the plain getters returns a status: SHMX_STATUS_OK, SHMX_STATUS_NOTHING (no frame, no such thing;
// not an error), or an error, whose text shmx_last_error gives to the thread that got it. Out-parameters are written
// only with SHMX_STATUS_OK. No panic of the library leaves it.
//
// What the caller promises, everywhere:
//  - a pointer is null or leads to what its type says, for as long as the call takes, and no other thread changes it;
//  - a handle came from this library and was not freed;
//  - a string ends in a zero byte; a pointer with a length leads to that many bytes;
//  - a handle is used by one thread at a time, unless its functions say `Threads: any`. It may move between threads.
// Null where something is needed, a wrong size, a closed handle, a value out of range: these are statuses.
//
// Structs that begin with `size` are set to zero and given their `sizeof`; zero in a field means the default. They grow
// at their end only, to 1024 bytes at most, and library and program may be of different versions.
//
// A `shmx_view` is lent: what it points to is valid until the next call on its client or tap, those marked `Keeps the
// view` aside.

#ifndef SHMX_H
#define SHMX_H

/* Made by `cargo xtask capi-header` from crates/shmx-capi/src. Do not edit. */

#include <stddef.h>
#include <stdint.h>

// Version of the interface that this header describes. It grows with every addition; what a version has, later ones
// have.
#define SHMX_ABI_VERSION 3

// In a field whose zero means the default: none at all.
#define SHMX_NONE 4294967295

// In a field of nanoseconds whose zero means the default: none at all; as a timeout: no limit.
#define SHMX_FOREVER 18446744073709551615ull

// First type of control message that is the application's.
#define SHMX_CONTROL_USER 12288

// Frames carry no publish time.
#define SHMX_SERVER_NO_PUBLISH_TIME 1

// Replace what has the name even if it is a region without liveness lock, or none. One that lives is never replaced.
#define SHMX_SERVER_REPLACE 2

// Ask for huge pages.
#define SHMX_SERVER_HUGE_PAGES 4

// The server may be used by several threads at once, each filling frames of its own. Without it a server is a little
// faster, belongs to one thread at a time, and has one frame under construction.
#define SHMX_SERVER_SHARED 8

// The server rings for every frame, so that taps can sleep.
#define SHMX_SERVER_RING_ALWAYS 16

// Do not enter the region into the page table when it is opened.
#define SHMX_CLIENT_NO_PREFAULT 1

// Map with huge pages what the server has in huge pages.
#define SHMX_CLIENT_HUGE_PAGES 2

// Open without a reader slot where none can be had: the client copies, cannot send, and is not seen.
#define SHMX_CLIENT_SLOT_OPTIONAL 4

// Go over to a successor of the server.
#define SHMX_CLIENT_RECONNECT 8

// The client wants every frame: a server that waits for its readers waits for it.
#define SHMX_CLIENT_EVERY_FRAME 16

// Type of the records that hold a stream.
#define SHMX_RECORD_STREAM 8192

// Records of a payload begin at multiples of this.
#define SHMX_RECORD_ALIGN 16

// What became of a call. Numbers are never used again for anything else; more may come.
typedef enum shmx_status {
    // It was done.
    SHMX_STATUS_OK = 0,
    // Nothing there: no frame yet, the time is up, no such stream in the frame. Not an error, and has no text.
    SHMX_STATUS_NOTHING = 1,
    // A pointer is null that must not be.
    SHMX_STATUS_NULL = 2,
    // An argument has a value that it cannot have.
    SHMX_STATUS_BAD_ARGUMENT = 3,
    // A struct's `size` is none of any version, or it sets fields that the library does not know.
    SHMX_STATUS_BAD_SIZE = 4,
    // The handle was closed.
    SHMX_STATUS_CLOSED = 5,
    // The server is of one thread, and a frame is under construction; or another thread uses the wait set.
    SHMX_STATUS_BUSY = 6,
    // A fault of the library, stopped at its border. Please report it with the text.
    SHMX_STATUS_PANIC = 7,
    // The library is older than the header that the program was compiled with. Only `shmx.hpp` gives it.
    SHMX_STATUS_OLD_LIBRARY = 8,
    // The name cannot be a region's.
    SHMX_STATUS_NAME = 16,
    // There is no region of that name.
    SHMX_STATUS_NOT_FOUND = 17,
    // The system's permissions forbid it.
    SHMX_STATUS_PERMISSION = 18,
    // The system refused; the text has its reason.
    SHMX_STATUS_SYSTEM = 19,
    // There is something of that name, and it is no region that can be used.
    SHMX_STATUS_NOT_A_REGION = 20,
    // The server has left or died.
    SHMX_STATUS_SERVER_GONE = 21,
    // All reader slots are taken.
    SHMX_STATUS_NO_READER_SLOT = 22,
    // A live server has the name.
    SHMX_STATUS_HELD = 23,
    // Something else has the name that is not replaced unasked.
    SHMX_STATUS_EXISTS = 24,
    // The parameters make no region: too large, say.
    SHMX_STATUS_LAYOUT = 25,
    // The description of a stream makes no sense.
    SHMX_STATUS_STREAM = 26,
    // There is no memory left for the region.
    SHMX_STATUS_NO_SPACE = 27,
    // Every slot is leased by readers or being written.
    SHMX_STATUS_NO_FREE_SLOT = 32,
    // The region has another session: another server has begun in it.
    SHMX_STATUS_SESSION = 33,
    // The handle belongs to the process that forked this one.
    SHMX_STATUS_FORKED = 34,
    // The region has no such stream.
    SHMX_STATUS_UNKNOWN_STREAM = 35,
    // The stream has another type, or its number another name.
    SHMX_STATUS_WRONG_TYPE = 36,
    // The frame has the stream already.
    SHMX_STATUS_DUPLICATE = 37,
    // The bytes are not whole elements.
    SHMX_STATUS_LENGTH = 38,
    // It does not fit: into the frame, the directory or the control ring.
    SHMX_STATUS_FULL = 39,
    // The message can never fit into the control ring.
    SHMX_STATUS_TOO_LONG = 40,
    // The region has no control rings, or the client has no reader slot.
    SHMX_STATUS_NO_CONTROL = 41,
    // The frame has no stream.
    SHMX_STATUS_EMPTY = 42,
    // A checksum is wrong.
    SHMX_STATUS_CHECKSUM = 43,
    // Bytes in the region make no sense: a frame, the directory, a control ring.
    SHMX_STATUS_DAMAGED = 44,
    // The producer overwrote the frame at every attempt to read it.
    SHMX_STATUS_LAPPED = 45,
    // This system cannot do it.
    SHMX_STATUS_UNSUPPORTED = 46,
    // Readers that want every frame have not taken in time what had to be taken; the text names them.
    SHMX_STATUS_NOT_TAKEN = 47,
    // The server's name was taken away, or leads to another object.
    SHMX_STATUS_NAME_LOST = 48,
} shmx_status;

// The time that frames are aligned by.
typedef enum shmx_align {
    // When the frame's data was acquired, by its stream of such times (docs/streams.md) and one clock in all regions.
    SHMX_ALIGN_ACQUISITION_TIME = 0,
    // When it was published, to about a microsecond.
    SHMX_ALIGN_PUBLISH_TIME = 1,
    // The producers' own time, taken as seconds.
    SHMX_ALIGN_SIM_TIME = 2,
} shmx_align;

// What happened to a name.
typedef enum shmx_change {
    // Something that this version does not know.
    SHMX_CHANGE_UNKNOWN = 0,
    // There is a region with a server that lives.
    SHMX_CHANGE_APPEARED = 1,
    // Another server has the name now. What became of the one before may not have been seen.
    SHMX_CHANGE_REPLACED = 2,
    // The region's server is gone, or its name was taken away.
    SHMX_CHANGE_ENDED = 3,
} shmx_change;

// Which frames carry a checksum.
typedef enum shmx_checksum {
    // Where somebody needs it.
    SHMX_CHECKSUM_AUTO = 0,
    // Every frame.
    SHMX_CHECKSUM_ALWAYS = 1,
    // None. Readers of the original reject every frame then.
    SHMX_CHECKSUM_NEVER = 2,
} shmx_checksum;

// What is known about a frame's checksum.
typedef enum shmx_checksum_state {
    // Not computed: wholeness was proven otherwise, or the reader does not want it.
    SHMX_CHECKSUM_STATE_UNVERIFIED = 0,
    // Computed and right.
    SHMX_CHECKSUM_STATE_VERIFIED = 1,
    // Computed and wrong; only inspectors hand out such a frame.
    SHMX_CHECKSUM_STATE_MISMATCH = 2,
    // The producer wrote none. That is no damage.
    SHMX_CHECKSUM_STATE_ABSENT = 3,
} shmx_checksum_state;

// Types of components. The numbers are those of the wire format.
typedef enum shmx_element {
    // Any: not compared.
    SHMX_ELEMENT_ANY = 0,
    // One byte, 0 or 1.
    SHMX_ELEMENT_BOOL = 1,
    // 8-bit signed integer.
    SHMX_ELEMENT_I8 = 2,
    // 8-bit unsigned integer.
    SHMX_ELEMENT_U8 = 3,
    // 16-bit signed integer.
    SHMX_ELEMENT_I16 = 4,
    // 16-bit unsigned integer.
    SHMX_ELEMENT_U16 = 5,
    // 32-bit signed integer.
    SHMX_ELEMENT_I32 = 6,
    // 32-bit unsigned integer.
    SHMX_ELEMENT_U32 = 7,
    // 64-bit signed integer.
    SHMX_ELEMENT_I64 = 8,
    // 64-bit unsigned integer.
    SHMX_ELEMENT_U64 = 9,
    // IEEE 754 half precision.
    SHMX_ELEMENT_F16 = 10,
    // bfloat16.
    SHMX_ELEMENT_BF16 = 11,
    // IEEE 754 single precision.
    SHMX_ELEMENT_F32 = 12,
    // IEEE 754 double precision.
    SHMX_ELEMENT_F64 = 13,
} shmx_element;

// Whether a frame is held in its slot or copied out of it.
typedef enum shmx_hold {
    // Under a lease, unless it is small or the producer would be left too few slots.
    SHMX_HOLD_AUTO = 0,
    // Under a lease wherever the region allows it.
    SHMX_HOLD_LEASE = 1,
    // By copy.
    SHMX_HOLD_COPY = 2,
} shmx_hold;

// What a shared-memory object is.
typedef enum shmx_kind {
    // Something else's.
    SHMX_KIND_FOREIGN = 0,
    // A region.
    SHMX_KIND_REGION = 1,
    // It begins like a region and makes no sense.
    SHMX_KIND_DAMAGED = 2,
    // It cannot be opened.
    SHMX_KIND_UNREADABLE = 3,
} shmx_kind;

// How the components of an element lie.
typedef enum shmx_layout {
    // As is usual for their number.
    SHMX_LAYOUT_AUTO = 0,
    // Scalars, one after the other.
    SHMX_LAYOUT_SCALARS = 1,
    // Whole vectors, one after the other.
    SHMX_LAYOUT_VECTORS = 2,
} shmx_layout;

// What a name led to that was removed.
typedef enum shmx_removed {
    // Nothing: it was gone already.
    SHMX_REMOVED_NOTHING = 0,
    // What a dead server had left.
    SHMX_REMOVED_DEAD = 1,
    // A region without a liveness lock.
    SHMX_REMOVED_UNLOCKED = 2,
    // No region.
    SHMX_REMOVED_FOREIGN = 3,
} shmx_removed;

// What is known of a region's server.
typedef enum shmx_server_state {
    // It cannot be known.
    SHMX_SERVER_STATE_UNKNOWN = 0,
    // It lives, or is not known to be gone.
    SHMX_SERVER_STATE_LIVE = 1,
    // It left in good order.
    SHMX_SERVER_STATE_CLOSED = 2,
    // Its process died.
    SHMX_SERVER_STATE_DIED = 3,
    // The region was made by an implementation without locks; nobody can tell.
    SHMX_SERVER_STATE_REFERENCE = 4,
} shmx_server_state;

// What a slot holds.
typedef enum shmx_slot_state {
    // No frame.
    SHMX_SLOT_STATE_EMPTY = 0,
    // A frame is being written.
    SHMX_SLOT_STATE_WRITING = 1,
    // A frame.
    SHMX_SLOT_STATE_FRAME = 2,
    // Something that cannot be a frame of this session.
    SHMX_SLOT_STATE_BAD = 3,
} shmx_slot_state;

// Which frame a reader begins with.
typedef enum shmx_start {
    // A client with the newest, a tap with the oldest.
    SHMX_START_AUTO = 0,
    // The newest there is.
    SHMX_START_NEWEST = 1,
    // The oldest still in the ring.
    SHMX_START_OLDEST = 2,
    // The one after `after_frame` of session `after_session`.
    SHMX_START_AFTER = 3,
} shmx_start;

// When a reader compares checksums.
typedef enum shmx_verify {
    // Where nothing else proves that a frame is whole.
    SHMX_VERIFY_AUTO = 0,
    // Every frame that has one.
    SHMX_VERIFY_ALWAYS = 1,
    // None.
    SHMX_VERIFY_NEVER = 2,
} shmx_verify;

// Hands out frames of several regions that are nearest to one moment.
typedef struct shmx_aligner shmx_aligner;

// A reader of a region.
typedef struct shmx_client shmx_client;

// The stream directory of a region at one moment.
typedef struct shmx_directory shmx_directory;

// Tells when regions appear, end or are replaced.
typedef struct shmx_events shmx_events;

// A frame that was kept: it cannot change any more, and outlives its reader. A leased one keeps its slot from being
// used again.
typedef struct shmx_frame shmx_frame;

// A read-only view of a live region or of a dump. Its functions are for several threads at once.
typedef struct shmx_inspector shmx_inspector;

// The shared-memory objects of the machine at one moment.
typedef struct shmx_listing shmx_listing;

// Messages out of control rings.
typedef struct shmx_messages shmx_messages;

// Sends control messages for a client, from any thread.
typedef struct shmx_sender shmx_sender;

// The producer's end of a region.
//
// One thread at a time uses a server, and while a frame is under construction only that frame; other calls say
// SHMX_STATUS_BUSY then. With SHMX_SERVER_SHARED its functions are for several threads, each with frames of its own.
typedef struct shmx_server shmx_server;

// A read-only follower of a region: takes every frame in order, or the newest, without a reader slot and without being
// noticed. It copies, and it polls.
typedef struct shmx_tap shmx_tap;

// Waits for news of any number of clients and taps, of any regions, in one call.
//
// It holds none of them: it is told which belong to it, and one that is freed leaves by itself. From the moment when
// there may be news of a reader the set names it, until a call that takes a frame from it says SHMX_STATUS_NOTHING.
typedef struct shmx_wait_set shmx_wait_set;

// A frame under construction, in the slot that it will be read from.
//
// It lasts as long as it is not published or abandoned, also when its server was closed. Of a server of one thread it
// counts as that server: one thread at a time uses the two of them.
typedef struct shmx_writer shmx_writer;

// How a client opens a region and reads it. Null for the whole means all defaults.
typedef struct shmx_client_options {
    // sizeof(shmx_client_options).
    size_t size;
    // SHMX_CLIENT_... together.
    uint32_t flags;
    // A `shmx_verify`.
    uint32_t verify;
    // A `shmx_hold`.
    uint32_t hold;
    // Frames of at most so many bytes are copied in any case; 0 means 192, SHMX_NONE that none is for that reason.
    uint32_t copy_up_to;
    // How long waiting polls before it sleeps; 0 means 5000, SHMX_FOREVER that it sleeps at once.
    uint64_t spin_ns;
    // How long opening waits for a server; 0 means not at all.
    uint64_t open_timeout_ns;
    // A `shmx_start`.
    uint32_t start;
    // 0.
    uint32_t reserved;
    // With SHMX_START_AFTER: session of the frame.
    uint64_t after_session;
    // With SHMX_START_AFTER: its id.
    uint64_t after_frame;
} shmx_client_options;

// A frame that a reader lends, or that a `shmx_frame` holds.
typedef struct shmx_view {
    // sizeof(shmx_view).
    size_t size;
    // Records of streams; see shmx_view_stream.
    const void *payload;
    // Bytes of it.
    size_t bytes;
    // Id of the frame: 1 for the first one published, one more for each.
    uint64_t frame_id;
    // Session that wrote it.
    uint64_t session_id;
    // The producer's own time.
    double sim_time;
    // Frames that the reader missed since the one before.
    uint64_t missed_before;
    // Slot that it lies or lay in.
    uint32_t slot;
    // Number of records, as the producer counted them.
    uint32_t tlv_count;
    // The checksum that the producer wrote; 0 if it wrote none.
    uint32_t checksum;
    // What is known of it: a `shmx_checksum_state`.
    uint32_t checksum_state;
    // Whether the payload lies in shared memory, under a lease.
    uint32_t leased;
    // Number of the lending, for shmx_client_release; 0 of a frame that is kept.
    uint32_t lend;
} shmx_view;

// A stream as a program asks for it.
typedef struct shmx_stream {
    // Its number. Readers look at it only where there is no name.
    uint32_t stream_id;
    // Type of a component, a `shmx_element`; 0 means that it is not compared.
    uint32_t element_type;
    // Components of one value; 0 means 1. Values of one component are a flat view of a stream of vectors.
    uint32_t components;
    // 0.
    uint32_t reserved;
    // Its name, or null: a producer compares it, a reader looks for it.
    const char *name;
} shmx_stream;

// Where everything lies in a region, as checked when it was opened.
typedef struct shmx_region {
    // sizeof(shmx_region).
    size_t size;
    // Session of the server.
    uint64_t session_id;
    // Bytes of the region.
    uint32_t total_bytes;
    // Frame slots.
    uint32_t slots;
    // Bytes from one slot to the next.
    uint32_t slot_stride;
    // Where they begin.
    uint32_t slots_offset;
    // Largest payload.
    uint32_t frame_bytes;
    // Reader slots.
    uint32_t reader_slots;
    // Bytes from one to the next.
    uint32_t reader_slot_stride;
    // Where they begin.
    uint32_t readers_offset;
    // Bytes of a control ring.
    uint32_t control_bytes;
    // Bytes from one to the next.
    uint32_t control_stride;
    // Where they begin.
    uint32_t control_offset;
    // Capacity of the directory.
    uint32_t directory_bytes;
    // Where it begins.
    uint32_t directory_offset;
    // Index of the handle's own reader slot; SHMX_NONE without one.
    uint32_t reader_index;
} shmx_region;

// The words of a region's header that change, at one moment. Any process with write access can have written them.
typedef struct shmx_header {
    // sizeof(shmx_header).
    size_t size;
    // Session of the server.
    uint64_t session_id;
    // Frames published; the newest frame's id.
    uint64_t frame_seq;
    // Hash over the directory.
    uint64_t directory_hash;
    // Counts changes of the directory.
    uint32_t directory_generation;
    // Bytes of the directory in use.
    uint32_t directory_used;
    // Sequence number of the newest frame.
    uint32_t write_index;
    // Highest sequence number of a frame under construction.
    uint32_t reserve_index;
    // Attached readers.
    uint32_t readers_connected;
    // Process of the server; 0 if it does not say so.
    uint32_t server_pid;
} shmx_header;

// Counts of a reader since it was opened.
typedef struct shmx_stats {
    // sizeof(shmx_stats).
    size_t size;
    // Different frames delivered.
    uint64_t delivered;
    // Frames published that the reader did not get.
    uint64_t missed;
    // Frames rejected as damaged or foreign.
    uint64_t rejected;
    // Frames copied although they could have been leased, to leave the producer enough slots.
    uint64_t copied_for_room;
    // How often a client has gone over to a successor of its server.
    uint64_t reconnects;
    // Frames published and not yet taken by a tap.
    uint64_t behind;
} shmx_stats;

// One stream as the directory has it.
typedef struct shmx_stream_info {
    // sizeof(shmx_stream_info).
    size_t size;
    // The stream's number.
    uint32_t stream_id;
    // Code of the component type: a `shmx_element`, or a number that this version does not know.
    uint32_t element_type;
    // Components of an element.
    uint32_t components;
    // Code of the layout in the wire format: 0 scalars, 1 vectors.
    uint32_t layout_code;
    // Bytes of an element.
    uint32_t bytes_per_elem;
    // 0.
    uint32_t reserved;
    // The name as found, without a zero byte at its end. UTF-8 is promised but not enforced. Valid as long as the
    // directory's handle, as `extra` is.
    const void *name;
    // Bytes of it.
    size_t name_bytes;
    // Application data.
    const void *extra;
    // Bytes of it.
    size_t extra_bytes;
} shmx_stream_info;

// A change of a region.
typedef struct shmx_event {
    // sizeof(shmx_event).
    size_t size;
    // Name of the region, without leading `/`; valid until the next event is asked for.
    const char *name;
    // A `shmx_change`.
    uint32_t change;
    // How the server ended, a `shmx_server_state`; SHMX_SERVER_STATE_LIVE if only its name was taken away.
    uint32_t server;
} shmx_event;

// A reader slot at one moment. Any process with write access can have written it.
typedef struct shmx_reader {
    // Bytes of an element of the array, as passed.
    size_t size;
    // Id of the reader; 0 while free.
    uint64_t reader_id;
    // Wire clock of its last sign of life; 0 until the first.
    uint64_t heartbeat;
    // Id of the last frame that it took.
    uint64_t last_frame_seen;
    // Frames delivered, of readers that count.
    uint64_t delivered;
    // Frames missed, likewise.
    uint64_t missed;
    // Frames rejected, likewise.
    uint64_t rejected;
    // Index of the slot.
    uint32_t index;
    // Whether it is taken.
    uint32_t in_use;
    // Its liveness lock: 0 not known, 1 free, 2 held.
    uint32_t lock;
    // Frame slots that it leases.
    uint32_t leased_slots;
    // Its process; 0 if it does not say so.
    uint32_t pid;
    // Whether it is asleep, waiting for a frame.
    uint32_t waiting;
} shmx_reader;

// A slot at one moment; the header's words as they lie there, checked for nothing.
typedef struct shmx_slot {
    // sizeof(shmx_slot).
    size_t size;
    // Session that wrote the frame.
    uint64_t session_id;
    // Its id.
    uint64_t frame_id;
    // The producer's own time.
    double sim_time;
    // Reader slots 0 to 63 that lease it, as bits.
    uint64_t leases_low;
    // Reader slots 64 to 127.
    uint64_t leases_high;
    // Number of the slot.
    uint32_t index;
    // A `shmx_slot_state`.
    uint32_t state;
    // Bytes of payload.
    uint32_t payload_bytes;
    // Records of it.
    uint32_t tlv_count;
    // The checksum as written.
    uint32_t checksum;
    // 0.
    uint32_t reserved;
} shmx_slot;

// A message from a reader.
typedef struct shmx_message {
    // sizeof(shmx_message).
    size_t size;
    // Id of the reader; 0 in messages that were only looked at.
    uint64_t reader_id;
    // Index of its reader slot.
    uint32_t reader_index;
    // Type of the message.
    uint32_t message_type;
    // The body; valid as long as the handle of the messages.
    const void *data;
    // Bytes of it.
    size_t bytes;
} shmx_message;

// One of them.
typedef struct shmx_listed {
    // sizeof(shmx_listed).
    size_t size;
    // Its name, without leading `/`; valid as long as the listing.
    const char *name;
    // Its length.
    uint64_t bytes;
    // A `shmx_kind`.
    uint32_t kind;
    // Of a region: what is known of its server, a `shmx_server_state`.
    uint32_t server;
} shmx_listed;

// A stream that a server declares.
typedef struct shmx_stream_spec {
    // sizeof(shmx_stream_spec).
    size_t size;
    // The stream's number, unique within the region.
    uint32_t stream_id;
    // Type of a component: a `shmx_element`.
    uint32_t element_type;
    // Components of an element; 0 means 1.
    uint32_t components;
    // How they lie: a `shmx_layout`.
    uint32_t layout;
    // Bytes of an element; 0 means what type and components give.
    uint32_t bytes_per_elem;
    // Most elements in a frame; the capacity of frames follows from these.
    uint32_t max_elems;
    // The name, UTF-8.
    const char *name;
    // Application data: what the stream means, see docs/streams.md. May be null.
    const void *extra;
    // Bytes of it.
    size_t extra_bytes;
} shmx_stream_spec;

// How a server makes its region. Null for the whole means all defaults.
typedef struct shmx_server_options {
    // sizeof(shmx_server_options).
    size_t size;
    // SHMX_SERVER_... together.
    uint32_t flags;
    // Frame slots; 0 means 8, or 4 if these would take more than 32 MiB.
    uint32_t slots;
    // Readers at a time; 0 means 16, SHMX_NONE none.
    uint32_t reader_slots;
    // Largest payload of a frame; 0 means what the streams take at their largest, or 65536 without streams.
    uint32_t frame_bytes;
    // Bytes for the directory; 0 means 4096 or more, SHMX_NONE exactly what it needs now.
    uint32_t directory_bytes;
    // Bytes of each reader's control ring; 0 means 4096, SHMX_NONE that readers cannot send.
    uint32_t control_bytes;
    // A `shmx_checksum`.
    uint32_t checksum;
    // Permission bits; 0 means 0600. SHMX_NONE means no permissions at all.
    uint32_t mode;
    // The streams; each begins with its size, and all have the same.
    const struct shmx_stream_spec *streams;
    // Number of streams.
    size_t stream_count;
    // A ready-made directory to begin with, out of another region. May be null.
    const void *directory;
    // Bytes of it.
    size_t directory_used;
    // How many of the newest frames stay for readers that take each in order; 0 means as many as there are slots for.
    // With few of them large frames stay in the processor's cache. Since version 3.
    uint32_t history;
    // 0.
    uint32_t reserved;
} shmx_server_options;

// Data for one stream of a frame.
typedef struct shmx_part {
    // The stream, which is compared with the directory as far as it says something.
    struct shmx_stream stream;
    // Whole elements.
    const void *data;
    // Bytes of it.
    size_t bytes;
} shmx_part;

// How a tap opens a region and reads it. Null for the whole means all defaults.
typedef struct shmx_tap_options {
    // sizeof(shmx_tap_options).
    size_t size;
    // A `shmx_verify`.
    uint32_t verify;
    // A `shmx_start`.
    uint32_t start;
    // With SHMX_START_AFTER: session of the frame.
    uint64_t after_session;
    // With SHMX_START_AFTER: its id.
    uint64_t after_frame;
} shmx_tap_options;

// The data of a stream in a frame.
typedef struct shmx_data {
    // Number of the stream.
    uint32_t stream_id;
    // Elements, as the producer counted them.
    uint32_t elem_count;
    // The bytes, aligned to 8; valid as long as the view.
    const void *data;
    // How many.
    size_t bytes;
} shmx_data;

// What the record of a stream begins with in a payload (docs/wire-format.md, 5.3); the data follow. For programs that
// walk over a payload themselves: another process may have written it, and may still write.
typedef struct shmx_record {
    // SHMX_RECORD_STREAM; a record of another type has only its `length` in common with these.
    uint32_t record_type;
    // Bytes of the record that follow this field.
    uint32_t length;
    // Number of the stream.
    uint32_t stream_id;
    // Elements, as the producer counted them.
    uint32_t elem_count;
    // Bytes of data.
    uint32_t bytes;
    // 0.
    uint32_t reserved;
} shmx_record;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// An aligner without sources. `by` is a `shmx_align`; frames of a set are within `tolerance_ns` of each other. A good
// tolerance is below half the shortest time between two frames of a source.
//
// Threads: any.
enum shmx_status shmx_aligner_new(uint32_t by,
                                  uint64_t tolerance_ns,
                                  struct shmx_aligner **out);

// Takes over a client as the next source, beginning with the client's next frame, and frees its handle. Leaves null
// behind, even on failure. Sources are numbered from 0 in the order in which they were added.
//
// Threads: one at a time.
enum shmx_status shmx_aligner_add_client(struct shmx_aligner *aligner,
                                         struct shmx_client **client);

// Takes over a tap, as shmx_aligner_add_client does a client.
//
// Threads: one at a time.
enum shmx_status shmx_aligner_add_tap(struct shmx_aligner *aligner, struct shmx_tap **tap);

// Waits for the next set: one frame of each source, which are the caller's to free, go to `frames`. It must have room
// for as many as there are sources. `spread_ns`, which may be null, is the time from the earliest to the latest of
// them. SHMX_STATUS_NOTHING when the time is up. What finds no partner is dropped and counted.
//
// Threads: one at a time.
enum shmx_status shmx_aligner_next(struct shmx_aligner *aligner,
                                   uint64_t timeout_ns,
                                   struct shmx_frame **frames,
                                   size_t capacity,
                                   uint64_t *spread_ns);

// Frames of a source that found no partner; SHMX_STATUS_NOTHING past the last source.
//
// Threads: one at a time.
enum shmx_status shmx_aligner_unmatched(struct shmx_aligner *aligner, size_t index, uint64_t *unmatched);

// Frees an aligner, and its sources. Frames that it gave stay valid. Leaves null behind, so that doing it twice does
// nothing.
//
// Threads: one at a time.
void shmx_aligner_free(struct shmx_aligner **aligner);

// Opens a region by name, with or without a leading `/`, and takes a reader slot. `options` may be null.
//
// Threads: any; each client is used by one thread at a time.
enum shmx_status shmx_client_open(const char *name, const struct shmx_client_options *options, struct shmx_client **out);

// The newest frame, seen before or not; SHMX_STATUS_NOTHING while there is none. Never waits, and does not say when the
// server is gone.
//
// Threads: one at a time.
enum shmx_status shmx_client_latest(struct shmx_client *client,
                                    struct shmx_view *view);

// Waits for a frame newer than the last one taken and takes the newest; SHMX_STATUS_NOTHING when the time is up. With
// 0 it never waits.
//
// Threads: one at a time.
enum shmx_status shmx_client_wait(struct shmx_client *client,
                                  uint64_t timeout_ns,
                                  struct shmx_view *view);

// Waits for the next frame in order: every one still in the ring, one after the other. SHMX_STATUS_NOTHING when the time
// is up; with 0 it never waits.
//
// Threads: one at a time.
enum shmx_status shmx_client_next(struct shmx_client *client,
                                  uint64_t timeout_ns,
                                  struct shmx_view *view);

// The frame with this id; SHMX_STATUS_NOTHING if it is not in the ring.
//
// Threads: one at a time.
enum shmx_status shmx_client_read_id(struct shmx_client *client, uint64_t frame_id, struct shmx_view *view);

// Ends what is lent, and its lease with it. The next call that takes a frame does the same. With `lend` of a view only
// if it is still that frame, which is no error; with 0 whichever it is.
//
// Threads: one at a time.
enum shmx_status shmx_client_release(struct shmx_client *client,
                                     uint32_t lend);

// Number of the lending, as `lend` of its view; 0 while no frame is lent.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_client_lent(struct shmx_client *client, uint32_t *lend);

// Makes the frame that is lent one that is kept; its view ends. Where the producer would be left too few slots it is
// copied.
//
// Threads: one at a time.
enum shmx_status shmx_client_keep(struct shmx_client *client,
                                  struct shmx_frame **out);

// Nanoseconds since the frame that is lent was published; SHMX_STATUS_NOTHING if its producer gives no time.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_client_age(struct shmx_client *client, uint64_t *age_ns);

// The number of a stream, once its type was compared with the directory, and the session in which it has it.
// `session_id` may be null.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_client_find(struct shmx_client *client,
                                  const struct shmx_stream *stream,
                                  uint32_t *stream_id,
                                  uint64_t *session_id);

// The stream directory as it is now.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_client_directory(struct shmx_client *client, struct shmx_directory **out);

// Where everything lies, and the client's reader slot, as when it was opened.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_client_region(struct shmx_client *client, struct shmx_region *out);

// The words of the header that change.
//
// Threads: one at a time.
enum shmx_status shmx_client_header(struct shmx_client *client, struct shmx_header *out);

// Counts since the client was opened.
//
// Threads: one at a time.
enum shmx_status shmx_client_stats(struct shmx_client *client, struct shmx_stats *out);

// What is known of the server: a `shmx_server_state`.
//
// Threads: one at a time.
enum shmx_status shmx_client_server_state(struct shmx_client *client, uint32_t *state);

// Whether the name now leads to another region, or to none: 0 or 1.
//
// Threads: one at a time.
enum shmx_status shmx_client_is_replaced(struct shmx_client *client, uint32_t *replaced);

// A descriptor for an event loop (epoll, poll, Qt): readable when there may be news, until a call that takes a frame
// says SHMX_STATUS_NOTHING, and at least every 20 ms. Waiting for it may end with EINTR. Do not read from it, and do not
// close it: it is the client's, and stays the same as long as that. SHMX_STATUS_UNSUPPORTED where the system has none.
//
// Threads: one at a time.
enum shmx_status shmx_client_wait_fd(struct shmx_client *client,
                                     int32_t *fd);

// Tells the server that the client is alive; waiting and reading do it by themselves.
//
// Threads: one at a time.
enum shmx_status shmx_client_heartbeat(struct shmx_client *client);

// Leaves the region and opens what has its name now; nothing happens where that is the same and its server lives.
//
// Threads: one at a time.
enum shmx_status shmx_client_reopen(struct shmx_client *client);

// Sends a control message. Types from SHMX_CONTROL_USER on are the application's.
//
// Keeps the view. Threads: one at a time; a `shmx_sender` is for several.
enum shmx_status shmx_client_send(struct shmx_client *client,
                                  uint32_t message_type,
                                  const void *data,
                                  size_t bytes);

// A sender of control messages for this client. The client's reader slot lasts as long as it.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_client_sender(struct shmx_client *client, struct shmx_sender **out);

// Leaves the region; the handle stays, and every call with it says SHMX_STATUS_CLOSED. Frames kept stay valid.
//
// Threads: one at a time.
enum shmx_status shmx_client_close(struct shmx_client *client);

// Closes and frees a client. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one at a time.
void shmx_client_free(struct shmx_client **client);

// Sends a control message. Types from SHMX_CONTROL_USER on are the application's.
//
// Threads: any.
enum shmx_status shmx_sender_send(const struct shmx_sender *sender,
                                  uint32_t message_type,
                                  const void *data,
                                  size_t bytes);

// Frees a sender. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one, when nobody sends through it any more.
void shmx_sender_free(struct shmx_sender **sender);

// Version of the interface that the library has: at least SHMX_ABI_VERSION of the header, if it is not older.
//
// Threads: any.
uint32_t shmx_abi_version(void);

// Version of the library as text, `1.2.3`.
//
// Threads: any.
const char *shmx_version(void);

// Nanoseconds of the machine's steady clock: the one of publish times and heartbeats.
//
// Threads: any.
uint64_t shmx_now(void);

// How many streams there are; 0 for null.
//
// Threads: any.
size_t shmx_directory_count(const struct shmx_directory *directory);

// Session, generation, and the bytes of the directory as they lie in the region, which are valid as long as the
// handle. Each may be null.
//
// Threads: any.
enum shmx_status shmx_directory_raw(const struct shmx_directory *directory,
                                    uint64_t *session_id,
                                    uint32_t *generation,
                                    const void **data,
                                    size_t *bytes);

// Stream number `index` in the order of the directory; SHMX_STATUS_NOTHING past the last one.
//
// Threads: any.
enum shmx_status shmx_directory_at(const struct shmx_directory *directory,
                                   size_t index,
                                   struct shmx_stream_info *out);

// The stream with this name or, without a name, with this number, once its type was compared.
//
// Threads: any.
enum shmx_status shmx_directory_find(const struct shmx_directory *directory,
                                     const struct shmx_stream *stream,
                                     struct shmx_stream_info *out);

// Number of a stream by its name alone; SHMX_STATUS_NOTHING if there is none.
//
// Threads: any.
enum shmx_status shmx_directory_id(const struct shmx_directory *directory, const char *name, uint32_t *stream_id);

// Frees a directory. Leaves null behind, so that doing it twice does nothing.
//
// Threads: any.
void shmx_directory_free(struct shmx_directory **directory);

// Watches these names; all regions of the machine if there are none. Read-only: it takes no reader slot.
//
// Threads: any; each handle is used by one thread at a time.
enum shmx_status shmx_events_open(const char *const *names, size_t count, struct shmx_events **out);

// The next event; SHMX_STATUS_NOTHING when the time is up. The first ones are a SHMX_CHANGE_APPEARED for each region
// whose server lives. Of two changes in quick succession only the later one may be reported.
//
// Threads: one at a time.
enum shmx_status shmx_events_next(struct shmx_events *events,
                                  uint64_t timeout_ns,
                                  struct shmx_event *out);

// A descriptor for an event loop: readable when there may be events. Then ask for them with a timeout of 0 until there
// is none. Do not read from it and do not close it: it is the handle's. SHMX_STATUS_UNSUPPORTED where the system
// has none.
//
// Threads: one at a time.
enum shmx_status shmx_events_wait_fd(struct shmx_events *events,
                                     int32_t *fd);

// Ends the watch. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one at a time.
void shmx_events_free(struct shmx_events **events);

// Looks into a kept frame. The view is valid as long as the frame.
//
// Threads: any.
enum shmx_status shmx_frame_view(const struct shmx_frame *frame, struct shmx_view *view);

// Nanoseconds since the frame was published, in steps of 1024; SHMX_STATUS_NOTHING if its producer gives no time.
//
// Threads: any.
enum shmx_status shmx_frame_age(const struct shmx_frame *frame,
                                uint64_t *age_ns);

// The number of a stream in the frame's region, once its type was compared with the directory.
//
// Threads: any.
enum shmx_status shmx_frame_find(const struct shmx_frame *frame, const struct shmx_stream *stream, uint32_t *stream_id);

// Ends a kept frame, and its lease with it. Leaves null behind, so that doing it twice does nothing.
//
// Threads: any.
void shmx_frame_free(struct shmx_frame **frame);

// Opens a live region, or what a dead server has left.
//
// Threads: any.
enum shmx_status shmx_inspector_open(const char *name, struct shmx_inspector **out);

// Opens a dump: a file with the bytes of a whole region.
//
// Threads: any.
enum shmx_status shmx_inspector_open_file(const char *path, struct shmx_inspector **out);

// Where everything lies, and the session when it was opened.
//
// Threads: any.
enum shmx_status shmx_inspector_region(const struct shmx_inspector *inspector, struct shmx_region *out);

// The words of the header that change.
//
// Threads: any.
enum shmx_status shmx_inspector_header(const struct shmx_inspector *inspector, struct shmx_header *out);

// What is known of the server: a `shmx_server_state`.
//
// Threads: any.
enum shmx_status shmx_inspector_server_state(const struct shmx_inspector *inspector, uint32_t *state);

// Whether the name still leads to this region, and whether it still has all its bytes: 0 or 1. Each may be null. Who
// watches for long asks for the second before each look: touching bytes that another process has cut off ends the
// process by a signal.
//
// Threads: any.
enum shmx_status shmx_inspector_is_current(const struct shmx_inspector *inspector,
                                           uint32_t *current,
                                           uint32_t *whole);

// The stream directory as it is now.
//
// Threads: any.
enum shmx_status shmx_inspector_directory(const struct shmx_inspector *inspector, struct shmx_directory **out);

// Every reader slot; as shmx_server_readers.
//
// Threads: any.
enum shmx_status shmx_inspector_readers(const struct shmx_inspector *inspector,
                                        struct shmx_reader *readers,
                                        size_t reader_size,
                                        size_t capacity,
                                        size_t *count);

// A copy of the newest frame, also of one with a wrong checksum; SHMX_STATUS_NOTHING while there is none.
//
// Threads: any.
enum shmx_status shmx_inspector_latest(const struct shmx_inspector *inspector, struct shmx_frame **out);

// A slot, and a copy of the frame in it: null where it holds none. SHMX_STATUS_NOTHING past the last slot. `slot` may be
// null, and so may `frame`.
//
// Threads: any.
enum shmx_status shmx_inspector_slot(const struct shmx_inspector *inspector,
                                     uint32_t index,
                                     struct shmx_slot *slot,
                                     struct shmx_frame **frame);

// Computes the checksum of the frame in a slot, piece by piece, and tells which frame it was: a `shmx_checksum_state`.
// SHMX_STATUS_NOTHING if there is none.
//
// Threads: any.
enum shmx_status shmx_inspector_checksum(const struct shmx_inspector *inspector,
                                         uint32_t index,
                                         uint64_t *frame_id,
                                         uint32_t *state);

// The messages that wait in a reader's control ring, left there.
//
// Threads: any.
enum shmx_status shmx_inspector_peek(const struct shmx_inspector *inspector,
                                     uint32_t reader_index,
                                     struct shmx_messages **out);

// Copies bytes of the region from `offset` on: as many as there is room for and as it has, which `got` tells. Taken
// while others write.
//
// Threads: any.
enum shmx_status shmx_inspector_read(const struct shmx_inspector *inspector,
                                     size_t offset,
                                     void *room,
                                     size_t bytes,
                                     size_t *got);

// Closes and frees an inspector. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one, when no other uses it.
void shmx_inspector_free(struct shmx_inspector **inspector);

// How many messages there are; 0 for null.
//
// Threads: any.
size_t shmx_messages_count(const struct shmx_messages *messages);

// Message number `index`; SHMX_STATUS_NOTHING past the last one.
//
// Threads: any.
enum shmx_status shmx_messages_at(const struct shmx_messages *messages, size_t index, struct shmx_message *out);

// Ring number `index` of those that were found damaged: its reader slot, and the bytes given up. SHMX_STATUS_NOTHING past
// the last one. `lost` may be null.
//
// Threads: any.
enum shmx_status shmx_messages_damaged(const struct shmx_messages *messages,
                                       size_t index,
                                       uint32_t *reader_index,
                                       uint64_t *lost);

// Frees messages. Leaves null behind, so that doing it twice does nothing.
//
// Threads: any.
void shmx_messages_free(struct shmx_messages **messages);

// Removes what a dead server has left under a name. With `force` goes what has no liveness lock as well. The region of a
// live server is never removed. `what`, which may be null, gets a `shmx_removed`.
//
// Threads: any.
enum shmx_status shmx_remove(const char *name,
                             uint32_t force,
                             uint32_t *what);

// All shared-memory objects of the machine with what they are, sorted by name.
//
// Threads: any.
enum shmx_status shmx_list(struct shmx_listing **out);

// How many objects there are; 0 for null.
//
// Threads: any.
size_t shmx_listing_count(const struct shmx_listing *listing);

// Object number `index`; SHMX_STATUS_NOTHING past the last one.
//
// Threads: any.
enum shmx_status shmx_listing_at(const struct shmx_listing *listing, size_t index, struct shmx_listed *out);

// Frees a listing. Leaves null behind, so that doing it twice does nothing.
//
// Threads: any.
void shmx_listing_free(struct shmx_listing **listing);

// Creates a region and makes it visible in one step. `options` may be null.
//
// Threads: any.
enum shmx_status shmx_server_create(const char *name, const struct shmx_server_options *options, struct shmx_server **out);

// Publishes a frame of these parts in one call, the quickest way. `frame_id` may be null.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_publish(const struct shmx_server *server,
                                     double sim_time,
                                     const struct shmx_part *parts,
                                     size_t count,
                                     uint64_t *frame_id);

// Publishes a frame of whole records, `count` of them, as they are: out of another region, or made by the caller. They
// are not checked; readers check what they read. `frame_id` may be null.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_publish_records(const struct shmx_server *server,
                                             double sim_time,
                                             const void *records,
                                             size_t bytes,
                                             uint32_t count,
                                             uint64_t *frame_id);

// Claims a slot for a new frame, to be filled and published. Never waits and never overwrites a leased slot.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_begin(const struct shmx_server *server, struct shmx_writer **out);

// Claims a slot whose frame every reader with SHMX_CLIENT_EVERY_FRAME has taken, and waits for that no longer than
// `timeout_ns`. Other readers are not waited for. SHMX_STATUS_NOT_TAKEN when the time is up; the text names the readers.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_begin_when_taken(const struct shmx_server *server,
                                              uint64_t timeout_ns,
                                              struct shmx_writer **out);

// Waits until every reader with SHMX_CLIENT_EVERY_FRAME has taken this frame and those before it, or, unless `all` is 0,
// every attached reader; at once where there is none. SHMX_STATUS_NOT_TAKEN when the time is up.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_wait_taken(const struct shmx_server *server,
                                        uint64_t frame_id,
                                        uint32_t all,
                                        uint64_t timeout_ns);

// Where everything lies.
//
// Threads: any.
enum shmx_status shmx_server_region(const struct shmx_server *server, struct shmx_region *out);

// The words of the header that change.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_header(const struct shmx_server *server, struct shmx_header *out);

// Frames published so far.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_frames(const struct shmx_server *server, uint64_t *frames);

// Whether the name still leads to this server's region: 0 or 1.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_is_current(const struct shmx_server *server, uint32_t *current);

// The stream directory as the server has written it.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_directory(const struct shmx_server *server, struct shmx_directory **out);

// Adds a stream to the directory. Frames must have room for it.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_add_stream(const struct shmx_server *server, const struct shmx_stream_spec *spec);

// Appends whole records, padded to 16 bytes, to the directory as they are.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_append_records(const struct shmx_server *server, const void *records, size_t bytes);

// Takes at most `max` messages out of the readers' control rings, never waiting. Free what comes with
// shmx_messages_free, also where it is empty.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_poll(const struct shmx_server *server, size_t max, struct shmx_messages **out);

// The same, waiting until there is a message, or a reader comes or goes. With 0 it never waits.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_wait_control(const struct shmx_server *server,
                                          size_t max,
                                          uint64_t timeout_ns,
                                          struct shmx_messages **out);

// A descriptor for an event loop: readable when readers may have sent messages, come or gone, until shmx_server_poll has
// brought nothing, and at least every 20 ms. Do not read from it. It is the caller's, who closes it.
// SHMX_STATUS_UNSUPPORTED where the system has none.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_control_fd(const struct shmx_server *server,
                                        int32_t *fd);

// Attached readers, as the header counts them.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_readers_connected(const struct shmx_server *server, uint32_t *count);

// Every reader slot as it is now: as many as there is room for go to `readers`, whose elements have `reader_size`
// bytes. `count` is the number of slots; it may be above `capacity`.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_readers(const struct shmx_server *server,
                                     struct shmx_reader *readers,
                                     size_t reader_size,
                                     size_t capacity,
                                     size_t *count);

// Frees the slots of readers whose process has died, and of those without a liveness lock whose last sign of life is
// more than `timeout_ns` ago (SHMX_FOREVER: none of these). `count`, which may be null, gets how many.
//
// Threads: one at a time; with SHMX_SERVER_SHARED any.
enum shmx_status shmx_server_reap(const struct shmx_server *server,
                                  uint64_t timeout_ns,
                                  size_t *count);

// Ends the server: readers are told, the name is removed. The handle stays, and calls with it say SHMX_STATUS_CLOSED. A
// frame under construction keeps the region until it is published or abandoned.
//
// Threads: one, when no other uses it.
enum shmx_status shmx_server_close(struct shmx_server *server);

// Ends and frees a server. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one, when no other uses it.
void shmx_server_free(struct shmx_server **server);

// The text of the last error of this thread: function, argument or cause, and remedy. Empty before the first one. Valid
// until the thread's next call that fails.
//
// Threads: any.
const char *shmx_last_error(void);

// A short name of a status, for logs. `unknown` for a number that this library does not give.
//
// Threads: any.
const char *shmx_status_name(int32_t status);

// Opens a live region, or what a dead server has left. `options` may be null.
//
// Threads: any; each tap is used by one thread at a time.
enum shmx_status shmx_tap_open(const char *name, const struct shmx_tap_options *options, struct shmx_tap **out);

// The newest frame, taken before or not; SHMX_STATUS_NOTHING while there is none.
//
// Threads: one at a time.
enum shmx_status shmx_tap_latest(struct shmx_tap *tap, struct shmx_view *view);

// Waits for a frame newer than the last one taken and takes the newest. With 0 it never waits.
//
// Threads: one at a time.
enum shmx_status shmx_tap_wait(struct shmx_tap *tap, uint64_t timeout_ns, struct shmx_view *view);

// Waits for the next frame in order. With 0 it never waits.
//
// Threads: one at a time.
enum shmx_status shmx_tap_next(struct shmx_tap *tap, uint64_t timeout_ns, struct shmx_view *view);

// Ends what is lent; as shmx_client_release.
//
// Threads: one at a time.
enum shmx_status shmx_tap_release(struct shmx_tap *tap, uint32_t lend);

// Number of the lending, as `lend` of its view; 0 while no frame is lent.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_tap_lent(struct shmx_tap *tap, uint32_t *lend);

// Makes the frame that is lent one that is kept; its view ends.
//
// Threads: one at a time.
enum shmx_status shmx_tap_keep(struct shmx_tap *tap, struct shmx_frame **out);

// Nanoseconds since the frame that is lent was published; SHMX_STATUS_NOTHING if its producer gives no time.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_tap_age(struct shmx_tap *tap, uint64_t *age_ns);

// The number of a stream, once its type was compared with the directory, and the session in which it has it.
// `session_id` may be null.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_tap_find(struct shmx_tap *tap,
                               const struct shmx_stream *stream,
                               uint32_t *stream_id,
                               uint64_t *session_id);

// The stream directory as it is now.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_tap_directory(struct shmx_tap *tap, struct shmx_directory **out);

// Where everything lies.
//
// Keeps the view. Threads: one at a time.
enum shmx_status shmx_tap_region(struct shmx_tap *tap, struct shmx_region *out);

// Counts since the tap was opened.
//
// Threads: one at a time.
enum shmx_status shmx_tap_stats(struct shmx_tap *tap, struct shmx_stats *out);

// A descriptor for an event loop; as shmx_client_wait_fd.
//
// Threads: one at a time.
enum shmx_status shmx_tap_wait_fd(struct shmx_tap *tap, int32_t *fd);

// What is known of the server: a `shmx_server_state`. Ask first, then take what frames are left.
//
// Threads: one at a time.
enum shmx_status shmx_tap_server_state(struct shmx_tap *tap, uint32_t *state);

// Whether the name still leads to this region and session: 0 or 1.
//
// Threads: one at a time.
enum shmx_status shmx_tap_is_current(struct shmx_tap *tap, uint32_t *current);

// Closes the region; the handle stays, and calls with it say SHMX_STATUS_CLOSED. Frames kept stay valid.
//
// Threads: one at a time.
enum shmx_status shmx_tap_close(struct shmx_tap *tap);

// Closes and frees a tap. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one at a time.
void shmx_tap_free(struct shmx_tap **tap);

// Finds a stream in a frame by its number; SHMX_STATUS_NOTHING if the frame does not carry it.
//
// The view is one that this library filled, and still valid. Threads: any.
enum shmx_status shmx_view_stream(const struct shmx_view *view, uint32_t stream_id, struct shmx_data *out);

// Stream number `index` of a frame, in the order in which they were appended; SHMX_STATUS_NOTHING past the last one.
//
// The view is one that this library filled, and still valid. Threads: any.
enum shmx_status shmx_view_at(const struct shmx_view *view,
                              size_t index,
                              struct shmx_data *out);

// An empty set.
//
// Threads: any.
enum shmx_status shmx_wait_set_new(struct shmx_wait_set **out);

// Takes a client into the set; `token` is how the set names it. The same client may be in several sets.
//
// Threads: one at a time, for the set and for the client; SHMX_STATUS_BUSY while another one waits in the set.
enum shmx_status shmx_wait_set_add_client(const struct shmx_wait_set *set,
                                          struct shmx_client *client,
                                          uint64_t *token);

// Takes a tap into the set, as shmx_wait_set_add_client.
//
// Threads: one at a time, for the set and for the tap; SHMX_STATUS_BUSY while another one waits in the set.
enum shmx_status shmx_wait_set_add_tap(const struct shmx_wait_set *set, struct shmx_tap *tap, uint64_t *token);

// Takes a reader out of the set; SHMX_STATUS_NOTHING if it was not in it any more.
//
// Threads: one at a time; SHMX_STATUS_BUSY while another one waits in the set.
enum shmx_status shmx_wait_set_remove(const struct shmx_wait_set *set, uint64_t token);

// Waits until there may be news of at least one reader. As many tokens as there is room for go to `tokens`; `count` is
// how many readers there are news of, and may be above `capacity`. SHMX_STATUS_NOTHING when the time is up, or when
// the set was interrupted. With 0 it never waits.
//
// Threads: one at a time; SHMX_STATUS_BUSY while another one waits in the set.
enum shmx_status shmx_wait_set_wait(const struct shmx_wait_set *set,
                                    uint64_t timeout_ns,
                                    uint64_t *tokens,
                                    size_t capacity,
                                    size_t *count);

// Ends the wait that a thread is in, or the set's next one, with SHMX_STATUS_NOTHING.
//
// Threads: any.
enum shmx_status shmx_wait_set_interrupt(const struct shmx_wait_set *set);

// Frees a set; its readers stay. Leaves null behind, so that doing it twice does nothing.
//
// Threads: one, when no other uses it.
void shmx_wait_set_free(struct shmx_wait_set **set);

// Copies the elements of one stream into the frame; it is as before if that fails.
//
// Threads: one at a time.
enum shmx_status shmx_writer_append(struct shmx_writer *writer, const struct shmx_part *part);

// Makes room for `bytes` bytes of the stream's elements, to be written in place. The room is valid until the frame is
// published or abandoned, and holds whatever an earlier frame left there: write all of it.
//
// Threads: one at a time.
enum shmx_status shmx_writer_reserve(struct shmx_writer *writer,
                                     const struct shmx_stream *stream,
                                     size_t bytes,
                                     void **room);

// Appends a stream that the directory does not list.
//
// Threads: one at a time.
enum shmx_status shmx_writer_append_undeclared(struct shmx_writer *writer,
                                               uint32_t stream_id,
                                               uint32_t elem_count,
                                               const void *data,
                                               size_t bytes);

// Copies whole records into the frame as they are; `count` is how many they are. They are not checked.
//
// Threads: one at a time.
enum shmx_status shmx_writer_append_records(struct shmx_writer *writer,
                                            const void *records,
                                            size_t bytes,
                                            uint32_t count);

// The rest of the payload, for whole records that are written in place: see shmx_writer_commit. Valid until the frame
// is published or abandoned.
//
// Threads: one at a time.
enum shmx_status shmx_writer_room(struct shmx_writer *writer,
                                  void **room,
                                  size_t *bytes);

// Takes the first `bytes` bytes of the room as `count` records of the frame. They are not checked.
//
// Threads: one at a time.
enum shmx_status shmx_writer_commit(struct shmx_writer *writer, uint32_t bytes, uint32_t count);

// Bytes of the payload used so far and left, and the frame's slot. Each may be null.
//
// Threads: one at a time.
enum shmx_status shmx_writer_info(struct shmx_writer *writer, uint32_t *used, uint32_t *left, uint32_t *slot);

// Publishes the frame and frees the writer, also where it fails: nothing becomes visible then. Leaves null behind.
// `frame_id` may be null.
//
// Threads: one at a time.
enum shmx_status shmx_writer_publish(struct shmx_writer **writer,
                                     double sim_time,
                                     uint64_t *frame_id);

// The same for a frame out of another region: with a checksum if it had one there.
//
// Threads: one at a time.
enum shmx_status shmx_writer_publish_recorded(struct shmx_writer **writer,
                                              double sim_time,
                                              uint32_t had_checksum,
                                              uint64_t *frame_id);

// Gives the slot back and frees the writer; nothing is published. Leaves null behind, so that doing it twice does
// nothing.
//
// Threads: one at a time.
void shmx_writer_abandon(struct shmx_writer **writer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHMX_H */
