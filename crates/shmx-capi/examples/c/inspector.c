// Looks at a region without being noticed: `inspector_c NAME [--then-stop]`.
#include "robot.h"

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "robot";
    shmx_inspector *inspector = NULL;
    shmx_directory *directory = NULL;
    shmx_stream_info info = {.size = sizeof info};
    shmx_header header = {.size = sizeof header};
    shmx_region region = {.size = sizeof region};
    shmx_slot slot = {.size = sizeof slot};
    for (int i = 0; i < 1000 && shmx_inspector_open(name, &inspector) != SHMX_STATUS_OK; ++i) pause_for(0.01);
    if (!inspector) return 1;
    do {
        need(shmx_inspector_header(inspector, &header));
        pause_for(0.001);
    } while (header.frame_seq == 0);
    need(shmx_inspector_region(inspector, &region));
    printf("session %llx, frame %llu, %u slots of %u bytes, %u readers\n", (unsigned long long)header.session_id,
           (unsigned long long)header.frame_seq, region.slots, region.frame_bytes, header.readers_connected);
    need(shmx_inspector_directory(inspector, &directory));
    for (size_t i = 0; shmx_directory_at(directory, i, &info) == SHMX_STATUS_OK; ++i) {
        printf("stream %u: %.*s, %u bytes an element\n", info.stream_id, (int)info.name_bytes, (const char *)info.name,
               info.bytes_per_elem);
    }
    for (uint32_t i = 0; shmx_inspector_slot(inspector, i, &slot, NULL) == SHMX_STATUS_OK; ++i) {
        printf("slot %u: state %u, frame %llu\n", i, slot.state, (unsigned long long)slot.frame_id);
    }
    shmx_directory_free(&directory);
    shmx_inspector_free(&inspector);
    if (argc > 2 && strcmp(argv[2], "--then-stop") == 0) {
        shmx_client *client = NULL;
        need(shmx_client_open(name, NULL, &client));
        need(shmx_client_send(client, STOP, NULL, 0));
        shmx_client_free(&client);
    }
    return 0;
}
