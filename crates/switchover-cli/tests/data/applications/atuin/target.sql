CREATE TABLE users (
    id bigserial PRIMARY KEY, username varchar(32) NOT NULL UNIQUE, email varchar(128) NOT NULL UNIQUE, password varchar(128) NOT NULL UNIQUE,
    created_at timestamp NOT NULL DEFAULT current_timestamp
);
CREATE UNIQUE INDEX email_unique_idx ON users (lower(email));
CREATE UNIQUE INDEX username_unique_idx ON users (lower(username));
CREATE TABLE history (
    id bigserial PRIMARY KEY, client_id text NOT NULL UNIQUE, user_id bigint NOT NULL, hostname text NOT NULL, timestamp timestamp NOT NULL,
    data text NOT NULL, created_at timestamp NOT NULL DEFAULT current_timestamp, deleted_at timestamp
);
CREATE UNIQUE INDEX history_deleted_index ON history (client_id, user_id, deleted_at);
CREATE TABLE total_history_count_user (id bigserial PRIMARY KEY, user_id bigserial, total integer NOT NULL);
CREATE FUNCTION user_history_count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE total_history_count_user SET total = total + 1 WHERE user_id = NEW.user_id;
    IF NOT FOUND THEN INSERT INTO total_history_count_user (user_id, total) VALUES (NEW.user_id, 1); END IF;
    RETURN NEW; END $$;
CREATE TRIGGER tg_user_history_count AFTER INSERT ON history FOR EACH ROW EXECUTE FUNCTION user_history_count();
CREATE TABLE store (
    id uuid PRIMARY KEY, client_id uuid NOT NULL, host uuid NOT NULL, idx bigint NOT NULL, timestamp bigint NOT NULL, version text NOT NULL,
    tag text NOT NULL, data text NOT NULL, cek text NOT NULL, user_id bigint NOT NULL, created_at timestamp NOT NULL DEFAULT current_timestamp
);
CREATE UNIQUE INDEX record_uniq ON store (user_id, host, tag, idx);
