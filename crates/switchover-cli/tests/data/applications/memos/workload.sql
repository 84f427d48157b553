INSERT INTO memo (uid, creator_id, content) VALUES ('new', 1, 'after') RETURNING id;
INSERT INTO "user" (username, password_hash) VALUES ('di', '$2a$10$d') RETURNING id;
INSERT INTO user_setting VALUES (1, 'LOCALE', '"en"') ON CONFLICT (user_id, key) DO UPDATE SET value = EXCLUDED.value;
SELECT count(*) FROM memo WHERE payload -> 'tags' @> '["tag"]' AND pinned;
