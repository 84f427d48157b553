"""The peer of `cargo xtask bench weaviate`: the official Python client, from SQLite into a collection that is there.

    load.py HTTP_PORT GRPC_PORT SOURCE COLLECTION fixed:OBJECTS:REQUESTS|stream

It converts what has to be converted, and checks nothing but that no object failed.
"""

import json
import resource
import sqlite3
import sys
import time

import weaviate


def main():
    http, grpc, source, name, mode = sys.argv[1:]
    client = weaviate.connect_to_local(port=int(http), grpc_port=int(grpc), skip_init_checks=True)
    collection = client.collections.get(name)
    db = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    columns = [row[1] for row in db.execute("PRAGMA table_info(messages)")]
    vectors = "embedding" in columns
    begun = time.monotonic()
    if mode == "stream":
        batching = collection.batch.stream()
    else:
        _, objects, requests = mode.split(":")
        batching = collection.batch.fixed_size(batch_size=int(objects), concurrent_requests=int(requests))
    count = 0
    with batching as batch:
        for row in db.execute("SELECT * FROM messages"):
            key, conversation, sender, content, moment, metadata = row[:6]
            properties = {
                "original_id": key,
                "conversation_id": conversation,
                "sender_id": sender,
                "content": content,
                "timestamp": moment.replace(" ", "T") + "Z",
            }
            if metadata is not None:
                properties["metadata"] = metadata
            vector = memoryview(row[6]).cast("f").tolist() if vectors else None
            batch.add_object(properties=properties, uuid=key, vector=vector)
            count += 1
    seconds = time.monotonic() - begun
    failed = collection.batch.failed_objects
    client.close()
    if failed:
        sys.exit(f"{len(failed)} objects failed, the first: {failed[0].message}")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"objects": count, "load_seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime}))


main()
