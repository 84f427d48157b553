CREATE TABLE authentication_logs (
    id INTEGER, time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, successful BOOLEAN NOT NULL, banned BOOLEAN NOT NULL DEFAULT FALSE,
    username VARCHAR(100) NOT NULL, auth_type VARCHAR(8) NOT NULL DEFAULT '1FA', remote_ip VARCHAR(47) NULL DEFAULT NULL, request_uri TEXT, PRIMARY KEY (id)
);
CREATE INDEX authentication_logs_username_idx ON authentication_logs (time, username, auth_type);
CREATE TABLE totp_configurations (
    id INTEGER, username VARCHAR(100) NOT NULL, issuer VARCHAR(100), digits INTEGER NOT NULL DEFAULT 6, secret BLOB NOT NULL, PRIMARY KEY (id), UNIQUE (username)
);
CREATE TABLE user_opaque_identifier (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, service VARCHAR(20) NOT NULL, sector_id VARCHAR(255) NOT NULL, username VARCHAR(100) NOT NULL, identifier CHAR(36) NOT NULL
);
CREATE UNIQUE INDEX user_opaque_identifier_service_sector_id_username_key ON user_opaque_identifier (service, sector_id, username);
CREATE UNIQUE INDEX user_opaque_identifier_identifier_key ON user_opaque_identifier (identifier);
CREATE TABLE oauth2_access_token_session (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, challenge_id CHAR(36) NOT NULL, signature VARCHAR(255) NOT NULL, subject CHAR(36) NOT NULL,
    requested_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, active BOOLEAN NOT NULL DEFAULT FALSE, session_data BLOB NOT NULL,
    FOREIGN KEY (challenge_id) REFERENCES oauth2_consent_session (challenge_id) ON UPDATE CASCADE ON DELETE CASCADE,
    FOREIGN KEY (subject) REFERENCES user_opaque_identifier (identifier) ON UPDATE RESTRICT ON DELETE RESTRICT
);
CREATE TABLE oauth2_consent_session (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, challenge_id CHAR(36) NOT NULL, client_id VARCHAR(255) NOT NULL, subject CHAR(36) NOT NULL, granted BOOLEAN NOT NULL DEFAULT FALSE,
    requested_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, responded_at TIMESTAMP NULL DEFAULT NULL, form_data TEXT NOT NULL, granted_audience TEXT NULL DEFAULT '',
    CONSTRAINT oauth2_consent_subject_fkey FOREIGN KEY (subject) REFERENCES user_opaque_identifier (identifier) ON UPDATE RESTRICT ON DELETE RESTRICT
);
CREATE UNIQUE INDEX oauth2_consent_session_challenge_id_key ON oauth2_consent_session (challenge_id);
CREATE TABLE migrations (
    id INTEGER, applied TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, version_before INTEGER NULL DEFAULT NULL, version_after INTEGER NOT NULL,
    application_version VARCHAR(128) NOT NULL, PRIMARY KEY (id)
);
CREATE TABLE encryption (id INTEGER, name VARCHAR(100), value BLOB NOT NULL, PRIMARY KEY (id), UNIQUE (name));

-- Go's SQLite driver writes nanoseconds, and leaves out zeros at their end.
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
INSERT INTO authentication_logs (time, successful, username, remote_ip, request_uri)
SELECT datetime('2024-03-01', i || ' minutes') || CASE i % 4 WHEN 0 THEN '' WHEN 1 THEN printf('.%09d', i * 1234567) WHEN 2 THEN '.5' ELSE printf('.%06d', i) END
    || CASE i % 3 WHEN 0 THEN '+00:00' ELSE '+11:00' END,
    i % 5 > 0, 'user' || (i % 7), '192.0.2.' || i, 'https://auth.example.org/?rd=' || i FROM n;
INSERT INTO totp_configurations (username, issuer, secret) VALUES ('user1', 'example.org', x'00ff10'), ('user2', NULL, x'01');
INSERT INTO user_opaque_identifier (service, sector_id, username, identifier) VALUES
    ('openid', '', 'user1', '0d8e0d0a-67d8-4a0d-8cbd-000000000001'), ('openid', 'app.example.org', 'user1', '0d8e0d0a-67d8-4a0d-8cbd-000000000002');
INSERT INTO oauth2_consent_session (challenge_id, client_id, subject, granted, requested_at, form_data) VALUES
    ('5b7d9a4e-0000-4000-8000-000000000001', 'app', '0d8e0d0a-67d8-4a0d-8cbd-000000000002', 1, '2024-03-01 10:00:00.123456789+01:00', 'client_id=app');
INSERT INTO oauth2_access_token_session (challenge_id, signature, subject, active, session_data) VALUES
    ('5b7d9a4e-0000-4000-8000-000000000001', 'sig', '0d8e0d0a-67d8-4a0d-8cbd-000000000002', 1, x'7b7d');
INSERT INTO migrations (version_before, version_after, application_version) VALUES (0, 1, 'v4.37'), (1, 4, 'v4.38');
INSERT INTO encryption (name, value) VALUES ('check', x'decade');
