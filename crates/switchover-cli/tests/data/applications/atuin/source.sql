CREATE TABLE users (
    id integer PRIMARY KEY AUTOINCREMENT, username varchar(32) NOT NULL UNIQUE, email varchar(128) NOT NULL UNIQUE, password varchar(128) NOT NULL UNIQUE,
    created_at int NOT NULL DEFAULT (unixepoch())
);
CREATE UNIQUE INDEX email_unique_idx ON users (lower(email));
CREATE UNIQUE INDEX username_unique_idx ON users (lower(username));
CREATE TABLE history (
    id integer PRIMARY KEY AUTOINCREMENT, client_id text NOT NULL UNIQUE, user_id int NOT NULL, hostname text NOT NULL, timestamp int NOT NULL,
    data blob NOT NULL, created_at int NOT NULL DEFAULT (unixepoch()), deleted_at int
);
CREATE INDEX history_deleted_index ON history (client_id, user_id, deleted_at);
CREATE TABLE total_history_count_user (id integer PRIMARY KEY AUTOINCREMENT, user_id int NOT NULL, total int NOT NULL);
CREATE TABLE store (
    id blob PRIMARY KEY, client_id blob NOT NULL, host blob NOT NULL, idx int NOT NULL, timestamp int NOT NULL, version text NOT NULL,
    tag text NOT NULL, data blob NOT NULL, cek text NOT NULL, user_id int NOT NULL, created_at int NOT NULL DEFAULT (unixepoch())
);

INSERT INTO users (username, email, password) VALUES ('Ellie', 'Ellie@example.org', 'a'), ('conrad', 'c@example.org', 'b');
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
INSERT INTO history (client_id, user_id, hostname, timestamp, data)
SELECT printf('%032x', i), 1 + i % 2, 'host', 1700000000 + i, '{"ciphertext":"' || i || '"}' FROM n;
INSERT INTO total_history_count_user (user_id, total) VALUES (1, 75), (2, 75);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
INSERT INTO store (id, client_id, host, idx, timestamp, version, tag, data, cek, user_id)
SELECT CAST(x'018bcfe5680070008000' || substr(CAST(printf('%06d', i) AS BLOB), 1, 6) AS BLOB), x'018bcfe568007000800000000000aaaa', x'018bcfe568007000800000000000bbbb',
    i, 1700000000000000000 + i, 'v0', 'history', '{"data":"' || i || '"}', 'key', 1 + i % 2 FROM n;
