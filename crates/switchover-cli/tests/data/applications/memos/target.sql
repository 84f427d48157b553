CREATE TABLE system_setting (name text PRIMARY KEY, value text NOT NULL, description text NOT NULL);
CREATE TABLE "user" (
    id serial PRIMARY KEY, created_ts bigint NOT NULL DEFAULT extract(epoch FROM now()), row_status text NOT NULL DEFAULT 'NORMAL',
    username text NOT NULL UNIQUE, role text NOT NULL DEFAULT 'USER', email text NOT NULL DEFAULT '', password_hash text NOT NULL
);
CREATE TABLE user_setting (user_id integer NOT NULL, key text NOT NULL, value text NOT NULL, UNIQUE (user_id, key));
CREATE TABLE memo (
    id serial PRIMARY KEY, uid text NOT NULL UNIQUE, creator_id integer NOT NULL,
    created_ts bigint NOT NULL DEFAULT extract(epoch FROM now()), content text NOT NULL, visibility text NOT NULL DEFAULT 'PRIVATE',
    pinned boolean NOT NULL DEFAULT false, payload jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE memo_relation (
    memo_id integer NOT NULL, related_memo_id integer NOT NULL, type text NOT NULL, UNIQUE (memo_id, related_memo_id, type)
);
CREATE TABLE attachment (
    id serial PRIMARY KEY, uid text NOT NULL UNIQUE, creator_id integer NOT NULL, filename text NOT NULL, blob bytea,
    size integer NOT NULL DEFAULT 0, memo_id integer DEFAULT NULL, payload text NOT NULL DEFAULT '{}'
);
CREATE TABLE activity (
    id serial PRIMARY KEY, creator_id integer NOT NULL, level text NOT NULL DEFAULT 'INFO', payload jsonb NOT NULL DEFAULT '{}'
);
