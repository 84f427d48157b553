INSERT INTO bookmark (url, title) VALUES ('https://example.org/new', 'new') RETURNING id;
INSERT INTO tag (name) VALUES ('new') RETURNING id;
INSERT INTO bookmark_tag VALUES (101, 5);
SELECT config ->> 'ShowId', convert_from(password, 'UTF8') FROM account WHERE username = 'shiori';
SELECT count(*), max(content) FROM bookmark WHERE has_content;
