CREATE TABLE system_setting (name TEXT NOT NULL, value TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', UNIQUE (name));
CREATE TABLE user (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_ts BIGINT NOT NULL DEFAULT (strftime('%s', 'now')),
    row_status TEXT NOT NULL CHECK (row_status IN ('NORMAL', 'ARCHIVED')) DEFAULT 'NORMAL', username TEXT COLLATE BINARY NOT NULL UNIQUE,
    role TEXT NOT NULL DEFAULT 'USER', email TEXT COLLATE BINARY DEFAULT NULL, password_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX idx_user_email ON user (email);
CREATE TABLE user_setting (user_id INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (user_id, key));
CREATE TABLE memo (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, creator_id INTEGER NOT NULL,
    created_ts BIGINT NOT NULL DEFAULT (strftime('%s', 'now')), content TEXT NOT NULL DEFAULT '',
    visibility TEXT NOT NULL CHECK (visibility IN ('PUBLIC', 'PROTECTED', 'PRIVATE')) DEFAULT 'PRIVATE',
    pinned INTEGER NOT NULL CHECK (pinned IN (0, 1)) DEFAULT 0, payload TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_memo_creator_id ON memo (creator_id);
CREATE TABLE memo_relation (
    memo_id INTEGER NOT NULL, related_memo_id INTEGER NOT NULL, type TEXT NOT NULL, UNIQUE (memo_id, related_memo_id, type)
);
CREATE TABLE attachment (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, creator_id INTEGER NOT NULL, filename TEXT NOT NULL DEFAULT '',
    blob BLOB DEFAULT NULL, size INTEGER NOT NULL DEFAULT 0, memo_id INTEGER, payload TEXT NOT NULL DEFAULT '{}'
);

INSERT INTO system_setting (name, value) VALUES ('schema', '{"version":"0.25"}'), ('theme', '"dark"');
INSERT INTO user (username, email, password_hash) VALUES ('ada', 'ada@example.org', '$2a$10$x'), ('bo', '', '$2a$10$y');
DELETE FROM user WHERE id = 2;
INSERT INTO user (username, email, password_hash) VALUES ('cy', 'cy@example.org', '$2a$10$z');
INSERT INTO user_setting VALUES (1, 'LOCALE', '"de"'), (3, 'LOCALE', '"fr"');
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
INSERT INTO memo (uid, creator_id, content, pinned, payload)
SELECT printf('uid%05d', i), 1 + 2 * (i % 2), '#tag Notiz ' || i || ' — ü', i % 10 = 0, '{"property":{"hasLink":false},"tags":["tag","' || i || '"]}' FROM n;
INSERT INTO memo_relation VALUES (1, 2, 'COMMENT'), (1, 3, 'REFERENCE');
INSERT INTO attachment (uid, creator_id, filename, blob, size, memo_id) VALUES ('a1', 1, 'x.png', x'89504e470d0a1a0a00', 9, 1), ('a2', 1, 'far', NULL, 0, NULL);
