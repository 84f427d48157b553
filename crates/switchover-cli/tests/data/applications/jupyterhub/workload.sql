INSERT INTO users (name, admin, cookie_id) VALUES ('new', false, 'c') RETURNING id;
INSERT INTO roles (name, managed_by_auth) VALUES ('new', false) RETURNING id;
SELECT encode(encrypted_auth_state, 'escape') FROM users WHERE name = 'ada' AND admin;
SELECT string_agg(name, ' ' ORDER BY id) FROM users JOIN user_group_map ON user_id = id WHERE group_id = 1 AND id < 3;
