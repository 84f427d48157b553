"""Load the sample from SQLite into existing PostgreSQL tables through Arrow ADBC.

Arguments: the SQLite file, the PostgreSQL URI, and {table: [[column, type], ...]} as JSON.
Batches are cast to the target's types, because binary COPY accepts nothing else.
"""

import json
import sys
import uuid

import adbc_driver_postgresql.dbapi as postgres
import adbc_driver_sqlite.dbapi as sqlite
import pyarrow as pa
import pyarrow.compute as pc

BATCH_ROWS = 16_384


def cast(array, kind):
    if kind == "boolean":
        return pc.cast(array, pa.bool_())
    if kind.startswith("timestamp with time zone"):
        return pc.cast(array, pa.timestamp("us", "UTC"))
    if kind.startswith("timestamp"):
        return pc.cast(array, pa.timestamp("us"))
    if kind == "uuid":
        values = [None if v is None else uuid.UUID(v).bytes for v in array.to_pylist()]
        return pa.array(values, pa.binary())
    if kind == "jsonb":
        # The wire form of jsonb is a version byte and the text.
        version, nothing = pa.scalar(b"\x01", pa.binary()), pa.scalar(b"", pa.binary())
        return pc.binary_join_element_wise(version, pc.cast(array, pa.binary()), nothing)
    if kind == "text" or kind == "json" or kind.startswith("character varying"):
        return array
    sys.exit(f"no cast to {kind}")


def batches(reader, columns):
    for batch in reader:
        arrays = [cast(batch.column(i), kind) for i, (_, kind) in enumerate(columns)]
        yield pa.record_batch(arrays, names=[name for name, _ in columns])


def main():
    source, target, tables = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    with sqlite.connect(source) as read, postgres.connect(target) as write:
        for table, columns in tables.items():
            with read.cursor() as from_, write.cursor() as to:
                from_.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
                names = ", ".join(f'"{name}"' for name, _ in columns)
                from_.execute(f"SELECT {names} FROM {table}")
                stream = batches(from_.fetch_record_batch(), columns)
                first = next(stream)

                def all_batches():
                    yield first
                    yield from stream

                reader = pa.RecordBatchReader.from_batches(first.schema, all_batches())
                to.adbc_ingest(table, reader, mode="append")
        write.commit()


main()
