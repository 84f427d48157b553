BEGIN TRANSACTION;
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO studies VALUES(1,'überblick');
INSERT INTO studies VALUES(2,'single');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO version_info VALUES(1,12,'5.0.0');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO study_directions VALUES(1,'MINIMIZE',1,0);
INSERT INTO study_directions VALUES(2,'MAXIMIZE',1,1);
INSERT INTO study_directions VALUES(3,'MINIMIZE',2,0);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO study_user_attributes VALUES(1,1,'who','{"name": "Zo\u00eb", "n": [1, 2.5, null]}');
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO trials VALUES(1,0,1,'COMPLETE','2026-11-21 15:27:04.112044','2026-11-21 15:27:04.144849');
INSERT INTO trials VALUES(2,1,1,'COMPLETE','2026-11-21 15:27:04.155941','2026-11-21 15:27:04.176461');
INSERT INTO trials VALUES(3,2,1,'COMPLETE','2026-11-21 15:27:04.184300','2026-11-21 15:27:04.203509');
INSERT INTO trials VALUES(4,3,1,'COMPLETE','2026-11-21 15:27:04.210080','2026-11-21 15:27:04.228149');
INSERT INTO trials VALUES(5,4,1,'COMPLETE','2026-11-21 15:27:04.237189','2026-11-21 15:27:04.256936');
INSERT INTO trials VALUES(6,0,2,'COMPLETE','2026-11-21 15:27:04.265317','2026-11-21 15:27:04.286539');
INSERT INTO trials VALUES(7,1,2,'FAIL','2026-11-21 15:27:04.294095','2026-11-21 15:27:04.312839');
INSERT INTO trials VALUES(8,2,2,'COMPLETE','2026-11-21 15:27:04.319035','2026-11-21 15:27:04.339775');
INSERT INTO trials VALUES(9,3,2,'PRUNED','2026-11-21 15:27:04.347371','2026-11-21 15:27:04.361322');
INSERT INTO trials VALUES(10,4,2,'WAITING',NULL,NULL);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_user_attributes VALUES(1,1,'note','"a \"quoted\" \n line"');
INSERT INTO trial_user_attributes VALUES(2,2,'note','"a \"quoted\" \n line"');
INSERT INTO trial_user_attributes VALUES(3,3,'note','"a \"quoted\" \n line"');
INSERT INTO trial_user_attributes VALUES(4,4,'note','"a \"quoted\" \n line"');
INSERT INTO trial_user_attributes VALUES(5,5,'note','"a \"quoted\" \n line"');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_system_attributes VALUES(1,10,'fixed_params','{"x": 0.5}');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_params VALUES(1,1,'x',-0.82977995297425977128,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO trial_params VALUES(2,1,'n',119.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 1000}}');
INSERT INTO trial_params VALUES(3,1,'kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["rbf", null, true, 3]}}');
INSERT INTO trial_params VALUES(4,2,'x',-3.1373978862232911879,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO trial_params VALUES(5,2,'n',7.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 1000}}');
INSERT INTO trial_params VALUES(6,2,'kernel',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["rbf", null, true, 3]}}');
INSERT INTO trial_params VALUES(7,3,'x',-2.9554775026848254526,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO trial_params VALUES(8,3,'n',396.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 1000}}');
INSERT INTO trial_params VALUES(9,3,'kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["rbf", null, true, 3]}}');
INSERT INTO trial_params VALUES(10,4,'x',-3.5961306140476620996,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO trial_params VALUES(11,4,'n',2.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 1000}}');
INSERT INTO trial_params VALUES(12,4,'kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["rbf", null, true, 3]}}');
INSERT INTO trial_params VALUES(13,5,'x',3.7638915229603835399,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO trial_params VALUES(14,5,'n',449.0,'{"name": "IntDistribution", "attributes": {"log": true, "step": 1, "low": 1, "high": 1000}}');
INSERT INTO trial_params VALUES(15,5,'kernel',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["rbf", null, true, 3]}}');
INSERT INTO trial_params VALUES(16,6,'x',0.43599490214200375959,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO trial_params VALUES(17,7,'x',0.025926231827891332848,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO trial_params VALUES(18,8,'x',0.54966247787870914365,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO trial_params VALUES(19,9,'x',0.43532239261827687659,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_values VALUES(1,1,0,119.68853477035796118,'FINITE');
INSERT INTO trial_values VALUES(2,1,1,-0.82977995297425977128,'FINITE');
INSERT INTO trial_values VALUES(3,2,0,16.843265496478373677,'FINITE');
INSERT INTO trial_values VALUES(4,2,1,-3.1373978862232911879,'FINITE');
INSERT INTO trial_values VALUES(5,3,0,404.7348472688761376,'FINITE');
INSERT INTO trial_values VALUES(6,3,1,NULL,'INF_POS');
INSERT INTO trial_values VALUES(7,4,0,14.93215539329081487,'FINITE');
INSERT INTO trial_values VALUES(8,4,1,-3.5961306140476620996,'FINITE');
INSERT INTO trial_values VALUES(9,5,0,463.16687939661301243,'FINITE');
INSERT INTO trial_values VALUES(10,5,1,3.7638915229603835399,'FINITE');
INSERT INTO trial_values VALUES(11,6,0,0.43599490214200375959,'FINITE');
INSERT INTO trial_values VALUES(12,8,0,0.54966247787870914365,'FINITE');
INSERT INTO trial_values VALUES(13,9,0,0.0,'FINITE');
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_intermediate_values VALUES(1,6,0,0.0,'FINITE');
INSERT INTO trial_intermediate_values VALUES(2,6,1,NULL,'NAN');
INSERT INTO trial_intermediate_values VALUES(3,6,2,0.87198980428400751918,'FINITE');
INSERT INTO trial_intermediate_values VALUES(4,7,0,0.0,'FINITE');
INSERT INTO trial_intermediate_values VALUES(5,7,1,NULL,'NAN');
INSERT INTO trial_intermediate_values VALUES(6,7,2,0.051852463655782665696,'FINITE');
INSERT INTO trial_intermediate_values VALUES(7,8,0,0.0,'FINITE');
INSERT INTO trial_intermediate_values VALUES(8,8,1,NULL,'NAN');
INSERT INTO trial_intermediate_values VALUES(9,8,2,1.0993249557574182873,'FINITE');
INSERT INTO trial_intermediate_values VALUES(10,9,0,0.0,'FINITE');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES('v3.2.0.a');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
