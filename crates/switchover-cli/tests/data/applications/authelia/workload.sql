INSERT INTO authentication_logs (successful, username) VALUES (true, 'user1') RETURNING id;
INSERT INTO user_opaque_identifier (service, sector_id, username, identifier) VALUES ('openid', '', 'user9', 'f0000000-0000-4000-8000-000000000009') RETURNING id;
DELETE FROM oauth2_consent_session WHERE challenge_id = '5b7d9a4e-0000-4000-8000-000000000001';
SELECT count(*) FROM oauth2_access_token_session;
