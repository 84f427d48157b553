CREATE TABLE authentication_logs (
    id serial PRIMARY KEY, time timestamptz NOT NULL DEFAULT current_timestamp, successful boolean NOT NULL, banned boolean NOT NULL DEFAULT false,
    username varchar(100) NOT NULL, auth_type varchar(8) NOT NULL DEFAULT '1FA', remote_ip varchar(47), request_uri text
);
CREATE INDEX authentication_logs_username_idx ON authentication_logs (time, username, auth_type);
CREATE TABLE totp_configurations (
    id serial PRIMARY KEY, username varchar(100) NOT NULL UNIQUE, issuer varchar(100), digits integer NOT NULL DEFAULT 6, secret bytea NOT NULL
);
CREATE TABLE user_opaque_identifier (
    id serial PRIMARY KEY, service varchar(20) NOT NULL, sector_id varchar(255) NOT NULL, username varchar(100) NOT NULL, identifier char(36) NOT NULL
);
CREATE UNIQUE INDEX user_opaque_identifier_service_sector_id_username_key ON user_opaque_identifier (service, sector_id, username);
CREATE UNIQUE INDEX user_opaque_identifier_identifier_key ON user_opaque_identifier (identifier);
CREATE TABLE oauth2_consent_session (
    id serial PRIMARY KEY, challenge_id char(36) NOT NULL, client_id varchar(255) NOT NULL, subject char(36) NOT NULL, granted boolean NOT NULL DEFAULT false,
    requested_at timestamptz NOT NULL DEFAULT current_timestamp, responded_at timestamptz, form_data text NOT NULL, granted_audience text DEFAULT ''
);
CREATE UNIQUE INDEX oauth2_consent_session_challenge_id_key ON oauth2_consent_session (challenge_id);
ALTER TABLE oauth2_consent_session ADD CONSTRAINT oauth2_consent_subject_fkey FOREIGN KEY (subject)
    REFERENCES user_opaque_identifier (identifier) ON UPDATE RESTRICT ON DELETE RESTRICT;
CREATE TABLE oauth2_access_token_session (
    id serial PRIMARY KEY, challenge_id char(36) NOT NULL, signature varchar(255) NOT NULL, subject char(36) NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT current_timestamp, active boolean NOT NULL DEFAULT false, session_data bytea NOT NULL
);
CREATE INDEX oauth2_access_token_session_signature_idx ON oauth2_access_token_session (signature, subject);
ALTER TABLE oauth2_access_token_session ADD CONSTRAINT oauth2_access_token_session_challenge_id_fkey FOREIGN KEY (challenge_id)
    REFERENCES oauth2_consent_session (challenge_id) ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE oauth2_access_token_session ADD CONSTRAINT oauth2_access_token_session_subject_fkey FOREIGN KEY (subject)
    REFERENCES user_opaque_identifier (identifier) ON UPDATE RESTRICT ON DELETE RESTRICT;
CREATE TABLE migrations (
    id serial PRIMARY KEY, applied timestamptz NOT NULL DEFAULT current_timestamp, version_before integer, version_after integer NOT NULL,
    application_version varchar(128) NOT NULL
);
INSERT INTO migrations (version_before, version_after, application_version) VALUES (0, 1, 'v4.38'), (1, 4, 'v4.38');
CREATE TABLE encryption (id serial PRIMARY KEY, name varchar(100) UNIQUE, value bytea NOT NULL);
INSERT INTO encryption (name, value) VALUES ('check', '\xc0ffee');
