INSERT INTO users (username, email, password) VALUES ('new', 'n@example.org', 'c') RETURNING id;
INSERT INTO history (client_id, user_id, hostname, timestamp, data) VALUES ('new', 1, 'host', now(), 'x') RETURNING id;
SELECT total FROM total_history_count_user WHERE user_id = 1;
SELECT count(*) FROM store WHERE user_id = 1 AND host = '018bcfe5-6800-7000-8000-00000000bbbb';
