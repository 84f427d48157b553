INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined) VALUES ('', false, 'new', '', '', '', false, true, now()) RETURNING id;
SELECT codename FROM auth_permission JOIN django_content_type t ON t.id = content_type_id WHERE app_label = 'wagtailcore' AND model = 'page' AND codename = 'publish_page';
SELECT content ->> 'title' FROM wagtailcore_revision ORDER BY id LIMIT 1;
UPDATE wagtailcore_page SET title = 'after' WHERE slug = 's1' RETURNING live;
