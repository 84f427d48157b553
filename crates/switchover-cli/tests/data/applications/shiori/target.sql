CREATE TABLE account (
    id serial, username varchar(250) NOT NULL, password bytea NOT NULL, owner boolean NOT NULL DEFAULT false, config jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id), CONSTRAINT account_username_UNIQUE UNIQUE (username)
);
CREATE TABLE bookmark (
    id serial, url text NOT NULL, title text NOT NULL, excerpt text NOT NULL DEFAULT '', public smallint NOT NULL DEFAULT 0, content text NOT NULL DEFAULT '',
    html text NOT NULL DEFAULT '', modified timestamp(0) NOT NULL DEFAULT current_timestamp, has_content boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id), CONSTRAINT bookmark_url_UNIQUE UNIQUE (url)
);
CREATE TABLE tag (id serial, name varchar(250) NOT NULL, PRIMARY KEY (id), CONSTRAINT tag_name_UNIQUE UNIQUE (name));
CREATE TABLE bookmark_tag (
    bookmark_id int NOT NULL, tag_id int NOT NULL, PRIMARY KEY (bookmark_id, tag_id),
    CONSTRAINT bookmark_tag_bookmark_id_FK FOREIGN KEY (bookmark_id) REFERENCES bookmark (id),
    CONSTRAINT bookmark_tag_tag_id_FK FOREIGN KEY (tag_id) REFERENCES tag (id)
);
CREATE INDEX bookmark_tag_bookmark_id_FK ON bookmark_tag (bookmark_id);
CREATE INDEX bookmark_tag_tag_id_FK ON bookmark_tag (tag_id);
