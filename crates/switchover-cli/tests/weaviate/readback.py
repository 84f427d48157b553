"""Reads collections through Weaviate's official client, and prints each object as a line of JSON.

    readback.py HTTP_PORT GRPC_PORT COLLECTION...

Every property is asked for by name, because blobs come no other way. Dates are in UTC with microseconds; a number that
is no integer is the hexadecimal of its bits, because readers of JSON round.
"""

import datetime
import json
import struct
import sys
import uuid

import weaviate
from weaviate.util import generate_uuid5


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds")
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def main():
    client = weaviate.connect_to_local(port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), skip_init_checks=True)
    for name in sys.argv[3:]:
        collection = client.collections.get(name)
        names = [prop.name for prop in collection.config.get().properties]
        for found in collection.iterator(include_vector=True, return_properties=names):
            properties = {key: plain(value) for key, value in found.properties.items()}
            vectors = {key: plain(vector) for key, vector in found.vector.items()}
            own = str(generate_uuid5(properties.get("original_id"), name))
            line = {"collection": name, "uuid": str(found.uuid), "generate_uuid5": own, "properties": properties, "vectors": vectors}
            print(json.dumps(line))
    client.close()


main()
