INSERT INTO experiments (name, lifecycle_stage) VALUES ('new', 'active') RETURNING experiment_id;
SELECT count(*), bool_and(value = 0.1::float8 + 0.2::float8) FROM metrics WHERE key = 'loss';
SELECT count(*) FROM latest_metrics WHERE is_nan AND value = 0;
SELECT artifact_location FROM experiments WHERE experiment_id = 0;
