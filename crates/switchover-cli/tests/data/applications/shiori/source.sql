CREATE TABLE account (
    id INTEGER NOT NULL, username TEXT NOT NULL, password TEXT NOT NULL, owner INTEGER NOT NULL DEFAULT 0, showid INTEGER NOT NULL DEFAULT 0,
    nightmode INTEGER NOT NULL DEFAULT 0, CONSTRAINT account_PK PRIMARY KEY (id), CONSTRAINT account_username_UNIQUE UNIQUE (username)
);
CREATE TABLE bookmark (
    id INTEGER NOT NULL, url TEXT NOT NULL, title TEXT NOT NULL, excerpt TEXT NOT NULL DEFAULT "", public INTEGER NOT NULL DEFAULT 0,
    modified TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, CONSTRAINT bookmark_PK PRIMARY KEY (id), CONSTRAINT bookmark_url_UNIQUE UNIQUE (url)
);
CREATE TABLE tag (id INTEGER NOT NULL, name TEXT NOT NULL, CONSTRAINT tag_PK PRIMARY KEY (id), CONSTRAINT tag_name_UNIQUE UNIQUE (name));
CREATE TABLE bookmark_tag (
    bookmark_id INTEGER NOT NULL, tag_id INTEGER NOT NULL, CONSTRAINT bookmark_tag_PK PRIMARY KEY (bookmark_id, tag_id),
    CONSTRAINT bookmark_id_FK FOREIGN KEY (bookmark_id) REFERENCES bookmark (id), CONSTRAINT tag_id_FK FOREIGN KEY (tag_id) REFERENCES tag (id)
);
CREATE VIRTUAL TABLE bookmark_content USING fts5 (title, content, html, docid);

INSERT INTO account VALUES (1, 'shiori', '$2a$10$hash', 1, 1, 0), (2, 'guest', '$2a$10$other', 0, 0, 1);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
INSERT INTO bookmark (id, url, title, excerpt, public, modified)
SELECT i, 'https://example.org/' || i, 'Seite ' || i, 'kurz', i % 2, datetime('2023-05-01', i || ' hours') FROM n;
INSERT INTO bookmark_content SELECT title, 'Text von ' || id, '<p>' || id || '</p>', id FROM bookmark WHERE id % 3 = 0;
INSERT INTO tag VALUES (1, 'news'), (4, 'später');
INSERT INTO bookmark_tag SELECT id, CASE id % 2 WHEN 0 THEN 1 ELSE 4 END FROM bookmark WHERE id < 50;
