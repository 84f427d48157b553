INSERT INTO trials (number, study_id, state) VALUES (99, 1, 'RUNNING') RETURNING trial_id;
INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (2, 'new', '1') RETURNING study_user_attribute_id;
SELECT string_agg(direction::text, ' ' ORDER BY objective) FROM study_directions WHERE study_id = 1 AND objective < 2;
SELECT count(*) FROM trials WHERE state = 'COMPLETE' AND datetime_start < datetime_complete;
